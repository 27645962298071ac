"""From matched pairs to cells: the additive integers that are committed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.fold_classes import ClassRows, class_cells
from leadline.metrics.core.fold_scores import KeptRows, score_cells
from leadline.records.batches import I64, U32
from leadline.records.cells import (
    RANK_NONE,
    CellKind,
    Cells,
    concatenate,
    count,
    delay_bin,
    merge,
    stratum_labelled_index,
)
from leadline.records.scores import CODE_BITS

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

NO_DELAY = -(2**63)
"""Delay of a pair whose true class is the default label."""
HOUR_MINUTES = np.uint32(60)


@dataclass(frozen=True, slots=True)
class Scored:
    """Kept scores of some pairs, all of one form.

    Attributes:
        at: int64 (r,), distinct numbers of the pairs; None for all of them, in order.
        classes: uint32 (r, k), distinct in a row, best first; None for dense scores, where a column
            is a class.
        codes: uint16 (r, k). Dense: code | rank << 13. With classes: code.
    """

    at: I64 | None
    classes: U32 | None
    codes: U16


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a prediction and its true class, in columns of length m.

    Attributes:
        series, minute, predicted: uint32, the prediction's.
        true_class: uint32, never RETRACTED.
        rank: uint8, of the true class among the prediction's classes; RANK_NONE beyond the best.
        delay_ms: int64, from the prediction's event time to the label's arrival; NO_DELAY where the
            true class is the default label.
        scored: kept scores that count; a pair is in at most one.
        band: uint8, of the prediction's confidence; None where no strata count.
        in_strata: numbers of the pairs whose strata count; None for all.
    """

    series: U32
    minute: U32
    predicted: U32
    true_class: U32
    rank: U8
    delay_ms: I64
    scored: tuple[Scored, ...] = ()
    band: U8 | None = None
    in_strata: I64 | None = None

    def __len__(self) -> int:
        return len(self.series)


def no_pairs() -> Pairs:
    """No pairs."""
    column = np.empty(0, np.uint32)
    return Pairs(column, column, column, column, np.empty(0, np.uint8), np.empty(0, np.int64))


def fold_pairs(added: Pairs, taken_back: Pairs) -> Cells:
    """Normalised cells of pairs that come and go.

    CONFUSION, RANK, DELAY, DEFAULTED, SCORES and STRATUM_LABELLED are the difference; what came is
    in ADDED and what went in RETRACTED, both positive.
    """
    classes = class_cells(_class_rows(added), _class_rows(taken_back))
    return concatenate(
        (
            classes.confusion,
            classes.rank,
            _delays(added, taken_back),
            classes.added,
            classes.retracted,
            score_cells(_kept(added), _kept(taken_back)),
            _defaulted(added, taken_back),
            _strata(added, taken_back),
        )
    )


def _class_rows(pairs: Pairs) -> ClassRows:
    return ClassRows(pairs.series, pairs.minute, pairs.true_class, pairs.predicted, pairs.rank)


def _delays(added: Pairs, taken_back: Pairs) -> Cells:
    parts = []
    for pairs, sign in ((added, 1), (taken_back, -1)):
        series, minute, delay_ms = pairs.series, pairs.minute, pairs.delay_ms
        late = delay_ms != NO_DELAY
        if not late.all():
            series, minute, delay_ms = series[late], minute[late], delay_ms[late]
        if len(delay_ms):
            parts.append(count(CellKind.DELAY, series, minute, delay_bin(delay_ms), sign))
    return _sum(parts)


def _defaulted(added: Pairs, taken_back: Pairs) -> Cells:
    parts = []
    for pairs, sign in ((added, 1), (taken_back, -1)):
        by_default = pairs.delay_ms == NO_DELAY
        if by_default.any():
            series, minute = pairs.series[by_default], pairs.minute[by_default]
            parts.append(count(CellKind.DEFAULTED, series, minute, 0, sign))
    return _sum(parts)


def _strata(added: Pairs, taken_back: Pairs) -> Cells:
    parts = []
    for pairs, sign in ((added, 1), (taken_back, -1)):
        if pairs.band is None:
            continue
        at = slice(None) if pairs.in_strata is None else pairs.in_strata
        true, predicted = pairs.true_class[at], pairs.predicted[at]
        minute = pairs.minute[at]
        index = stratum_labelled_index(true, predicted, pairs.band[at])
        hour = minute - minute % HOUR_MINUTES
        parts.append(count(CellKind.STRATUM_LABELLED, pairs.series[at], hour, index, sign))
    return _sum(parts)


def _sum(parts: list[Cells]) -> Cells:
    """The sum of normalised cells."""
    return parts[0] if len(parts) == 1 else merge(parts)


def _kept(pairs: Pairs) -> list[KeptRows]:
    """The rows with scores, where they count."""
    found = []
    for scored in pairs.scored:
        at = slice(None) if scored.at is None else scored.at
        minute = pairs.minute[at]
        hour = minute - minute % HOUR_MINUTES
        found.append(
            KeptRows(pairs.series[at], hour, pairs.true_class[at], scored.classes, scored.codes)
        )
    return found


def ranks_of(true_class: U32, scored: Scored | None, predicted: U32) -> U8:
    """Rank of each row's true class, 0 is best; RANK_NONE beyond the best or not known.

    `scored` has the scores of all m rows in order, or of those `at`; where there are none, only the
    predicted class is known to have rank 0.
    """
    found = np.where(true_class == predicted, np.uint8(0), np.uint8(RANK_NONE))
    if scored is None:
        return found
    at = slice(None) if scored.at is None else scored.at
    if scored.classes is None:
        found[at] = _dense_ranks(true_class[at], scored.codes)
    else:
        found[at] = _listed_ranks(true_class[at], scored.classes)
    return found


def _dense_ranks(true_class: U32, codes: U16) -> U8:
    rows, k = codes.shape
    known = true_class < k
    column = np.where(known, true_class, 0)
    rank = (codes[np.arange(rows), column] >> np.uint16(CODE_BITS)).astype(np.uint8)
    return np.where(known, rank, np.uint8(RANK_NONE))


def _listed_ranks(true_class: U32, classes: U32) -> U8:
    hit = classes[:, :RANK_NONE] == true_class[:, None]
    rank = np.where(hit.any(axis=1), hit.argmax(axis=1), RANK_NONE)
    return rank.astype(np.uint8)
