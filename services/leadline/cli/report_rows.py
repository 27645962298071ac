"""An evaluation of files as the messages that a reader would answer."""

from __future__ import annotations

from collections.abc import Sequence

from leadline.evaluation import Evaluation
from leadline.metrics.answers import Basis, Summary
from leadline.metrics.api import analysis_convert, convert
from leadline.metrics.api.threshold_convert import thresholds
from leadline.metrics.core.view import Counts
from leadline.metrics.measures.comparison import Comparison
from leadline.metrics.scored import ScoredCounts
from leadline.records.batches import TaskKind
from leadline.records.models import ModelSpec
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

MODEL = "files"
CONFUSED_PAIRS = 20


class Answers:
    """Messages of one evaluation; its basis has no vector and no window.

    Args:
        result: the evaluation.
        name: what stands for the version.
    """

    def __init__(self, result: Evaluation, name: str) -> None:
        self._result = result
        counts = result.counts
        self._scored = ScoredCounts(counts.scores, counts.strata, counts.labelled)
        found = result.figures
        self._summary = Summary(
            model=MODEL,
            version=name,
            spec=ModelSpec(MODEL, MODEL, TaskKind.MULTICLASS, result.classes),
            basis=Basis((), 0, None, found.predictions, found.accuracy.trials, 1.0),
            figures=found,
            counts=Counts(counts.predicted, counts.confusion, counts.ranks),
            notices=(),
            last_prediction_minute=None,
            last_label_ms=0,
        )

    def summary(self) -> ev.Summary:
        """Headline and class figures."""
        return convert.summary(self._summary)

    def matrix(self) -> ev.GetConfusionMatrixResponse:
        """The confusion matrix."""
        return convert.matrix(self._summary, CONFUSED_PAIRS)

    def curves(self, numbers: Sequence[int], *, areas_only: bool) -> an.GetCurvesResponse:
        """Areas, and curves of some classes; of all where none is named."""
        everything = self._result.scores
        chosen = [each for each in everything if not numbers or each.number in numbers]
        points = 0 if areas_only else analysis_convert.POINTS_DEFAULT
        return analysis_convert.curves(self._summary, everything, chosen, points)

    def thresholds(
        self, numbers: Sequence[int], objective: an.Objective
    ) -> list[an.GetThresholdsResponse]:
        """The best threshold of some classes."""
        by_number = {each.number: each for each in self._result.scores}
        return [
            thresholds(
                self._summary,
                self._result.scores,
                by_number[number],
                an.GetThresholdsRequest(class_number=number, objective=objective, points_max=4),
            )
            for number in numbers
        ]

    def calibration(self) -> an.GetCalibrationResponse:
        """Reliability, and rates of all rows."""
        scores = self._result.scores
        return analysis_convert.calibration(self._summary, self._scored, scores, set())

    def advice(self) -> an.ListAdviceResponse:
        """What to do."""
        return analysis_convert.advices(self._summary.basis, self._result.advice)

    def comparison(self, found: Comparison) -> an.CompareVersionsResponse:
        """Another model on the same rows."""
        return analysis_convert.comparisons(self._summary, [found])
