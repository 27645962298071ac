"""Sequential evidence: exact small cases, edges, large counts, agreement of its parts."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from leadline.metrics.core.figures import Rate
from leadline.metrics.measures.sequential import (
    paired_evidence,
    paired_sequence,
    pairs_needed,
    rate_sequence,
    samples_needed,
    two_sample_log_e,
    two_sample_sequence,
)


@pytest.mark.parametrize("difference", [0.0, 0.25, -0.5])
def test_wealth_is_fair_under_the_null(difference):
    """Its mean over all outcomes of n pairs is 1: no more can be won on average."""
    first = 0.3 + max(0.0, difference)
    chances = (first, first - difference, 1 - 2 * first + difference)
    n, above, below = 6, 0.0, 0.0
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c <= n:
            ways = math.factorial(n) / math.factorial(b) / math.factorial(c)
            ways /= math.factorial(n - b - c)
            likely = ways * chances[0] ** b * chances[1] ** c * chances[2] ** (n - b - c)
            evidence = paired_evidence(b, c, n, difference)
            above += likely * math.exp(evidence.above)
            below += likely * math.exp(evidence.below)
    assert (above, below) == pytest.approx((1, 1), abs=1e-9)


def test_rate_wealth_is_fair_and_exact():
    """The mean under Beta(1/2, 1/2) of 2 right of 3, as a fraction: 1/2 3/2 1/2 / 3!."""
    mean = Fraction(1, 2) * Fraction(3, 2) * Fraction(1, 2) / 6
    equal = float(mean * mean) / (4 / 6) ** 4 / (2 / 6) ** 2
    assert two_sample_log_e(Rate(2, 3), Rate(2, 3)) == pytest.approx(math.log(equal))


def test_nothing_counted_is_no_evidence():
    assert paired_sequence(0, 0, 0) is None
    assert rate_sequence(Rate(0, 0)) is None
    assert two_sample_sequence(Rate(0, 0), Rate(1, 2)) is None
    assert pairs_needed(0, 0, 0) is None
    assert samples_needed(Rate(0, 0), Rate(1, 2)) is None
    assert two_sample_log_e(Rate(0, 0), Rate(0, 0)) == 0
    assert paired_evidence(0, 0, 0).p_value == 1


@pytest.mark.parametrize(
    "counts", [(5, 3, 32), (540, 320, 12_400), (0, 9, 9), (400, 500, 5_000), (12, 1, 13)]
)
def test_zero_is_excluded_exactly_when_it_is_decided(counts):
    lower, upper = paired_sequence(*counts)
    decided = float(paired_evidence(*counts).log_e) >= math.log(20)
    assert decided == (not lower <= 0 <= upper) == (pairs_needed(*counts) == 0)
    assert lower <= (counts[0] - counts[1]) / counts[2] <= upper


@pytest.mark.parametrize(
    "rates", [(Rate(90, 100), Rate(60, 100)), (Rate(9, 10), Rate(7, 10)), (Rate(0, 5), Rate(9, 9))]
)
def test_two_samples_agree_with_their_evidence(rates):
    lower, upper = two_sample_sequence(*rates)
    decided = two_sample_log_e(*rates) >= math.log(20)
    assert decided == (not lower <= 0 <= upper) == (samples_needed(*rates) == 0)
    assert two_sample_sequence(*rates[::-1]) == pytest.approx((-upper, -lower), abs=1e-6)


def test_what_is_needed_decides():
    """After the foretold number of pairs in proportion it is decided, and a little before not."""
    more = pairs_needed(40, 30, 830)
    for pairs, decided in ((830 + more, True), (830 + more - 5, False)):
        grown = pairs / 830
        evidence = paired_evidence(40 * grown, 30 * grown, pairs)
        assert (float(evidence.log_e) >= math.log(20)) == decided
    assert pairs_needed(7, 7, 90) is None
    assert pairs_needed(5, 4, 900_000_000) is None, "more than is foretold"


def test_counts_of_a_billion():
    n = 10**9
    lower, upper = paired_sequence(n // 10, n // 10 - 10**5, n)
    assert 0 < lower < 1e-4 < upper < 2e-4
    lower, upper = rate_sequence(Rate(9 * n // 10, n))
    assert 0.8999 < lower < 0.9 < upper < 0.9001
    assert two_sample_log_e(Rate(n // 2, n), Rate(n // 2 - 10**6, n)) > 100


def test_columns_are_the_scalars():
    first, second = np.array([[0, 5], [40, 9]]), np.array([[3, 5], [20, 0]])
    found = paired_evidence(first, second, first + second + 10, 0.1).log_e
    for at in np.ndindex(2, 2):
        one = paired_evidence(first[at], second[at], first[at] + second[at] + 10, 0.1)
        assert found[at] == pytest.approx(float(one.log_e))


def test_p_values_are_between_0_and_1():
    assert 0 < float(paired_evidence(50, 10, 100).p_value) < 1e-4
    assert float(paired_evidence(5, 5, 100).p_value) == 1
