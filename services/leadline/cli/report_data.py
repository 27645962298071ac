"""What a report holds: a reader's answers, or the same messages made of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from leadline.cli.output import message_dict
from leadline.cli.reader_client import ReaderClient
from leadline.evaluation import Evaluation, VersionComparison
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

WEAKEST = 3
"""So many classes are drawn: each also gets resampled intervals."""
THRESHOLDS_MAX = 40
LABELS_MIN = 30
"""A class with fewer labels is not called weak: its area says nothing yet."""


@dataclass(frozen=True)
class Report:
    """Everything about one version, as messages.

    Attributes:
        source: where it is from, in words.
        made: when it was made, in words.
        summary, matrix, curves, calibration, advice: answers; areas of all classes.
        drawn: the weakest classes with their curves.
        thresholds: the best ones, the weakest classes first.
        goal: of the thresholds, in words.
        comparison: with other versions; None where none was asked.
        timeline, slices: of a reader; None of files.
        steady: whether all answers are of one vector.
        of_files: made of files, not of a reader's answers.
    """

    source: str
    made: str
    summary: ev.Summary
    matrix: ev.GetConfusionMatrixResponse
    curves: an.GetCurvesResponse
    drawn: an.GetCurvesResponse
    thresholds: list[an.GetThresholdsResponse]
    goal: str
    calibration: an.GetCalibrationResponse
    advice: an.ListAdviceResponse
    comparison: an.CompareVersionsResponse | None = None
    timeline: ev.GetTimelineResponse | None = None
    slices: ev.ListSlicesResponse | None = None
    steady: bool = True
    of_files: bool = False

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as plain values."""
        return {
            "made": self.made,
            "source": self.source,
            "one_vector": self.steady,
            "summary": message_dict(self.summary),
            "confusion_matrix": message_dict(self.matrix),
            "curves": message_dict(self.curves),
            "weakest_classes": message_dict(self.drawn),
            "threshold_goal": self.goal,
            "thresholds": [message_dict(each) for each in self.thresholds],
            "calibration": message_dict(self.calibration),
            "comparison": _maybe(self.comparison),
            "timeline": _maybe(self.timeline),
            "slices": _maybe(self.slices),
            "advice": message_dict(self.advice),
        }


def _maybe(message: Message | None) -> dict[str, Any] | None:
    return None if message is None else message_dict(message)


def weakest(curves: an.GetCurvesResponse) -> list[int]:
    """Class numbers by area under the ROC curve, the least first; those with enough labels."""
    known = [c for c in curves.classes if c.HasField("auc")]
    enough = [c for c in known if min(c.positives, c.negatives) >= LABELS_MIN] or known
    return [c.class_number for c in sorted(enough, key=lambda c: (c.auc.value, c.class_number))]


def from_reader(
    client: ReaderClient,
    scope: ev.Scope,
    versus: Sequence[str],
    objective: tuple[an.Objective, str],
    made: str,
) -> Report:
    """A report of a reader's answers, all of the window and version of the first.

    Args:
        client: of the reader.
        scope: what is asked.
        versus: versions to compare with; empty for no comparison.
        objective: of the thresholds, and in words.
        made: the time, in words.
    """
    ask, figures, analysis = client.ask, client.evaluation, client.analysis
    summary = ask(figures.GetSummary, ev.GetSummaryRequest(scope=scope)).summary
    scope = _pinned(scope, summary)
    curves = ask(analysis.GetCurves, an.GetCurvesRequest(scope=scope, areas_only=True))
    order = weakest(curves)
    drawn = an.GetCurvesResponse()
    if order:
        request = an.GetCurvesRequest(scope=scope, class_numbers=order[:WEAKEST])
        drawn = ask(analysis.GetCurves, request)
    thresholds = [
        ask(
            analysis.GetThresholds,
            an.GetThresholdsRequest(
                scope=scope, class_number=number, objective=objective[0], points_max=4
            ),
        )
        for number in order[:THRESHOLDS_MAX]
    ]
    comparison = None
    if versus:
        asked = an.CompareVersionsRequest(scope=scope, challengers=versus)
        comparison = ask(analysis.CompareVersions, asked)
    matrix = ask(figures.GetConfusionMatrix, ev.GetConfusionMatrixRequest(scope=scope))
    calibration = ask(analysis.GetCalibration, an.GetCalibrationRequest(scope=scope))
    advice = ask(analysis.ListAdvice, an.ListAdviceRequest(scope=scope))
    timeline = ask(figures.GetTimeline, ev.GetTimelineRequest(scope=scope))
    slices = ask(figures.ListSlices, ev.ListSlicesRequest(scope=scope))
    bases = [curves.basis.basis, matrix.basis, calibration.basis.basis, advice.basis]
    return Report(
        source=f"reader {client.address}",
        made=made,
        summary=summary,
        matrix=matrix,
        curves=curves,
        drawn=drawn,
        thresholds=thresholds,
        goal=objective[1],
        calibration=calibration,
        advice=advice,
        comparison=comparison,
        timeline=timeline,
        slices=slices,
        steady=all(list(each.vector) == list(summary.basis.vector) for each in bases),
    )


def _pinned(scope: ev.Scope, summary: ev.Summary) -> ev.Scope:
    """The scope with the version and, where one was asked for, the window of the first answer."""
    found = ev.Scope()
    found.CopyFrom(scope)
    found.name = summary.name
    if scope.WhichOneof("window") and summary.basis.HasField("interval"):
        found.interval.CopyFrom(summary.basis.interval)
    return found


def from_files(
    result: Evaluation,
    source: str,
    objective: tuple[an.Objective, str],
    made: str,
    versus: VersionComparison | None = None,
) -> Report:
    """A report of rows that are at hand."""
    from leadline.cli.report_rows import Answers  # noqa: PLC0415 - brings the reader's modules

    answers = Answers(result, source)
    curves = answers.curves([], areas_only=True)
    order = weakest(curves)
    comparison = None if versus is None else answers.comparison(versus.comparison)
    found = answers.thresholds(order[:THRESHOLDS_MAX], objective[0])
    return Report(
        source=source,
        made=made,
        summary=answers.summary(),
        matrix=answers.matrix(),
        curves=curves,
        drawn=answers.curves(order[:WEAKEST], areas_only=False)
        if order
        else an.GetCurvesResponse(),
        thresholds=found,
        goal=objective[1],
        calibration=answers.calibration(),
        advice=answers.advice(),
        comparison=comparison,
        of_files=True,
    )
