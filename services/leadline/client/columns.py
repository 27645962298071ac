"""From a caller's columns to a batch; what cannot be logged is named by row. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leadline.client.edge import (
    Edge,
    RefusedError,
    probabilities,
    score_refusal,
)
from leadline.records.batches import (
    I64,
    SLICE_LENGTH_MAX,
    SLICES_MAX,
    InputAbsence,
    KeptRow,
    PredictionBatch,
    SliceColumn,
    TaskKind,
)
from leadline.records.columns import take_predictions
from leadline.records.ids import U64, below_rate, sample_hash

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PredictionColumns:
    """Predictions as columns of equal length.

    Attributes:
        ids: uint64 (n, 2).
        texts: ids as the caller wrote them; empty where they were no text.
        times_us: int64 (n,).
        predicted: int64 (n,), -1 where the best score decides.
        scores: (n, columns) in the caller's form, or None.
        slices: values by column name.
        input_uris: empty where there is none.
    """

    ids: U64
    texts: Sequence[str]
    times_us: I64
    predicted: I64
    scores: Scores | None
    slices: Mapping[str, Sequence[str]]
    input_uris: Sequence[str]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of columns.

    Attributes:
        batch: the rows to log; None when there is none.
        refused: (row, why).
        sampled_out: rows outside the share that is logged.
    """

    batch: PredictionBatch | None
    refused: list[tuple[int, RefusedError]]
    sampled_out: int


def build_predictions(columns: PredictionColumns, edge: Edge) -> Built:
    """The batch of what can be logged.

    Raises:
        RefusedError: none of the rows can: the number of scores does not fit, or a name is missing.
    """
    n = len(columns.ids)
    scores, good, width = _scored(columns.scores, edge, n)
    header = edge.prediction_header(width)
    refused = [(int(row), score_refusal(edge)) for row in np.flatnonzero(~good)]
    predicted = _predicted(columns.predicted, scores)
    missing = good & (predicted < 0)
    refused += [(int(row), _nothing_predicted()) for row in np.flatnonzero(missing)]
    good &= ~missing
    hashes = sample_hash(columns.ids)
    logged = below_rate(hashes, edge.log_rate)
    rows = np.flatnonzero(good & logged)
    batch = PredictionBatch(
        header=header,
        ids=columns.ids,
        event_time_us=columns.times_us,
        predicted=np.where(good, predicted, 0).astype(np.uint32),
        scores=scores,
        slices=slice_columns(columns.slices),
    )
    taken = batch if len(rows) == n else take_predictions(batch, rows)
    kept = below_rate(hashes[rows], edge.log_rate * edge.keep_rate)
    taken = replace(taken, kept=_kept(columns, rows, np.flatnonzero(kept), edge.keep_rate))
    return Built(taken if len(rows) else None, refused, int((good & ~logged).sum()))


def _scored(
    scores: Scores | None, edge: Edge, n: int
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.bool_], int]:
    if scores is None:
        return None, np.ones(n, np.bool_), 2 if edge.kind is TaskKind.BINARY else 0
    if scores.shape[1] == 1 and edge.kind is not TaskKind.BINARY:
        raise RefusedError(
            "score_count",
            "one score alone has no classes to choose from",
            'give one score per class, or declare kind="binary"',
        )
    converted, good = probabilities(scores, edge)
    width = converted.shape[1]
    if edge.classes and width != len(edge.classes):
        raise RefusedError(
            "score_count",
            f"{width} scores were given for {len(edge.classes)} classes",
            "give one score per class, in the order of the class list",
        )
    return converted, good, width


def _predicted(given: I64, scores: npt.NDArray[np.float32] | None) -> I64:
    if scores is None:
        return given
    return np.where(given >= 0, given, scores.argmax(axis=1))


def _nothing_predicted() -> RefusedError:
    return RefusedError("no_prediction", "a prediction has neither scores nor a class", "give one")


def slice_columns(slices: Mapping[str, Sequence[str]]) -> tuple[SliceColumn, ...]:
    """The columns, dictionary-coded.

    Raises:
        RefusedError: more columns than are counted.
    """
    if len(slices) > SLICES_MAX:
        raise RefusedError(
            "slices", f"{len(slices)} slices were given; at most {SLICES_MAX}", "give fewer"
        )
    found = []
    for name, values in slices.items():
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(value, len(numbers)) for value in values]
        found.append(SliceColumn(name, tuple(numbers), np.array(codes, np.uint32)))
    return tuple(found)


def slice_value(name: str, value: object) -> str:
    """A slice value as text.

    Raises:
        RefusedError: it is too long to be one.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > SLICE_LENGTH_MAX or not name:
        raise RefusedError(
            "slices",
            f"slice {name!r:.60} has a value of {len(text)} characters",
            f"a slice is a name and a short value, at most {SLICE_LENGTH_MAX} characters",
        )
    return text


def _kept(
    columns: PredictionColumns, rows: I64, kept: I64, probability: float
) -> tuple[KeptRow, ...]:
    return tuple(
        KeptRow(
            row=int(at),
            probability=probability,
            input_uri=columns.input_uris[rows[at]],
            absence=InputAbsence.NOT_STORED,
            id_text=columns.texts[rows[at]],
        )
        for at in kept
    )
