"""Log loss and Brier score against scikit-learn, reliability and ECE against loops over rows."""

import warnings

import numpy as np
import pytest
from score_cases import Rows, dense_cells, erring, top_cells
from sklearn.metrics import brier_score_loss, log_loss

from leadline.metrics.core.figures import NO_TALLY, tally
from leadline.metrics.measures import calibration
from leadline.metrics.measures.calibration import (
    brier,
    class_ece,
    expected_error,
    multiclass_brier,
    reliability,
    top_label_reliability,
)
from leadline.metrics.measures.scores import class_scores
from leadline.records.intervals import wilson
from leadline.records.scores import code_midpoint, confidence_bands, score_codes

ROUNDING = 2e-6
"""scikit-learn computes with float32 where scores are."""


def within(found, exact, rounding=1e-9):
    assert found.lower - rounding <= exact <= found.upper + rounding
    assert found.lower <= found.value <= found.upper


def random_rows(rng) -> Rows:
    size, classes = int(rng.choice([1, 3, 30, 500])), int(rng.integers(2, 6))
    rows = erring(rng, size, classes, float(rng.choice([0.3, 1, 5, 30])))
    if rng.random() < 0.2:
        rows.scores = (rows.scores >= rows.scores.max(axis=1, keepdims=True)).astype(np.float32)
        rows.scores /= rows.scores.sum(axis=1, keepdims=True)
    return rows


def check(rows: Rows, found) -> None:
    """Log loss and Brier scores lie within the bounds."""
    classes = rows.scores.shape[1]
    hot = np.eye(classes)[rows.true]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class alone, or float32 that sum to 0.9999999
        exact = log_loss(rows.true, rows.scores, labels=range(classes))
    loss = calibration.log_loss(found)
    if loss is None:
        assert not any(each.positives.any() for each in found)
    else:
        within(loss, exact, ROUNDING * max(exact, 1))
    wide = rows.scores.astype(np.float64)
    within(multiclass_brier(found), ((wide - hot) ** 2).sum(axis=1).mean())
    for each in found:
        if not len(each.codes):
            assert brier(each) is None
            assert class_ece(each) is None
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exact = brier_score_loss(
                rows.is_true(each.number), wide[:, each.number], pos_label=True
            )
        within(brier(each), exact)


@pytest.mark.parametrize("seed", range(150))
def test_losses_lie_within_their_bounds(seed):
    rows = random_rows(np.random.default_rng(seed))
    found = class_scores(dense_cells(rows), rows.support, len(rows.true))
    check(rows, found)


@pytest.mark.parametrize("seed", range(60))
def test_losses_lie_within_their_bounds_where_scores_are_missing(seed):
    rng = np.random.default_rng(seed)
    few = erring(rng, int(rng.integers(1, 40)), 6, 0.7, signal=0.5)
    check(few, class_scores(top_cells(few, 2), few.support, len(few.true)))
    check(few, class_scores(top_cells(few, 2), few.support, len(few.true), 1.0))
    many = erring(rng, 60, 300, 1.0, signal=4)
    for upper in (0.5, 1 / 11):
        check(many, class_scores(top_cells(many), many.support, 60, upper))


def test_values_are_close_on_many_rows():
    rows = erring(np.random.default_rng(1), 20_000, 5, 3.0)
    found = class_scores(dense_cells(rows), rows.support, 20_000)
    exact = log_loss(rows.true, rows.scores)
    assert calibration.log_loss(found).value == pytest.approx(exact, rel=1e-4)
    exact = brier_score_loss(rows.true, rows.scores, scale_by_half=False)
    assert multiclass_brier(found).value == pytest.approx(exact, rel=1e-4)
    assert multiclass_brier(found).upper - multiclass_brier(found).lower < 0.01


def slow_bins(codes, true, scores, bins):
    """(rows, positives, mean score) of each bin, by a loop over codes."""
    total, before, found = len(codes), 0, {}
    for code in sorted(set(codes.tolist())):
        at = codes == code
        place = min(int((before + at.sum() / 2) * bins / total), bins - 1)
        before += int(at.sum())
        found.setdefault(place, []).append(at)
    members = [np.logical_or.reduce(found[place]) for place in sorted(found)]
    return [(at.sum(), true[at].sum(), scores[at].astype(float).mean()) for at in members]


