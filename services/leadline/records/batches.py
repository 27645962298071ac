"""Batches of events as columns, in memory.

A batch is read-only: its arrays may be views of a message's bytes. Order is that of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from leadline.records.errors import Refusal
from leadline.records.ids import U64

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
F32 = npt.NDArray[np.float32]

Batch = TypeVar("Batch")

RETRACTED = 0xFFFF_FFFF
"""The true class of a label that takes an earlier one back."""
READER = 1
"""Batches that ask for a newer reader stop the shard: they are not dead letters."""
SLICES_MAX = 3
"""Slice columns of a batch; crossings of these are exact, more would multiply the cells."""
SLICE_LENGTH_MAX = 200
"""Characters of a slice's name and of its value: they stand in keys, which databases bound."""


class TaskKind(IntEnum):
    """What a model answers with; the numbers are those of events.proto."""

    BINARY = 1
    MULTICLASS = 2
    MULTILABEL = 3
    DETECTION = 4
    REGRESSION = 5


class UnobservedReason(IntEnum):
    """Why a request was answered and not logged; the numbers are those of events.proto."""

    QUEUE_FULL = 1
    LOG_FAILED = 2
    SHARED_MEMORY = 3
    STREAM = 4
    OUTPUT_MISSING = 5
    SCORE_RANGE = 6
    OPTED_OUT = 7


class InputAbsence(IntEnum):
    """Why a kept prediction has no stored input; the numbers are those of events.proto."""

    PRESENT = 0
    NOT_STORED = 1
    TOO_LARGE = 2
    STORE_FAILED = 3
    SHARED_MEMORY = 4
    QUEUE_FULL = 5


@dataclass(frozen=True, slots=True)
class SliceColumn:
    """One slice column.

    Attributes:
        name: the column, for example "device".
        values: its dictionary.
        codes: uint32 (n,), positions in `values`.
    """

    name: str
    values: tuple[str, ...]
    codes: U32


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row that the producer kept as a candidate case.

    Attributes:
        row: row in the batch.
        probability: with which it was kept, in (0, 1].
        input_ref: key in the blob store; empty when absent.
        input_uri: where the input lives; never copied.
        absence: why there is no stored input.
        id_text: the id as the caller wrote it, when it was a text.
    """

    row: int
    probability: float
    input_ref: str = ""
    input_uri: str = ""
    absence: InputAbsence = InputAbsence.PRESENT
    id_text: str = ""


@dataclass(frozen=True, slots=True)
class PredictionHeader:
    """What holds for all rows of a batch of predictions.

    Attributes:
        task: the label space; the model's own name by default (never empty here).
        class_count: classes of the version, 0 when unknown.
        class_digest: `records.models.class_digest` of the class list, 0 when undeclared.
        log_rate: share of the traffic that is logged, in (0, 1].
        imported: history, clamped only against the future.
    """

    model: str
    version: str
    task: str
    kind: TaskKind = TaskKind.MULTICLASS
    class_count: int = 0
    class_digest: int = 0
    log_rate: float = 1.0
    imported: bool = False
    producer: str = ""


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """Predictions of one model version.

    Attributes:
        header: what holds for all rows.
        ids: uint64 (n, 2).
        event_time_us: int64 (n,), microseconds since 1970-01-01 UTC.
        predicted: uint32 (n,), class numbers.
        scores: float32 (n, class_count), probabilities; None when not given.
        top_classes: uint32 (n, k), best first; None when dense scores or none are given.
        top_scores: float32 (n, k), probabilities.
        vectors: float32 (n, width) or None.
        slices: at most SLICES_MAX columns.
        kept: candidate cases, by row.
        unobserved: requests answered and not logged since the producer's last batch, by reason.
    """

    header: PredictionHeader
    ids: U64
    event_time_us: I64
    predicted: U32
    scores: F32 | None = None
    top_classes: U32 | None = None
    top_scores: F32 | None = None
    vectors: F32 | None = None
    slices: tuple[SliceColumn, ...] = ()
    kept: tuple[KeptRow, ...] = ()
    unobserved: tuple[tuple[UnobservedReason, int], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class LabelHeader:
    """What holds for all labels of a batch.

    Attributes:
        task: the label space (never empty).
        source_rank: a higher rank always wins over a lower one.
    """

    task: str
    kind: TaskKind = TaskKind.MULTICLASS
    class_count: int = 0
    class_digest: int = 0
    source: str = ""
    source_rank: int = 0
    imported: bool = False
    producer: str = ""


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """True labels of one task from one source.

    Attributes:
        ids: uint64 (n, 2).
        label_time_us: int64 (n,), when each label was decided, microseconds since 1970-01-01 UTC.
        true_class: uint32 (n,); RETRACTED takes the label back.
    """

    header: LabelHeader
    ids: U64
    label_time_us: I64
    true_class: U32

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[Batch]):
    """A batch whose refused rows are left out.

    Attributes:
        batch: the good rows; None when the whole record is refused, or a tick, which holds nothing.
        rows: int64, for each row of `batch` its row in the record.
        refusals: what was refused.
    """

    batch: Batch | None
    rows: I64
    refusals: tuple[Refusal, ...] = ()
