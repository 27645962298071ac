"""Merges, crossings, confused pairs and volatility over gRPC, against scikit-learn and loops."""

import grpc
import numpy as np
import pytest
from scored_traffic import Traffic
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from leadline.metrics.measures.volatility import volatility
from leadline.records.intervals import wilson
from leadline.records.models import ModelSpec
from leadline.testing.truth import TruthWriter
from leadline.v1 import analysis_pb2
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1.analysis_pb2_grpc import AnalysisServiceStub

pytestmark = pytest.mark.anyio
CLASSES, ROWS = 8, 600
MERGES = {"first": (1, 3), "second": (5, 2, 7)}
DEVICES, PLACES = ("phone", "tablet", "kiosk"), ("hall", "yard")


def into(number):
    return {3: 1, 5: 2, 7: 2}.get(number, number)


@pytest.fixture
def rows(store, now_minute):
    """(true class, predicted class, device, place, minute) of each labelled prediction."""
    store.save_model(ModelSpec("digits", classes=tuple("abcdefgh")), None)
    rng = np.random.default_rng(8)
    writer, found = TruthWriter(store), []
    for number in range(ROWS):
        true = int(rng.integers(0, CLASSES))
        said = true if rng.random() < 0.6 else int(rng.integers(0, CLASSES))
        device, place = (str(rng.choice(each)) for each in (DEVICES, PLACES))
        minute = now_minute - int(rng.integers(0, 100))
        slices = (("device", device), ("place", place))
        writer.predict(number, said, minute, slices=slices, ranked=(said, true))
        writer.label(number, true)
        found.append((true, said, device, place, minute))
    writer.commit(append_ms=now_minute * 60_000)
    return found


def scope(merges=MERGES):
    found = messages.Scope(name="models/digits/versions/1")
    for name, numbers in (merges or {}).items():
        found.merges.add(name=name, class_numbers=numbers)
    return found


async def matrix(evaluation, **more):
    return await evaluation.GetConfusionMatrix(messages.GetConfusionMatrixRequest(**more))


def dense(found):
    table = np.zeros((CLASSES, CLASSES), int)
    table[list(found.true_class), list(found.predicted_class)] = found.count
    return table


async def test_the_matrix_of_merged_classes_is_scikit_learns(rows, evaluation):
    found = await matrix(evaluation, scope=scope())
    true, said = ([into(row[side]) for row in rows] for side in (0, 1))
    assert (dense(found) == confusion_matrix(true, said, labels=range(CLASSES))).all()
    assert list(found.class_names) == ["a", "first", "second", "d", "e", "f", "g", "h"]
    plain = await matrix(evaluation, scope=scope(None))
    true, said = ([row[side] for row in rows] for side in (0, 1))
    assert (dense(plain) == confusion_matrix(true, said, labels=range(CLASSES))).all()


async def test_figures_of_merged_classes_are_scikit_learns(rows, evaluation):
    request = messages.GetSummaryRequest(scope=scope())
    found = (await evaluation.GetSummary(request)).summary
    true, said = ([into(row[side]) for row in rows] for side in (0, 1))
    assert found.accuracy.value == pytest.approx(np.mean(np.equal(true, said)))
    assert found.macro.f1 == pytest.approx(f1_score(true, said, average="macro"))
    numbers = sorted(set(true))
    assert [each.class_number for each in found.classes] == numbers == [0, 1, 2, 4, 6]
    assert [each.class_name for each in found.classes] == ["a", "first", "second", "e", "g"]
    for figure, own in ((recall_score, "recall"), (precision_score, "precision")):
        wanted = figure(true, said, labels=numbers, average=None)
        assert [getattr(each, own).value for each in found.classes] == pytest.approx(wanted)
    assert not found.top_k
    assert "merged_classes" in [each.code for each in found.notices]
    plain = (await evaluation.GetSummary(messages.GetSummaryRequest(scope=scope(None)))).summary
    assert plain.top_k
    assert plain.accuracy.value < found.accuracy.value
    assert "merged_classes" not in [each.code for each in plain.notices]


async def test_steps_and_slices_count_merged_classes_as_one(rows, evaluation):
    request = messages.GetTimelineRequest(scope=scope())
    request.step.FromSeconds(600)
    found = await evaluation.GetTimeline(request)
    slices = await evaluation.ListSlices(messages.ListSlicesRequest(scope=scope()))
    told = {each.slice.value: each.accuracy.successes for each in slices.slices}
    for place in PLACES:
        assert told[place] == sum(into(r[0]) == into(r[1]) for r in rows if r[3] == place)
    for each in found.points:
        begin = each.start_time.ToSeconds() // 60
        own = [row for row in rows if begin <= row[4] < begin + 10]
        assert each.accuracy.trials == len(own)
        assert each.accuracy.successes == sum(into(row[0]) == into(row[1]) for row in own)


