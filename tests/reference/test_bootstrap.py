"""Figures of binned curves against scikit-learn, and the coverage of their intervals."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from leadline.metrics.measures.resampling import (
    auc,
    average_precision,
    best_f1,
    bootstrap_interval,
)

CODES = 60


def sample(rng, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts by code of two overlapping normal scores."""
    return tuple(
        np.bincount(
            np.clip(np.round(rng.normal(mean, 8, size)), 0, CODES - 1).astype(int), minlength=CODES
        )
        for mean, size in ((36, positives), (26, negatives))
    )


def test_figures_equal_scikit_learn():
    """On the codes as scores: ties, empty codes, one positive."""
    rng = np.random.default_rng(0)
    for sizes in ((1, 5), (7, 3), (50, 200), (300, 20)):
        ones, zeros = sample(rng, *sizes)
        codes = np.arange(CODES)
        scores = np.concatenate([np.repeat(codes, ones), np.repeat(codes, zeros)])
        truth = np.repeat([1, 0], [ones.sum(), zeros.sum()])
        counts = ones.astype(float), zeros.astype(float)
        assert auc(*counts) == pytest.approx(roc_auc_score(truth, scores))
        assert average_precision(*counts) == pytest.approx(average_precision_score(truth, scores))
        precision, recall, _ = precision_recall_curve(truth, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best_f1(*counts) == pytest.approx(f1.max())


@pytest.mark.parametrize(("figure", "least"), [(auc, 0.93), (average_precision, 0.92)])
def test_intervals_cover(figure, least):
    """Nominal 95 %; the percentile bootstrap of some 100 positives comes close to it."""
    rng = np.random.default_rng(5)
    truth = float(figure(*(each.astype(float) for each in sample(rng, 4_000_000, 8_000_000))))
    hits = []
    for _ in range(400):
        found = bootstrap_interval(*sample(rng, 100, 200), figure, rng, 300)
        hits.append(found.lower <= truth <= found.upper)
    assert least <= np.mean(hits) <= 0.975
