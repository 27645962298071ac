"""The API over gRPC on a truth in SQLite."""

import asyncio

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from sklearn.metrics import confusion_matrix, f1_score

from leadline.records.cells import CellKind, Series
from leadline.testing.truth import TruthWriter
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1 import models_pb2
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 30
DIGITS = tuple("0123456789")


@pytest.fixture
def traffic(store, now_minute):
    """1,000 predictions over 100 minutes in two shards and two slices, 800 of them labelled."""
    rng = np.random.default_rng(5)
    true = rng.integers(0, 10, 1000)
    predicted = np.where(rng.random(1000) < 0.8, true, rng.integers(0, 10, 1000))
    writers = [TruthWriter(store, "main/0"), TruthWriter(store, "main/1")]
    for number in range(1000):
        writer = writers[number % 2]
        device = (("device", "kiosk" if number % 4 == 3 else "phone"),)
        minute = now_minute - number // 10
        ranked = [int(predicted[number]), (int(predicted[number]) + 1) % 10]
        writer.predict(number, int(predicted[number]), minute, slices=device, ranked=ranked)
        if number % 5:
            writer.label(number, int(true[number]), delay_ms=60_000)
    for writer in writers:
        writer.commit(append_ms=now_minute * 60_000)
    return true, predicted


def scope(name: str = "models/digits", seconds: int = 0, **slices: str) -> messages.Scope:
    found = messages.Scope(name=name)
    if seconds:
        found.last.FromSeconds(seconds)
    for column, value in slices.items():
        found.slices.add(column=column, value=value)
    return found


async def summary_of(evaluation, **of: object) -> messages.Summary:
    answer = await evaluation.GetSummary(messages.GetSummaryRequest(scope=scope(**of)))
    return answer.summary


def details_of(error: grpc.aio.AioRpcError) -> dict[str, object]:
    """The details of a failed call by their type's name."""
    raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(raw)
    assert status.code == error.code().value[0]
    found = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        found[kind.__name__] = kind.FromString(detail.value)
    return found


async def test_figures_equal_the_traffic(traffic, evaluation):
    """All shards, versions chosen by default, everything labelled counted."""
    true, predicted = traffic
    labelled = np.arange(1000) % 5 != 0
    found = await summary_of(evaluation)
    assert found.name == "models/digits/versions/1"
    assert (found.basis.predictions, found.basis.labelled) == (1000, 800)
    assert found.basis.label_coverage.value == 0.8
    assert found.accuracy.successes == (true == predicted)[labelled].sum()
    assert found.accuracy.lower < found.accuracy.value < found.accuracy.upper
    reference = f1_score(true[labelled], predicted[labelled], average="macro")
    assert found.macro.f1 == pytest.approx(reference)
    assert [each.k for each in found.top_k] == [2]
    assert found.label_delay.count == 800
    assert 60 <= found.label_delay.p50_seconds <= 68
    assert [
        (each.shard, each.predictions_offset, each.labels_offset) for each in found.basis.vector
    ] == [
        ("main/0", 500, 400),
        ("main/1", 500, 400),
    ]
    assert [each.code for each in found.notices] == ["undeclared_model"]


async def test_the_matrix_equals_scikit_learn(traffic, evaluation):
    true, predicted = traffic
    request = messages.GetConfusionMatrixRequest(scope=scope())
    found = await evaluation.GetConfusionMatrix(request)
    dense = np.zeros((found.class_count,) * 2, int)
    dense[list(found.true_class), list(found.predicted_class)] = found.count
    labelled = np.arange(1000) % 5 != 0
    assert (dense == confusion_matrix(true[labelled], predicted[labelled])).all()
    triples = list(zip(found.true_class, found.predicted_class, strict=True))
    assert triples == sorted(triples)
    assert list(found.class_names) == list(DIGITS)


