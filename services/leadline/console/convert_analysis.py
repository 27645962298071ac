"""From the messages of the AnalysisService to the console's records."""

from __future__ import annotations

from leadline.console.convert import basis, micros, parts_of, rate
from leadline.console.core import analysis as a
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

VERDICTS = {
    an.Comparison.VERDICT_BETTER: a.BETTER,
    an.Comparison.VERDICT_WORSE: a.WORSE,
    an.Comparison.VERDICT_SAME: a.SAME,
}


def curves(message: an.GetCurvesResponse) -> a.Curves:
    """Curves and their areas."""
    return a.Curves(
        _score_basis(message.basis),
        tuple(_class_curves(c) for c in message.classes),
        _bounded(message.macro_auc) if message.HasField("macro_auc") else None,
        _bounded(message.macro_average_precision)
        if message.HasField("macro_average_precision")
        else None,
    )


def thresholds(message: an.GetThresholdsResponse) -> a.Thresholds:
    """Figures at every threshold, and the best one."""
    return a.Thresholds(
        _score_basis(message.basis),
        message.class_number,
        message.class_name or str(message.class_number),
        tuple(_threshold(r) for r in message.rows),
        _threshold(message.best) if message.HasField("best") else None,
        message.reason,
        message.optimism if message.HasField("optimism") else None,
        _threshold(message.asked) if message.HasField("asked") else None,
        _distribution(message.distribution),
    )


def calibration(message: an.GetCalibrationResponse) -> a.Calibration:
    """Reliability, losses and rates for all of the traffic."""
    return a.Calibration(
        _score_basis(message.basis),
        _bounded(message.log_loss) if message.HasField("log_loss") else None,
        _bounded(message.brier) if message.HasField("brier") else None,
        tuple(_bin(b) for b in message.confidence),
        _bounded(message.confidence_error) if message.HasField("confidence_error") else None,
        tuple(_class_calibration(c) for c in message.classes),
        _stratified(message.accuracy) if message.HasField("accuracy") else None,
        tuple(
            a.Abstention(x.confidence, rate(x.accuracy), rate(x.coverage))
            for x in message.abstention
        ),
    )


def comparisons(message: an.CompareVersionsResponse) -> a.Comparisons:
    """A version against others."""
    return a.Comparisons(basis(message.basis), tuple(_comparison(c) for c in message.comparisons))


def advice(message: an.ListAdviceResponse) -> tuple[a.AdviceItem, ...]:
    """What to do, the largest effect first."""
    return tuple(
        a.AdviceItem(x.code, x.text, x.evidence, x.effect_size, x.remedy) for x in message.advice
    )


def _score_basis(message: an.ScoreBasis) -> a.ScoreBasis:
    hours = message.interval
    return a.ScoreBasis(
        basis(message.basis),
        micros(hours.start_time) if hours.HasField("start_time") else None,
        micros(hours.end_time) if hours.HasField("end_time") else None,
        message.complete,
        message.scored,
    )


def _bounded(message: an.Bounded) -> a.Bounded:
    return a.Bounded(message.value, message.lower, message.upper)


def _span(message: ev.Bounds) -> a.Span:
    return message.lower, message.upper


def _class_curves(message: an.ClassCurves) -> a.ClassCurves:
    has = message.HasField
    return a.ClassCurves(
        message.class_number,
        message.class_name or str(message.class_number),
        message.positives,
        message.negatives,
        _bounded(message.auc) if has("auc") else None,
        _bounded(message.average_precision) if has("average_precision") else None,
        _span(message.auc_interval) if has("auc_interval") else None,
        _span(message.average_precision_interval) if has("average_precision_interval") else None,
        _curve(message.roc),
        _curve(message.precision_recall),
        _distribution(message.distribution),
    )


def _curve(message: an.Curve) -> a.Curve:
    return a.Curve(tuple(message.x), tuple(message.y), tuple(message.threshold))


def _distribution(message: an.ScoreDistribution) -> a.Distribution:
    return a.Distribution(tuple(message.edges), tuple(message.positives), tuple(message.negatives))


def _threshold(message: an.ThresholdFigures) -> a.ThresholdRow:
    return a.ThresholdRow(
        message.threshold,
        message.true_positives,
        message.false_positives,
        message.false_negatives,
        message.true_negatives,
        rate(message.precision),
        rate(message.recall),
        message.f1 if message.HasField("f1") else None,
        _span(message.f1_interval) if message.HasField("f1_interval") else None,
        rate(message.flagged),
        message.cost if message.HasField("cost") else None,
    )


def _bin(message: an.ReliabilityBin) -> a.Bin:
    return a.Bin(_bounded(message.score), rate(message.observed))


def _stratified(message: an.Stratified) -> a.Stratified:
    has = message.HasField
    return a.Stratified(
        rate(message.plain),
        _bounded(message.rate) if has("rate") else None,
        _span(message.interval) if has("interval") else None,
        message.unlabelled_share if has("unlabelled_share") else None,
        message.differs,
    )


def _class_calibration(message: an.ClassCalibration) -> a.ClassCalibration:
    return a.ClassCalibration(
        message.class_number,
        message.class_name or str(message.class_number),
        _bounded(message.error) if message.HasField("error") else None,
        _bounded(message.brier) if message.HasField("brier") else None,
        tuple(_bin(b) for b in message.bins),
        _stratified(message.recall),
        _stratified(message.precision),
    )


def _comparison(message: an.Comparison) -> a.Comparison:
    has = message.HasField
    return a.Comparison(
        parts_of(message.champion).get("versions", message.champion),
        parts_of(message.challenger).get("versions", message.challenger),
        message.paired,
        message.samples,
        rate(message.champion_accuracy),
        rate(message.challenger_accuracy),
        message.difference if has("difference") else None,
        _span(message.interval) if has("interval") else None,
        _span(message.fixed_interval) if has("fixed_interval") else None,
        message.only_champion_right,
        message.only_challenger_right,
        VERDICTS.get(message.verdict, a.UNDECIDED),
        message.words,
        message.samples_needed if has("samples_needed") else None,
        tuple(_class_comparison(c) for c in message.classes),
    )


def _class_comparison(message: an.ClassComparison) -> a.ClassComparison:
    return a.ClassComparison(
        message.class_number,
        message.class_name or str(message.class_number),
        rate(message.champion_recall),
        rate(message.challenger_recall),
        message.difference if message.HasField("difference") else None,
        _span(message.interval) if message.HasField("interval") else None,
        VERDICTS.get(message.verdict, a.UNDECIDED),
    )
