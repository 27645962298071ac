"""Spread of rates over windows."""

import numpy as np
import pytest

from leadline.metrics.measures.volatility import volatility


def test_by_hand():
    found = volatility([5, 9, 0], [10, 10, 0])
    assert (found.windows, found.mean) == (2, 0.7)
    assert found.deviation == pytest.approx(0.2)
    assert found.expected == pytest.approx((0.21 / 20) ** 0.5)
    assert found.ratio == pytest.approx(0.2 / (0.21 / 20) ** 0.5)
    assert found.excess == pytest.approx(((20 * 0.04 - 0.21) / (20 - 10 - 1)) ** 0.5)


def test_nothing_to_compare():
    assert volatility([], []) is None
    assert volatility([3, 0], [5, 0]) is None
    always = volatility([3, 4], [3, 4])
    assert (always.deviation, always.ratio, always.excess) == (0, None, 0)
    assert volatility([1, 0], [1, 1]).excess == 0


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.1])
def test_the_excess_is_the_spread_of_the_true_rate(spread):
    rng = np.random.default_rng(1)
    squares, ratios = [], []
    for _ in range(2_000):
        trials = rng.integers(20, 2_000, 24)
        rate = 0.8 + spread * rng.choice([-1, 1], 24)
        found = volatility(rng.binomial(trials, rate), trials)
        squares.append(found.excess**2)
        ratios.append(found.ratio)
    assert np.sqrt(np.mean(squares)) == pytest.approx(spread, abs=0.006, rel=0.05)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03) if not spread else np.mean(ratios) > 1.1


def test_the_deviation_is_as_expected_where_the_rate_is_constant():
    rng = np.random.default_rng(2)
    trials = rng.integers(5, 500, 12)
    found = [volatility(rng.binomial(trials, 0.7), trials) for _ in range(4_000)]
    measured = np.mean([each.deviation**2 for each in found])
    assert measured == pytest.approx(np.mean([each.expected**2 for each in found]), rel=0.05)
