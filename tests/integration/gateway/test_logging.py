"""What the log says of what passed."""

import asyncio
import io
import threading
import uuid

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from leadline.records.batches import InputAbsence, UnobservedReason
from leadline.records.ids import id_from_text, pack_ids, row_id
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm
from leadline.runtime.store.blob import open_blobs

SCORES = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], np.float32)
PIXELS = np.arange(8, dtype="<f4").reshape(2, 2, 2)
CLASSES = ("cat", "dog", "cow")


def digits(**changes) -> ModelSpec:
    spec = {"classes": CLASSES, "output": OutputSpec("scores", ScoreForm.PROBABILITIES)}
    return ModelSpec(
        **{"name": "digits", "keep_rate": 0.0, "keep_rate_low_margin": 0.0} | spec | changes
    )


def request(model="digits", **parameters) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=model, id="r-1")
    message.inputs.add(name="image", datatype="FP32", shape=PIXELS.shape)
    message.raw_input_contents.append(PIXELS.tobytes())
    for name, value in parameters.items():
        message.parameters[name].string_param = value
    return message


async def infer(world, message, metadata=()) -> str:
    """Sends a request; returns the id that came back."""
    call = world.stub.ModelInfer(message, metadata=metadata)
    await call
    found = dict(tuple(await call.trailing_metadata()))
    return found.get("leadline-id", "")


def rows_of(batches) -> dict[tuple[int, int], tuple[int, list[float] | None]]:
    """By id, the predicted class and the scores."""
    found = {}
    for batch in batches:
        for at, (high, low) in enumerate(batch.ids.tolist()):
            scores = None if batch.scores is None else batch.scores[at].tolist()
            found[high, low] = (int(batch.predicted[at]), scores)
    return found


def key(identity: bytes, row: int = 0) -> tuple[int, int]:
    high, low = pack_ids([row_id(identity, row)])[0].tolist()
    return high, low


def unobserved_of(batches) -> dict[UnobservedReason, int]:
    found: dict[UnobservedReason, int] = {}
    for batch in batches:
        for reason, count in batch.unobserved:
            found[reason] = found.get(reason, 0) + count
    return found


def test_each_row_of_a_request_is_a_prediction(run):
    async def test(start):
        world = await start(digits(slices=("region", "device")))
        shown = await infer(world, request(region="eu"))
        batches = await world.logged(2)
        identity = uuid.UUID(shown)
        assert identity.version == 7
        assert rows_of(batches) == {
            key(identity.bytes, row): (int(SCORES[row].argmax()), SCORES[row].tolist())
            for row in range(2)
        }
        header = batches[0].header
        assert (header.model, header.version, header.task) == ("digits", "3", "digits")
        assert (header.class_count, header.log_rate) == (3, 1.0)
        slices = {column.name: column.values for column in batches[0].slices}
        assert slices == {"region": ("eu",), "device": ("",)}

    run(test)


@pytest.mark.parametrize(
    ("id_from", "metadata", "expected"),
    [
        ("request", (), "r-1"),
        ("parameter:order", (), "bestellung"),
        ("header:trace", (("trace", "t-5"),), "t-5"),
        ("fresh", (("leadline-id", "mine"),), "mine"),
    ],
)
def test_the_declared_id_is_logged_and_comes_back(run, id_from, metadata, expected):
    async def test(start):
        world = await start(digits(id_from=id_from))
        assert await infer(world, request(order="bestellung"), metadata) == expected
        rows = rows_of(await world.logged(2))
        assert set(rows) == {key(id_from_text(expected), row) for row in range(2)}

    run(test)


def test_an_id_that_metadata_cannot_carry_does_not_fail_the_call(run):
    async def test(start):
        world = await start(digits(id_from="parameter:order"))
        shown = await infer(world, request(order="größe\n"))
        assert uuid.UUID(shown).bytes == id_from_text("größe\n")
        assert key(id_from_text("größe\n")) in rows_of(await world.logged(2))

    run(test)


def test_an_undeclared_model_is_counted_by_class_number(run):
    async def test(start):
        world = await start()
        await infer(world, request("something"))
        (batch, *more) = await world.logged(2)
        header = batch.header
        assert (header.model, header.class_count, header.class_digest) == ("something", 3, 0)
        assert batch.scores is not None
        assert not more or more[0].header == header

    run(test)


def test_scores_that_look_like_logits_are_said_to(run, caplog):
    async def test(start):
        world = await start(digits())
        for _ in range(2):
            await infer(world, request(answer="logits"))
        reasons = {UnobservedReason.SCORE_RANGE: 4}
        async with asyncio.timeout(10):
            while unobserved_of(world.predictions()) != reasons:
                await asyncio.sleep(0.01)
        words = [text for text in caplog.messages if "looks like logits: declare it" in text]
        assert len(words) == 1
        assert sum(map(len, world.predictions())) == 0

    run(test)


