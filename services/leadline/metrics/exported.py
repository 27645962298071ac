"""What the exporter tells of scores and of single classes, out of counts; nothing here reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadline.metrics.core.figures import ClassFigures, Tally
from leadline.metrics.measures import curves
from leadline.metrics.measures.auc_interval import auc_interval
from leadline.metrics.measures.curves import Bounded
from leadline.metrics.measures.scores import ClassScores, class_scores
from leadline.metrics.measures.strata import Reweighted, accuracy_of_traffic, scored_support
from leadline.metrics.measures.thresholds import Choice, Unmet, best_f1, threshold_table
from leadline.metrics.measures.uncertainty import Interval, f1_interval
from leadline.metrics.scored import ScoredCounts


@dataclass(frozen=True, slots=True)
class ExportedClass:
    """The figures of one class in one window.

    Attributes:
        figures: of the window itself.
        auc, auc_interval, best: over the whole hours that the window touches; None where there are
            no scores, and `best` where no threshold has an F1 above 0.
    """

    figures: ClassFigures
    auc: Bounded | None = None
    auc_interval: Interval | None = None
    best: Choice | None = None

    @property
    def f1_interval(self) -> Interval | None:
        """95 %; None where the class was neither labelled nor predicted of a labelled input."""
        right = self.figures.recall.successes
        wrong = self.figures.precision.trials - right
        return f1_interval(right, wrong, self.figures.support - right)


def exported_classes(
    classes: Sequence[ClassFigures], counts: ScoredCounts | None
) -> list[ExportedClass]:
    """The figures of some classes.

    Args:
        classes: those to tell.
        counts: scores and strata of the whole hours; None where they are not told.
    """
    scores = _scores([each.number for each in classes], counts) if counts else {}
    return [_exported(each, scores.get(each.number)) for each in classes]


def accuracy_of_all(counts: ScoredCounts | None) -> Reweighted | None:
    """The accuracy reweighted from labelled to all predictions; None where strata are not told."""
    if counts is None or not counts.strata.total:
        return None
    return accuracy_of_traffic(counts.strata, counts.labelled)


def _exported(figures: ClassFigures, scores: ClassScores | None) -> ExportedClass:
    if scores is None:
        return ExportedClass(figures)
    best = best_f1(threshold_table(scores))
    return ExportedClass(
        figures=figures,
        auc=curves.auc(scores),
        auc_interval=auc_interval(scores),
        best=None if isinstance(best, Unmet) or math.isinf(best.threshold) else best,
    )


def _scores(numbers: list[int], counts: ScoredCounts) -> dict[int, ClassScores]:
    """The scores of some classes; empty where strata do not tell which predictions have scores."""
    cells, wanted = counts.scores, np.array(sorted(numbers), np.uint64)
    mask = np.isin(cells.index >> np.uint64(32), wanted)
    support, labelled = scored_support(counts.labelled)
    own = {number: support[number] for number in numbers if number in support}
    try:
        found = class_scores(Tally(cells.index[mask], cells.count[mask]), own, labelled)
    except ValueError:  # strata are not counted, or the predicted class's score was not kept
        return {}
    return {each.number: each for each in found if len(each.codes)}
