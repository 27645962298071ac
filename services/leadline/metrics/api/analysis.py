"""AnalysisService: what scores, confidence and pairs of versions tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc

from leadline.metrics.answers import Summary
from leadline.metrics.api import analysis_convert as convert
from leadline.metrics.api import names
from leadline.metrics.api.threshold_convert import thresholds
from leadline.metrics.api.workers import Workers
from leadline.metrics.core.merging import merged_numbers
from leadline.metrics.core.scope import Scope
from leadline.metrics.measures.advice import advice
from leadline.metrics.measures.comparison import Challenger, compare_all
from leadline.metrics.measures.scores import ClassScores, class_scores
from leadline.metrics.measures.strata import scored_support
from leadline.metrics.reader import Reader
from leadline.metrics.scored import ScoredCounts
from leadline.records.errors import NotFoundError
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import analysis_pb2 as messages
from leadline.v1 import analysis_pb2_grpc

MARGIN_DEFAULT = 0.005
"""Differences of accuracy below half a point are called the same."""
UNMERGED = "Ask without merges."
CHALLENGERS_MAX = 20
"""More at once leave each so little of the error that nothing is ever decided."""

Context = grpc.aio.ServicerContext[Any, Any]


class AnalysisServicer(analysis_pb2_grpc.AnalysisServiceServicer):
    """Answers out of a reader.

    Args:
        reader: blocks; called in the workers only.
        workers: threads for what blocks.
    """

    def __init__(self, reader: Reader, workers: Workers) -> None:
        self._reader = reader
        self._workers = workers

    async def GetCurves(
        self, request: messages.GetCurvesRequest, context: Context
    ) -> messages.GetCurvesResponse:
        """Areas, curves and distributions of the classes."""
        return await self._workers.run(self._curves, request)

    async def GetThresholds(
        self, request: messages.GetThresholdsRequest, context: Context
    ) -> messages.GetThresholdsResponse:
        """Figures at the thresholds of one class, and the best one as asked."""
        return await self._workers.run(self._thresholds, request)

    async def GetCalibration(
        self, request: messages.GetCalibrationRequest, context: Context
    ) -> messages.GetCalibrationResponse:
        """Reliability, its errors, and rates that hold for all of the traffic."""
        return await self._workers.run(self._calibration, request)

    async def CompareVersions(
        self, request: messages.CompareVersionsRequest, context: Context
    ) -> messages.CompareVersionsResponse:
        """One version against others."""
        return await self._workers.run(self._compare, request)

    async def ListAdvice(
        self, request: messages.ListAdviceRequest, context: Context
    ) -> messages.ListAdviceResponse:
        """What to do, the largest effect first."""
        return await self._workers.run(self._advice, request)

    def _curves(self, request: messages.GetCurvesRequest) -> messages.GetCurvesResponse:
        scope = names.parse_scope(request.scope)
        summary, everything = self._scored(scope)
        chosen = set(request.class_numbers)
        classes = [each for each in everything if not chosen or each.number in chosen]
        points = convert.points_max(request.points_max)
        found = convert.curves(summary, everything, classes, 0 if request.areas_only else points)
        return convert.with_notice(found, scope.merges)

    def _scored(self, scope: Scope) -> tuple[Summary, list[ClassScores]]:
        """The figures, and the scores of classes that are not merged."""
        summary, counts = self._reader.scored(replace(scope, merges=()))
        gone = merged_numbers(scope.merges)
        return summary, [each for each in scores_of(summary, counts) if each.number not in gone]

    def _thresholds(self, request: messages.GetThresholdsRequest) -> messages.GetThresholdsResponse:
        scope = names.parse_scope(request.scope)
        summary, everything = self._scored(scope)
        if request.class_number in merged_numbers(scope.merges):
            raise FieldError("class_number", "A merged class has no known scores.", UNMERGED)
        scores = class_of(everything, request.class_number)
        return convert.with_notice(thresholds(summary, everything, scores, request), scope.merges)

    def _advice(self, request: messages.ListAdviceRequest) -> messages.ListAdviceResponse:
        found = self._reader.findings(names.parse_unmerged(request.scope, "Advice"))
        return convert.advices(found.basis, advice(found.findings))

    def _calibration(
        self, request: messages.GetCalibrationRequest
    ) -> messages.GetCalibrationResponse:
        scope = names.parse_unmerged(request.scope, "Calibration")
        summary, counts = self._reader.scored(scope)
        scores = scores_of(summary, counts)
        return convert.calibration(summary, counts, scores, set(request.class_numbers))

    def _compare(
        self, request: messages.CompareVersionsRequest
    ) -> messages.CompareVersionsResponse:
        if not 0 <= request.margin < 1:
            raise FieldError("margin", "A margin is a share: at least 0 and below 1.")
        conditions = convert.conditions(request.fail_if)
        scope = names.parse_unmerged(request.scope, "A comparison on the same inputs")
        champion, scope, versions = self._versions(scope, list(request.challengers))
        challengers = []
        for version in versions:
            own = self._reader.summary(Scope(scope.model, version, scope.window, scope.slices))
            pairs = self._reader.pairs(scope, version)
            challengers.append(Challenger(version, pairs, convert.matrix_of(own)))
        found = compare_all(
            champion.version,
            convert.matrix_of(champion),
            challengers,
            margin=request.margin or MARGIN_DEFAULT,
        )
        return convert.comparisons(champion, found, conditions)

    def _versions(self, scope: Scope, asked: list[str]) -> tuple[Summary, Scope, list[str]]:
        """The champion's summary, its scope with the version named, and whom to compare."""
        if len(asked) > CHALLENGERS_MAX:
            raise FieldError("challengers", f"At most {CHALLENGERS_MAX} are compared at once.")
        champion = self._reader.summary(scope)
        scope = Scope(scope.model, champion.version, scope.window, scope.slices)
        if not asked:
            window = champion.basis.window
            asked = [
                each.version
                for each in self._reader.model(scope.model).versions
                if each.version != champion.version
                and (window is None or each.last_minute >= window.from_minute)
            ][:CHALLENGERS_MAX]
        if champion.version in asked:
            raise FieldError("challengers", f"{champion.version!r} is compared with itself.")
        return champion, scope, list(dict.fromkeys(asked))


def scores_of(summary: Summary, counts: ScoredCounts) -> list[ClassScores]:
    """The scores of every class of a scope.

    Labelled predictions that have no scores are left out where strata tell which those are;
    otherwise their scores count as missing.
    """
    support, labelled = scored_support(counts.labelled)
    try:
        return class_scores(counts.scores, support, labelled)
    except ValueError:  # strata are not counted, or the predicted class's score was not kept
        classes = summary.figures.classes
        support = {each.number: each.support for each in classes if each.support}
        return class_scores(counts.scores, support, summary.figures.accuracy.trials)


def class_of(classes: list[ClassScores], number: int) -> ClassScores:
    """The scores of one class; raises NotFoundError where nothing is known of it."""
    for each in classes:
        if each.number == number:
            return each
    raise NotFoundError(
        f"Class {number} has no labelled prediction with scores here.",
        "Choose a wider window, or log scores with the predictions.",
    )
