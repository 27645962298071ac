"""Counts of pairs, McNemar's test and Holm's correction against slow references."""

import itertools
from math import comb

import numpy as np
import pytest

from leadline.metrics.core.figures import NO_TALLY, tally
from leadline.metrics.measures.pairs import add_pairs, holm, mcnemar, pair_counts


def cells(rows: list[tuple[int, int, int, int, int]]):
    """PAIR cells of (true class, other series, earlier right, later right, count)."""
    index = [true << 32 | other << 2 | one << 1 | two for true, other, one, two, _ in rows]
    return tally(np.array(index, np.uint64), np.array([row[4] for row in rows], np.int64))


def test_pairs_of_either_order_are_added_up():
    """Class 5: the champion alone is right 3 times when it was first, twice when it was later."""
    found = pair_counts(
        cells([(5, 8, 1, 0, 3), (5, 8, 1, 1, 10), (5, 9, 0, 1, 99), (2, 8, 0, 0, 4)]),
        {8},
        cells([(5, 7, 0, 1, 2), (5, 7, 1, 0, 6), (5, 1, 1, 1, 99)]),
        {7},
    )
    assert found.number.tolist() == [2, 5]
    assert found.both.tolist() == [0, 10]
    assert found.champion.tolist() == [0, 5]
    assert found.challenger.tolist() == [0, 6]
    assert found.neither.tolist() == [4, 0]
    assert found.pairs.tolist() == [4, 21]


def test_pairs_of_shards_are_added_up():
    one = pair_counts(cells([(5, 8, 1, 0, 3), (2, 8, 1, 1, 1)]), {8}, NO_TALLY, {7})
    other = pair_counts(cells([(5, 8, 1, 0, 4), (9, 8, 0, 1, 2)]), {8}, NO_TALLY, {7})
    found = add_pairs([one, other])
    assert found.number.tolist() == [2, 5, 9]
    assert found.champion.tolist() == [0, 7, 0]
    assert found.challenger.tolist() == [0, 0, 2]
    assert found.both.tolist() == [1, 0, 0]
    assert add_pairs([]).pairs.tolist() == []


def test_no_pairs():
    assert pair_counts(NO_TALLY, {1}, NO_TALLY, {2}).number.tolist() == []
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
