"""Bootstrap intervals of the figures of a curve, out of counts by score code.

A class's score histogram says how many inputs of the class (positives) and of others (negatives)
had each score code. Resampling inputs with replacement is, to first order, to draw each count
anew from a Poisson distribution with itself as mean (independent counts; the total varies, which
no figure of a curve depends on): J. Hanley and B. MacGibbon, "Creating non-parametric bootstrap
samples using Poisson frequencies", Comput. Methods Programs Biomed. 83 (2006), 57-62. The work
depends on the number of codes, not of inputs, and neighbouring codes are resampled together where
there are more than BINS_MAX.

Figures are of the counts as binned: scores of one code count as equal. They take arrays whose last
axis is the codes ascending, any shape before it, and give NaN where nothing can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import LABELS_FEW

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
CurveFigure = Callable[[F64, F64], F64]
"""(positives, negatives), each (..., codes) -> the figure (...), in [0, 1]."""

REPEATS = 400
"""Enough for a 95 % interval whose bounds vary by some tenth of its width."""
BINS_MAX = 1_024
"""Codes are grouped into at most so many, that hold about 1/512 of the positives or negatives."""
DRAWN_MAX = 2_000_000
"""Counts that are drawn at a time: bounds the memory to some 100 MB."""
DEFINED_MIN = 0.9
"""Below this share of resamples in which the figure exists there is no interval."""


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A figure with its percentile interval.

    Attributes:
        value: of the counts themselves.
        lower, upper: of the resampled figures.
        few: fewer than 30 positives or negatives: the interval is then often too narrow.
    """

    value: float
    lower: float
    upper: float
    few: bool


def bootstrap_interval(
    positives: npt.ArrayLike,
    negatives: npt.ArrayLike,
    figure: CurveFigure,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    level: float = 0.95,
) -> BootstrapInterval | None:
    """Percentile interval of a figure of one curve; None without a positive or a negative.

    B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7 (1979), 1-26. It
    is for one look at the data. The best F1 of a resample is chosen anew in each, so its interval
    is that of the optimistic figure: see `thresholds` for the optimism.

    Args:
        positives: counts by code, ascending scores, (codes,).
        negatives: the same of the inputs of other classes.
        figure: `auc`, `average_precision`, `best_f1` or another function of both.
        rng: source of the resamples; the same seed gives the same interval.
        repeats: resamples.
        level: coverage, in (0, 1).
    """
    ones, zeros = np.asarray(positives, np.int64), np.asarray(negatives, np.int64)
    used = (ones > 0) | (zeros > 0)
    ones, zeros = ones[used], zeros[used]
    if not ones.any() or not zeros.any():
        return None
    value = _figure(figure, ones, zeros)
    ones, zeros = _grouped(ones, zeros)
    drawn = _resampled(ones, zeros, figure, rng, repeats)
    drawn = np.clip(drawn[~np.isnan(drawn)] + (value - _figure(figure, ones, zeros)), 0, 1)
    if np.isnan(value) or len(drawn) < DEFINED_MIN * repeats:
        return None
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    few = bool(min(ones.sum(), zeros.sum()) < LABELS_FEW)
    return BootstrapInterval(value, float(min(lower, value)), float(max(upper, value)), few)


def _figure(figure: CurveFigure, ones: I64, zeros: I64) -> float:
    return float(figure(ones.astype(np.float64), zeros.astype(np.float64)))


def _grouped(ones: I64, zeros: I64) -> tuple[I64, I64]:
    """The counts of groups of neighbouring codes, at most BINS_MAX and a few.

    What the grouping costs the figure itself is the same in each resample, near enough, and is
    added to each.
    """
    if len(ones) <= BINS_MAX:
        return ones, zeros
    place = sum((np.cumsum(each) - each) / each.sum() for each in (ones, zeros))
    group = np.floor(place * (BINS_MAX / 2)).astype(np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.add.reduceat(ones, starts), np.add.reduceat(zeros, starts)


def _resampled(
    ones: I64,
    zeros: I64,
    figure: CurveFigure,
    rng: np.random.Generator,
    repeats: int,
) -> F64:
    """The figure of each resample, (repeats,)."""
    step = max(1, DRAWN_MAX // len(ones))
    found = []
    for begin in range(0, repeats, step):
        shape = (min(step, repeats - begin), len(ones))
        drawn = (rng.poisson(counts, shape).astype(np.float64) for counts in (ones, zeros))
        found.append(figure(*drawn))
    return np.concatenate(found) if found else np.empty(0)


def auc(positives: F64, negatives: F64) -> F64:
    """Area under the ROC curve: P(score of a positive > of a negative) + half of P(equal)."""
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    return _ratio((positives * below).sum(axis=-1), positives.sum(axis=-1) * negatives.sum(axis=-1))


def average_precision(positives: F64, negatives: F64) -> F64:
    """Sum over thresholds of the precision there, times the recall gained there."""
    right, wrong = _flagged(positives, negatives)
    precision = right / np.maximum(right + wrong, 1)
    gained = (precision * positives[..., ::-1]).sum(axis=-1)
    return _ratio(gained, positives.sum(axis=-1))


def best_f1(positives: F64, negatives: F64) -> F64:
    """The largest F1 of all thresholds, chosen and judged on these counts."""
    right, wrong = _flagged(positives, negatives)
    total = positives.sum(axis=-1)
    best = (2 * right / np.maximum(right + wrong + total[..., None], 1)).max(axis=-1)
    return np.where(total > 0, best, np.nan)


def _flagged(positives: F64, negatives: F64) -> tuple[F64, F64]:
    """True and false positives at each threshold, from the highest score down."""
    return (
        np.cumsum(positives[..., ::-1], axis=-1),
        np.cumsum(negatives[..., ::-1], axis=-1),
    )


def _ratio(part: F64, whole: F64) -> F64:
    """A quotient, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
