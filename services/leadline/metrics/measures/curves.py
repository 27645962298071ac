"""ROC and precision-recall curves of one class, AUC and average precision with certain bounds.

The order of scores within a code is not known, all else is. So the figures of the scores
themselves, before they were coded, certainly lie within the bounds given here (up to rounding,
1e-12); `value` is the figure of the codes: scores of one code count as equal, and missing ones as
lower than every kept one. Sources: J. A. Hanley and B. J. McNeil, "The meaning and use of the area
under a receiver operating characteristic (ROC) curve", Radiology 143 (1982), 29-36, for AUC as the
share of pairs in the right order, ties by half; average precision as scikit-learn defines it,
sum over n of (R_n - R_(n-1)) P_n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.measures.scores import ClassScores

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure and what it certainly lies between: lower <= value <= upper."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A polyline, one point for each distinct code and one before the first; columns float64.

    Attributes:
        x: in [0, 1], ascending: false-positive rate of ROC, recall of precision-recall.
        y: in [0, 1]: recall of ROC, precision of precision-recall.
        threshold: descending; a point is what `score >= threshold` gives, exactly. The first is
            infinite: nothing is predicted positive. Where scores are missing there is a last point
            with threshold 0, which adds all of them.
        exact_points: so many leading points are exact. The others would move if the missing scores
            were known; there missing ones count as lower than kept ones.
    """

    x: F64
    y: F64
    threshold: F64
    exact_points: int

    def thinned(self, points_max: int) -> Curve:
        """At most `points_max` of the points, which draw the same picture.

        The x axis is cut into points_max // 4 columns, and the first, last, lowest and highest
        point of each are kept. So no point that is left out lies more than one column from a
        kept one, or above or below the kept ones of its column: a picture with that many columns of
        pixels does not change. A choice of 4 x its width is lossless.

        Args:
            points_max: at least 4.
        """
        if len(self.x) <= points_max:
            return self
        columns = points_max // 4
        column = np.minimum((self.x * columns).astype(np.int64), columns - 1)
        first = np.flatnonzero(np.diff(column, prepend=-1))
        last = np.append(first[1:], len(column)) - 1
        run = np.cumsum(np.diff(column, prepend=column[0]) > 0)
        kept = [first, last]
        for extreme in (np.minimum, np.maximum):
            at = np.flatnonzero(self.y == extreme.reduceat(self.y, first)[run])
            kept.append(at[np.diff(run[at], prepend=-1) > 0])
        points = np.unique(np.concatenate(kept))
        exact = int(np.searchsorted(points, self.exact_points))
        return Curve(self.x[points], self.y[points], self.threshold[points], exact)


@dataclass(frozen=True, slots=True)
class Descending:
    """Counts at each threshold, from the strictest one on; columns of equal length.

    Attributes:
        threshold: float64, the first is infinite.
        tp, fp: int64, positives and negatives with a score >= threshold.
        exact: how many leading rows do not depend on missing scores.
    """

    threshold: F64
    tp: I64
    fp: I64
    exact: int


def descending(scores: ClassScores) -> Descending:
    """The counts at every distinct code; where scores are missing, a last row adds them."""
    codes, is_complete = len(scores.codes), scores.is_complete
    size = codes + 1 + (not is_complete)
    tp, fp, threshold = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    tp[0], fp[0], threshold[0] = 0, 0, np.inf
    np.cumsum(scores.positives[::-1], out=tp[1 : codes + 1])
    np.cumsum(scores.negatives[::-1], out=fp[1 : codes + 1])
    threshold[1 : codes + 1] = scores.lower[::-1]
    exact = size
    if not is_complete:
        exact = 1 + codes - int(scores.lower.searchsorted(scores.missing_upper, "right"))
        tp[-1] = tp[codes] + scores.missing_positives
        fp[-1] = fp[codes] + scores.missing_negatives
        threshold[-1] = 0.0
    return Descending(threshold, tp, fp, exact)


def roc(scores: ClassScores) -> Curve | None:
    """The ROC curve, from (0, 0) to (1, 1); None without a positive or without a negative."""
    at = descending(scores)
    if not at.tp[-1] or not at.fp[-1]:
        return None
    return Curve(at.fp / at.fp[-1], at.tp / at.tp[-1], at.threshold, at.exact)


def precision_recall(scores: ClassScores) -> Curve | None:
    """The precision-recall curve, from recall 0 to 1; None without a positive.

    At recall 0, where nothing is predicted positive, the precision is drawn as 1.
    """
    at = descending(scores)
    if not at.tp[-1]:
        return None
    precision = at.tp / np.maximum(at.tp + at.fp, 1)
    precision[0] = 1.0
    return Curve(at.tp / at.tp[-1], precision, at.threshold, at.exact)


