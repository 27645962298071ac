"""What is watched all the time errs no more often than promised, and a fixed-time test does."""

import math

import numpy as np
import pytest

from leadline.metrics.core.figures import Rate
from leadline.metrics.measures.sequential import (
    ALPHA,
    paired_evidence,
    paired_sequence,
    rate_sequence,
    two_sample_log_e,
    two_sample_sequence,
)
from leadline.records.intervals import Z95

RUNS, LOOKS = 2_000, 500


def watched(rng, only_first: float, only_second: float, batch: int = 10):
    """Counts of (only first, only second, all) at each look of each run, (runs, looks)."""
    chances = [only_first, only_second, 1 - only_first - only_second]
    drawn = rng.multinomial(batch, chances, (RUNS, LOOKS)).cumsum(axis=1)
    return drawn[..., 0], drawn[..., 1], drawn.sum(axis=2)


def ever(rejects: np.ndarray) -> float:
    """Share of the runs in which some look rejects."""
    return float(rejects.any(axis=1).mean())


def log_e(first, second, pairs, difference: float = 0.0) -> np.ndarray:
    """Two-sided log e of every look; run by run, to stay small."""
    return np.array(
        [
            paired_evidence(*counts, difference).log_e
            for counts in zip(first, second, pairs, strict=True)
        ]
    )


@pytest.mark.parametrize("shares", [(0.05, 0.05), (0.2, 0.2), (0.5, 0.5)])
def test_equal_versions_are_told_apart_in_less_than_5_percent(shares):
    counts = watched(np.random.default_rng(1), *shares)
    assert ever(log_e(*counts) >= math.log(1 / ALPHA)) < ALPHA


def test_a_fixed_time_test_that_is_watched_errs_far_more_often():
    """The negative control: McNemar's z at each look, from 30 discordant pairs on."""
    first, second, _ = watched(np.random.default_rng(1), 0.2, 0.2)
    discordant = np.maximum(first + second, 1)
    z = np.abs(first - second) / np.sqrt(discordant)
    assert ever((z > Z95) & (discordant >= 30)) > 0.2
    assert 0.03 < (z[:, -1] > Z95).mean() < 0.07, "and errs as promised when looked at once"


@pytest.mark.parametrize("shares", [(0.15, 0.05), (0.02, 0.3), (0.0, 0.01)])
def test_the_true_difference_is_never_excluded_in_95_percent(shares):
    counts = watched(np.random.default_rng(2), *shares)
    truth = shares[0] - shares[1]
    assert ever(log_e(*counts, truth) >= math.log(1 / ALPHA)) < ALPHA


def test_no_class_is_told_apart_in_95_percent():
    """Ten equal classes that are watched together, after Holm; its first step decides."""
    rng = np.random.default_rng(6)
    smallest = np.ones((RUNS // 4, 100))
    single = 0.0
    for _ in range(10):
        drawn = rng.multinomial(20, [0.2, 0.2, 0.6], smallest.shape).cumsum(axis=1)
        found = paired_evidence(drawn[..., 0], drawn[..., 1], drawn.sum(axis=2)).p_value
        smallest = np.minimum(smallest, found)
        single += ever(found <= ALPHA) / 10
    assert ever(smallest * 10 <= ALPHA) < ALPHA
    assert ever(smallest <= ALPHA) > 2 * ALPHA, "without the correction it fails"
    assert single < ALPHA


def test_a_better_version_is_found():
    """Power: 6 % against 3 % of discordant pairs, 5,000 pairs."""
    counts = watched(np.random.default_rng(3), 0.06, 0.03)
    assert ever(log_e(*counts) >= math.log(1 / ALPHA)) > 0.95


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_equal_samples_are_told_apart_in_less_than_5_percent(share):
    """Two independent samples, the second half as fast; 300 runs, 100 looks of 50."""
    rng = np.random.default_rng(4)
    wrong = wrong_rate = z_wrong = 0
    for _ in range(300):
        one = rng.binomial(50, share, 100).cumsum().tolist()
        other = rng.binomial(25, share, 100).cumsum().tolist()
        looks = [
            (Rate(x, 50 * at), Rate(y, 25 * at))
            for at, (x, y) in enumerate(zip(one, other, strict=True), 1)
        ]
        wrong += any(two_sample_log_e(*look) >= math.log(1 / ALPHA) for look in looks)
        sequences = (rate_sequence(first) for first, _ in looks[::5])
        wrong_rate += any(not lower <= share <= upper for lower, upper in sequences)
        z_wrong += any(abs(pooled_z(*look)) > Z95 for look in looks)
    assert wrong / 300 < ALPHA
    assert wrong_rate / 300 < ALPHA
    assert z_wrong / 300 > 0.1, "the negative control"


def pooled_z(first: Rate, second: Rate) -> float:
    share = (first.successes + second.successes) / (first.trials + second.trials)
    variance = share * (1 - share) * (1 / first.trials + 1 / second.trials)
    return (first.value - second.value) / math.sqrt(variance) if variance else 0.0


def test_sequences_are_what_the_evidence_does_not_exclude():
    """Against a scan of all differences."""
    for counts in ((5, 3, 32), (40, 10, 200), (0, 0, 50), (30, 30, 60)):
        lower, upper = paired_sequence(*counts)
        kept = [
            gap
            for gap in np.linspace(-0.9995, 0.9995, 2_000)
            if paired_evidence(*counts, gap).log_e < math.log(1 / ALPHA)
        ]
        assert lower == pytest.approx(min(kept), abs=2e-3)
        assert upper == pytest.approx(max(kept), abs=2e-3)


@pytest.mark.parametrize("counts", [((90, 100), (70, 100)), ((5, 5), (5, 5)), ((0, 9), (30, 40))])
def test_two_sample_sequence_against_a_scan(counts):
    """All pairs of shares on a grid whose wealths multiply to less than 1 / alpha."""
    (right, trials), (other, others) = counts
    shares = np.linspace(0.0005, 0.9995, 1_000)

    def wealth(successes: int, total: int) -> np.ndarray:
        logs = successes * np.log(shares) + (total - successes) * np.log1p(-shares)
        mixture = math.lgamma(successes + 0.5) + math.lgamma(total - successes + 0.5)
        return mixture - math.lgamma(total + 1) - math.log(math.pi) - logs

    product = wealth(right, trials)[:, None] + wealth(other, others)[None, :]
    gaps = (shares[:, None] - shares[None, :])[product < math.log(1 / ALPHA)]
    found = two_sample_sequence(Rate(right, trials), Rate(other, others))
    assert found == pytest.approx((gaps.min(), gaps.max()), abs=3e-3)
