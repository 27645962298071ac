"""From matched pairs to cells: the additive integers that are committed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.records.batches import I64, U32
from leadline.records.cells import (
    RANK_NONE,
    CellKind,
    Cells,
    count,
    delay_bin,
    empty_cells,
    merge,
    pair_index,
)
from leadline.records.keys import sum_by_key
from leadline.records.scores import CODE_BITS, CODE_MASK

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

NO_DELAY = -(2**63)
"""Delay of a pair whose true class is the default label."""
TRUE_BIT = np.uint32(1 << 16)
"""Stands in the index of SCORES cells where the score is the true class's."""
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
    """

    series: U32
    minute: U32
    predicted: U32
    true_class: U32
    rank: U8
    delay_ms: I64
    scored: tuple[Scored, ...] = ()

    def __len__(self) -> int:
        return len(self.series)


def no_pairs() -> Pairs:
    """No pairs."""
    column = np.empty(0, np.uint32)
    return Pairs(column, column, column, column, np.empty(0, np.uint8), np.empty(0, np.int64))


def fold_pairs(added: Pairs, taken_back: Pairs) -> Cells:
    """Normalised cells of pairs that come and go.

    CONFUSION, RANK, DELAY or DEFAULTED, and SCORES are the difference; what came is in ADDED and
    what went in RETRACTED, both positive.
    """
    found = [*_folded(added, 1), *_folded(taken_back, -1)]
    return merge(found)


def _folded(pairs: Pairs, sign: int) -> list[Cells]:
    if not len(pairs):
        return []
    columns = (pairs.series, pairs.minute, pairs.true_class, pairs.predicted, pairs.rank)
    (series, minute, true_class, predicted, rank), sums = sum_by_key(columns)
    confusion = pair_index(true_class, predicted)
    ranked = pair_index(true_class, rank.astype(np.uint32))
    history = CellKind.ADDED if sign > 0 else CellKind.RETRACTED
    return [
        count(CellKind.CONFUSION, series, minute, confusion, sums * sign),
        count(CellKind.RANK, series, minute, ranked, sums * sign),
        *_delays(pairs, sign),
        count(history, series, 0, confusion, sums),
        *(_scores(pairs, scored, sign) for scored in pairs.scored),
    ]


def _delays(pairs: Pairs, sign: int) -> list[Cells]:
    defaulted = pairs.delay_ms == NO_DELAY
    if not defaulted.any():
        bins = delay_bin(pairs.delay_ms)
        return [count(CellKind.DELAY, pairs.series, pairs.minute, bins, sign)]
    late = ~defaulted
    bins = delay_bin(pairs.delay_ms[late])
    return [
        count(CellKind.DELAY, pairs.series[late], pairs.minute[late], bins, sign),
        count(CellKind.DEFAULTED, pairs.series[defaulted], pairs.minute[defaulted], 0, sign),
    ]


def _scores(pairs: Pairs, scored: Scored, sign: int) -> Cells:
    rows, k = scored.codes.shape
    if not rows * k:
        return empty_cells()
    at = slice(None) if scored.at is None else scored.at
    hour = pairs.minute[at] - pairs.minute[at] % HOUR_MINUTES
    if scored.classes is None:
        classes = np.broadcast_to(np.arange(k, dtype=np.uint32), (rows, k))
    else:
        classes = scored.classes
    low = (scored.codes & np.uint16(CODE_MASK)).astype(np.uint32)
    low += (classes == pairs.true_class[at][:, None]) * TRUE_BIT
    index = pair_index(classes, low)
    return count(
        CellKind.SCORES,
        np.repeat(pairs.series[at], k),
        np.repeat(hour, k),
        index.ravel(),
        sign,
    )


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


def cells_of(
    kind: CellKind,
    series: npt.ArrayLike,
    minute: npt.ArrayLike,
    index: npt.ArrayLike,
    count: npt.ArrayLike,
) -> Cells:
    """Cells of one kind; scalars stand for every row. Not normalised."""
    columns = np.broadcast_arrays(
        np.asarray(series, np.uint32),
        np.asarray(minute, np.uint32),
        np.asarray(index, np.uint64),
        np.asarray(count, np.int64),
    )
    series_, minute_, index_, count_ = (np.atleast_1d(column) for column in columns)
    return Cells(np.full(len(count_), kind, np.uint8), series_, minute_, index_, count_)


def clamp(
    time_us: I64, append_ms: int, bound_us: int, *, imported: bool
) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Times brought within the append time +- the bound, and which of them were changed.

    Imports are history: they are bounded only against the future (and against 1970).
    """
    append_us = append_ms * 1000
    low = 0 if imported else max(append_us - bound_us, 0)
    clamped = np.clip(time_us, low, append_us + bound_us)
    return clamped, clamped != time_us
