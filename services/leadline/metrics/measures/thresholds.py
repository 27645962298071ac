"""Decision thresholds: what each would do, which is best, and how far to believe the best.

A row is predicted positive ("flagged") when its score >= threshold. Thresholds are the least
float32 of each code, so the counts are those of the scores themselves. Where scores are missing,
only thresholds above `missing_upper` are told, since for these no missing score is flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Rate, Tally
from leadline.metrics.measures.curves import descending
from leadline.metrics.measures.scores import ClassScores
from leadline.metrics.measures.strata import strata_of
from leadline.records.scores import BAND_NONE, band_bounds

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

REPEATS = 100
"""Resamples of `optimism`: the standard error of the mean excess is a tenth of its spread."""
THINNED = 200
"""Thresholds by rows, and as many by positives, that `optimism` chooses among: neighbours between
them differ by less than the resamples do."""
DRAWN_MAX = 1_000_000
"""Counts that are drawn at a time: bounds the memory to some 50 MB."""


class Figure(StrEnum):
    """What a threshold is judged by. Of flagged share and cost the least is best."""

    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    FLAGGED = "flagged"
    COST = "cost"


LEAST_IS_BEST = frozenset({Figure.FLAGGED, Figure.COST})


@dataclass(frozen=True, slots=True)
class Costs:
    """What errors cost, in any one unit, both at least 0: of a false positive and a false negative.

    Right predictions cost nothing.
    """

    fp: float = 1.0
    fn: float = 1.0


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a figure.

    Attributes:
        figure: which.
        bound: inclusive.
        at_least: whether the figure may not be below the bound; else it may not be above.
    """

    figure: Figure
    bound: float
    at_least: bool = True

    def __str__(self) -> str:
        return f"{self.figure} {'at least' if self.at_least else 'at most'} {self.bound:g}"

    def holds(self, values: F64) -> npt.NDArray[np.bool_]:
        """Where it is met; not where the figure is undefined."""
        return values >= self.bound if self.at_least else values <= self.bound


@dataclass(frozen=True, slots=True)
class ThresholdTable:
    """Counts at every threshold that can be told, strictest first; columns of equal length >= 1.

    Attributes:
        number: the class.
        threshold: float64, descending; the first is infinite and flags nothing.
        tp: int64, flagged rows of the class.
        fp: int64, flagged rows of others.
        positives: rows of the class.
        negatives: rows of others.
        costs: of errors.
        floor: thresholds at or below it are left out since scores are missing; None where none is.
    """

    number: int
    threshold: F64
    tp: I64
    fp: I64
    positives: int
    negatives: int
    costs: Costs
    floor: float | None

    @property
    def fn(self) -> I64:
        """Rows of the class that are not flagged."""
        return self.positives - self.tp

    @property
    def tn(self) -> I64:
        """Rows of others that are not flagged."""
        return self.negatives - self.fp

    def values(self, figure: Figure) -> F64:
        """A figure at each threshold; NaN where it is undefined. Cost is per row."""
        return _values(figure, self.tp, self.fp, (self.positives, self.negatives), self.costs)


def _values(
    figure: Figure,
    tp: I64,
    fp: I64,
    totals: tuple[int | I64, int | I64],
    costs: Costs,
) -> F64:
    """A figure of counts of any shape; `totals` are positives and negatives, broadcast.

    Where it is undefined it is 0 / 0.
    """
    positives, negatives = totals
    above: I64 | F64 = tp
    below: I64 | int = positives + negatives
    if figure is Figure.PRECISION:
        below = tp + fp
    elif figure is Figure.RECALL:
        below = positives
    elif figure is Figure.F1:
        above, below = 2 * tp, tp + fp + positives
    elif figure is Figure.FLAGGED:
        above = tp + fp
    elif figure is Figure.COST:
        above = costs.fp * fp + costs.fn * (positives - tp)
    with np.errstate(invalid="ignore"):
        found: F64 = np.true_divide(above, below)
    return found


