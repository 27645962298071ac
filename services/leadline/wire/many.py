"""Many records at once: what decoding them one by one gives, for a fraction of the price.

Rows of records with equal headers become one batch. `batches.decode_predictions` and
`batches.decode_labels` are the reference: what is good, what is refused and why is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from leadline.records.batches import I64, Decoded, LabelBatch, PredictionBatch
from leadline.records.columns import concat_labels, concat_predictions
from leadline.records.errors import Refusal, StoppedError
from leadline.wire.batches import decode_labels, decode_predictions

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Rows(Generic[Batch]):
    """Good rows of one or more records with equal headers, in the order of the log.

    Attributes:
        batch: the rows; `unobserved` counts only where they come from a single record.
        record: int64 (n,), for each row the index of its record; never falls.
        first: index of the first record, also where there are no rows but `unobserved` counts.
    """

    batch: Batch
    record: I64
    first: int


@dataclass(frozen=True, slots=True)
class DecodedMany(Generic[Batch]):
    """What a sequence of records holds.

    Attributes:
        rows: by `first`; a record's rows stand in one of them.
        refusals: (index of the record, what was refused), in the order of the log.
        records: how many records were decoded: fewer than given when a batch asks for a newer
            reader.
        stopped: why not all were decoded; those before are decoded all the same.
    """

    rows: tuple[Rows[Batch], ...]
    refusals: tuple[tuple[int, Refusal], ...]
    records: int
    stopped: StoppedError | None


def decode_many_predictions(
    values: Sequence[bytes], partition: int, partitions: int
) -> DecodedMany[PredictionBatch]:
    """The good rows of records of `predictions`, and what is refused.

    A record with `unobserved` counts has rows of its own: the counts belong to its place.
    """
    return _many(
        values, partition, partitions, decode_predictions, _prediction_key, concat_predictions
    )


def decode_many_labels(
    values: Sequence[bytes], partition: int, partitions: int
) -> DecodedMany[LabelBatch]:
    """The good rows of records of `labels`, and what is refused."""
    return _many(values, partition, partitions, decode_labels, _label_key, concat_labels)


def _many(
    values: Sequence[bytes],
    partition: int,
    partitions: int,
    decode: Callable[[bytes, int, int], Decoded[Any]],
    key_of: Callable[[int, Any], object],
    concat: Callable[[list[Any]], Any],
) -> DecodedMany[Any]:
    groups: dict[object, list[tuple[int, Any]]] = {}
    refusals: list[tuple[int, Refusal]] = []
    stopped, at = None, len(values)
    for record, value in enumerate(values):
        try:
            decoded = decode(value, partition, partitions)
        except StoppedError as error:
            stopped, at = error, record
            break
        refusals += [(record, refusal) for refusal in decoded.refusals]
        batch = decoded.batch
        if _holds_anything(batch):
            groups.setdefault(key_of(record, batch), []).append((record, batch))
    rows = [
        Rows(
            concat([batch for _, batch in found]),
            np.concatenate([np.full(len(batch), record) for record, batch in found]),
            found[0][0],
        )
        for found in groups.values()
    ]
    return DecodedMany(tuple(rows), tuple(refusals), at, stopped)


def _holds_anything(batch: PredictionBatch | LabelBatch | None) -> bool:
    if batch is None:
        return False
    return len(batch) > 0 or (isinstance(batch, PredictionBatch) and batch.unobserved != ())


def _prediction_key(record: int, batch: PredictionBatch) -> object:
    if batch.unobserved:
        return record
    return (
        batch.header,
        tuple(column.name for column in batch.slices),
        batch.scores is None,
        0 if batch.top_classes is None else batch.top_classes.shape[1],
        batch.top_scores is None,
        0 if batch.vectors is None else batch.vectors.shape[1],
    )


def _label_key(_record: int, batch: LabelBatch) -> object:
    return batch.header
