"""Labels and predictions that are reported."""

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from leadline.records.batches import RETRACTED, InputAbsence
from leadline.records.ids import id_from_text, pack_ids, row_id
from leadline.records.models import ModelSpec, OutputSpec, ScoreForm, class_digest
from leadline.v1 import ingest_pb2 as pb
from leadline.v1 import ingest_pb2_grpc as stubs

CLASSES = ("cat", "dog")
SPEC = ModelSpec("m", task="pets", classes=CLASSES, slices=("region",), keep_rate=1.0)


def ingest(world):
    return stubs.IngestServiceStub(world.channel)


def test_labels_become_rows(run, until):
    async def test(start):
        world = await start(SPEC)
        labels = [
            pb.Label(id_text="a", class_name="dog"),
            pb.Label(id_text="a", row=2, class_number=0),
            pb.Label(id_bytes=b"\x01" * 16, retracted=True),
            pb.Label(id_text="x", class_name="horse"),
            pb.Label(id_text="x", class_number=2),
            pb.Label(id_bytes=b"short", class_number=1),
            pb.Label(class_number=1),
            pb.Label(id_text="x"),
        ]
        labels[0].label_time.FromMicroseconds(1_234_567)
        message = pb.ReportLabelsRequest(task="pets", source="a", source_rank=7, labels=labels)
        answer = await ingest(world).ReportLabels(message)
        assert answer.accepted == 3
        reasons = {refused.row: refused.reason for refused in answer.refused}
        assert list(reasons) == [3, 4, 5, 6, 7]
        assert "no class 'horse'; it has: cat, dog" in reasons[3]
        assert "id_text" in reasons[5]
        await until(lambda: sum(map(len, world.labels())) == 3)
        found = {}
        for batch in world.labels():
            header = batch.header
            assert (header.task, header.source, header.source_rank) == ("pets", "a", 7)
            assert (header.class_count, header.class_digest) == (2, class_digest(CLASSES))
            times = batch.label_time_us.tolist()
            for at, identity in enumerate(map(tuple, batch.ids.tolist())):
                found[identity] = (int(batch.true_class[at]), times[at])
        a = id_from_text("a")
        ids = [tuple(pack_ids([i])[0].tolist()) for i in (a, row_id(a, 2), b"\x01" * 16)]
        assert [found[each][0] for each in ids] == [1, 0, RETRACTED]
        assert found[ids[0]][1] == 1_234_567
        assert found[ids[1]][1] > 1_700_000_000_000_000

    run(test)


def test_an_undeclared_task_takes_numbers_alone(run, until):
    async def test(start):
        world = await start()
        labels = [
            pb.Label(id_text="a", class_number=3),
            pb.Label(id_text="b", class_name="4"),
            pb.Label(id_text="c", class_name="dog"),
        ]
        answer = await ingest(world).ReportLabels(pb.ReportLabelsRequest(task="t", labels=labels))
        assert (answer.accepted, [refused.row for refused in answer.refused]) == (2, [2])
        assert "leadline models apply" in answer.refused[0].reason
        await until(lambda: sum(map(len, world.labels())) == 2)

    run(test)


@pytest.mark.parametrize("task", ["", "a/b"])
def test_a_task_must_be_a_name(run, task):
    async def test(start):
        world = await start()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ingest(world).ReportLabels(pb.ReportLabelsRequest(task=task))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(test)


def test_a_full_queue_says_so(run):
    async def test(start):
        world = await start(SPEC, log_queue_rows_max=1)
        labels = [pb.Label(id_text=str(at), class_number=1) for at in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ingest(world).ReportLabels(pb.ReportLabelsRequest(task="pets", labels=labels))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(tuple(error.value.trailing_metadata()))["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        assert rpc_status.status_pb2.Status.FromString(details).details[0].Unpack(info)
        assert info.domain == "leadline"

    run(test)


def test_predictions_become_rows(run, until):
    async def test(start):
        world = await start(SPEC)
        rows = [
            pb.Prediction(id_text="a", score=[0.25, 0.75], slices={"region": "eu", "x": "y"}),
            pb.Prediction(id_text="b", class_name="cat", input_uri="s3://b"),
            pb.Prediction(id_text="c", score=[4.0, -1.0]),
            pb.Prediction(id_text="d", score=[0.1, 0.2, 0.7]),
            pb.Prediction(id_text="e"),
        ]
        rows[0].event_time.FromMicroseconds(99)
        spec = "models/m/versions/2"
        world.gateway._models.replace([spec_with(ScoreForm.PROBABILITIES)])
        answer = await ingest(world).ReportPredictions(
            pb.ReportPredictionsRequest(name=spec, predictions=rows)
        )
        assert answer.accepted == 2
        reasons = {refused.row: refused.reason for refused in answer.refused}
        assert list(reasons) == [2, 3, 4]
        assert "looks like logits" in reasons[2]
        await until(lambda: sum(map(len, world.predictions())) == 2)
        by_id = {}
        for batch in world.predictions():
            for at, identity in enumerate(map(tuple, batch.ids.tolist())):
                by_id[identity] = (batch, at)
        scored, at = by_id[tuple(pack_ids([id_from_text("a")])[0].tolist())]
        np.testing.assert_array_equal(scored.scores[at], np.array([0.25, 0.75], np.float32))
        assert (scored.header.version, scored.header.task) == ("2", "pets")
        assert scored.event_time_us[at] == 99
        assert scored.slices[0].values[scored.slices[0].codes[at]] == "eu"
        plain, at = by_id[tuple(pack_ids([id_from_text("b")])[0].tolist())]
        (kept,) = [kept for kept in plain.kept if kept.row == at]
        assert (kept.input_uri, kept.id_text) == ("s3://b", "b")
        assert kept.absence is InputAbsence.PRESENT
        assert plain.predicted[at] == 0

    run(test)


def spec_with(form: ScoreForm) -> ModelSpec:
    return ModelSpec(
        "m",
        task="pets",
        classes=CLASSES,
        slices=("region",),
        keep_rate=1.0,
        output=OutputSpec("", form),
    )


@pytest.mark.parametrize("name", ["m", "models/m", "models//versions/1", "models/m/versions/"])
def test_a_model_version_must_be_named(run, name):
    async def test(start):
        world = await start()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ingest(world).ReportPredictions(pb.ReportPredictionsRequest(name=name))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(test)