async def test_windows_and_slices_cut_exactly(traffic, evaluation, now_minute):
    """The last ten minutes, that one included, hold the first 100 predictions."""
    assert (await summary_of(evaluation, seconds=600)).basis.predictions == 100
    kiosk = await summary_of(evaluation, seconds=600, device="kiosk")
    assert kiosk.basis.predictions == 25
    assert kiosk.basis.interval.end_time.ToSeconds() == (now_minute + 1) * 60
    assert kiosk.basis.interval.start_time.ToSeconds() == (now_minute - 9) * 60
    assert (await summary_of(evaluation, device="tablet")).basis.predictions == 0
    listed = await evaluation.ListSlices(messages.ListSlicesRequest(scope=scope()))
    assert [(each.slice.value, each.predictions) for each in listed.slices] == [
        ("phone", 750),
        ("kiosk", 250),
    ]


async def test_the_timeline_sums_to_the_summary(traffic, evaluation):
    request = messages.GetTimelineRequest(scope=scope())
    found = await evaluation.GetTimeline(request)
    assert found.step.ToSeconds() == 300
    assert sum(each.predictions for each in found.points) == 1000
    assert sum(each.labelled for each in found.points) == 800
    assert found.HasField("settled_until")
    request.step.FromSeconds(60)
    assert len((await evaluation.GetTimeline(request)).points) == 100
    request.scope.last.FromSeconds(86_400 * 365)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await evaluation.GetTimeline(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at least 263 minutes" in details_of(refused.value)["ErrorInfo"].metadata["remedy"]


async def test_a_correction_moves_the_figures_and_the_vector(store, now_minute, evaluation):
    writer = TruthWriter(store)
    writer.predict(1, 3, now_minute)
    writer.label(1, 3)
    writer.commit()
    before = await summary_of(evaluation)
    writer.label(1, 5)
    writer.commit()
    after = await summary_of(evaluation)
    assert (before.accuracy.value, after.accuracy.value) == (1.0, 0.0)
    assert before.basis.vector[0].labels_offset + 1 == after.basis.vector[0].labels_offset


async def test_the_champion_is_seen_last_or_declared(store, now_minute, evaluation, declared):
    writer = TruthWriter(store)
    writer.predict(1, 3, now_minute - 5, version="1")
    writer.predict(1, 3, now_minute, version="2")
    writer.commit()
    assert (await summary_of(evaluation)).name == "models/digits/versions/2"
    model = models_pb2.Model(name="models/digits", champion="1")
    await declared.ApplyModel(models_pb2.ApplyModelRequest(model=model))
    assert (await summary_of(evaluation)).name == "models/digits/versions/1"
    model = (await declared.GetModel(models_pb2.GetModelRequest(name="models/digits"))).model
    assert [(each.name, each.champion) for each in model.versions] == [
        ("models/digits/versions/2", False),
        ("models/digits/versions/1", True),
    ]


async def test_summaries_come_page_by_page(store, now_minute, evaluation):
    """A page goes on after the last name though a model appears meanwhile."""
    writer = TruthWriter(store)
    for model in ("a", "b", "c", "d"):
        writer.predict(1, 0, now_minute, model=model)
    writer.commit()
    request = messages.ListSummariesRequest(page_size=2)
    first = await evaluation.ListSummaries(request)
    writer.predict(1, 0, now_minute, model="aa")
    writer.commit()
    request.page_token = first.next_page_token
    second = await evaluation.ListSummaries(request)
    names = [each.name for each in [*first.summaries, *second.summaries]]
    assert names == [f"models/{model}/versions/1" for model in ("a", "b", "c", "d")]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("call", "request_", "code", "field"),
    [
        ("GetSummary", messages.GetSummaryRequest(scope=scope("models/none")), "NOT_FOUND", ""),
        (
            "GetSummary",
            messages.GetSummaryRequest(scope=scope("models/digits/versions/9")),
            "NOT_FOUND",
            "",
        ),
        ("GetSummary", messages.GetSummaryRequest(), "INVALID_ARGUMENT", "scope.name"),
        (
            "ListCases",
            messages.ListCasesRequest(scope=scope(), page_token="bad"),
            "INVALID_ARGUMENT",
            "page_token",
        ),
        (
            "ListSummaries",
            messages.ListSummariesRequest(page_size=-1),
            "INVALID_ARGUMENT",
            "page_size",
        ),
        (
            "GetCase",
            messages.GetCaseRequest(name="models/digits/versions/1/cases/" + "0" * 32),
            "NOT_FOUND",
            "",
        ),
    ],
)
async def test_errors_say_what_to_do(traffic, evaluation, call, request_, code, field):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(evaluation, call)(request_)
    assert refused.value.code().name == code
    details = details_of(refused.value)
    assert details["ErrorInfo"].domain == "leadline"
    assert details["LocalizedMessage"].message.startswith(refused.value.details())
    assert details["ErrorInfo"].metadata["remedy"] or field
    if field:
        assert details["BadRequest"].field_violations[0].field == field


