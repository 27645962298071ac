"""What was refused, once more: good rows of a record as new messages for their right partitions.

A new message is marked as imported: its rows keep their event and label times, however long ago
the record was refused. Rows that were counted already are left out, and so are the record's
`unobserved` counts unless the whole record was refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from leadline.records.batches import I64
from leadline.records.columns import split_labels, split_predictions, take_labels, take_predictions
from leadline.records.errors import Refusal
from leadline.wire.batches import (
    decode_labels,
    decode_predictions,
    encode_labels,
    encode_predictions,
)


@dataclass(frozen=True, slots=True)
class Replay:
    """What to append for one record.

    Attributes:
        messages: (partition, message, rows in it); none when nothing of it is good.
        refused: what this version refuses as well, in the record's own rows.
    """

    messages: tuple[tuple[int, bytes, int], ...]
    refused: tuple[Refusal, ...]

    @property
    def rows(self) -> int:
        """Rows in all messages."""
        return sum(rows for *_, rows in self.messages)


def replay_predictions(value: bytes, rows: Collection[int] | None, partitions: int) -> Replay:
    """Messages for refused rows of a record of `predictions`; None stands for the whole record.

    Raises:
        StoppedError: the batch asks for a newer reader.
    """
    decoded = decode_predictions(value, 0, 1)
    if decoded.batch is None:
        return Replay((), decoded.refusals)
    batch = take_predictions(decoded.batch, _places(decoded.rows, rows))
    batch = replace(
        batch,
        header=replace(batch.header, imported=True),
        unobserved=batch.unobserved if rows is None else (),
    )
    parts = split_predictions(batch, partitions) if len(batch) or batch.unobserved else []
    messages = tuple((at, encode_predictions(part), len(part)) for at, part in parts)
    return Replay(messages, _still(decoded.refusals, rows))


def replay_labels(value: bytes, rows: Collection[int] | None, partitions: int) -> Replay:
    """Messages for refused rows of a record of `labels`; None stands for the whole record.

    Raises:
        StoppedError: the batch asks for a newer reader.
    """
    decoded = decode_labels(value, 0, 1)
    if decoded.batch is None:
        return Replay((), decoded.refusals)
    batch = take_labels(decoded.batch, _places(decoded.rows, rows))
    batch = replace(batch, header=replace(batch.header, imported=True))
    parts = split_labels(batch, partitions) if len(batch) else []
    messages = tuple((at, encode_labels(part), len(part)) for at, part in parts)
    return Replay(messages, _still(decoded.refusals, rows))


def _places(good: I64, rows: Collection[int] | None) -> I64:
    """Where the wanted rows stand among the good ones."""
    if rows is None:
        return np.arange(len(good))
    return np.flatnonzero(np.isin(good, np.fromiter(rows, np.int64)))


def _still(refusals: tuple[Refusal, ...], rows: Collection[int] | None) -> tuple[Refusal, ...]:
    if rows is None:
        return refusals
    wanted = set(rows)
    return tuple(each for each in refusals if each.row in wanted)
