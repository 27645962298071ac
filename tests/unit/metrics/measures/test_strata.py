"""Reweighted rates: against slow loops, by simulation, and their words."""

from collections import Counter

import numpy as np
import pytest

from leadline.metrics.core.figures import NO_TALLY, Tally, tally
from leadline.metrics.measures.strata import (
    in_words,
    post_stratified,
    scored_support,
    strata_of,
)
from leadline.records.intervals import wilson

CLASSES = 3
BANDS = [0, 7, 14, 15]


def cells(high, low, count) -> Tally:
    index = np.asarray(high, np.uint64) << np.uint64(32) | np.asarray(low, np.uint64)
    return tally(index, np.asarray(count, np.int64))


class Traffic:
    """Rows of (true class, predicted class, band, is it labelled)."""

    def __init__(self, true, predicted, band, labelled):
        self.true, self.predicted, self.band, self.labelled = true, predicted, band, labelled

    def tallies(self) -> tuple[Tally, Tally]:
        one = np.ones(len(self.true), np.int64)
        at = self.labelled
        stratum = self.predicted[at] << 4 | self.band[at]
        return (
            cells(self.predicted, self.band, one),
            cells(self.true[at], stratum, one[at]),
        )


def world(rng, rows, labelled_by_band):
    """Confident predictions are right more often; each class errs in its own way."""
    predicted = rng.choice(CLASSES, rows, p=[0.6, 0.3, 0.1])
    band = np.array(BANDS)[rng.choice(4, rows, p=[0.2, 0.3, 0.4, 0.1])]
    right = np.select([band == 0, band == 7, band == 14], [0.5, 0.8, 0.97], 0.7) - 0.1 * predicted
    other = (predicted + rng.integers(1, CLASSES, rows)) % CLASSES
    true = np.where(rng.random(rows) < right, predicted, other)
    share = np.select([band == each for each in BANDS], labelled_by_band)
    return Traffic(true, predicted, band, rng.random(rows) < share)


DOUBTFUL = [0.5, 0.1, 0.02, 0.2]
"""Labels by band: the doubtful ones are labelled most."""


def exact_rates():
    """Accuracy, and recall of class 0, of the endless traffic of `world`."""
    pairs = Counter()
    for predicted, share in enumerate([0.6, 0.3, 0.1]):
        for part, right in zip([0.2, 0.3, 0.4, 0.1], [0.5, 0.8, 0.97, 0.7], strict=True):
            hit = right - 0.1 * predicted
            for true in range(CLASSES):
                pairs[true, predicted] += share * part * (hit if true == predicted else 0)
                pairs[true, predicted] += share * part * (true != predicted) * (1 - hit) / 2
    accuracy = sum(pairs[each, each] for each in range(CLASSES))
    recall = pairs[0, 0] / sum(pairs[0, each] for each in range(CLASSES))
    precision = pairs[0, 0] / sum(pairs[each, 0] for each in range(CLASSES))
    return accuracy, recall, precision


def simulate(rows, repeats, seed, labelled_by_band):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        rates = post_stratified(*world(rng, rows, labelled_by_band).tallies())
        found.append((rates.accuracy, rates.recall[0], rates.precision[0]))
    return list(zip(*found, strict=True))


@pytest.mark.parametrize(("rows", "cover_max"), [(2_000, 0.99), (5_000, 0.97), (20_000, 0.97)])
def test_the_estimate_is_unbiased_and_covered_where_labels_go_by_stratum(rows, cover_max):
    """With strata of one or two labels, as of 2,000 rows, intervals are wider than they need be."""
    repeats = 1_000
    for truth, found in zip(exact_rates(), simulate(rows, repeats, 5, DOUBTFUL), strict=True):
        values = np.array([each.rate.value for each in found])
        error = values.std() / np.sqrt(repeats)
        assert abs(values.mean() - truth) < 4 * error + (0.002 if rows == 2_000 else 0)
        covered = np.mean([each.interval[0] <= truth <= each.interval[1] for each in found])
        assert 0.93 <= covered <= cover_max
        plain = np.array([each.plain.value for each in found])
        assert abs(plain.mean() - truth) > 20 * plain.std() / np.sqrt(repeats)
        missed = np.mean([not p[0] <= truth <= p[1] for p in (e.plain.interval for e in found)])
        assert missed > 0.5


def test_with_labels_at_random_the_plain_rate_is_right_and_nothing_differs():
    for found in simulate(5_000, 200, 6, [0.2] * 4):
        assert np.mean([each.differs for each in found]) < 0.02
        assert np.mean([each.difference for each in found]) == pytest.approx(0, abs=0.003)


