"""Checks of single rows, vectorised: what is wrong is refused row by row, the others go on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.records.batches import (
    RETRACTED,
    SLICE_LENGTH_MAX,
    LabelBatch,
    PredictionBatch,
    SliceColumn,
)
from leadline.records.errors import DeadLetterReason, Refusal
from leadline.records.ids import U64, partition_of

CLASSES_MAX = 1 << 20
"""Class numbers are below this even where no class count is given."""

Cause = tuple[npt.ArrayLike, DeadLetterReason, str]


def check_prediction_rows(batch: PredictionBatch, partition: int, partitions: int) -> list[Refusal]:
    """The rows that must not be counted, each once, with the first cause that fits."""
    if not len(batch):
        return []
    count = batch.header.class_count or CLASSES_MAX
    causes: list[Cause] = [
        _partition(batch.ids, partition, partitions),
        (
            batch.predicted >= count,
            DeadLetterReason.CLASS_RANGE,
            f"The predicted class is not below {count}.",
        ),
    ]
    for scores in (batch.scores, batch.top_scores):
        if scores is not None:
            causes += _scores(scores)
    if batch.top_classes is not None:
        causes.append(
            (
                (batch.top_classes >= count).any(axis=1),
                DeadLetterReason.CLASS_RANGE,
                f"A top class is not below {count}.",
            )
        )
    for column in batch.slices:
        causes += _slice(column)
    return _collect(causes)


def check_label_rows(batch: LabelBatch, partition: int, partitions: int) -> list[Refusal]:
    """The rows that must not be counted, each once, with the first cause that fits."""
    if not len(batch):
        return []
    count = batch.header.class_count or CLASSES_MAX
    outside = (batch.true_class >= count) & (batch.true_class != RETRACTED)
    detail = f"The true class is not below {count}."
    return _collect(
        [
            _partition(batch.ids, partition, partitions),
            (outside, DeadLetterReason.CLASS_RANGE, detail),
        ]
    )


def _partition(ids: U64, partition: int, partitions: int) -> Cause:
    return (
        np.not_equal(partition_of(ids, partitions), partition),
        DeadLetterReason.WRONG_PARTITION,
        f"The id does not belong to partition {partition} of {partitions}: its other half would "
        "never meet it. Partition by murmur2 of the 16 id bytes.",
    )


def _scores(scores: npt.NDArray[np.float32]) -> list[Cause]:
    return [
        (
            ~np.isfinite(scores).all(axis=1),
            DeadLetterReason.SCORE_NAN,
            "A score is NaN or infinite.",
        ),
        (
            ((scores < 0) | (scores > 1)).any(axis=1),
            DeadLetterReason.SCORE_RANGE,
            "A score is outside [0, 1]; it looks like a logit: declare the output as logits.",
        ),
    ]


def _slice(column: SliceColumn) -> list[Cause]:
    size = len(column.values)
    causes: list[Cause] = [
        (
            column.codes >= size,
            DeadLetterReason.SLICE_CODE,
            f"Slice {column.name!r}: the code is outside its dictionary.",
        )
    ]
    long = [at for at, value in enumerate(column.values) if len(value) > SLICE_LENGTH_MAX]
    if long:
        causes.append(
            (
                np.isin(column.codes, long),
                DeadLetterReason.TOO_LARGE,
                f"Slice {column.name!r}: a value has at most {SLICE_LENGTH_MAX} characters.",
            )
        )
    return causes


def _collect(causes: list[Cause]) -> list[Refusal]:
    found: dict[int, Refusal] = {}
    for bad, reason, detail in causes:
        for row in np.flatnonzero(np.asarray(bad)).tolist():
            found.setdefault(row, Refusal(row, reason, detail))
    return [found[row] for row in sorted(found)]
