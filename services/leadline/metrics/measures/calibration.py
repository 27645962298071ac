"""How far scores are from the frequencies they claim: reliability, ECE, log loss, Brier score.

Scores are known up to their code, so every figure here has certain bounds; `value` takes the
middle of a code. What was not kept is missing (`ClassScores`): its score lies in
[0, missing_upper], and `value` takes it as 0, in the log loss the middle of its bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Rate, Tally
from leadline.metrics.measures.curves import Bounded
from leadline.metrics.measures.scores import ClassScores
from leadline.records.cells import split_index
from leadline.records.scores import BAND_BITS, BAND_NONE, band_bounds

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BINS = 12
CLIP = float(np.finfo(np.float32).eps)
"""Scores are clipped to [CLIP, 1 - CLIP] in the log loss, as scikit-learn clips float32."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of similar scores.

    Attributes:
        rate: those of the true class (or right ones), of all.
        mean: mean score; its bounds are those of the scores.
    """

    rate: Rate
    mean: Bounded

    @property
    def gap(self) -> Bounded:
        """|share - mean score|, in [0, 1]."""
        share = self.rate.successes / self.rate.trials
        low, high = share - self.mean.upper, share - self.mean.lower
        least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        value = abs(share - self.mean.value)
        return Bounded(value, least, max(abs(low), abs(high)))


def reliability(scores: ClassScores, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The reliability curve of a class over its kept scores: at most `bins` bins, ascending.

    Bins hold about the same number of rows. A code is never split: it belongs to the bin in which
    the middle of its rows falls, so a code with many rows may leave fewer bins. Empty without
    kept scores.
    """
    if not len(scores.codes):
        return ()
    trials, wins, lower, upper = (each.tolist() for each in _bins(scores, bins))
    return tuple(
        ReliabilityBin(Rate(right, count), _middle(low / count, high / count))
        for count, right, low, high in zip(trials, wins, lower, upper, strict=True)
    )


