"""AnalysisService over gRPC on a truth in SQLite, against figures from the rows themselves."""

import grpc
import numpy as np
import pytest
from scored_traffic import CLASSES, ROWS, Traffic
from sklearn.metrics import average_precision_score, roc_auc_score

from leadline.testing.truth import TruthWriter
from leadline.v1 import analysis_pb2 as messages
from leadline.v1.analysis_pb2_grpc import AnalysisServiceStub
from leadline.v1.evaluation_pb2 import Scope

pytestmark = pytest.mark.anyio


@pytest.fixture
def traffic(store, now_minute):
    found = Traffic()
    found.write(store, now_minute)
    return found


@pytest.fixture
def analysis(channel):
    return AnalysisServiceStub(channel)


def scope(version="1"):
    return Scope(name=f"models/m/versions/{version}")


async def test_areas_hold_those_of_the_scores(traffic, analysis):
    found = await analysis.GetCurves(messages.GetCurvesRequest(scope=scope()))
    scores, true = traffic.scores["1"][traffic.labelled], traffic.true[traffic.labelled]
    assert [each.class_number for each in found.classes] == list(range(CLASSES))
    assert found.basis.complete
    assert found.basis.scored == len(true)
    for each in found.classes:
        exact = roc_auc_score(true == each.class_number, scores[:, each.class_number])
        assert each.auc.lower - 1e-12 <= exact <= each.auc.upper + 1e-12
        precision = average_precision_score(true == each.class_number, scores[:, each.class_number])
        assert each.average_precision.lower <= precision <= each.average_precision.upper
        assert (
            sum(each.distribution.positives) == each.positives == (true == each.class_number).sum()
        )
        assert (each.roc.x[0], each.roc.y[0], each.roc.x[-1], each.roc.y[-1]) == (0, 0, 1, 1)
        assert not each.HasField("auc_interval")  # four are too many to resample at once
    mean = np.mean([each.auc.value for each in found.classes])
    assert found.macro_auc.value == pytest.approx(mean)


async def test_one_class_has_intervals_and_few_points(traffic, analysis):
    request = messages.GetCurvesRequest(scope=scope(), class_numbers=[2], points_max=40)
    (one,) = (await analysis.GetCurves(request)).classes
    assert one.auc_interval.lower < one.auc.value < one.auc_interval.upper
    assert len(one.precision_recall.x) <= 40
    request.areas_only = True
    (one,) = (await analysis.GetCurves(request)).classes
    assert not one.roc.x


def counted(traffic, number, threshold):
    scores, true = traffic.scores["1"][traffic.labelled], traffic.true[traffic.labelled]
    flagged, mine = scores[:, number] >= threshold, true == number
    counts = (flagged & mine, flagged & ~mine, ~flagged & mine, ~flagged & ~mine)
    return tuple(int(each.sum()) for each in counts)


def told(row):
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return tuple(getattr(row, name) for name in names)


async def test_counts_at_a_threshold_are_those_of_the_rows(traffic, analysis):
    request = messages.GetThresholdsRequest(scope=scope(), class_number=1)
    found = await analysis.GetThresholds(request)
    assert 20 < len(found.rows) <= 200
    f1 = []
    for row in found.rows[1:]:
        assert told(row) == counted(traffic, 1, row.threshold)
        tp, fp, fn, _ = told(row)
        assert row.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))
        f1.append(row.f1)
    assert found.best.f1 >= max(f1)
    assert found.best.f1_interval.lower < found.best.f1 < found.best.f1_interval.upper
    assert 0 < found.optimism < 0.1
    request.threshold = found.best.threshold
    asked = (await analysis.GetThresholds(request)).asked
    assert told(asked) == told(found.best)


async def test_the_best_threshold_is_as_asked(traffic, analysis):
    figures = messages.Objective
    request = messages.GetThresholdsRequest(scope=scope(), class_number=1)
    request.objective.figure = figures.FIGURE_PRECISION
    request.objective.constraints.add(figure=figures.FIGURE_RECALL, at_least=0.9)
    found = await analysis.GetThresholds(request)
    assert found.best.recall.value >= 0.9
    request.objective.constraints.add(figure=figures.FIGURE_FLAGGED_SHARE, at_most=0.02)
    found = await analysis.GetThresholds(request)
    assert not found.HasField("best")
    assert "together" in found.reason
    costs = messages.Objective(
        figure=figures.FIGURE_COST, false_positive_cost=1, false_negative_cost=9
    )
    dear = messages.GetThresholdsRequest(scope=scope(), class_number=1, objective=costs)
    dear_misses = (await analysis.GetThresholds(dear)).best
    costs.false_positive_cost, costs.false_negative_cost = 9, 1
    dear.objective.CopyFrom(costs)
    assert dear_misses.threshold < (await analysis.GetThresholds(dear)).best.threshold


