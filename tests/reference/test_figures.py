"""Every figure against scikit-learn or scipy, after every single event."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from leadline.metrics.core.figures import (
    NO_TALLY,
    Rate,
    Tally,
    class_counts,
    confusion_from_dense,
    confusion_of,
    delay_of,
    figures,
    tally,
    top_k,
    wilson,
    worst_class,
)
from leadline.records.cells import RANK_NONE, delay_bin

CLOSE = 1e-12


def counts(pairs: list[tuple[int, int]]) -> Tally:
    index = np.array([first << 32 | second for first, second in pairs], np.uint64)
    return tally(index, np.ones(len(index), np.int64))


def figures_of(true: list[int], predicted: list[int], declared: int = 0):
    everything = tally(np.array(predicted, np.uint64), np.ones(len(predicted), np.int64))
    pairs = confusion_of(counts(list(zip(true, predicted, strict=True))))
    return figures(everything, pairs, NO_TALLY, NO_TALLY, declared)


def check(true: list[int], predicted: list[int]) -> None:
    """All figures of these labelled predictions equal scikit-learn's."""
    found = figures_of(true, predicted)
    classes = sorted(set(true) | set(predicted))
    assert found.accuracy.value == pytest.approx(accuracy_score(true, predicted), abs=CLOSE)
    for average, ours in (
        ("macro", found.macro),
        ("micro", found.micro),
        ("weighted", found.weighted),
    ):
        reference = precision_recall_fscore_support(
            true, predicted, labels=classes, average=average, zero_division=0
        )[:3]
        assert [ours.precision, ours.recall, ours.f1] == pytest.approx(reference, abs=CLOSE)
    each = precision_recall_fscore_support(
        true, predicted, labels=classes, average=None, zero_division=np.nan
    )
    assert [one.number for one in found.classes] == classes
    for place, one in enumerate(found.classes):
        precision, recall, f1, support = (float(column[place]) for column in each)
        assert one.support == support
        for ours, reference in ((one.precision.value, precision), (one.recall.value, recall)):
            assert (math.nan if ours is None else ours) == pytest.approx(reference, nan_ok=True)
        assert one.f1 == pytest.approx(f1, abs=CLOSE)


def test_figures_equal_scikit_learn_after_every_event():
    """A stream with errors, rare classes and classes that appear late."""
    rng = np.random.default_rng(20240517)
    true, predicted = [], []
    for event in range(150):
        classes = 2 + event // 15
        truth = int(rng.integers(0, classes))
        true.append(truth)
        predicted.append(truth if rng.random() < 0.7 else int(rng.integers(0, classes + 1)))
        check(true, predicted)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_figures_equal_scikit_learn_on_any_pairs(pairs):
    check([true for true, _ in pairs], [predicted for _, predicted in pairs])


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([3], [3]),
        ([0, 0, 0], [0, 0, 0]),
        ([0, 0, 0], [1, 1, 1]),
        ([0, 1], [1, 0]),
        ([0, 0, 1, 2], [0, 0, 0, 0]),
        ([4_000_000_000, 0], [4_000_000_000, 4_000_000_000]),
    ],
    ids=["one event", "one class", "never right", "ties", "never predicted", "huge number"],
)
def test_figures_at_the_edges(true, predicted):
    check(true, predicted)


def test_nothing_is_undefined_not_zero():
    """Without a label every figure is None; a class that was never predicted has no precision."""
    found = figures_of([], [], declared=2)
    assert (found.accuracy.value, found.accuracy.interval, found.coverage.value) == (None,) * 3
    for average in (found.macro, found.micro, found.weighted):
        assert (average.precision, average.recall, average.f1) == (None, None, None)
    assert [(one.number, one.precision.value, one.f1) for one in found.classes] == [
        (0, None, None),
        (1, None, None),
    ]
    assert found.worst_class is None
    assert (found.delay.p50_seconds, found.delay.p95_seconds, found.delay.count) == (None, None, 0)
    never_predicted = figures_of([0, 1], [0, 0]).classes[1]
    assert never_predicted.precision.value is None
    assert (never_predicted.recall.value, never_predicted.f1) == (0.0, 0.0)


