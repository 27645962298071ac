"""Intervals of differences, of F1 and of means over classes, out of counts alone.

Every interval is two-sided at the level of `z` (95 % unless told), for one look at a sample of
independent inputs; `sequential` has those that hold at every look. The interval of one share is
`leadline.records.intervals.wilson`. None stands where nothing was counted.

The interval of anything that is made of shares is recovered from the Wilson intervals of its parts
(MOVER: G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures",
Statist. Med. 27 (2008), 1693-1702): the distance of each part to its own bound stands for its
standard error. Unlike estimate +- z standard errors it is sound near 0 and 1, where good models
are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import LABELS_FEW, Confusion, Rate
from leadline.records.intervals import Z95, wilson

Interval = tuple[float, float]
"""Lower and upper bound."""

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BISECTIONS = 48
"""Halvings of a range of at most 2: bounds are found to 1e-14."""


def small_sample_words(trials: int, enough: int = LABELS_FEW) -> str | None:
    """A warning while there are fewer than `enough` labels; None from there on.

    >>> small_sample_words(12)
    '12 labels: too few to tell; 18 more needed'
    >>> small_sample_words(0)
    'no label yet; 30 needed'
    """
    if trials >= enough:
        return None
    if trials <= 0:
        return f"no label yet; {enough} needed"
    noun = "label" if trials == 1 else "labels"
    return f"{trials} {noun}: too few to tell; {enough - trials} more needed"


def difference_interval(first: Rate, second: Rate, z: float = Z95) -> Interval | None:
    """Interval of first - second, shares of independent samples, within [-1, 1].

    R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statist. Med. 17 (1998), 873-890: method 10, the hybrid score interval.

    >>> [round(bound, 4) for bound in difference_interval(Rate(56, 70), Rate(48, 80))]
    [0.0524, 0.3339]
    """
    one = wilson(first.successes, first.trials, z)
    other = wilson(second.successes, second.trials, z)
    if one is None or other is None:
        return None
    return independent_difference(
        (first.successes / first.trials, *one), (second.successes / second.trials, *other)
    )


def independent_difference(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> Interval:
    """Interval of first - second, each (estimate, lower, upper) in [0, 1] and independent.

    Zou and Donner 2008, equation 3; of shares with Wilson intervals it is Newcombe's.
    """
    (one, one_lower, one_upper), (other, other_lower, other_upper) = first, second
    point = one - other
    lower = point - math.hypot(one - one_lower, other_upper - other)
    upper = point + math.hypot(one_upper - one, other - other_lower)
    return max(-1.0, lower), min(1.0, upper)


def paired_difference_interval(
    only_first: int, only_second: int, pairs: int, z: float = Z95
) -> Interval | None:
    """Interval of (share right of the first) - (that of the second) on the same inputs.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statist. Med. 17 (1998), 891-908: the differences that a score test does
    not reject. The pairs in which both are right or both wrong matter by their number only.

    Args:
        only_first: pairs in which the first alone is right.
        only_second: pairs in which the second alone is right.
        pairs: all pairs.
        z: quantile of the normal distribution.

    >>> [round(bound, 4) for bound in paired_difference_interval(9, 3, 32)]
    [-0.0271, 0.3897]
    """
    if pairs <= 0:
        return None
    point = (only_first - only_second) / pairs

    def score(difference: float) -> float:
        return _tango_score(only_first, only_second, pairs, difference)

    lower = -1.0 if only_second == pairs else _root(lambda at: score(at) <= z, point, -1.0)
    upper = 1.0 if only_first == pairs else _root(lambda at: score(at) >= -z, point, 1.0)
    return lower, upper


def _tango_score(only_first: int, only_second: int, pairs: int, difference: float) -> float:
    """Standardised distance of the counts from a difference in (-1, 1)."""
    square = 2.0 * pairs
    linear = (square - only_first + only_second) * difference - only_first - only_second
    constant = -only_second * difference * (1 - difference)
    rate = (math.sqrt(max(0.0, linear * linear - 4 * square * constant)) - linear) / (2 * square)
    variance = pairs * (2 * rate + difference * (1 - difference))
    distance = only_first - only_second - pairs * difference
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _root(inside: Callable[[float], bool], within: float, beyond: float) -> float:
    """Where `inside` ceases to hold between `within`, where it does, and `beyond`."""
    for _ in range(BISECTIONS):
        middle = (within + beyond) / 2
        if inside(middle):
            within = middle
        else:
            beyond = middle
    return within


def f1_interval(tp: int, fp: int, fn: int, z: float = Z95) -> Interval | None:
    """Interval of the F1 of a class, 2 TP / (2 TP + FP + FN), within [0, 1].

    F1 is 2 q / (1 + q) of q = TP / (TP + FP + FN), the share of right ones among the inputs that
    are of the class or predicted as it. Given their number, TP is binomial with q, so the Wilson
    interval of q, its bounds transformed alike, is one of F1. TP / (TP + (FP + FN) / 2) is no
    share of independent trials, and a Wilson interval of it covers 98 % where 95 % are meant.

    >>> [round(bound, 4) for bound in f1_interval(40, 10, 10)]
    [0.7018, 0.8718]
    """
    bounds = wilson(tp, tp + fp + fn, z)
    if bounds is None:
        return None
    lower, upper = bounds
    return 2 * lower / (1 + lower), 2 * upper / (1 + upper)


@dataclass(frozen=True, slots=True)
class AverageIntervals:
    """Intervals of a mean over classes, each within [0, 1]; None where nothing was counted."""

    precision: Interval | None
    recall: Interval | None
    f1: Interval | None


NO_AVERAGE = AverageIntervals(None, None, None)


def macro_intervals(matrix: Confusion, z: float = Z95) -> AverageIntervals:
    """Intervals of the unweighted means over classes, as `figures.macro_average` forms them.

    Classes and cells are those of a multinomial sample of inputs. The distance of each class to
    its own bound takes the place of its standard error, and the correlations between classes (an
    input that counts against the F1 of two of them) are those of the delta method. A class that was
    labelled and never predicted enters the mean precision as 0, and its interval as [0, 1]; so does
    one that was predicted and never labelled with its recall.
    """
    return _average_intervals(_Margins.of(matrix), z, weighted=False)


def weighted_intervals(matrix: Confusion, z: float = Z95) -> AverageIntervals:
    """Intervals of the means weighted by support, as `figures.weighted_average` forms them.

    As `macro_intervals`, and the weights are of the same sample: their error is added. The weighted
    recall is the accuracy, and its interval is Wilson's.
    """
    return _average_intervals(_Margins.of(matrix), z, weighted=True)


@dataclass(frozen=True, slots=True)
class _Margins:
    """A confusion matrix whose classes are numbered 0 to k - 1, with its margins as floats."""

    row: I64
    column: I64
    cell: F64
    support: F64
    predicted: F64
    correct: F64

    @classmethod
    def of(cls, matrix: Confusion) -> _Margins:
        number = np.unique(np.concatenate([matrix.true, matrix.predicted]))
        row = np.searchsorted(number, matrix.true)
        column = np.searchsorted(number, matrix.predicted)
        cell = matrix.count.astype(np.float64)
        size = len(number)
        diagonal = np.where(row == column, cell, 0.0)
        return cls(
            row,
            column,
            cell,
            np.bincount(row, cell, size).astype(np.float64),
            np.bincount(column, cell, size).astype(np.float64),
            np.bincount(row, diagonal, size).astype(np.float64),
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """One figure by class: its values and bounds, and how each cell moves it.

    Attributes:
        value, lower, upper: (k,).
        by_row, by_column: (m,), what one more input in a cell adds to the figure of the cell's true
            class and of its predicted one, to first order. On the diagonal by_column is 0.
    """

    value: F64
    lower: F64
    upper: F64
    by_row: F64
    by_column: F64


def _average_intervals(margins: _Margins, z: float, *, weighted: bool) -> AverageIntervals:
    total = float(margins.cell.sum())
    if not total:
        return NO_AVERAGE
    size = len(margins.support)
    weight = margins.support / total if weighted else np.full(size, 1 / size)

    def mean(parts: _Parts) -> Interval:
        centre = float(weight @ parts.value)
        moved = (parts.value[margins.row] - centre) / total if weighted else np.zeros(1)
        lower = _combined(margins, parts, weight * (parts.value - parts.lower), z * moved)
        upper = _combined(margins, parts, weight * (parts.upper - parts.value), z * moved)
        return max(0.0, centre - lower), min(1.0, centre + upper)

    recall = (
        wilson(int(margins.correct.sum()), int(total), z)
        if weighted
        else mean(_share_parts(margins, margins.support, margins.row, z, by_row=True))
    )
    return AverageIntervals(
        precision=mean(_share_parts(margins, margins.predicted, margins.column, z, by_row=False)),
        recall=recall,
        f1=mean(_f1_parts(margins, z)),
    )


def _combined(margins: _Margins, parts: _Parts, distance: F64, drift: F64) -> float:
    """Distance of a weighted sum to its bound from the weighted distances of its parts.

    sqrt(sum_ij rho_ij d_i d_j) with the correlations rho of the delta method: the gradient of each
    class is scaled to the length d_i. `drift`, (m,) or (1,), is what each cell adds by moving the
    weights, z times. Classes without a gradient (a figure of 0 or 1, or without a trial) are taken
    to be independent.
    """
    size = len(distance)
    square = np.bincount(margins.row, margins.cell * parts.by_row**2, size)
    square += np.bincount(margins.column, margins.cell * parts.by_column**2, size)
    known = square > 0
    scale = np.zeros(size)
    scale[known] = distance[known] / np.sqrt(square[known])
    moved = scale[margins.row] * parts.by_row + scale[margins.column] * parts.by_column + drift
    return math.sqrt(float(margins.cell @ moved**2) + float((distance[~known] ** 2).sum()))


def _share_parts(margins: _Margins, trials: F64, at: I64, z: float, *, by_row: bool) -> _Parts:
    """Recall (trials are row sums) or precision (column sums) of each class."""
    value = margins.correct / np.maximum(trials, 1)
    lower, upper = _wilson_columns(margins.correct, trials, z)
    right = (margins.row == margins.column).astype(np.float64)
    moves = (right - value[at]) / trials[at]
    none = np.zeros(len(moves))
    return _Parts(value, lower, upper, *((moves, none) if by_row else (none, moves)))


def _f1_parts(margins: _Margins, z: float) -> _Parts:
    """F1 of each class."""
    both = margins.support + margins.predicted
    value = 2 * margins.correct / both
    lower, upper = (
        2 * bound / (1 + bound)
        for bound in _wilson_columns(margins.correct, both - margins.correct, z)
    )
    diagonal = margins.row == margins.column
    wrong = -value / both
    by_row = np.where(diagonal, (2 * (1 - value) / both)[margins.row], wrong[margins.row])
    return _Parts(value, lower, upper, by_row, np.where(diagonal, 0.0, wrong[margins.column]))


def _wilson_columns(successes: F64, trials: F64, z: float) -> tuple[F64, F64]:
    """Wilson bounds of each share; [0, 1] without a trial."""
    bounds = [
        wilson(int(right), int(of), z) or (0.0, 1.0)
        for right, of in zip(successes.tolist(), trials.tolist(), strict=True)
    ]
    columns = np.array(bounds, np.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
