"""The scores of each class out of SCORES cells, one class against the rest.

A class has two histograms over the codes of `leadline.records.scores`: the scores it got where it
was the true class (positives) and where it was not (negatives). Everything that depends on the
order of scores follows, up to the order within a code, and so with certain bounds.

**Classes cannot be merged here.** The score of "a or b" is the sum of two scores of one row, and
the two histograms do not say which scores belong to one row. Figures of merged classes follow
from the confusion matrix alone; curves of them do not exist.

Where only the best scores of each row are kept, a row in which a class is not among them is
*missing*: it is counted as positive or negative, and its score is known to be at most
`missing_upper`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Tally
from leadline.records.scores import CODE_BITS, CODE_MASK, CODES, HALF, code_lower, code_upper

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MISSING_UPPER = 0.5
"""A score that is not the best of its row is at most this, if scores sum to at most 1."""
LOGIT_MIN = 1e-4
"""Scores below it, or above 1 - it, lie in the first and last step of a display histogram."""
LOGIT_STEPS = 60


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The scores of one class. The columns have equal length, by ascending code.

    Attributes:
        number: the class.
        codes: int64, distinct score codes, 0 to 8,065.
        positives: int64, labelled rows of this true class with that code.
        negatives: int64, labelled rows of another true class with that code.
        lower, upper: float64, the least and the largest float32 score of each code. They are equal
            where a code is one float32, which holds for all codes above 1 - 2 ** -19: ties there
            are ties of the scores themselves.
        missing_positives, missing_negatives: rows whose score of this class was not kept.
        missing_upper: what those scores do not exceed, in [0, 1].
    """

    number: int
    codes: I64
    positives: I64
    negatives: I64
    lower: F64
    upper: F64
    missing_positives: int = 0
    missing_negatives: int = 0
    missing_upper: float = MISSING_UPPER

    @property
    def positives_total(self) -> int:
        """Labelled rows of this true class, kept or missing."""
        return int(self.positives.sum()) + self.missing_positives

    @property
    def negatives_total(self) -> int:
        """Labelled rows of another true class, kept or missing."""
        return int(self.negatives.sum()) + self.missing_negatives

    @property
    def is_complete(self) -> bool:
        """Whether no score is missing."""
        return not self.missing_positives and not self.missing_negatives


def code_range(codes: npt.ArrayLike) -> tuple[F64, F64]:
    """The least and the largest float32 of each code, float64 in the shape of the codes.

    A code that no float32 has (HALF, and some above 1 - 2 ** -19) gets two equal neighbours.
    """
    code = np.asarray(codes, np.int64)
    low, high = code_lower(code), code_upper(code)
    least, most = low.astype(np.float32), high.astype(np.float32)
    up, down = np.nextafter(least, np.float32(2)), np.nextafter(most, np.float32(-1))
    open_below = (code > HALF + 1) & (least <= low)
    open_above = (code <= HALF) | (most > high)
    first: F64 = np.minimum(np.where(open_below, up, least), 1).astype(np.float64)
    last: F64 = np.where(open_above & (code != HALF + 1), down, most).astype(np.float64)
    return first, np.maximum(first, last)


def from_codes(
    number: int,
    table: npt.NDArray[np.int64],
    missing: tuple[int, int] = (0, 0),
    missing_upper: float = MISSING_UPPER,
) -> ClassScores:
    """The scores of a class out of a dense table.

    Args:
        number: the class.
        table: int64 (2, 8,066), negatives and positives by code.
        missing: positives and negatives without a kept score.
        missing_upper: see `ClassScores`.
    """
    codes = np.flatnonzero(table[0] | table[1])
    lower, upper = code_range(codes)
    return ClassScores(
        number, codes, table[1, codes], table[0, codes], lower, upper, *missing, missing_upper
    )


