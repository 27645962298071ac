"""Nominal 95 % intervals cover 94 to 96 %: exactly, by summing over all outcomes, or simulated."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from leadline.metrics.core.figures import (
    Rate,
    class_counts,
    confusion_from_dense,
    macro_average,
    weighted_average,
)
from leadline.metrics.measures.uncertainty import (
    difference_interval,
    f1_interval,
    macro_intervals,
    paired_difference_interval,
    weighted_intervals,
)
from leadline.records.intervals import Z95, wilson

SHARES = np.linspace(0.025, 0.975, 39)
SIZES = (30, 50, 100, 200)


def binomial(trials: int, share: float) -> np.ndarray:
    """Probability of 0 to `trials` successes."""
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(at + 1)
        - math.lgamma(trials - at + 1)
        + at * math.log(share)
        + (trials - at) * math.log1p(-share)
        for at in range(trials + 1)
    ]
    return np.exp(logs)


def mean_coverage(interval: Callable[[int, int], tuple[float, float]], truth=lambda q: q) -> float:
    """Exact coverage of an interval of one binomial count, mean over SHARES and SIZES."""
    found = []
    for trials in SIZES:
        lower, upper = np.array([interval(at, trials) for at in range(trials + 1)]).T
        for share in SHARES:
            inside = (lower <= truth(share)) & (truth(share) <= upper)
            found.append(float(binomial(trials, share)[inside].sum()))
    return float(np.mean(found))


def wald(successes: int, trials: int) -> tuple[float, float]:
    """What is taught first, and wrong."""
    share = successes / trials
    half = Z95 * math.sqrt(share * (1 - share) / trials)
    return share - half, share + half


def test_wilson():
    """95.2 %."""
    assert 0.94 <= mean_coverage(wilson) <= 0.96


def test_the_check_can_fail():
    """The normal interval of the first textbook does not pass."""
    assert mean_coverage(wald) < 0.94


def test_f1():
    """As Wilson's: F1 is monotone in a binomial share."""

    def interval(right: int, trials: int) -> tuple[float, float]:
        return f1_interval(right, (trials - right) // 2, trials - right - (trials - right) // 2)

    assert 0.94 <= mean_coverage(interval, lambda q: 2 * q / (1 + q)) <= 0.96


def test_wilson_of_f1_itself_is_too_wide():
    """TP / (TP + (FP + FN) / 2) is not a share of independent trials."""

    def interval(right: int, trials: int) -> tuple[float, float]:
        wrong = (trials - right) / 2
        share = right / (right + wrong)
        return wilson(share * (right + wrong), right + wrong)

    assert mean_coverage(interval, lambda q: 2 * q / (1 + q)) > 0.97


def test_difference_of_independent_rates():
    """Newcombe's, mean over pairs of shares and sizes."""
    found = []
    rng = np.random.default_rng(0)
    for one, other in ((30, 30), (30, 100), (60, 60), (100, 50)):
        bounds = np.array(
            [
                [difference_interval(Rate(x, one), Rate(y, other)) for y in range(other + 1)]
                for x in range(one + 1)
            ]
        )
        for first, second in rng.uniform(0.02, 0.98, (60, 2)):
            likely = np.outer(binomial(one, first), binomial(other, second))
            gap = first - second
            found.append(likely[(bounds[..., 0] <= gap) & (gap <= bounds[..., 1])].sum())
    assert 0.94 <= np.mean(found) <= 0.96


def test_difference_of_paired_rates():
    """Tango's, mean over discordant shares; n = 30, 60 and 120 pairs."""
    found = []
    rng = np.random.default_rng(0)
    for pairs in (30, 60, 120):
        drawn = [
            (first, second, rng.multinomial(pairs, [first, second, 1 - first - second], 1_000))
            for first, second, _ in rng.dirichlet([1, 1, 3], 40)
        ]
        known: dict[tuple[int, int], tuple[float, float]] = {}
        for first, second, counts in drawn:
            for b, c in set(map(tuple, counts[:, :2].tolist())) - known.keys():
                known[b, c] = paired_difference_interval(b, c, pairs)
            lower, upper = np.array([known[b, c] for b, c in counts[:, :2].tolist()]).T
            gap = first - second
            found.append(np.mean((lower <= gap) & (gap <= upper)))
    assert 0.94 <= np.mean(found) <= 0.96


def coverage_of_means(classes: int, size: int, sharpness: float, rng) -> dict[str, float]:
    """Simulated coverage of each mean, over models drawn at random."""
    hits: dict[str, list[bool]] = {}
    for _ in range(40):
        prior = rng.dirichlet(np.full(classes, 20.0))
        rows = [
            rng.dirichlet(np.where(np.arange(classes) == at, sharpness, 0.5))
            for at in range(classes)
        ]
        chance = prior[:, None] * np.array(rows)
        whole = class_counts(confusion_from_dense(np.round(chance * 1e12).astype(np.int64)))
        for drawn in rng.multinomial(size, chance.ravel() / chance.sum(), 40):
            matrix = confusion_from_dense(drawn.reshape(classes, classes))
            for name, found, truth in (
                ("macro", macro_intervals(matrix), macro_average(whole)),
                ("weighted", weighted_intervals(matrix), weighted_average(whole)),
            ):
                for figure in ("precision", "recall", "f1"):
                    lower, upper = getattr(found, figure)
                    inside = lower <= getattr(truth, figure) <= upper
                    hits.setdefault(f"{name} {figure}", []).append(inside)
    return {name: float(np.mean(inside)) for name, inside in hits.items()}


def test_means_over_classes():
    """Macro and weighted precision, recall and F1, mean over sizes from 30 labels a class."""
    rng = np.random.default_rng(7)
    cases = ((2, 60, 5), (3, 90, 5), (3, 300, 10), (5, 500, 8), (8, 800, 20))
    found = [coverage_of_means(*case, rng) for case in cases]
    for name in found[0]:
        assert 0.94 <= np.mean([each[name] for each in found]) <= 0.96, (name, found)


@pytest.mark.parametrize("counts", [(9, 3, 32), (0, 0, 40), (40, 0, 40), (0, 7, 50), (25, 25, 50)])
def test_tango_bounds_solve_the_score(counts):
    """The bounds against a scan of all differences by the constrained maximum likelihood."""
    b, c, n = counts
    lower, upper = paired_difference_interval(b, c, n)
    kept = []
    for gap in np.linspace(-0.999, 0.999, 1_999):
        rates = np.linspace(max(0.0, -gap), (1 - gap) / 2, 4_001)  # of c; b's is rate + gap
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = (
                np.where(b, b * np.log(rates + gap), 0.0)
                + np.where(c, c * np.log(rates), 0.0)
                + np.where(n - b - c, (n - b - c) * np.log1p(-2 * rates - gap), 0.0)
            )
        rate = rates[np.nanargmax(logs)]
        variance = (2 * rate + gap - gap * gap) / n
        if variance > 0 and abs((b - c) / n - gap) <= Z95 * math.sqrt(variance):
            kept.append(gap)
    assert lower == pytest.approx(min(kept), abs=2.5e-3)
    assert upper == pytest.approx(max(kept), abs=2.5e-3)