def threshold_table(scores: ClassScores, costs: Costs | None = None) -> ThresholdTable:
    """The counts at every threshold of a class.

    Args:
        scores: of the class.
        costs: of errors, 1 each by default.
    """
    at = descending(scores)
    return ThresholdTable(
        number=scores.number,
        threshold=at.threshold[: at.exact],
        tp=at.tp[: at.exact],
        fp=at.fp[: at.exact],
        positives=int(at.tp[-1]),
        negatives=int(at.fp[-1]),
        costs=costs or Costs(),
        floor=None if scores.is_complete else scores.missing_upper,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold and what it does; intervals are those of the rates (Wilson, 95 %).

    Attributes:
        threshold: infinite where nothing is flagged.
        value: of the figure it was chosen by.
        precision: of flagged rows, those of the class.
        recall: of rows of the class, the flagged ones.
        flagged: of all rows, the flagged ones.
        f1: None where nothing is flagged and there is no row of the class.
        cost: per row; None without rows.
    """

    threshold: float
    value: float
    precision: Rate
    recall: Rate
    flagged: Rate
    f1: float | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Unmet:
    """No threshold can be chosen.

    Attributes:
        reason: why, in words.
    """

    reason: str


def best_f1(table: ThresholdTable) -> Choice | Unmet:
    """The threshold with the highest F1."""
    return best_under(table, Figure.F1)


def best_cost(table: ThresholdTable) -> Choice | Unmet:
    """The threshold with the lowest expected cost per row."""
    return best_under(table, Figure.COST)


def best_under(
    table: ThresholdTable, objective: Figure, constraints: Sequence[Constraint] = ()
) -> Choice | Unmet:
    """The best threshold by one figure among those that meet all constraints.

    The higher threshold of equals. A figure that is undefined meets no constraint and is never
    best.
    """
    if not table.positives:
        return Unmet("There is no labelled row of the class.")
    values = table.values(objective)
    allowed = ~np.isnan(values)
    for each in constraints:
        allowed &= each.holds(table.values(each.figure))
    if not allowed.any():
        return Unmet(_reason(table, objective, constraints))
    at = int(_best(objective, values, allowed))
    return _choice(table, at, float(values[at]))


def _best(objective: Figure, values: F64, allowed: npt.NDArray[np.bool_]) -> I64:
    """Place of the best allowed value along the last axis, the first of equals."""
    if objective in LEAST_IS_BEST:
        return np.asarray(np.where(allowed, values, np.inf).argmin(axis=-1))
    return np.asarray(np.where(allowed, values, -np.inf).argmax(axis=-1))


def _reason(table: ThresholdTable, objective: Figure, constraints: Sequence[Constraint]) -> str:
    """Why no threshold is allowed."""
    told = "" if table.floor is None else f" above {table.floor:g}, where all scores are known,"
    for each in constraints:
        values = table.values(each.figure)
        known = values[~np.isnan(values)]
        if not each.holds(known).any():
            return f"No threshold{told} has {each}{_extreme(each, known)}."
    if not constraints:
        return f"No threshold{told} has a {objective}."
    both = " and ".join(map(str, constraints))
    return f"No threshold{told} has {both} together."


def _extreme(constraint: Constraint, values: F64) -> str:
    """How near to its bound the thresholds come."""
    if not len(values):
        return ""
    if constraint.at_least:
        return f": the highest is {values.max():.4g}"
    return f": the lowest is {values.min():.4g}"


def _choice(table: ThresholdTable, at: int, value: float) -> Choice:
    tp, fp = int(table.tp[at]), int(table.fp[at])
    rows = table.positives + table.negatives
    found = tp + fp + table.positives
    lost = table.costs.fp * fp + table.costs.fn * (table.positives - tp)
    return Choice(
        threshold=float(table.threshold[at]),
        value=value,
        precision=Rate(tp, tp + fp),
        recall=Rate(tp, table.positives),
        flagged=Rate(tp + fp, rows),
        f1=2 * tp / found if found else None,
        cost=lost / rows if rows else None,
    )


@dataclass(frozen=True, slots=True)
class Optimism:
    """How much better a chosen threshold looks than it is.

    Attributes:
        excess: mean of (value on the data it was chosen on) - (value on other data), with the sign
            turned where the least is best: positive when the choice looks too good.
        corrected: the choice's value without the excess, within the figure's range.
        resamples: those in which a choice was possible and could be judged.
    """

    excess: float
    corrected: float
    resamples: int


def optimism(
    table: ThresholdTable,
    objective: Figure,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    constraints: Sequence[Constraint] = (),
) -> Optimism | None:
    """How optimistic `best_under` is, since it judges a threshold on the data it was chosen on.

    Rows are resampled (the counts are drawn from a multinomial distribution), a threshold is chosen
    on each resample and judged on the original (B. Efron, "Estimating the error rate of a
    prediction rule", JASA 78 (1983), 316-331). None where no threshold can be chosen, or on less
    than half of the resamples.

    Args:
        table: of one class.
        objective: what is chosen by.
        rng: draws.
        repeats: at least 1.
        constraints: as of `best_under`; on a resample they are met by its own figures.
    """
    chosen = best_under(table, objective, constraints)
    if isinstance(chosen, Unmet):
        return None
    table = _thinned(table, chosen)
    original = table.values(objective)
    excess: list[float] = []
    step = max(1, DRAWN_MAX // (2 * len(table.threshold)))
    for begin in range(0, repeats, step):
        tp, fp, totals = _resampled(table, rng, min(step, repeats - begin))
        figures = {
            each: _values(each, tp, fp, totals, table.costs)
            for each in {objective, *(c.figure for c in constraints)}
        }
        values = figures[objective]
        allowed = ~np.isnan(values)
        for each in constraints:
            allowed &= each.holds(figures[each.figure])
        at = _best(objective, values, allowed)
        looks = np.take_along_axis(values, at[:, None], axis=1)[:, 0]
        difference = (looks - original[at])[allowed.any(axis=1)]
        excess += difference[~np.isnan(difference)].tolist()
    if 2 * len(excess) < repeats:
        return None
    mean = float(np.mean(excess))
    if objective in LEAST_IS_BEST:
        mean = -mean
        return Optimism(mean, max(0.0, chosen.value + mean), len(excess))
    return Optimism(mean, min(1.0, max(0.0, chosen.value - mean)), len(excess))


def _thinned(table: ThresholdTable, chosen: Choice) -> ThresholdTable:
    """The table at the chosen threshold and some others, evenly far apart in rows and positives."""
    rows = len(table.threshold)
    if rows <= 2 * THINNED:
        return table
    kept = [np.flatnonzero(table.threshold == chosen.threshold)]
    for mass in (table.tp, table.tp + table.fp):
        aims = np.linspace(0, int(mass[-1]), THINNED)
        kept.append(np.searchsorted(mass, aims).clip(max=rows - 1))
    at = np.unique(np.concatenate(kept))
    return replace(table, threshold=table.threshold[at], tp=table.tp[at], fp=table.fp[at])


def _resampled(
    table: ThresholdTable, rng: np.random.Generator, repeats: int
) -> tuple[I64, I64, tuple[I64, I64]]:
    """Of resamples tp and fp (repeats, thresholds), and positives and negatives (repeats, 1)."""
    rows = len(table.threshold)
    cells = np.concatenate(
        [
            np.diff(table.tp, prepend=0, append=table.positives),
            np.diff(table.fp, prepend=0, append=table.negatives),
        ]
    )
    filled = np.flatnonzero(cells)
    drawn = np.zeros((repeats, len(cells)), np.int64)
    total = int(cells.sum())
    drawn[:, filled] = rng.multinomial(total, cells[filled] / total, size=repeats)
    tp, fp = (np.cumsum(side, axis=1) for side in np.split(drawn, 2, axis=1))
    return tp[:, :rows], fp[:, :rows], (tp[:, rows:], fp[:, rows:])


@dataclass(frozen=True, slots=True)
class ConfidenceThreshold:
    """What abstaining below a confidence does to a classifier of any number of classes.

    Attributes:
        threshold: the lower edge of a band of confidence; 0 abstains from nothing that has a score.
        coverage: predictions that are not abstained from, of all traffic.
        accuracy: right ones among those of them that are labelled.
    """

    threshold: float
    coverage: Rate
    accuracy: Rate


def confidence_thresholds(traffic: Tally, labelled: Tally) -> tuple[ConfidenceThreshold, ...]:
    """Coverage and accuracy at the lower edge of every band, ascending.

    Predictions without a known score are abstained from at every threshold.

    Args:
        traffic: STRATUM cells.
        labelled: STRATUM_LABELLED cells of the same scope.
    """
    strata = strata_of(traffic, labelled)
    sums = np.zeros((3, BAND_NONE + 1), np.int64)
    for row, counts in zip(sums, (strata.traffic, strata.labels, strata.correct), strict=True):
        np.add.at(row, strata.band, counts)
    everything = int(sums[0].sum())
    above = np.cumsum(sums[:, :BAND_NONE][:, ::-1], axis=1)[:, ::-1].T.tolist()
    return tuple(
        ConfidenceThreshold(band_bounds(band)[0], Rate(kept, everything), Rate(right, labels))
        for band, (kept, labels, right) in enumerate(above)
    )
