"""McNemar's test and Holm's correction against slow references."""

import itertools
from math import comb

import pytest

from leadline.metrics.measures.fixed_time import holm, mcnemar


def test_no_pairs():
    assert mcnemar(0, 0) is None


@pytest.mark.parametrize(("b", "c"), [(0, 1), (1, 1), (9, 3), (6, 6), (0, 12), (40, 61)])
def test_mcnemar_by_hand(b, c):
    """Exact: all outcomes that are at most as likely as the one seen."""
    n = b + c
    chances = [comb(n, at) / 2**n for at in range(n + 1)]
    exact = sum(each for each in chances if each <= chances[b] * (1 + 1e-12))
    equally = [each for each in chances if each == chances[b]]
    found = mcnemar(b, c)
    assert found.exact == pytest.approx(exact)
    assert found.mid == pytest.approx(exact - sum(equally) / 2)


def test_mcnemar_of_many_is_close_to_the_exact_one():
    n = 1_002
    tail = sum(comb(n, at) for at in range(471)) / 2**n
    found = mcnemar(470, n - 470)
    assert found.exact == pytest.approx(2 * tail, abs=1e-3)
    assert found.mid == pytest.approx(2 * tail - comb(n, 470) / 2**n, abs=1e-3)
    assert mcnemar(600, 600).exact == 1


def slow_holm(p_values, alpha: float) -> list[bool]:
    """Reject the smallest as long as it is at most alpha over the number that is left."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, at in enumerate(order):
        if p_values[at] * (len(p_values) - place) > alpha:
            break
        rejected[at] = True
    return rejected


def test_holm_against_a_loop():
    levels = (0.0, 0.01, 0.012, 0.025, 0.05, 0.3, 1.0)
    for size in range(5):
        for p_values in itertools.product(levels, repeat=size):
            found = [each <= 0.05 for each in holm(p_values)]
            assert found == slow_holm(p_values, 0.05), p_values