def test_where_everything_is_labelled_it_is_the_plain_rate():
    (accuracy, recall, precision), *_ = zip(*simulate(20_000, 1, 7, [1] * 4), strict=True)
    for each in (accuracy, recall, precision):
        assert each.rate.value == pytest.approx(each.plain.value)
        assert each.interval == pytest.approx(wilson(each.plain.successes, each.plain.trials), 1e-3)
        assert each.unlabelled_share == 0
        assert not each.differs
        assert in_words(each, "accuracy") is None


def slow(traffic: Traffic):
    """Rates with unlabelled strata at 0 and 1, by loops over rows."""
    everything = Counter(zip(traffic.predicted.tolist(), traffic.band.tolist(), strict=True))
    labels, pairs = Counter(), Counter()
    rows = zip(traffic.true, traffic.predicted, traffic.band, traffic.labelled, strict=True)
    for true, predicted, band, labelled in rows:
        if labelled:
            labels[int(predicted), int(band)] += 1
            pairs[int(true), int(predicted), int(band)] += 1
    expected = Counter()
    for (true, predicted, band), count in pairs.items():
        expected[true, predicted] += count * everything[predicted, band] / labels[predicted, band]
    dark = Counter()
    for (predicted, band), count in everything.items():
        dark[predicted] += 0 if labels[predicted, band] else count
    return everything, expected, dark


@pytest.mark.parametrize("seed", range(60))
def test_rates_equal_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 60))
    traffic = Traffic(
        rng.integers(CLASSES, size=rows),
        rng.integers(CLASSES, size=rows),
        rng.choice(BANDS, rows),
        rng.random(rows) < rng.choice([0.1, 0.5, 1.0]),
    )
    found = post_stratified(*traffic.tallies())
    everything, expected, dark = slow(traffic)
    for number in range(CLASSES):
        total = sum(count for (predicted, _), count in everything.items() if predicted == number)
        known = total - dark[number]
        if known:
            each = found.precision[number]
            assert each.rate.value == pytest.approx(expected[number, number] / known)
            assert each.rate.lower == pytest.approx(expected[number, number] / total)
            assert each.rate.upper == pytest.approx(
                (expected[number, number] + dark[number]) / total
            )
            assert each.interval[0] <= each.rate.lower <= each.rate.upper <= each.interval[1]
        elif total:
            assert found.precision[number].rate is None
            assert found.precision[number].unlabelled_share == 1
        else:
            assert number not in found.precision
        mass = sum(expected[number, predicted] for predicted in range(CLASSES))
        assert (number in found.recall) == (mass > 0)
        if mass:
            each = found.recall[number]
            others = sum(dark.values()) - dark[number]
            assert each.rate.value == pytest.approx(expected[number, number] / mass)
            assert each.rate.lower == pytest.approx(expected[number, number] / (mass + others))
            assert each.rate.upper == pytest.approx(
                (expected[number, number] + dark[number]) / (mass + dark[number])
            )
            assert each.interval[0] <= each.rate.lower <= each.rate.upper <= each.interval[1]


def test_nothing_counted_has_no_rates():
    found = post_stratified(NO_TALLY, NO_TALLY)
    assert found.accuracy.rate is None
    assert found.accuracy.unlabelled_share is None
    assert found.accuracy.difference is None
    assert (found.precision, found.recall) == ({}, {})
    unlabelled = post_stratified(cells([0], [3], [5]), NO_TALLY).accuracy
    assert (unlabelled.rate, unlabelled.unlabelled_share) == (None, 1)
    assert in_words(unlabelled, "accuracy") == (
        "The accuracy of all traffic cannot be told: no stratum of it has labels."
    )


def test_words_tell_the_difference_and_the_traffic_that_nobody_labels():
    everything = cells([0, 0, 0], [3, 14, 8], [1_000, 8_000, 1_000])
    labelled = cells([0, 1, 0], [3, 3, 14], [250, 250, 100])
    found = post_stratified(everything, labelled).accuracy
    assert found.rate.value == pytest.approx((500 + 8_000) / 9_000)
    assert found.differs
    assert in_words(found, "accuracy") == (
        "Labels are not like traffic: the accuracy of what was labelled, 58.3%, is lower than that "
        "of all traffic, about 94.4%. 10.0% of the traffic is like nothing that was labelled: the "
        "accuracy of all traffic lies between 85.0% and 95.0%."
    )


def test_scored_support_leaves_out_predictions_without_scores():
    labelled = cells([0, 0, 2], [1 << 4 | 3, 1 << 4 | 15, 2 << 4 | 0], [4, 9, 5])
    assert scored_support(labelled) == ({0: 4, 2: 5}, 9)


def test_counts_of_two_scopes_are_refused():
    with pytest.raises(ValueError, match="not counts of one scope"):
        strata_of(cells([0], [3], [1]), cells([0], [3], [2]))