async def test_a_store_that_does_not_answer_is_unavailable(store, evaluation, tmp_path):
    """The caller may try again, and reads nothing of the inside."""
    store.close()
    for path in tmp_path.glob("truth.sqlite*"):
        path.unlink()
    (tmp_path / "truth.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await evaluation.GetStatus(messages.GetStatusRequest())
    assert failed.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}
    assert "sqlite" not in failed.value.details().lower()


async def test_status_tells_why_a_shard_stands(store, evaluation):
    store.shard("main/0")
    store.mark_stopped("main/0", "The topic was cut.", "Reset the shard.")
    (shard,) = (await evaluation.GetStatus(messages.GetStatusRequest())).shards
    assert (shard.position.shard, shard.stopped, shard.remedy) == (
        "main/0",
        "The topic was cut.",
        "Reset the shard.",
    )


async def test_watch_sends_the_first_state_and_then_changes(store, now_minute, evaluation):
    writer = TruthWriter(store)
    writer.predict(1, 3, now_minute)
    writer.commit()
    request = messages.WatchSummaryRequest(scope=scope())
    request.min_interval.FromMilliseconds(1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        call = evaluation.WatchSummary(request)
        first = await call.read()
        assert (first.summary.basis.predictions, first.coalesced) == (1, 0)
        writer.predict(2, 3, now_minute)
        writer.commit()
        assert (await call.read()).summary.basis.predictions == 2
        call.cancel()


async def test_draining_ends_watchers_and_turns_health(store, now_minute, start_reader):
    writer = TruthWriter(store)
    writer.predict(1, 3, now_minute)
    writer.commit()
    service = await start_reader()
    async with asyncio.timeout(DEADLINE_SECONDS), grpc.aio.insecure_channel(service.address) as one:
        health = health_pb2_grpc.HealthStub(one)
        states = health.Watch(health_pb2.HealthCheckRequest())
        assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = EvaluationServiceStub(one).WatchSummary(messages.WatchSummaryRequest(scope=scope()))
        await call.read()
        closing = asyncio.create_task(service.close(5))
        assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        states.cancel()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await closing


async def test_watchers_beyond_the_bound_are_refused(store, now_minute, start_reader):
    writer = TruthWriter(store)
    writer.predict(1, 3, now_minute)
    writer.commit()
    service = await start_reader(watchers_max=1)
    async with grpc.aio.insecure_channel(service.address) as opened:
        stub = EvaluationServiceStub(opened)
        request = messages.WatchSummaryRequest(scope=scope())
        first = stub.WatchSummary(request)
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.WatchSummary(request).read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()


async def test_models_are_declared_once_and_only_grow(traffic, declared, evaluation):
    model = models_pb2.Model(name="models/digits", classes=DIGITS[:9], log_rate=0.5)
    request = models_pb2.ApplyModelRequest(model=model, validate_only=True)
    assert (await declared.ApplyModel(request)).changes == ["Model 'digits' is declared."]
    assert not (await declared.ListModels(models_pb2.ListModelsRequest())).models[0].declared
    request.validate_only = False
    applied = await declared.ApplyModel(request)
    assert (applied.model.revision, applied.model.declared) == (1, True)
    assert list((await declared.ApplyModel(request)).changes) == []
    request.model.classes.append("9")
    assert (await declared.ApplyModel(request)).changes == ["classes: grow from 9 to 10 by '9'."]
    request.model.revision = 1
    with pytest.raises(grpc.aio.AioRpcError) as moved:
        await declared.ApplyModel(request)
    assert moved.value.code() is grpc.StatusCode.ABORTED
    request.model.revision = 0
    del request.model.classes[3:]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await declared.ApplyModel(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    summary = await summary_of(evaluation)
    assert (summary.class_count, summary.basis.log_rate) == (10, 0.5)
    assert list(summary.notices) == []


async def test_events_beside_the_matrix_are_counted(store, now_minute, evaluation):
    writer = TruthWriter(store)
    for number in range(100):
        writer.predict(number, 0, now_minute)
        writer.label(number, 0)
    bare, task = Series("digits", "1", "digits"), Series(task="digits")
    writer.count(CellKind.DUPLICATE, bare, now_minute, 0, 5)
    writer.count(CellKind.UNOBSERVED, bare, now_minute, 1, 3)
    writer.count(CellKind.UNMATCHED, task, now_minute, 0, 2)
    writer.count(CellKind.SUPERSEDED, bare, now_minute, 0, 4)
    writer.count(CellKind.DEFAULTED, bare, now_minute, 0, 6)
    writer.count(CellKind.CLAMPED, task, now_minute, 1, 1)
    writer.commit()
    found = await summary_of(evaluation)
    assert found.counters == messages.Counters(
        duplicates=5,
        clamped=1,
        unmatched=2,
        superseded=4,
        unobserved={"queue_full": 3},
        defaulted=6,
    )
    assert [each.code for each in found.notices] == [
        "duplicate_ids",
        "unobserved",
        "default_labels",
        "undeclared_model",
    ]


def reflected_accuracy(address: str) -> tuple[float, list[tuple[str, int, int]]]:
    """Accuracy and vector by a client that knows nothing but the server's reflection."""
    with grpc.insecure_channel(address) as opened:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(opened))
        service = pool.FindServiceByName("leadline.v1.EvaluationService")
        method = service.FindMethodByName("GetSummary")
        question = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        call = opened.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=question.SerializeToString,
            response_deserializer=answer.FromString,
        )
        request = question()
        request.scope.name = "models/digits"
        summary = call(request, timeout=DEADLINE_SECONDS).summary
        vector = summary.basis.vector
        return summary.accuracy.value, [
            (each.shard, each.predictions_offset, each.labels_offset) for each in vector
        ]