def test_predictions_without_a_label_count_for_coverage_alone():
    labelled = confusion_of(counts([(1, 1)]))
    everything = tally(np.array([1, 1, 2], np.uint64), np.ones(3, np.int64))
    found = figures(everything, labelled, NO_TALLY, NO_TALLY)
    assert found.coverage == Rate(1, 3)
    assert [(one.number, one.support, one.predicted) for one in found.classes] == [
        (1, 1, 2),
        (2, 0, 1),
    ]
    assert found.macro.precision == 1.0


def test_a_class_list_that_grows_moves_no_figure():
    """Declared classes are listed; they enter a mean once they are labelled or predicted."""
    small, large = figures_of([0, 1, 1], [0, 1, 0]), figures_of([0, 1, 1], [0, 1, 0], declared=5)
    assert large.macro == small.macro
    assert large.weighted == small.weighted
    assert [one.number for one in large.classes] == [0, 1, 2, 3, 4]


def test_the_dense_form_is_the_matrix_of_scikit_learn():
    """Rows are true classes."""
    true, predicted = [0, 0, 1, 2, 2, 2], [0, 1, 1, 0, 2, 2]
    dense = confusion_from_dense(confusion_matrix(true, predicted))
    sparse = confusion_of(counts(list(zip(true, predicted, strict=True))))
    for name in ("true", "predicted", "count"):
        assert getattr(dense, name).tolist() == getattr(sparse, name).tolist()


@pytest.mark.parametrize("trials", [1, 2, 7, 30, 1000])
def test_wilson_equals_scipy(trials):
    for successes in range(0, trials + 1, max(1, trials // 10)):
        reference = binomtest(successes, trials).proportion_ci(0.95, "wilson")
        assert wilson(successes, trials) == pytest.approx((reference.low, reference.high))


def test_wilson_is_exact_at_the_ends():
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) is None


def test_top_k_equals_scikit_learn_after_every_event():
    rng = np.random.default_rng(7)
    classes, pairs, true, scores = 12, [], [], []
    for _ in range(60):
        score = rng.permutation(classes) / classes
        truth = int(rng.integers(0, classes))
        rank = int(np.flatnonzero(np.argsort(-score) == truth)[0])
        pairs.append((truth, min(rank, RANK_NONE)))
        true.append(truth)
        scores.append(score)
        for k, rate in top_k(counts(pairs)):
            reference = top_k_accuracy_score(true, np.array(scores), k=k, labels=range(classes))
            assert rate.value == pytest.approx(reference)


def test_top_k_is_silent_where_scores_end():
    """Three known scores and a true class beyond them: top-5 cannot be told, top-3 can."""
    found = top_k(counts([(0, 0), (1, 2), (2, RANK_NONE)]))
    assert found == ((2, Rate(1, 3)), (3, Rate(2, 3)))
    assert top_k(counts([(0, RANK_NONE)])) == ()
    assert top_k(NO_TALLY) == ()


def test_worst_class_needs_labels_and_breaks_ties_by_number():
    few = [(0, 1)] * 29
    assert worst_class(class_counts(confusion_of(counts(few)))) is None
    tied = [(5, 0)] * 30 + [(2, 0)] * 30 + [(0, 0)] * 30
    assert worst_class(class_counts(confusion_of(counts(few + tied)))) == 2


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_delay_quantiles_bound_the_true_ones(delays_ms):
    """At most 1/8 (and the one added millisecond) above the inverted empirical distribution."""
    bins = delay_bin(np.array(delays_ms, np.int64))
    found = delay_of(tally(bins, np.ones(len(bins), np.int64)))
    for share, ours in ((0.5, found.p50_seconds), (0.95, found.p95_seconds)):
        exact = np.quantile(delays_ms, share, method="inverted_cdf") / 1000
        assert exact <= ours * (1 + 1e-6)
        assert ours <= (exact + 0.001) * 1.125 * (1 + 1e-6)
    assert sum(count for _, count in found.bins) == len(delays_ms)