def test_what_is_not_logged_is_counted_by_reason(run, stream_of):
    async def test(start):
        world = await start(digits())
        await infer(world, request())
        await world.logged(2)
        call = world.stub.ModelStreamInfer(stream_of([request()] * 3))
        assert len([answer async for answer in call]) == 6
        assert await infer(world, request(), (("leadline-log", "off"),)) == ""
        await infer(world, request(answer="shared"))
        await infer(world, request(answer="nothing"))
        expected = {
            UnobservedReason.STREAM: 3,
            UnobservedReason.OPTED_OUT: 1,
            UnobservedReason.SHARED_MEMORY: 1,
            UnobservedReason.OUTPUT_MISSING: 1,
        }
        async with asyncio.timeout(10):
            while unobserved_of(world.predictions()) != expected:
                await asyncio.sleep(0.01)
        assert {batch.header.version for batch in world.predictions()} == {"3"}
        for reason, count in expected.items():
            name = "leadline_gateway_unobserved_total"
            assert world.metric(name, reason=reason.name.lower()) == count
        name = "leadline_gateway_requests_total"
        assert world.metric(name, model="digits", version="3", status="OK") == 4

    run(test)


def test_a_kept_row_names_the_stored_input(run, tmp_path):
    async def test(start):
        blobs = open_blobs(str(tmp_path / "blobs"))
        keep = digits(
            keep_rate=1.0,
            input=InputSpec("image", InputForm.IMAGE_ARRAY, layout="HW"),
            id_from="request",
        )
        world = await start(keep, blobs=blobs)
        await infer(world, request())
        batches = await world.logged(2)
        found = {}
        for batch in batches:
            for kept in batch.kept:
                content, media_type = blobs.get(kept.input_ref)
                assert (media_type, kept.id_text) == ("application/x-npy", "r-1")
                assert (kept.probability, kept.absence) == (1.0, InputAbsence.PRESENT)
                found[tuple(batch.ids[kept.row].tolist())] = np.load(io.BytesIO(content))
        for row in range(2):
            np.testing.assert_array_equal(found[key(id_from_text("r-1"), row)], PIXELS[row])

    run(test)


class StuckStore:
    """A blob store whose disk has gone away; it answers when told to."""

    def __init__(self) -> None:
        self.freed = threading.Event()

    def put(self, content: bytes, media_type: str) -> str:
        self.freed.wait(30)
        raise OSError("gone")


def test_a_stuck_blob_store_does_not_hold_up_the_log(run):
    async def test(start):
        store = StuckStore()
        spec = digits(keep_rate=1.0, input=InputSpec("image", InputForm.NUMBERS))
        world = await start(spec, blobs=store, blob_timeout_seconds=0.1, blob_queue_inputs_max=4)
        for _ in range(6):
            await infer(world, request())
        batches = await world.logged(12)
        absences = [kept.absence for batch in batches for kept in batch.kept]
        assert set(absences) == {InputAbsence.STORE_FAILED, InputAbsence.QUEUE_FULL}
        assert len(absences) == 12
        store.freed.set()

    run(test)


def test_an_input_that_lives_elsewhere_is_named_and_not_copied(run):
    async def test(start):
        spec = digits(keep_rate=1.0, input=InputSpec(uri_parameter="where"))
        world = await start(spec)
        await infer(world, request(where="s3://bucket/1.png"))
        (batch, *_) = await world.logged(2)
        assert {kept.input_uri for kept in batch.kept} == {"s3://bucket/1.png"}

    run(test)


def test_only_the_declared_share_is_logged(run):
    async def test(start):
        world = await start(digits(log_rate=0.5))
        for _ in range(40):
            await infer(world, request())
        await world.gateway.close(5.0)
        batches = world.predictions()
        assert 20 < sum(map(len, batches)) < 60
        assert {batch.header.log_rate for batch in batches} == {0.5}

    run(test)


def test_a_refused_inference_is_counted_and_not_logged(run):
    async def test(start):
        world = await start()
        with pytest.raises(grpc.aio.AioRpcError):
            await world.stub.ModelInfer(request("refuses"))
        labels = {"model": "other", "version": "other", "status": "INVALID_ARGUMENT"}
        assert world.metric("leadline_gateway_requests_total", **labels) == 1
        await world.gateway.close(5.0)
        assert world.predictions() == []

    run(test)


def test_closing_writes_what_waits(run):
    async def test(start):
        world = await start(digits(), handover_linger_seconds=60.0, log_linger_seconds=60.0)
        await infer(world, request())
        await world.gateway.close(5.0)
        assert len(rows_of(world.predictions())) == 2

    run(test)