async def test_advice_is_given_in_words(traffic, analysis, store, now_minute):
    writer = TruthWriter(store)
    for number in range(400):
        at = 10**7 + number
        writer.predict(at, 0 if number % 2 else 2, now_minute - number // 10, model="mixed")
        writer.label(at, 1 if number % 2 else 2, delay_ms=1000, model="mixed")
    writer.commit(append_ms=now_minute * 60_000)
    request = messages.ListAdviceRequest(scope=Scope(name="models/mixed"))
    found = await analysis.ListAdvice(request)
    assert "class_confused" in [each.code for each in found.advice]
    for each in found.advice:
        assert each.text.endswith(".")
        assert each.evidence.endswith(".")
        assert each.remedy
        assert 0 <= each.effect_size <= 1
    effects = [each.effect_size for each in found.advice]
    assert effects == sorted(effects, reverse=True)


async def test_calibration_is_that_of_the_scores(traffic, analysis):
    found = await analysis.GetCalibration(messages.GetCalibrationRequest(scope=scope()))
    scores, true = traffic.scores["1"][traffic.labelled], traffic.true[traffic.labelled]
    exact = -np.log(scores[np.arange(len(true)), true].astype(np.float64)).mean()
    assert found.log_loss.lower <= exact <= found.log_loss.upper
    squares = ((scores - np.eye(CLASSES)[true]) ** 2).sum(axis=1).mean()
    assert found.brier.lower <= squares <= found.brier.upper
    assert sum(each.observed.trials for each in found.confidence) == len(true)
    everything = (traffic.scores["1"].argmax(axis=1) == traffic.true).mean()
    assert found.accuracy.interval.lower <= everything <= found.accuracy.interval.upper
    assert found.accuracy.plain.value > found.accuracy.rate.value  # sure ones are labelled more
    assert found.abstention[0].coverage.value == 1
    shares = [each.coverage.value for each in found.abstention]
    assert shares == sorted(shares, reverse=True)
    assert not any(each.bins for each in found.classes)
    request = messages.GetCalibrationRequest(scope=scope(), class_numbers=[1])
    (one,) = (await analysis.GetCalibration(request)).classes
    assert sum(each.observed.trials for each in one.bins) == len(true)


@pytest.mark.parametrize(("champion", "verdict"), [("1", "BETTER"), ("2", "WORSE")])
async def test_versions_are_compared_on_the_same_inputs(traffic, analysis, champion, verdict):
    request = messages.CompareVersionsRequest(scope=scope(champion))
    (found,) = (await analysis.CompareVersions(request)).comparisons
    other = {"1": "2", "2": "1"}[champion]
    right = {
        version: (scores.argmax(axis=1) == traffic.true)[traffic.labelled]
        for version, scores in traffic.scores.items()
    }
    assert found.paired
    assert found.challenger == f"models/m/versions/{other}"
    assert found.samples == traffic.labelled.sum()
    assert found.only_champion_right == (right[champion] & ~right[other]).sum()
    assert found.only_challenger_right == (right[other] & ~right[champion]).sum()
    assert found.difference == pytest.approx(right[other].mean() - right[champion].mean())
    assert found.interval.lower <= found.fixed_interval.lower  # valid at every look: wider
    assert found.interval.upper >= found.fixed_interval.upper
    assert messages.Comparison.Verdict.Name(found.verdict) == f"VERDICT_{verdict}"
    assert f"{other} is {verdict.lower()} than {champion}" in found.words
    assert len(found.classes) == CLASSES


async def test_a_window_is_widened_to_whole_hours(traffic, analysis, now_minute):
    request = messages.GetCurvesRequest(scope=scope(), areas_only=True)
    request.scope.last.FromSeconds(60)
    found = await analysis.GetCurves(request)
    begin = found.basis.interval.start_time.ToSeconds() // 60
    end = found.basis.interval.end_time.ToSeconds() // 60
    assert (begin, end) == (now_minute - now_minute % 60, now_minute - now_minute % 60 + 60)
    minutes = now_minute - np.arange(ROWS) // 20
    assert found.basis.scored == ((minutes >= begin) & traffic.labelled).sum()


async def test_what_is_not_known_is_told(traffic, analysis, store, now_minute):
    writer = TruthWriter(store)
    writer.predict(10**6, 1, now_minute, model="bare")
    writer.commit(append_ms=now_minute * 60_000)
    bare = Scope(name="models/bare")
    curves = await analysis.GetCurves(messages.GetCurvesRequest(scope=bare))
    assert (len(curves.classes), curves.basis.scored) == (0, 0)
    assert not curves.HasField("macro_auc")
    found = await analysis.GetCalibration(messages.GetCalibrationRequest(scope=bare))
    assert not found.HasField("log_loss")
    alone = await analysis.CompareVersions(messages.CompareVersionsRequest(scope=bare))
    assert not alone.comparisons


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("GetCurves", messages.GetCurvesRequest(scope=Scope(name="models/none")), "NOT_FOUND"),
        ("GetCurves", messages.GetCurvesRequest(scope=scope(), points_max=3), "INVALID_ARGUMENT"),
        (
            "GetThresholds",
            messages.GetThresholdsRequest(scope=scope(), class_number=9),
            "NOT_FOUND",
        ),
        (
            "GetThresholds",
            messages.GetThresholdsRequest(
                scope=scope(), objective=messages.Objective(constraints=[messages.Constraint()])
            ),
            "INVALID_ARGUMENT",
        ),
        (
            "GetThresholds",
            messages.GetThresholdsRequest(
                scope=scope(), objective=messages.Objective(false_positive_cost=-1)
            ),
            "INVALID_ARGUMENT",
        ),
        (
            "CompareVersions",
            messages.CompareVersionsRequest(scope=scope(), challengers=["1"]),
            "INVALID_ARGUMENT",
        ),
        (
            "CompareVersions",
            messages.CompareVersionsRequest(scope=scope(), challengers=["9"]),
            "NOT_FOUND",
        ),
        (
            "CompareVersions",
            messages.CompareVersionsRequest(scope=scope(), margin=2),
            "INVALID_ARGUMENT",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused(traffic, analysis, method, request_, code):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await getattr(analysis, method)(request_)
    assert error.value.code().name == code
