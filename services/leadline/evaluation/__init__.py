"""Figures of predictions and labels that are at hand: no server, the services' own arithmetic.

import leadline

result = leadline.evaluate(y_true, scores, classes=["cat", "dog", "fox"])
result.accuracy, result.per_class(), result.confusion
result.auc, result.calibration, result.best_threshold("fox", need="recall>=0.95")
leadline.compare(y_true, scores, other_scores).words
"""

from leadline.evaluation.columns import UNLABELLED
from leadline.evaluation.result import Evaluation, Rows, counted, evaluate
from leadline.evaluation.scored import BestThreshold
from leadline.evaluation.versions import VersionComparison, compare, compared

__all__ = [
    "UNLABELLED",
    "BestThreshold",
    "Evaluation",
    "Rows",
    "VersionComparison",
    "compare",
    "compared",
    "counted",
    "evaluate",
]
