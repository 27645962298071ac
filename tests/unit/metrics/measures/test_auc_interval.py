"""The closed interval of an AUC against its definition pair by pair, and its coverage."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadline.metrics.measures.auc_interval import auc_interval
from leadline.metrics.measures.scores import from_codes
from leadline.records.scores import CODES

Z = 1.959963984540054


def scores_of(positives, negatives, missing=(0, 0)):
    table = np.zeros((2, CODES), np.int64)
    np.add.at(table[0], negatives, 1)
    np.add.at(table[1], positives, 1)
    return from_codes(0, table, missing)


def by_pairs(positives, negatives):
    """DeLong's variance from the matrix of all pairs."""
    order = np.sign(np.subtract.outer(positives, negatives)) / 2 + 0.5
    area = order.mean()
    variance = order.mean(axis=1).var(ddof=1) / len(positives)
    variance += order.mean(axis=0).var(ddof=1) / len(negatives)
    odds, half = np.log(area / (1 - area)), Z * np.sqrt(variance) / (area * (1 - area))
    return tuple(1 / (1 + np.exp(-(odds + side * half))) for side in (-1, 1))


@pytest.mark.parametrize("spread", [6, 400])  # many ties, few ties
def test_it_is_that_of_all_pairs(spread):
    rng = np.random.default_rng(spread)
    positives = rng.integers(100, 100 + spread, 80) + spread // 3
    negatives = rng.integers(100, 100 + spread, 300)
    assert auc_interval(scores_of(positives, negatives)) == pytest.approx(
        by_pairs(positives, negatives)
    )


def test_it_holds_the_area_and_covers_the_truth():
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(400):
        positives = (2000 + 300 * rng.normal(1.5, 1, 60)).astype(int).clip(0, CODES - 1)
        negatives = (2000 + 300 * rng.normal(0, 1, 120)).astype(int).clip(0, CODES - 1)
        lower, upper = auc_interval(scores_of(positives, negatives))
        truth = [1] * 60 + [0] * 120
        assert lower < roc_auc_score(truth, [*positives, *negatives]) < upper
        inside.append(lower < 0.8556 < upper)  # the normal distribution at 1.5 / sqrt 2
    assert 0.92 < np.mean(inside) < 0.98


def test_none_where_it_does_not_hold():
    many, few = np.arange(100, 140), np.arange(10, 39)
    assert auc_interval(scores_of(many, few)) is None
    assert auc_interval(scores_of(few, many)) is None
    assert auc_interval(scores_of(many + 50, many)) is None  # an area of 1
    assert auc_interval(scores_of(many + 3, many, missing=(0, 1))) is None
    assert auc_interval(scores_of(many + 3, many)) is not None
    assert auc_interval(scores_of(few[:0], few[:0])) is None
