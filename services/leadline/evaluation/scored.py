"""Figures of scores out of counted rows: the services' own measures, asked in their way. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadline.evaluation.counts import RowCounts
from leadline.evaluation.goals import Goal
from leadline.metrics.core.figures import Figures, confusion_of
from leadline.metrics.measures import calibration, curves
from leadline.metrics.measures.advice import Advice, Findings, Reweighting, advice
from leadline.metrics.measures.calibration import ReliabilityBin
from leadline.metrics.measures.curves import Bounded, Curve
from leadline.metrics.measures.scores import ClassScores, class_scores
from leadline.metrics.measures.strata import PostStratified, post_stratified, scored_support
from leadline.metrics.measures.thresholds import (
    Choice,
    Unmet,
    best_under,
    optimism,
    threshold_table,
)


@dataclass(frozen=True, slots=True)
class ClassAreas:
    """Areas of one class against the rest; None where one side has no label.

    Attributes:
        auc: area under the ROC curve.
        average_precision: of the precision-recall curve.
    """

    auc: Bounded | None
    average_precision: Bounded | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether scores mean what they say.

    Attributes:
        log_loss: mean of -log of the true class's score, nats.
        brier: mean of the squared distances of all scores, 0 to 2.
        error: expected calibration error of the predicted class's score, 0 to 1.
        bins: share of right predictions by band of confidence.
    """

    log_loss: Bounded | None
    brier: Bounded | None
    error: Bounded | None
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The best threshold of a class, and how far to believe it.

    Attributes:
        class_name: "positive" is a score of this class at or above the threshold.
        goal: what was asked.
        choice: the threshold with its figures; None where none reaches the goal.
        reason: why there is none; else empty.
        optimism: how much better the goal's figure looks on these labels than on others; None
            where it cannot be told.
    """

    class_name: str
    goal: Goal
    choice: Choice | None
    reason: str = ""
    optimism: float | None = None

    @property
    def threshold(self) -> float | None:
        """The score from which on the class is predicted, at most 1; None where there is none."""
        return None if self.choice is None else min(self.choice.threshold, 1.0)


def scores_by_class(counts: RowCounts, figures: Figures) -> list[ClassScores]:
    """The scores of every class with labels; empty without scores."""
    if not len(counts.scores.count):
        return []
    support, labelled = scored_support(counts.labelled)
    try:
        return class_scores(counts.scores, support, labelled)
    except ValueError:  # the score of a stated class is not among those that are kept
        support = {each.number: each.support for each in figures.classes if each.support}
        return class_scores(counts.scores, support, figures.accuracy.trials)


def areas(scores: Sequence[ClassScores]) -> dict[int, ClassAreas]:
    """Areas by class number."""
    return {
        each.number: ClassAreas(curves.auc(each), curves.average_precision(each)) for each in scores
    }


def both_curves(scores: ClassScores) -> tuple[Curve | None, Curve | None]:
    """The ROC and the precision-recall curve."""
    return curves.roc(scores), curves.precision_recall(scores)


def calibration_of(counts: RowCounts, scores: Sequence[ClassScores]) -> Calibration | None:
    """Calibration of all rows; None without scores."""
    if not scores:
        return None
    bins = calibration.top_label_reliability(counts.labelled)
    return Calibration(
        log_loss=calibration.log_loss(scores),
        brier=calibration.multiclass_brier(scores),
        error=calibration.expected_error(bins),
        bins=bins,
    )


def best_threshold(
    scores: ClassScores, name: str, goal: Goal, *, with_optimism: bool = True
) -> BestThreshold:
    """The best threshold of a class; the same question has the same answer."""
    table = threshold_table(scores, goal.costs)
    best = best_under(table, goal.figure, goal.constraints)
    if isinstance(best, Unmet):
        return BestThreshold(name, goal, None, best.reason)
    excess = None
    if with_optimism:
        rng = np.random.default_rng(scores.number)
        found = optimism(table, goal.figure, rng, constraints=goal.constraints)
        excess = None if found is None else found.excess
    return BestThreshold(name, goal, best, "", excess)


def all_traffic(counts: RowCounts) -> PostStratified | None:
    """Rates of all rows by those of the labelled; None without scores or without labels."""
    if not counts.strata.total or not counts.labelled.total:
        return None
    return post_stratified(counts.strata, counts.labelled)


def advice_of(counts: RowCounts, names: Sequence[str]) -> tuple[Advice, ...]:
    """What to do, the largest effect first."""
    weighted = all_traffic(counts)
    reweighted = []
    if weighted is not None:
        found = weighted.accuracy
        if found.rate is not None and found.interval is not None:
            reweighted.append(
                Reweighting("accuracy", found.plain, found.rate.value, found.interval)
            )
    return advice(
        Findings(
            matrix=confusion_of(counts.confusion),
            names=dict(enumerate(names)),
            declared=len(names),
            strata=counts.labelled,
            reweighted=reweighted,
        )
    )
