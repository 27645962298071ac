"""Scores of classes: ranges of codes, missing scores, display histograms."""

import numpy as np
import pytest
from score_cases import Rows, dense_cells, erring, top_cells

from leadline.metrics.core.figures import NO_TALLY
from leadline.metrics.measures.curves import Curve, auc, average_precision, precision_recall, roc
from leadline.metrics.measures.scores import (
    ClassScores,
    class_scores,
    code_range,
    from_codes,
    histogram,
    pooled,
)
from leadline.records.scores import CODES, HALF, score_codes


def neighbours(rng):
    """Float32 scores around every beginning of a code, and random ones."""
    edges = (np.arange(HALF + 1, dtype=np.uint32) << np.uint32(18)).view(np.float32)
    near = [edges, np.nextafter(edges, np.float32(2)), np.nextafter(edges, np.float32(-1))]
    near.append(rng.uniform(0, 1, 20_000).astype(np.float32))
    below = np.clip(np.concatenate(near), 0, 1)
    return np.concatenate([below, np.float32(1) - below])


def test_the_range_of_a_code_holds_exactly_its_scores():
    scores = neighbours(np.random.default_rng(0))
    codes = score_codes(scores)
    least, most = code_range(codes)
    assert (least <= scores).all()
    assert (scores <= most).all()
    used = np.unique(codes)
    least, most = code_range(used)
    assert (score_codes(least.astype(np.float32)) == used).all()
    assert (score_codes(most.astype(np.float32)) == used).all()
    assert (least[1:] > most[:-1]).all()


def test_codes_near_one_are_one_score():
    least, most = code_range(score_codes(np.array([1.0, 1 - 2**-24, 1 - 2**-19, 0.5], np.float32)))
    assert (least == most).all()
    least, most = code_range([*range(CODES)])
    single = (least == most) & (np.arange(CODES) > HALF + 1)
    assert least[single].min() < 1 - 2**-20
    assert (most - least)[least < 0.9999].max() < 1 / 32


def test_dense_scores_are_counted_as_they_are():
    rows = erring(np.random.default_rng(1), 500, 4, 5.0)
    for each in class_scores(dense_cells(rows), rows.support, 500):
        codes = score_codes(rows.scores[:, each.number])
        true = rows.is_true(each.number)
        assert each.codes.tolist() == sorted(set(codes.tolist()))
        assert each.positives.tolist() == [int((codes[true] == c).sum()) for c in each.codes]
        assert each.negatives.tolist() == [int((codes[~true] == c).sum()) for c in each.codes]
        assert each.is_complete


def test_missing_scores_are_what_support_has_more():
    rows = erring(np.random.default_rng(2), 300, 30, 0.5)
    found = class_scores(top_cells(rows, 3), rows.support, 300)
    assert sum(int(each.positives.sum()) + int(each.negatives.sum()) for each in found) == 900
    for each in found:
        assert each.positives_total == rows.support[each.number]
        assert each.negatives_total == 300 - rows.support[each.number]
    assert pooled(found) is None


def test_a_class_without_scores_has_no_figures():
    (only,) = class_scores(NO_TALLY, {7: 3, 8: 0}, 5)
    assert (only.number, only.missing_positives, only.missing_negatives) == (7, 3, 2)
    assert auc(only) is None
    assert average_precision(only) is None
    assert class_scores(NO_TALLY, {}, 0) == []
    assert pooled([]) is None


def test_counts_of_two_scopes_are_refused():
    rows = erring(np.random.default_rng(3), 50, 3, 1.0)
    with pytest.raises(ValueError, match="not of one scope"):
        class_scores(dense_cells(rows), {0: 1, 1: 1, 2: 1}, 3)


def test_a_histogram_conserves_counts_and_order():
    rng = np.random.default_rng(4)
    scores = np.concatenate([rng.beta(0.2, 0.2, 5_000), [0, 1, 0.5, 1e-40]]).astype(np.float32)
    pairs = Rows(np.stack([scores, 1 - scores], axis=1), rng.integers(2, size=len(scores)))
    for each in class_scores(dense_cells(pairs), pairs.support, len(scores)):
        found = histogram(each)
        assert found.positives.sum() == each.positives.sum()
        assert found.negatives.sum() == each.negatives.sum()
        assert found.edges[[0, -1]] == pytest.approx([1e-4, 1 - 1e-4])
        exact = np.histogram(pairs.scores[:, each.number], np.r_[0, found.edges[1:-1], 1])[0]
        moved = np.abs(np.cumsum(found.positives + found.negatives - exact)).max()
        assert moved < 0.01 * len(scores)


def drawn(curve: Curve, columns: int):
    """By column: first, last, lowest and highest y."""
    column = np.minimum((curve.x * columns).astype(int), columns - 1)
    return {
        c: (ys[0], ys[-1], ys.min(), ys.max())
        for c in sorted(set(column.tolist()))
        for ys in [curve.y[column == c]]
    }


@pytest.mark.parametrize("points_max", [4, 40, 400])
def test_a_thinned_curve_draws_the_same_picture(points_max):
    rows = erring(np.random.default_rng(5), 20_000, 3, 4.0)
    for each in class_scores(dense_cells(rows), rows.support, 20_000):
        for curve in (roc(each), precision_recall(each)):
            thin = curve.thinned(points_max)
            assert len(thin.x) <= points_max < len(curve.x)
            assert drawn(thin, points_max // 4) == drawn(curve, points_max // 4)
            assert (thin.x[0], thin.x[-1]) == (curve.x[0], curve.x[-1])
            assert (np.diff(thin.threshold) < 0).all()
            assert thin.exact_points == len(thin.x)
            assert curve.thinned(10**6) is curve


def test_points_that_depend_on_missing_scores_are_not_called_exact():
    table = np.zeros((2, CODES), np.int64)
    high, low = score_codes(np.array([0.75, 0.25], np.float32)).tolist()
    table[1, [high, low]] = 2, 1
    table[0, [high, low]] = 1, 3
    curve = roc(from_codes(0, table, missing=(1, 4)))
    assert curve.x.tolist() == [0, 1 / 8, 4 / 8, 1]
    assert curve.y.tolist() == [0, 2 / 4, 3 / 4, 1]
    assert curve.threshold[[0, 3]].tolist() == [np.inf, 0]
    assert curve.exact_points == 2
    assert curve.thinned(4) is curve


def test_one_sided_classes_have_no_roc():
    table = np.zeros((2, CODES), np.int64)
    assert precision_recall(from_codes(0, table)) is None
    table[1, 9] = 5
    only: ClassScores = from_codes(0, table)
    assert roc(only) is None
    assert auc(only) is None
    assert average_precision(only).lower == 1
    assert precision_recall(only).y.tolist() == [1, 1]
