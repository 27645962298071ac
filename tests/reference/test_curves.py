"""AUC, average precision and curves against scikit-learn on the scores before they were coded."""

import warnings

import numpy as np
import pytest
from score_cases import Rows, dense_cells, erring, softmax, top_cells
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from leadline.metrics.measures.curves import (
    auc,
    average_precision,
    macro,
    precision_recall,
    roc,
    weighted,
)
from leadline.metrics.measures.scores import class_scores, pooled

ROUNDING = 1e-10


def measured(rows: Rows, cells, **options):
    return class_scores(cells, rows.support, len(rows.true), **options)


def check(rows: Rows, cells, **options) -> list[float]:
    """The exact figures of every class lie within the bounds; the widths of AUC bounds."""
    widths = []
    for found in measured(rows, cells, **options):
        true, scores = rows.is_true(found.number), rows.scores[:, found.number]
        area, precision = auc(found), average_precision(found)
        if not len(found.codes) or not true.any() or true.all():
            assert area is None
        else:
            exact = roc_auc_score(true, scores)
            assert area.lower - ROUNDING <= exact <= area.upper + ROUNDING
            assert area.lower <= area.value <= area.upper
            widths.append(area.upper - area.lower)
        if not len(found.codes) or not true.any():
            assert precision is None
        else:
            exact = average_precision_score(true, scores)
            assert precision.lower - ROUNDING <= exact <= precision.upper + ROUNDING
            assert precision.lower <= precision.value <= precision.upper
    return widths


def random_rows(rng) -> Rows:
    """Few or many rows, calm or over-confident, with ties, constants, zeros and ones."""
    count, classes = int(rng.choice([1, 2, 5, 40, 400])), int(rng.integers(2, 6))
    rows = erring(rng, count, classes, sharpness=float(rng.choice([0.3, 1, 4, 12, 40])))
    form = rng.choice(["as is", "rounded", "constant", "zero or one", "one class", "same code"])
    if form == "rounded":
        rows.scores = np.round(rows.scores, 1)
    elif form == "constant":
        rows.scores[:] = np.float32(rng.choice([0.0, 0.3, 0.5, 1.0]))
    elif form == "zero or one":
        rows.scores = (rows.scores > 0.5).astype(np.float32)
    elif form == "one class":
        rows.true[:] = 0
    elif form == "same code":
        rows.scores = rng.uniform(0.2501, 0.2502, rows.scores.shape).astype(np.float32)
    return rows


@pytest.mark.parametrize("seed", range(300))
def test_exact_figures_lie_within_the_bounds(seed):
    rows = random_rows(np.random.default_rng(seed))
    check(rows, dense_cells(rows))


@pytest.mark.parametrize("seed", range(40))
def test_exact_figures_lie_within_the_bounds_of_the_ten_best_of_300(seed):
    rng = np.random.default_rng(seed)
    rows = erring(rng, 300, 300, sharpness=float(rng.choice([0.5, 1, 3])), signal=4)
    rows.true %= int(rng.choice([3, 300]))
    check(rows, top_cells(rows))
    check(rows, top_cells(rows), missing_upper=1 / 11)


@pytest.mark.parametrize("seed", range(200))
def test_exact_figures_lie_within_the_bounds_of_few_kept_scores(seed):
    """Small enough that missing scores decide, where the true class is often missing too."""
    rng = np.random.default_rng(seed)
    rows = erring(rng, int(rng.integers(1, 30)), 6, sharpness=0.7, signal=0.5)
    check(rows, top_cells(rows, 2))
    check(rows, top_cells(rows, 1))
    free = Rows(rng.uniform(0, 1, rows.scores.shape).astype(np.float32), rows.true)
    check(free, top_cells(free, 2), missing_upper=1.0)


def test_a_bound_that_does_not_hold_is_noticed():
    """The negative control: missing scores beyond `missing_upper` leave the bounds."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(50):
        rows = Rows(rng.uniform(0.2, 1, (20, 5)).astype(np.float32), rng.integers(5, size=20))
        try:
            check(rows, top_cells(rows, 2), missing_upper=0.01)
        except AssertionError:
            missed += 1
    assert missed > 10


@pytest.mark.parametrize(
    ("share", "sharpness", "error_max"), [(0.0, 1.0, 5e-5), (0.19, 3.6, 3e-5), (0.56, 8.8, 3e-5)]
)
def test_auc_of_over_confident_models_that_err(share, sharpness, error_max):
    """50,000 events of 10 classes; AUC is about 0.9 however confident the model is.

    The share is that of rows whose best score is above 0.99. Calm models err a little more, since
    their scores lie in fewer codes.
    """
    rng = np.random.default_rng(0)
    true = rng.integers(10, size=50_000)
    logits = rng.normal(0, 1, (50_000, 10))
    logits[np.arange(50_000), true] += 1.8
    scores = softmax(logits * sharpness)
    assert (scores.max(axis=1) > 0.99).mean() == pytest.approx(share, abs=0.03)
    rows = Rows(scores, true)
    found = measured(rows, dense_cells(rows))
    for each in found:
        exact = roc_auc_score(rows.is_true(each.number), scores[:, each.number])
        area = auc(each)
        assert 0.85 < exact < 0.95
        assert abs(area.value - exact) <= error_max
        assert area.lower - ROUNDING <= exact <= area.upper + ROUNDING
        assert area.upper - area.lower <= 0.01


def test_means_lie_within_their_bounds():
    rows = erring(np.random.default_rng(3), 2_000, 5, 3.0)
    found = measured(rows, dense_cells(rows))
    areas, precisions = [auc(each) for each in found], [average_precision(each) for each in found]
    weights = [each.positives_total for each in found]
    hot = np.eye(5)[rows.true]
    everything = pooled(found)
    for ours, reference, average in [
        (macro(areas), roc_auc_score, "macro"),
        (weighted(areas, weights), roc_auc_score, "weighted"),
        (auc(everything), roc_auc_score, "micro"),
        (macro(precisions), average_precision_score, "macro"),
        (weighted(precisions, weights), average_precision_score, "weighted"),
        (average_precision(everything), average_precision_score, "micro"),
    ]:
        exact = reference(hot, rows.scores, average=average)
        assert ours.lower - ROUNDING <= exact <= ours.upper + ROUNDING
        assert ours.value == pytest.approx(exact, abs=1e-3)


def test_curves_are_those_of_the_scores_at_every_boundary_of_codes():
    rows = erring(np.random.default_rng(4), 3_000, 4, 6.0)
    for found in measured(rows, dense_cells(rows)):
        true, scores = rows.is_true(found.number), rows.scores[:, found.number]
        ours = roc(found)
        x, y, at = roc_curve(true, scores, drop_intermediate=False)
        place = np.searchsorted(-at, -ours.threshold, side="right") - 1
        assert ours.x == pytest.approx(x[place])
        assert ours.y == pytest.approx(y[place])
        assert ours.exact_points == len(ours.x)
        ours = precision_recall(found)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y, x, at = precision_recall_curve(true, scores)
        place = np.searchsorted(at, ours.threshold[1:])
        assert ours.x[1:] == pytest.approx(x[place])
        assert ours.y[1:] == pytest.approx(y[place])
        assert (ours.x[0], ours.y[0]) == (0, 1)
