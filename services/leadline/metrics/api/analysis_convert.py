"""Answers of AnalysisService as messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import numpy as np

from leadline.metrics.answers import Basis, Summary
from leadline.metrics.api.convert import basis, bounds, class_name, interval_of, rate
from leadline.metrics.api.names import version_name
from leadline.metrics.core.figures import Confusion, confusion_of
from leadline.metrics.core.merging import Merges
from leadline.metrics.core.notices import MERGED
from leadline.metrics.measures import calibration as calibrations
from leadline.metrics.measures import comparison as comparing
from leadline.metrics.measures import curves as curving
from leadline.metrics.measures import resampling
from leadline.metrics.measures.advice import Advice
from leadline.metrics.measures.conditions import Condition, judge, parse_condition
from leadline.metrics.measures.curves import Bounded, Curve
from leadline.metrics.measures.scores import ClassScores, histogram
from leadline.metrics.measures.strata import Reweighted, post_stratified
from leadline.metrics.measures.thresholds import confidence_thresholds
from leadline.metrics.scored import ScoredCounts
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import analysis_pb2 as messages
from leadline.v1 import evaluation_pb2

POINTS_DEFAULT = 200
POINTS_MAX = 2_000
POINTS_MIN = 4
CONDITIONS_MAX = 16
RESAMPLED_CLASSES_MAX = 3
"""Intervals of areas are given for so many classes of a question: each costs some 100 ms."""
VERDICTS = {
    "better": messages.Comparison.VERDICT_BETTER,
    "worse": messages.Comparison.VERDICT_WORSE,
    "same": messages.Comparison.VERDICT_SAME,
    "undecided": messages.Comparison.VERDICT_UNDECIDED,
    "unsure": messages.Comparison.VERDICT_UNDECIDED,
}


def points_max(asked: int) -> int:
    """How many points or rows a request wants; raises FieldError for what cannot be meant."""
    if asked and not POINTS_MIN <= asked <= POINTS_MAX:
        raise FieldError("points_max", f"points_max lies between {POINTS_MIN} and {POINTS_MAX}.")
    return asked or POINTS_DEFAULT


def bounded(found: Bounded | None) -> messages.Bounded | None:
    """A figure with certain bounds; absent where there is none."""
    if found is None:
        return None
    return messages.Bounded(value=found.value, lower=found.lower, upper=found.upper)


def score_basis(summary: Summary, classes: Sequence[ClassScores]) -> messages.ScoreBasis:
    """Where an answer about scores holds."""
    window = summary.basis.window
    rows = max((each.positives_total + each.negatives_total for each in classes), default=0)
    kept = any(len(each.codes) for each in classes)
    return messages.ScoreBasis(
        basis=basis(summary.basis),
        interval=interval_of(window) if window else None,
        complete=kept and all(each.is_complete for each in classes),
        scored=rows if kept else 0,
    )


_Scored = TypeVar("_Scored", messages.GetCurvesResponse, messages.GetThresholdsResponse)


def with_notice(message: _Scored, merges: Merges) -> _Scored:
    """The answer, which says what it leaves out where classes are merged."""
    if merges:
        message.basis.notices.add(code=MERGED.code, text=MERGED.text, remedy=MERGED.remedy)
    return message


def curves(
    summary: Summary,
    everything: Sequence[ClassScores],
    classes: Sequence[ClassScores],
    points: int,
) -> messages.GetCurvesResponse:
    """Areas of the classes, and curves of so many points; means are over all classes."""
    aucs, precisions = {}, {}
    for each in everything:
        aucs[each.number] = curving.auc(each)
        precisions[each.number] = curving.average_precision(each)
    resampled = bool(points) and len(classes) <= RESAMPLED_CLASSES_MAX
    found = []
    for each in classes:
        message = messages.ClassCurves(
            class_number=each.number,
            class_name=class_name(summary.spec, each.number),
            positives=each.positives_total,
            negatives=each.negatives_total,
            auc=bounded(aucs[each.number]),
            average_precision=bounded(precisions[each.number]),
        )
        if points:
            _add_curves(message, each, points)
        if resampled:
            _add_intervals(message, each)
        found.append(message)
    return messages.GetCurvesResponse(
        basis=score_basis(summary, everything),
        classes=found,
        macro_auc=bounded(curving.macro(list(aucs.values()))),
        macro_average_precision=bounded(curving.macro(list(precisions.values()))),
    )


def _add_curves(message: messages.ClassCurves, scores: ClassScores, points: int) -> None:
    for curve, target in (
        (curving.roc(scores), message.roc),
        (curving.precision_recall(scores), message.precision_recall),
    ):
        if curve is not None:
            target.CopyFrom(_curve(curve.thinned(points)))
    message.distribution.CopyFrom(distribution(scores))


def _add_intervals(message: messages.ClassCurves, scores: ClassScores) -> None:
    """Resampled intervals of both areas, always the same ones."""
    for figure, target in (
        (resampling.auc, message.auc_interval),
        (resampling.average_precision, message.average_precision_interval),
    ):
        rng = np.random.default_rng(scores.number)
        found = resampling.bootstrap_interval(scores.positives, scores.negatives, figure, rng)
        if found is not None and scores.is_complete:
            target.CopyFrom(evaluation_pb2.Bounds(lower=found.lower, upper=found.upper))


def _curve(found: Curve) -> messages.Curve:
    threshold = np.minimum(found.threshold, 1.0)  # at and above 1: nothing is predicted positive
    return messages.Curve(x=found.x.tolist(), y=found.y.tolist(), threshold=threshold.tolist())


def distribution(scores: ClassScores) -> messages.ScoreDistribution:
    """Scores of positives and negatives by equal steps of their log-odds."""
    found = histogram(scores)
    return messages.ScoreDistribution(
        edges=found.edges.tolist(),
        positives=found.positives.tolist(),
        negatives=found.negatives.tolist(),
    )


def calibration(
    summary: Summary, counts: ScoredCounts, scores: Sequence[ClassScores], chosen: Collection[int]
) -> messages.GetCalibrationResponse:
    """Calibration as a whole, and of the chosen classes (all, when none is)."""
    confidence = calibrations.top_label_reliability(counts.labelled)
    weighted = post_stratified(counts.strata, counts.labelled)
    return messages.GetCalibrationResponse(
        basis=score_basis(summary, scores),
        log_loss=bounded(calibrations.log_loss(scores)),
        brier=bounded(calibrations.multiclass_brier(scores)),
        confidence=_bins(confidence),
        confidence_error=bounded(calibrations.expected_error(confidence)),
        classes=[
            messages.ClassCalibration(
                class_number=each.number,
                class_name=class_name(summary.spec, each.number),
                error=bounded(calibrations.class_ece(each)),
                brier=bounded(calibrations.brier(each)),
                bins=_bins(calibrations.reliability(each)) if chosen else [],
                recall=_stratified(weighted.recall.get(each.number)),
                precision=_stratified(weighted.precision.get(each.number)),
            )
            for each in scores
            if not chosen or each.number in chosen
        ],
        accuracy=_stratified(weighted.accuracy),
        abstention=_abstention(counts),
    )


def _bins(bins: Iterable[calibrations.ReliabilityBin]) -> list[messages.ReliabilityBin]:
    return [
        messages.ReliabilityBin(
            score=bounded(each.mean),
            observed=rate(each.rate),
        )
        for each in bins
    ]


def _stratified(found: Reweighted | None) -> messages.Stratified | None:
    if found is None:
        return None
    return messages.Stratified(
        plain=rate(found.plain),
        rate=bounded(found.rate),
        interval=bounds(found.interval),
        unlabelled_share=found.unlabelled_share,
        differs=found.differs,
    )


def _abstention(counts: ScoredCounts) -> list[messages.Abstention]:
    """Accuracy and coverage when only predictions of a band or above are answered, by band."""
    if not counts.strata.total:
        return []
    return [
        messages.Abstention(
            confidence=each.threshold, accuracy=rate(each.accuracy), coverage=rate(each.coverage)
        )
        for each in confidence_thresholds(counts.strata, counts.labelled)
    ]


def advices(found: Basis, advice: Iterable[Advice]) -> messages.ListAdviceResponse:
    """Advice in words."""
    return messages.ListAdviceResponse(
        basis=basis(found),
        advice=[
            messages.Advice(
                code=each.code,
                text=each.text,
                evidence=each.evidence,
                effect_size=each.effect_size,
                remedy=each.remedy,
            )
            for each in advice
        ],
    )


def matrix_of(summary: Summary) -> Confusion:
    """The confusion matrix of a summary."""
    return confusion_of(summary.counts.confusion)


def conditions(texts: Sequence[str]) -> list[Condition]:
    """What shall be judged; raises FieldError for what cannot be read."""
    if len(texts) > CONDITIONS_MAX:
        raise FieldError("fail_if", f"At most {CONDITIONS_MAX} conditions are judged at once.")
    try:
        return [parse_condition(text) for text in texts]
    except ValueError as error:
        raise FieldError("fail_if", str(error)) from error


def comparisons(
    champion: Summary,
    found: Iterable[comparing.Comparison],
    judged: Sequence[Condition] = (),
) -> messages.CompareVersionsResponse:
    """The comparisons of one champion with its challengers, each judged by the conditions."""
    return messages.CompareVersionsResponse(
        basis=basis(champion.basis),
        comparisons=[_comparison(champion, each, judged) for each in found],
    )


def _judgement(
    champion: Summary, found: comparing.Comparison, condition: Condition
) -> messages.Judgement:
    declared = champion.spec.classes if champion.spec else ()
    numbers = {name: number for number, name in enumerate(declared)}
    try:
        told = judge(condition, found, numbers)
    except ValueError as error:
        raise FieldError("fail_if", str(error)) from error
    return messages.Judgement(condition=condition.text, fails=told.fails, text=told.words)


def _comparison(
    champion: Summary, found: comparing.Comparison, judged: Sequence[Condition]
) -> messages.Comparison:
    accuracy = found.accuracy
    paired = accuracy.kind == "paired"
    samples = accuracy.champion.trials + (0 if paired else accuracy.challenger.trials)
    return messages.Comparison(
        champion=version_name(champion.model, found.champion_name),
        challenger=version_name(champion.model, found.challenger_name),
        paired=paired,
        samples=samples,
        champion_accuracy=rate(accuracy.champion),
        challenger_accuracy=rate(accuracy.challenger),
        difference=accuracy.difference,
        interval=bounds(found.interval),
        fixed_interval=bounds(accuracy.fixed_interval),
        only_champion_right=accuracy.only_champion,
        only_challenger_right=accuracy.only_challenger,
        verdict=VERDICTS[found.verdict],
        words=found.words(),
        samples_needed=found.needed,
        classes=[
            messages.ClassComparison(
                class_number=each.number,
                class_name=class_name(champion.spec, each.number),
                champion_recall=rate(each.recall.champion),
                challenger_recall=rate(each.recall.challenger),
                difference=each.recall.difference,
                interval=bounds(each.recall.fixed_interval),
                verdict=VERDICTS[each.verdict],
            )
            for each in found.classes
        ],
        judgements=[_judgement(champion, found, each) for each in judged],
    )