def class_scores(
    cells: Tally,
    support_by_class: Mapping[int, int],
    labelled: int,
    missing_upper: float = MISSING_UPPER,
) -> list[ClassScores]:
    """The scores of every class that has cells or labels, by class number.

    Args:
        cells: SCORES cells of one scope: class << 32 | (is it true) << 16 | code.
        support_by_class: labelled rows by true class. Only rows that have scores: where some
            predictions have none, `strata.scored_support` tells.
        labelled: all labelled rows that have scores.
        missing_upper: largest score that was not kept, in [0, 1]. The default holds where the
            scores of a row sum to at most 1; where the 10 best of more classes were kept, 1 / 11
            does too; 1.0 is right for scores that do not sum to 1.

    Raises:
        ValueError: a class has more kept scores than rows: the counts are not of one scope.
    """
    kept = _kept(cells)
    found = []
    for number in sorted(kept.keys() | {c for c, rows in support_by_class.items() if rows}):
        columns = kept.get(number) or _no_columns()
        negatives, positives = int(columns[1].sum()), int(columns[2].sum())
        support = support_by_class.get(number, 0)
        missing = support - positives, labelled - support - negatives
        if min(missing) < 0:
            raise ValueError(
                f"Class {number} has {positives} positive and {negatives} negative scores, "
                f"but {support} and {labelled - support} rows: the counts are not of one scope."
            )
        codes, below, above, lower, upper = columns
        found.append(
            ClassScores(number, codes, above, below, lower, upper, *missing, missing_upper)
        )
    return found


def pooled(classes: Sequence[ClassScores]) -> ClassScores | None:
    """All classes as one, for micro-averaged curves: every (row, class) is a case of its own.

    The number is -1. None where a score is missing or there is no class: then the pooled
    order is not known well enough to be worth a figure.
    """
    if not classes or not all(each.is_complete for each in classes):
        return None
    table = np.zeros((2, CODES), np.int64)
    for each in classes:
        table[0, each.codes] += each.negatives
        table[1, each.codes] += each.positives
    return from_codes(-1, table)


_Columns = tuple[I64, I64, I64, F64, F64]
"""Codes, negatives, positives, lower and upper of one class."""


def _no_columns() -> _Columns:
    none, nowhere = np.empty(0, np.int64), np.empty(0)
    return none, none, none, nowhere, nowhere


def _kept(cells: Tally) -> dict[int, _Columns]:
    """The columns of each class that has cells, all computed at once.

    A class has two ascending runs of codes, negatives before positives; sorting them by (class,
    code) keeps that order among equals.
    """
    if not len(cells.count):
        return {}
    low = cells.index.astype(np.uint32)
    key = (cells.index >> np.uint64(32 - CODE_BITS)).astype(np.int64) & ~CODE_MASK
    key |= (low & np.uint32(CODE_MASK)).astype(np.int64)
    is_true = low >> np.uint32(16) != 0
    order = np.argsort(key, kind="stable")
    key = key[order]
    is_first = np.diff(key, prepend=-1) != 0
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(is_first) - 1
    key = key[is_first]
    sides = np.zeros((2, len(key)), np.int64)
    for row, at in zip(sides, (~is_true, is_true), strict=True):
        row[place[at]] = cells.count[at]
    number, codes = key >> CODE_BITS, key & CODE_MASK
    lower, upper = (side[codes] for side in code_range(np.arange(CODES)))
    cuts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    return {
        int(number[begin]): (
            codes[begin:end],
            sides[0, begin:end],
            sides[1, begin:end],
            lower[begin:end],
            upper[begin:end],
        )
        for begin, end in pairwise([*cuts, len(key)])
    }


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Scores of positives and negatives for display, on an axis of log-odds.

    Attributes:
        edges: float64 (steps + 1,), scores in (0, 1), equally far apart in log-odds; the first and
            the last step also hold what lies beyond.
        positives, negatives: int64 (steps,).
        missing_positives, missing_negatives: rows whose score is not known.
    """

    edges: F64
    positives: I64
    negatives: I64
    missing_positives: int
    missing_negatives: int


def histogram(scores: ClassScores, steps: int = LOGIT_STEPS) -> ScoreHistogram:
    """The distributions of the scores; together with the missing ones all rows are counted.

    A code counts as a whole in the step of its middle: it is at most 1/31 wide in log-odds, a
    tenth of a step.
    """
    end = math.log(LOGIT_MIN / (1 - LOGIT_MIN))
    logits = np.linspace(end, -end, steps + 1)
    middle = (scores.lower + scores.upper) / 2
    with np.errstate(divide="ignore"):
        at = np.searchsorted(logits[1:-1], np.log(middle) - np.log1p(-middle), side="right")
    sides = np.zeros((2, steps), np.int64)
    np.add.at(sides[0], at, scores.positives)
    np.add.at(sides[1], at, scores.negatives)
    return ScoreHistogram(
        edges=1 / (1 + np.exp(-logits)),
        positives=sides[0],
        negatives=sides[1],
        missing_positives=scores.missing_positives,
        missing_negatives=scores.missing_negatives,
    )
