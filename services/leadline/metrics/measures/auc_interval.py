"""The interval of an AUC in closed form, for many classes; the bootstrap is in `resampling`.

E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more
correlated receiver operating characteristic curves", Biometrics 44 (1988), 837-845: the variance
of the area out of the share of negatives below each positive and of positives above each negative.
The interval is formed on the log-odds of the area, so it stays within (0, 1) and is not too narrow
near 1.
"""

from __future__ import annotations

import math

import numpy as np

from leadline.metrics.core.figures import LABELS_FEW
from leadline.metrics.measures.scores import ClassScores
from leadline.records.intervals import Z95


def auc_interval(scores: ClassScores, z: float = Z95) -> tuple[float, float] | None:
    """Interval of the AUC of the codes, within (0, 1).

    None where it does not hold: fewer than 30 positives or negatives, scores that are missing, or
    an area of 0 or 1, whose variance this method takes to be 0.
    """
    ones, zeros = scores.positives.astype(np.float64), scores.negatives.astype(np.float64)
    p, n = float(ones.sum()), float(zeros.sum())
    if not scores.is_complete or min(p, n) < LABELS_FEW:
        return None
    below = (zeros.cumsum() - zeros / 2) / n  # of each positive: negatives it stands above
    above = (p - ones.cumsum() + ones / 2) / p  # of each negative: positives that stand above it
    area = float(ones @ below) / p
    variance = float(ones @ (below - area) ** 2) / (p * (p - 1))
    variance += float(zeros @ (above - area) ** 2) / (n * (n - 1))
    if not 0 < area < 1 or variance <= 0:
        return None
    odds = math.log(area / (1 - area))
    half = z * math.sqrt(variance) / (area * (1 - area))
    return 1 / (1 + math.exp(half - odds)), 1 / (1 + math.exp(-half - odds))