async def test_a_client_of_the_reflected_api_reads_the_same_number(traffic, start_reader):
    service = await start_reader()
    accuracy, vector = await asyncio.to_thread(reflected_accuracy, service.address)
    async with grpc.aio.insecure_channel(service.address) as opened:
        found = await summary_of(EvaluationServiceStub(opened))
    assert accuracy == found.accuracy.value
    assert vector == [
        (each.shard, each.predictions_offset, each.labels_offset) for each in found.basis.vector
    ]


async def test_means_and_f1_have_intervals(traffic, evaluation):
    """Those of the macro means are narrower than those of one class; micro is the accuracy's."""
    found = await summary_of(evaluation)
    for mean in (found.macro, found.micro, found.weighted):
        assert mean.f1_interval.lower < mean.f1 < mean.f1_interval.upper
        assert mean.recall_interval.lower < mean.recall < mean.recall_interval.upper
    assert found.micro.f1_interval.lower == found.accuracy.lower
    widths = []
    for each in found.classes:
        assert each.f1_interval.lower < each.f1 < each.f1_interval.upper
        widths.append(each.f1_interval.upper - each.f1_interval.lower)
    assert found.macro.f1_interval.upper - found.macro.f1_interval.lower < min(widths)
    listed = await evaluation.ListSummaries(messages.ListSummariesRequest())
    assert not listed.summaries[0].macro.HasField("f1_interval")