@pytest.mark.parametrize("seed", range(80))
def test_reliability_and_ece_equal_a_slow_loop(seed):
    rows = random_rows(np.random.default_rng(seed))
    for each in class_scores(dense_cells(rows), rows.support, len(rows.true)):
        true, scores = rows.is_true(each.number), rows.scores[:, each.number]
        slow = slow_bins(score_codes(scores), true, scores, 10)
        found = reliability(each, 10)
        assert [(b.rate.trials, b.rate.successes) for b in found] == [s[:2] for s in slow]
        for ours, (trials, wins, mean) in zip(found, slow, strict=True):
            within(ours.mean, mean)
            within(ours.gap, abs(wins / trials - mean))
            assert ours.rate.interval == wilson(int(wins), int(trials))
        exact = sum(trials * abs(wins / trials - mean) for trials, wins, mean in slow)
        within(class_ece(each, 10), exact / len(true))


@pytest.mark.parametrize("seed", range(30))
def test_ece_lies_within_its_bounds_where_scores_are_missing(seed):
    rng = np.random.default_rng(seed)
    rows = erring(rng, 200, 6, 0.8, signal=1)
    kept = np.argsort(-rows.scores, axis=1, kind="stable")[:, :2]
    for each in class_scores(top_cells(rows, 2), rows.support, 200):
        at = (kept == each.number).any(axis=1)
        true, scores = rows.is_true(each.number), rows.scores[:, each.number]
        slow = slow_bins(score_codes(scores[at]), true[at], scores[at], 10)
        slow.append(((~at).sum(), true[~at].sum(), scores[~at].astype(float).mean()))
        exact = sum(trials * abs(wins / trials - mean) for trials, wins, mean in slow) / 200
        within(class_ece(each, 10), exact)


def test_bins_hold_about_the_same_number_of_rows():
    rows = erring(np.random.default_rng(2), 12_000, 3, 1.0)
    for each in class_scores(dense_cells(rows), rows.support, 12_000):
        sizes = [one.rate.trials for one in reliability(each)]
        assert len(sizes) == 12
        assert min(sizes) > 800
        assert max(sizes) < 1_200


def test_top_label_reliability_equals_a_slow_loop():
    rows = erring(np.random.default_rng(3), 5_000, 4, 3.0)
    predicted, best = rows.scores.argmax(axis=1), rows.scores.max(axis=1)
    band = confidence_bands(score_codes(best)).astype(np.int64)
    band[:50] = 15
    index = rows.true << 32 | predicted << 4 | band
    found = top_label_reliability(tally(index.astype(np.uint64), np.ones(5_000, np.int64)))
    shown = sorted(set(band.tolist()) - {15})
    assert len(found) == len(shown) > 8
    for ours, number in zip(found, shown, strict=True):
        at = band == number
        assert (ours.rate.trials, ours.rate.successes) == (
            at.sum(),
            (rows.true == predicted)[at].sum(),
        )
        within(ours.mean, best[at].astype(float).mean())
    known = band != 15
    right = rows.true == predicted
    gaps = [
        abs(right[band == number].sum() - best[band == number].astype(float).sum())
        for number in shown
    ]
    within(expected_error(found), sum(gaps) / known.sum())


def test_the_middle_of_a_code_is_within_its_float32_range():
    rows = erring(np.random.default_rng(4), 300, 3, 5.0)
    for each in class_scores(dense_cells(rows), rows.support, 300):
        middle = code_midpoint(each.codes)
        assert (np.abs((each.lower + each.upper) / 2 - middle) < 1e-7).all()


def test_nothing_kept_has_no_figures():
    assert calibration.log_loss([]) is None
    assert multiclass_brier([]) is None
    assert expected_error([]) is None
    assert top_label_reliability(NO_TALLY) == ()
    (only,) = class_scores(NO_TALLY, {3: 2}, 4)
    assert reliability(only) == ()
    assert class_ece(only) is None
    assert brier(only) is None
    assert calibration.log_loss([only]) is None