async def test_volatility_is_that_of_the_steps(rows, evaluation):
    request = messages.GetTimelineRequest(scope=scope(None))
    request.step.FromSeconds(600)
    found = await evaluation.GetTimeline(request)
    rates = [each.accuracy for each in found.points]
    wanted = volatility([each.successes for each in rates], [each.trials for each in rates])
    told = found.accuracy_volatility
    assert told.steps == wanted.windows == sum(each.trials > 0 for each in rates)
    assert told.mean == pytest.approx(np.mean([row[0] == row[1] for row in rows]))
    shares = [each.successes / each.trials for each in rates if each.trials]
    weights = [each.trials for each in rates if each.trials]
    spread = np.average((np.array(shares) - told.mean) ** 2, weights=weights)
    assert told.deviation == pytest.approx(np.sqrt(spread))
    assert told.expected_deviation == pytest.approx(wanted.expected)
    assert told.ratio == pytest.approx(told.deviation / told.expected_deviation)
    assert told.excess_deviation == pytest.approx(wanted.excess)
    one = messages.GetTimelineRequest(scope=scope(None))
    one.step.FromSeconds(10**6)
    assert not (await evaluation.GetTimeline(one)).HasField("accuracy_volatility")


@pytest.mark.parametrize("merges", [None, MERGES])
async def test_the_most_confused_pairs_are_told(rows, evaluation, merges):
    found = await matrix(evaluation, scope=scope(merges), confused_pairs_max=6)
    table = dense(found)
    wrong = table * (1 - np.eye(CLASSES, dtype=int))
    order = sorted(np.argwhere(wrong).tolist(), key=lambda at: (-wrong[tuple(at)], at))
    assert [[each.true_class, each.predicted_class] for each in found.confused_pairs] == order[:6]
    for each in found.confused_pairs:
        number, of_true = table[each.true_class, each.predicted_class], table[each.true_class].sum()
        rate = each.share_of_true
        assert (rate.successes, rate.trials) == (number, of_true)
        assert (rate.lower, rate.upper) == pytest.approx(wilson(number, of_true))
        assert each.reverse_count == table[each.predicted_class, each.true_class]
        assert each.true_class_name == found.class_names[each.true_class]


async def test_crossings_are_those_of_the_rows(rows, evaluation):
    request = messages.ListSlicesRequest(scope=scope(None), columns=["place", "device"])
    found = await evaluation.ListSlices(request)
    assert len(found.slices) == 6
    assert (found.left_out, found.left_out_predictions, found.without_columns) == (0, 0, 0)
    for each in found.slices:
        values = [(one.column, one.value) for one in each.crossing]
        (_, place), (_, device) = values
        assert [column for column, _ in values] == ["place", "device"]
        own = [row for row in rows if row[2:4] == (device, place)]
        assert (each.predictions, each.accuracy.trials) == (len(own), len(own))
        assert each.accuracy.successes == sum(row[0] == row[1] for row in own)
        one = scope(None)
        one.slices.extend(each.crossing)
        summary = await evaluation.GetSummary(messages.GetSummaryRequest(scope=one))
        assert summary.summary.accuracy == each.accuracy
    sizes = [each.predictions for each in found.slices]
    assert sizes == sorted(sizes, reverse=True)
    request.columns[:] = ["device", "nowhere"]
    lacking = await evaluation.ListSlices(request)
    assert (len(lacking.slices), lacking.without_columns) == (0, ROWS)


@pytest.fixture
def analysis(channel):
    return AnalysisServiceStub(channel)


async def test_curves_of_merged_classes_are_left_out_and_said_so(
    store, now_minute, evaluation, analysis
):
    Traffic().write(store, now_minute)
    asked = messages.Scope(name="models/m/versions/1")
    request = analysis_pb2.GetCurvesRequest(scope=asked, areas_only=True)
    plain = await analysis.GetCurves(request)
    request.scope.merges.add(name="both", class_numbers=[0, 2])
    found = await analysis.GetCurves(request)
    assert [each.class_number for each in found.classes] == [1, 3]
    assert [each.auc for each in found.classes] == [plain.classes[1].auc, plain.classes[3].auc]
    assert [each.code for each in found.basis.notices] == ["merged_classes"]
    assert not plain.basis.notices
    areas = [each.auc.value for each in found.classes]
    assert found.macro_auc.value == pytest.approx(np.mean(areas))


def merging(*merges):
    found = messages.Scope(name="models/digits/versions/1")
    for name, numbers in merges:
        found.merges.add(name=name, class_numbers=numbers)
    return found


@pytest.mark.parametrize(
    "merges",
    [
        [("one", [1])],
        [("", [1, 2])],
        [("twice", [1, 1])],
        [("one", [1, 2]), ("other", [2, 3])],
        [("many", range(10_001))],
    ],
)
async def test_merges_that_cannot_be_meant_are_refused(rows, evaluation, merges):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await evaluation.GetSummary(messages.GetSummaryRequest(scope=merging(*merges)))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("columns", [["a", "a"], [""], ["a", "b", "c", "d"]])
async def test_columns_that_cannot_be_meant_are_refused(rows, evaluation, columns):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await evaluation.ListSlices(messages.ListSlicesRequest(scope=scope(None), columns=columns))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_questions_that_rest_on_scores_refuse_merges(rows, evaluation, analysis):
    merged = merging(("both", [1, 2]))
    for call, request in (
        (analysis.GetCalibration, analysis_pb2.GetCalibrationRequest(scope=merged)),
        (analysis.CompareVersions, analysis_pb2.CompareVersionsRequest(scope=merged)),
        (analysis.ListAdvice, analysis_pb2.ListAdviceRequest(scope=merged)),
        (analysis.GetThresholds, analysis_pb2.GetThresholdsRequest(scope=merged, class_number=2)),
        (evaluation.ListCases, messages.ListCasesRequest(scope=merged)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(request)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
