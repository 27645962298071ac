"""Rows as the cells that an owner would count of them, so that every figure after is the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.evaluation.columns import UNLABELLED
from leadline.metrics.core.figures import NO_TALLY, Tally, tally
from leadline.metrics.core.fold import NO_DELAY, Pairs, Scored, fold_pairs, no_pairs, ranks_of
from leadline.metrics.core.view import sums
from leadline.records.cells import CellKind, stratum_index
from leadline.records.scores import (
    BAND_NONE,
    CODE_MASK,
    DENSE_CLASSES_MAX,
    confidence_bands,
    ranked_codes,
    top_codes,
)

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
SLACK = 1e-6
"""A float32 softmax may leave [0, 1] by a rounding."""
CHUNK_ROWS = 262_144
"""Rows that are coded at a time: bounds the memory beside the scores."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts of rows, by the index of their cell kinds.

    Attributes:
        predicted: PREDICTED, all rows.
        confusion, ranks: CONFUSION and RANK, labelled rows.
        scores: SCORES; empty where the scores are no probabilities.
        strata: STRATUM, all rows with scores.
        labelled: STRATUM_LABELLED, those with labels.
    """

    predicted: Tally = NO_TALLY
    confusion: Tally = NO_TALLY
    ranks: Tally = NO_TALLY
    scores: Tally = NO_TALLY
    strata: Tally = NO_TALLY
    labelled: Tally = NO_TALLY


def are_probabilities(scores: F32) -> bool:
    """Whether all scores lie in [0, 1], up to a rounding."""
    return bool(((scores >= -SLACK) & (scores <= 1 + SLACK)).all())


def count_rows(
    true: npt.NDArray[np.int64], predicted: npt.NDArray[np.uint32], scores: F32 | None
) -> RowCounts:
    """The counts of rows.

    Args:
        true: class numbers, UNLABELLED where there is none.
        predicted: class numbers.
        scores: (rows, classes), no NaN; None without scores.
    """
    labelled = true != UNLABELLED
    probable = scores is not None and are_probabilities(scores)
    if scores is None:
        coded, band = None, None
    elif probable:
        coded = _coded(np.clip(scores, 0, 1))
        band = _bands(coded, predicted)
    else:  # ranks alone can be told
        coded, band = Scored(None, None, ranked_codes(scores)), None
    cells = fold_pairs(_pairs(true, predicted, labelled, coded, band), no_pairs())
    kinds = (CellKind.CONFUSION, CellKind.RANK, CellKind.SCORES, CellKind.STRATUM_LABELLED)
    confusion, ranks, kept, strata_labelled = (sums(cells, kind) for kind in kinds)
    return RowCounts(
        predicted=_tally_of(predicted.astype(np.uint64)),
        confusion=confusion,
        ranks=ranks,
        scores=kept if probable else NO_TALLY,
        strata=NO_TALLY if band is None else _tally_of(stratum_index(predicted, band)),
        labelled=strata_labelled if probable else NO_TALLY,
    )


def _tally_of(index: npt.NDArray[np.uint64]) -> Tally:
    found, count = np.unique(index, return_counts=True)
    return tally(found, count.astype(np.int64))


def _coded(scores: F32) -> Scored:
    """The scores as they are kept: all of few classes, the best of many."""
    parts = [scores[at : at + CHUNK_ROWS] for at in range(0, len(scores), CHUNK_ROWS)] or [scores]
    if scores.shape[1] <= DENSE_CLASSES_MAX:
        return Scored(None, None, np.concatenate([ranked_codes(part) for part in parts]))
    best = [top_codes(part) for part in parts]
    classes, codes = (np.concatenate(columns) for columns in zip(*best, strict=True))
    return Scored(None, classes, codes)


def _bands(coded: Scored, predicted: npt.NDArray[np.uint32]) -> U8:
    """The band of confidence of each row: that of the kept score of its predicted class."""
    found = np.full(len(predicted), BAND_NONE, np.uint8)
    if coded.classes is None:
        row = np.flatnonzero(predicted < coded.codes.shape[1])
        own = coded.codes[row, predicted[row]]
    else:
        row, column = np.nonzero(coded.classes == predicted[:, None])
        own = coded.codes[row, column]
    found[row] = confidence_bands(own & np.uint16(CODE_MASK))
    return found


def _pairs(
    true: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.uint32],
    labelled: npt.NDArray[np.bool_],
    coded: Scored | None,
    band: U8 | None,
) -> Pairs:
    """The labelled rows, all of one series and minute."""
    true_class, said = true[labelled].astype(np.uint32), predicted[labelled]
    kept = None
    if coded is not None:
        classes = None if coded.classes is None else coded.classes[labelled]
        kept = Scored(None, classes, coded.codes[labelled])
    nowhere = np.zeros(len(said), np.uint32)
    return Pairs(
        series=nowhere,
        minute=nowhere,
        predicted=said,
        true_class=true_class,
        rank=ranks_of(true_class, kept, said),
        delay_ms=np.full(len(said), NO_DELAY, np.int64),
        scored=() if kept is None or band is None else (kept,),
        band=None if band is None else band[labelled],
    )
