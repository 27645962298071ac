"""Pure operations on column batches: take rows, concatenate, split by partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from leadline.records.batches import (
    I64,
    LabelBatch,
    PredictionBatch,
    SliceColumn,
    UnobservedReason,
)
from leadline.records.ids import partition_of

Number = TypeVar("Number", bound=np.generic)


def take_predictions(batch: PredictionBatch, rows: I64) -> PredictionBatch:
    """The given rows of a batch, in the given order; `unobserved` stays with the header."""
    position = {int(row): at for at, row in enumerate(rows)} if batch.kept else {}
    return PredictionBatch(
        header=batch.header,
        ids=batch.ids[rows],
        event_time_us=batch.event_time_us[rows],
        predicted=batch.predicted[rows],
        scores=None if batch.scores is None else batch.scores[rows],
        top_classes=None if batch.top_classes is None else batch.top_classes[rows],
        top_scores=None if batch.top_scores is None else batch.top_scores[rows],
        vectors=None if batch.vectors is None else batch.vectors[rows],
        slices=tuple(
            SliceColumn(column.name, column.values, column.codes[rows]) for column in batch.slices
        ),
        kept=tuple(
            replace(kept, row=position[kept.row]) for kept in batch.kept if kept.row in position
        ),
        unobserved=batch.unobserved,
    )


def take_labels(batch: LabelBatch, rows: I64) -> LabelBatch:
    """The given rows of a batch, in the given order."""
    return LabelBatch(
        header=batch.header,
        ids=batch.ids[rows],
        label_time_us=batch.label_time_us[rows],
        true_class=batch.true_class[rows],
    )


def mergeable(batch: PredictionBatch) -> tuple[object, ...]:
    """Key of the batches that `concat_predictions` may put together."""
    return (
        batch.header,
        tuple(column.name for column in batch.slices),
        batch.scores is None,
        0 if batch.top_classes is None else batch.top_classes.shape[1],
        0 if batch.vectors is None else batch.vectors.shape[1],
    )


def concat_predictions(batches: Sequence[PredictionBatch]) -> PredictionBatch:
    """Batches of equal `mergeable` key behind one another; at least one.

    Slice dictionaries are united; `unobserved` counts are added up by reason.
    """
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    starts = np.cumsum([0, *(len(batch) for batch in batches)])
    lost: dict[UnobservedReason, int] = {}
    for batch in batches:
        for reason, count in batch.unobserved:
            lost[reason] = lost.get(reason, 0) + count
    return PredictionBatch(
        header=first.header,
        ids=np.concatenate([batch.ids for batch in batches]),
        event_time_us=np.concatenate([batch.event_time_us for batch in batches]),
        predicted=np.concatenate([batch.predicted for batch in batches]),
        scores=_concat([batch.scores for batch in batches]),
        top_classes=_concat([batch.top_classes for batch in batches]),
        top_scores=_concat([batch.top_scores for batch in batches]),
        vectors=_concat([batch.vectors for batch in batches]),
        slices=tuple(
            _concat_slices([batch.slices[at] for batch in batches])
            for at in range(len(first.slices))
        ),
        kept=tuple(
            replace(kept, row=kept.row + int(start))
            for batch, start in zip(batches, starts[:-1], strict=True)
            for kept in batch.kept
        ),
        unobserved=tuple(lost.items()),
    )


def concat_labels(batches: Sequence[LabelBatch]) -> LabelBatch:
    """Batches of equal header behind one another; at least one."""
    if len(batches) == 1:
        return batches[0]
    return LabelBatch(
        header=batches[0].header,
        ids=np.concatenate([batch.ids for batch in batches]),
        label_time_us=np.concatenate([batch.label_time_us for batch in batches]),
        true_class=np.concatenate([batch.true_class for batch in batches]),
    )


def split_predictions(batch: PredictionBatch, partitions: int) -> list[tuple[int, PredictionBatch]]:
    """(partition, its rows) of each partition that has rows, order kept within.

    `unobserved` goes with the first part only, so that it is counted once; a batch without rows
    goes to partition 0.
    """
    groups = _group(batch.ids, partitions)
    if len(groups) <= 1:
        return [(groups[0][0] if groups else 0, batch)]
    parts = [(partition, take_predictions(batch, rows)) for partition, rows in groups]
    return [parts[0], *((p, replace(part, unobserved=())) for p, part in parts[1:])]


def split_labels(batch: LabelBatch, partitions: int) -> list[tuple[int, LabelBatch]]:
    """(partition, its rows) of each partition that has rows, order kept within."""
    groups = _group(batch.ids, partitions)
    if len(groups) <= 1:
        return [(partition, batch) for partition, _ in groups]
    return [(partition, take_labels(batch, rows)) for partition, rows in groups]


def _group(ids: npt.NDArray[np.uint64], partitions: int) -> list[tuple[int, I64]]:
    if not len(ids):
        return []
    if partitions == 1:
        return [(0, np.arange(len(ids)))]
    of_row = partition_of(ids, partitions)
    order = np.argsort(of_row, kind="stable")
    present, starts = np.unique(of_row[order], return_index=True)
    return [
        (int(partition), rows)
        for partition, rows in zip(present, np.split(order, starts[1:]), strict=True)
    ]


def _concat(parts: Sequence[npt.NDArray[Number] | None]) -> npt.NDArray[Number] | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if found else None


def _concat_slices(columns: Sequence[SliceColumn]) -> SliceColumn:
    number: dict[str, int] = {}
    codes = []
    for column in columns:
        mapping = np.array(
            [number.setdefault(value, len(number)) for value in column.values], np.uint32
        )
        codes.append(mapping[column.codes] if len(column.values) else column.codes)
    return SliceColumn(columns[0].name, tuple(number), np.concatenate(codes))
