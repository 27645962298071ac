"""Intervals at their edges, and warnings in words."""

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
    small_sample_words,
    weighted_intervals,
)
from leadline.records.intervals import wilson


def test_nothing_stands_behind_nothing():
    empty = confusion_from_dense(np.zeros((3, 3), np.int64))
    assert difference_interval(Rate(0, 0), Rate(1, 2)) is None
    assert paired_difference_interval(0, 0, 0) is None
    assert f1_interval(0, 0, 0) is None
    assert macro_intervals(empty).f1 is None
    assert weighted_intervals(empty).recall is None


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (0, "no label yet; 30 needed"),
        (1, "1 label: too few to tell; 29 more needed"),
        (12, "12 labels: too few to tell; 18 more needed"),
        (29, "29 labels: too few to tell; 1 more needed"),
        (30, None),
    ],
)
def test_small_sample_words(trials, words):
    assert small_sample_words(trials) == words


def test_difference_at_the_edges():
    """Newcombe's tables: 10 of 10 against 0 of 20, and 0 of 10 against 0 of 20."""
    assert difference_interval(Rate(10, 10), Rate(0, 20)) == pytest.approx((0.6791, 1), abs=5e-5)
    assert difference_interval(Rate(0, 10), Rate(0, 20)) == pytest.approx(
        (-0.1611, 0.2775), abs=5e-5
    )


@pytest.mark.parametrize("counts", [(0, 0, 1), (1, 0, 1), (0, 5, 5), (3, 9, 10**9), (7, 7, 20)])
def test_paired_difference_is_antisymmetric_and_holds_its_estimate(counts):
    first, second, pairs = counts
    lower, upper = paired_difference_interval(first, second, pairs)
    assert -1 <= lower <= (first - second) / pairs <= upper <= 1
    mirrored = paired_difference_interval(second, first, pairs)
    assert mirrored == pytest.approx((-upper, -lower), abs=1e-12)


def test_means_hold_their_estimate_and_one_class_is_its_own_mean():
    rng = np.random.default_rng(3)
    for size in (1, 2, 4, 9):
        for _ in range(20):
            matrix = confusion_from_dense(rng.poisson(0.7, (size, size)))
            if not matrix.total:
                continue
            counts = class_counts(matrix)
            for found, mean in (
                (macro_intervals(matrix), macro_average(counts)),
                (weighted_intervals(matrix), weighted_average(counts)),
            ):
                for name in ("precision", "recall", "f1"):
                    lower, upper = getattr(found, name)
                    assert 0 <= lower <= getattr(mean, name) + 1e-12
                    assert getattr(mean, name) - 1e-12 <= upper <= 1
            assert weighted_intervals(matrix).recall == wilson(matrix.correct, matrix.total)


def test_macro_recall_of_two_independent_classes():
    """By hand: half of each class's distances, squared and summed."""
    matrix = confusion_from_dense([[45, 5], [20, 60]])
    lower, _ = macro_intervals(matrix).recall
    one, other = wilson(45, 50)[0], wilson(60, 80)[0]
    expected = (0.9 + 0.75) / 2 - ((0.9 - one) ** 2 + (0.75 - other) ** 2) ** 0.5 / 2
    assert lower == pytest.approx(expected, abs=1e-12)


def test_a_class_that_was_never_predicted_says_nothing_of_its_precision():
    """Its precision enters as 0, and could be anything."""
    lower, upper = macro_intervals(confusion_from_dense([[50, 0], [10, 0]])).precision
    assert lower < 0.42
    assert upper > 0.9