def _bins(scores: ClassScores, bins: int) -> tuple[I64, I64, F64, F64]:
    """Rows, positives, and least and largest sum of scores of each bin."""
    rows = scores.positives + scores.negatives
    ends = rows.cumsum()
    bin_of = np.minimum((2 * ends - rows) * bins // (2 * int(ends[-1])), bins - 1)
    first = np.concatenate([[0], (bin_of[1:] != bin_of[:-1]).nonzero()[0] + 1])
    return (
        np.add.reduceat(rows, first),
        np.add.reduceat(scores.positives, first),
        np.add.reduceat(rows * scores.lower, first),
        np.add.reduceat(rows * scores.upper, first),
    )


def class_ece(scores: ClassScores, bins: int = BINS) -> Bounded | None:
    """Expected calibration error of a class: mean |share - mean score| of its bins by rows.

    M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI 2015, here with bins of equal mass. Missing scores are one more bin. In
    [0, 1]; None where no score is kept.
    """
    if not len(scores.codes):
        return None
    trials, wins, lower, upper = _bins(scores, bins)
    under, over = wins - upper, wins - lower  # rows x (share - mean score) lies between
    farthest = np.maximum(-under, over)
    nearest = np.maximum(np.maximum(under, -over), 0)
    sums = [float(each.sum()) for each in (np.abs(under + over) / 2, nearest, farthest)]
    missing, right = scores.missing_positives + scores.missing_negatives, scores.missing_positives
    ceiling = scores.missing_upper * missing
    sums[0] += right
    sums[1] += max(0.0, right - ceiling)
    sums[2] += max(right, ceiling - right)
    total = int(trials.sum()) + missing
    return Bounded(sums[0] / total, sums[1] / total, sums[2] / total)


def expected_error(bins: Sequence[ReliabilityBin]) -> Bounded | None:
    """Mean gap of some bins by their rows: the ECE. None without bins."""
    total = sum(each.rate.trials for each in bins)
    if not total:
        return None
    gaps = [(each.gap, each.rate.trials / total) for each in bins]
    return Bounded(
        sum(gap.value * weight for gap, weight in gaps),
        sum(gap.lower * weight for gap, weight in gaps),
        sum(gap.upper * weight for gap, weight in gaps),
    )


def top_label_reliability(labelled: Tally) -> tuple[ReliabilityBin, ...]:
    """Share of right predictions by band of confidence, ascending; those with labels and scores.

    The mean confidence of a band lies between its edges, no more is known of it; the ECE of
    these bins is `expected_error` of them.

    Args:
        labelled: STRATUM_LABELLED cells, true class << 32 | predicted class << 4 | band.
    """
    true, stratum = split_index(labelled.index)
    band = stratum & ((1 << BAND_BITS) - 1)
    right = true == stratum >> BAND_BITS
    trials, wins = np.zeros((2, 1 << BAND_BITS), np.int64)
    np.add.at(trials, band, labelled.count)
    np.add.at(wins, band[right], labelled.count[right])
    return tuple(
        ReliabilityBin(Rate(int(wins[number]), int(trials[number])), _middle(*band_bounds(number)))
        for number in np.flatnonzero(trials).tolist()
        if number != BAND_NONE
    )


def log_loss(classes: Sequence[ClassScores]) -> Bounded | None:
    """Mean of -log(score of the true class), in nats, 0 to 15.95; None without a kept one.

    Scores are clipped as scikit-learn clips float32 (`CLIP`).

    Args:
        classes: all classes with labels: each row counts where its true class does.
    """
    rows = sum(each.positives_total for each in classes)
    if not any(each.positives.any() for each in classes):
        return None
    value = least = most = 0.0
    for each in classes:
        at = each.positives.nonzero()[0]
        low, high = each.lower[at], each.upper[at]
        ends = np.stack([(low + high) / 2, high, low])
        np.minimum(np.maximum(ends, CLIP, out=ends), 1 - CLIP, out=ends)
        logs = (np.log(ends, out=ends) @ each.positives[at].astype(np.float64)).tolist()
        value, least, most = value - logs[0], least - logs[1], most - logs[2]
    for each in classes:
        if each.missing_positives:
            ceiling = min(max(each.missing_upper, CLIP), 1 - CLIP)
            worst = -math.log(CLIP) * each.missing_positives
            best = -math.log(ceiling) * each.missing_positives
            most, least, value = most + worst, least + best, value + (worst + best) / 2
    return Bounded(value / rows, min(value, least) / rows, max(value, most) / rows)


def brier(scores: ClassScores) -> Bounded | None:
    """Brier score of a class against the rest, mean of (score - is it true)^2, in [0, 1].

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78 (1950), 1-3. None where no score is kept.
    """
    rows = scores.positives_total + scores.negatives_total
    if not len(scores.codes):
        return None
    found, missing = _squares(scores), scores.missing_positives
    least = found.lower + missing * (1 - scores.missing_upper) ** 2
    most = found.upper + missing + scores.missing_upper**2 * scores.missing_negatives
    return Bounded((found.value + missing) / rows, least / rows, most / rows)


def multiclass_brier(classes: Sequence[ClassScores]) -> Bounded | None:
    """Brier score of whole rows: the sum over classes, in [0, 2] where scores sum to 1.

    Where `missing_upper` is at most 0.5, the scores of a row sum to at most 1; then what was not
    kept sums to at most the rest, which bounds its squares far better than each by itself.
    None where no score is kept.

    Args:
        classes: all classes of the scope.
    """
    if not any(len(each.codes) for each in classes):
        return None
    rows = max(each.positives_total + each.negatives_total for each in classes)
    ceilings = sum(each.missing_upper**2 * each.missing_negatives for each in classes)
    hidden = sum(each.missing_positives * (1 - each.missing_upper) ** 2 for each in classes)
    largest = max(each.missing_upper for each in classes)
    if largest <= 0.5:
        kept = sum(float((each.positives + each.negatives) @ each.lower) for each in classes)
        ceilings = min(ceilings, largest * max(0.0, rows - kept))
    found, missing = [_squares(c) for c in classes], sum(c.missing_positives for c in classes)
    return Bounded(
        (sum(each.value for each in found) + missing) / rows,
        (sum(each.lower for each in found) + hidden) / rows,
        (sum(each.upper for each in found) + missing + ceilings) / rows,
    )


def _squares(scores: ClassScores) -> Bounded:
    """Sum of (score - is it true)^2 over all kept scores."""
    ends = np.stack([(scores.lower + scores.upper) / 2, scores.lower, scores.upper])
    value, least, most = (ends**2 @ scores.negatives.astype(np.float64)).tolist()
    ends -= 1
    hits, worst, best = (ends**2 @ scores.positives.astype(np.float64)).tolist()
    value, least, most = value + hits, least + best, most + worst
    return Bounded(value, min(value, least), max(value, most))


def _middle(lower: float, upper: float) -> Bounded:
    return Bounded((lower + upper) / 2, lower, upper)