def auc(scores: ClassScores) -> Bounded | None:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order.

    A pair within a code may be in any order, and so may a missing score and a kept one that
    begins at or below `missing_upper`. None without a positive, a negative or any kept score.
    """
    if not len(scores.codes):
        return None
    positives, negatives = scores.positives.astype(np.float64), scores.negatives.astype(np.float64)
    missing_p, missing_n = scores.missing_positives, scores.missing_negatives
    up_to = negatives.cumsum()
    kept_p, kept_n = float(positives.sum()), float(up_to[-1])
    pairs = (kept_p + missing_p) * (kept_n + missing_n)
    if not pairs:
        return None
    same = positives * negatives
    within = float(same.sum())
    sure = float(positives @ up_to) - within
    tied = float(same @ (scores.upper <= scores.lower)) / 2
    open_ = within - 2 * tied
    lower, upper, value = sure + tied, sure + tied + open_, sure + tied + open_ / 2
    if missing_p or missing_n:
        firm = int(scores.lower.searchsorted(scores.missing_upper, "right"))
        lower += missing_n * float(positives[firm:].sum())
        value += missing_n * kept_p + missing_p * missing_n / 2
        loose_n = float(up_to[firm - 1]) if firm else 0.0
        upper += missing_n * kept_p + missing_p * (loose_n + missing_n)
    return Bounded(value / pairs, lower / pairs, upper / pairs)


def average_precision(scores: ClassScores) -> Bounded | None:
    """Average precision. None without a positive, or where no score is kept.

    The upper bound puts all positives of a code first, tied with one another; the lower one puts
    its negatives first and the positives one by one behind them: the sum over i = 1 to p of
    (tp + i) / (tp + i + fp) is at least its integral from 1/2 to p + 1/2, and at least the
    trapezoid of its ends, since its terms are concave in i. Missing negatives may lie before every
    positive that begins at or below `missing_upper`, and missing positives anywhere there.
    """
    total = scores.positives_total
    if not total or not len(scores.codes):
        return None
    at = scores.positives.nonzero()[0][::-1]
    fp_up_to = scores.negatives[::-1].cumsum()[::-1]
    p = scores.positives[at].astype(np.float64)
    tp, fp, n = p.cumsum(), fp_up_to[at], scores.negatives[at]
    tied = scores.upper[at] <= scores.lower[at]
    firm = int(scores.lower.searchsorted(scores.missing_upper, "right"))
    loose = at < firm
    value = float(p @ (tp / (tp + fp)))
    before, ahead, reached = fp, np.where(tied, fp, fp - n), tp
    if not scores.is_complete:
        before = fp + scores.missing_negatives * loose
        reached = tp + scores.missing_positives * loose
    lower = float(_least_sum(p, tp, before, tied).sum())
    upper = float(p @ (reached / (reached + ahead)))
    if scores.missing_positives:
        negatives = int(fp_up_to[0]) + scores.missing_negatives
        firm_p = int(scores.positives[firm:].sum())
        firm_n = int(fp_up_to[firm]) if firm < len(fp_up_to) else 0
        least, most = _missing_sums(scores.missing_positives, total, (firm_p, firm_n), negatives)
        lower, upper = lower + least, upper + most
        value += scores.missing_positives * total / (total + negatives)
    return Bounded(value / total, min(lower, value) / total, max(upper, value) / total)


def _least_sum(p: F64, reached: F64, negatives: F64, tied: npt.NDArray[np.bool_]) -> F64:
    """Least sum of the precisions at the p positives of each code, all p >= 1."""
    both = reached + negatives
    last = reached / both
    before = reached - p
    first = (before + 1) / (both - p + 1)
    integral = p - negatives * np.log1p(p / (both - p + 0.5))
    return np.where(tied, p * last, np.maximum(p * (first + last) / 2, integral))


def _missing_sums(
    missing: int, positives: int, firm: tuple[int, int], negatives: int
) -> tuple[float, float]:
    """Least and largest sum of the precisions at the missing positives.

    All stand below the firm scores. Up to the j-th of them there are at least the firm positives
    and j, and at most all negatives; and at most all positives, and at least the firm negatives.

    Args:
        missing: missing positives, at least 1.
        positives: all of them.
        firm: positives and negatives that lie above every missing score.
        negatives: all of them.
    """
    firm_p, firm_n = firm
    integral = missing - negatives * math.log1p(missing / (firm_p + negatives + 0.5))
    ends = [(firm_p + j) / (firm_p + j + negatives) for j in (1, missing)]
    return max(missing * sum(ends) / 2, integral), missing * positives / (positives + firm_n)


def macro(figures: Sequence[Bounded | None]) -> Bounded | None:
    """Unweighted mean over the classes that have the figure; None where none has."""
    return weighted(figures, [1] * len(figures))


def weighted(figures: Sequence[Bounded | None], weights: Sequence[float]) -> Bounded | None:
    """Mean over the classes that have the figure, by weights >= 0, such as their positives.

    Its bounds are the means of the bounds. None where the weights of those classes sum to 0.
    """
    pairs = zip(figures, weights, strict=True)
    known = [(each, weight) for each, weight in pairs if each is not None and weight]
    total = sum(weight for _, weight in known)
    if not total:
        return None
    return Bounded(
        sum(each.value * weight for each, weight in known) / total,
        sum(each.lower * weight for each, weight in known) / total,
        sum(each.upper * weight for each, weight in known) / total,
    )
