"""From queued batches to messages: group, split by partition, cut to size, encode. No I/O.

queued batches ──group──> one batch per header ──split──> one per partition ──cut──> messages
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from leadline.records.batches import (
    LabelBatch,
    PredictionBatch,
    PredictionHeader,
    UnobservedReason,
)
from leadline.records.columns import (
    concat_labels,
    concat_predictions,
    mergeable,
    split_labels,
    split_predictions,
    take_labels,
    take_predictions,
)
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import MAX_MESSAGE_BYTES
from leadline.wire.batches import encode_labels, encode_predictions

AnyBatch = PredictionBatch | LabelBatch
Tally = Mapping[UnobservedReason, int]
_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch)

# An object's own cost in memory beside its numbers: four arrays, a record and a place in a queue.
BATCH_OVERHEAD_BYTES = 1024
_KEPT_OVERHEAD_BYTES = 400
# Half of what the log takes: what the estimate does not see (texts of kept rows) fits in the rest.
_MESSAGE_BYTES = MAX_MESSAGE_BYTES // 2


@dataclass(frozen=True, slots=True)
class Message:
    """One record on its way.

    Attributes:
        rows: predictions or labels in it.
        header: of predictions; None for labels.
        unobserved: what the record reports as unobserved.
    """

    topic: str
    partition: int
    value: bytes
    rows: int
    header: PredictionHeader | None = None
    unobserved: tuple[tuple[UnobservedReason, int], ...] = ()


def memory_bytes(batch: AnyBatch) -> int:
    """About what a queued batch holds in memory."""
    size = BATCH_OVERHEAD_BYTES + batch.ids.nbytes
    if isinstance(batch, LabelBatch):
        return size + batch.label_time_us.nbytes + batch.true_class.nbytes
    size += batch.event_time_us.nbytes + batch.predicted.nbytes
    for column in (batch.scores, batch.top_classes, batch.top_scores, batch.vectors):
        if column is not None:
            size += column.nbytes
    for part in batch.slices:
        size += part.codes.nbytes + 64 * len(part.values)
    return size + _KEPT_OVERHEAD_BYTES * len(batch.kept)


def group(batches: Iterable[AnyBatch]) -> list[AnyBatch]:
    """One batch for each header (and shape), in the order of first appearance."""
    predictions: dict[object, list[PredictionBatch]] = {}
    labels: dict[object, list[LabelBatch]] = {}
    for batch in batches:
        if isinstance(batch, LabelBatch):
            labels.setdefault(batch.header, []).append(batch)
        else:
            predictions.setdefault(mergeable(batch), []).append(batch)
    merged: list[AnyBatch] = [concat_predictions(parts) for parts in predictions.values()]
    return merged + [concat_labels(parts) for parts in labels.values()]


def messages_of(batch: AnyBatch, stream: Stream, rows_max: int) -> Iterator[Message]:
    """The records of one grouped batch.

    A batch without rows becomes a record only when it reports something as unobserved.
    """
    if isinstance(batch, LabelBatch):
        topic = stream.topic(LABELS)
        for partition, part in split_labels(batch, stream.partitions):
            for piece in _cut(part, rows_max):
                yield Message(topic, partition, encode_labels(piece), len(piece))
    elif len(batch) or batch.unobserved:
        topic = stream.topic(PREDICTIONS)
        for partition, found in split_predictions(batch, stream.partitions):
            for cut in _cut(found, rows_max):
                value = encode_predictions(cut)
                yield Message(topic, partition, value, len(cut), cut.header, cut.unobserved)


def _cut(batch: _Batch, rows_max: int) -> Sequence[_Batch]:
    """Pieces that a log takes; what is reported as unobserved stays with the first."""
    if not len(batch):
        return [batch]
    row_bytes = max(1, (memory_bytes(batch) - BATCH_OVERHEAD_BYTES) // len(batch))
    rows = max(1, min(rows_max, _MESSAGE_BYTES // row_bytes))
    if len(batch) <= rows:
        return [batch]
    spans = [np.arange(at, min(at + rows, len(batch))) for at in range(0, len(batch), rows)]
    if isinstance(batch, LabelBatch):
        return [take_labels(batch, span) for span in spans]
    first, *others = (take_predictions(batch, span) for span in spans)
    return [first, *(replace(other, unobserved=()) for other in others)]


def report_of(header: PredictionHeader, tally: Tally) -> PredictionBatch:
    """A batch without rows that reports what was not observed."""
    return PredictionBatch(
        header=header,
        ids=np.empty((0, 2), np.uint64),
        event_time_us=np.empty(0, np.int64),
        predicted=np.empty(0, np.uint32),
        unobserved=tuple(tally.items()),
    )


def with_report(batch: PredictionBatch, tally: Tally) -> PredictionBatch:
    """The batch, which also reports that tally."""
    total = dict(batch.unobserved)
    for reason, count in tally.items():
        total[reason] = total.get(reason, 0) + count
    return replace(batch, unobserved=tuple(total.items()))
