"""Bootstrap intervals at their edges."""

import numpy as np
import pytest

from leadline.metrics.measures import resampling
from leadline.metrics.measures.resampling import (
    auc,
    average_precision,
    best_f1,
    bootstrap_interval,
)


def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("counts", [([], []), ([0, 0], [3, 1]), ([2, 0], [0, 0])])
@pytest.mark.parametrize("figure", [auc, average_precision, best_f1])
def test_one_class_has_no_curve(counts, figure):
    assert bootstrap_interval(*counts, figure, rng()) is None


def test_figures_of_many_resamples_are_those_of_each():
    drawn = rng().poisson(2.0, (2, 40, 9)).astype(float)
    drawn[0, 3] = 0
    for figure in (auc, average_precision, best_f1):
        alone = [float(figure(one, zero)) for one, zero in zip(*drawn, strict=True)]
        assert figure(*drawn) == pytest.approx(alone, nan_ok=True)
        assert np.isnan(alone[3])


def test_the_same_seed_gives_the_same_interval_and_few_is_told():
    counts = [1, 5, 20], [30, 6, 1]
    one, other = (bootstrap_interval(*counts, auc, rng(), 100) for _ in range(2))
    assert one == other
    assert one.lower <= one.value <= one.upper
    assert one.few
    assert not bootstrap_interval([10, 50, 200], [30, 6, 1], auc, rng(), 100).few


def test_more_inputs_make_it_narrower():
    counts = np.array([1, 5, 20]), np.array([30, 6, 1])
    few, many = (
        bootstrap_interval(*(each * times for each in counts), auc, rng(), 400)
        for times in (1, 100)
    )
    assert (few.upper - few.lower) == pytest.approx(10 * (many.upper - many.lower), rel=0.3)


def test_resamples_in_parts_are_as_many(monkeypatch):
    monkeypatch.setattr(resampling, "DRAWN_MAX", 10)
    found = bootstrap_interval([1, 5, 20], [30, 6, 1], auc, rng(), 101)
    assert found.lower < found.value < found.upper


def test_too_few_positives_have_no_interval():
    """One positive is missing from a third of the resamples."""
    assert bootstrap_interval([0, 1], [5, 5], auc, rng()) is None


@pytest.mark.parametrize("figure", [auc, average_precision, best_f1])
@pytest.mark.parametrize("share", [0.5, 0.003])
def test_grouped_codes_give_the_same_interval(figure, share, monkeypatch):
    """8,000 codes, also with rare positives: bounds move by less than a fifth of the width."""
    codes = np.arange(8_000)
    ones = rng().poisson(60 * share * np.exp(-(((codes - 5_000) / 1_200) ** 2)))
    zeros = rng().poisson(60 * (1 - share) * np.exp(-(((codes - 3_000) / 1_200) ** 2)))
    grouped = bootstrap_interval(ones, zeros, figure, rng(), 400)
    monkeypatch.setattr(resampling, "BINS_MAX", 10_000)
    whole = bootstrap_interval(ones, zeros, figure, rng(), 400)
    assert grouped.value == whole.value
    near = (whole.upper - whole.lower) / 5
    assert (grouped.lower, grouped.upper) == pytest.approx((whole.lower, whole.upper), abs=near)
