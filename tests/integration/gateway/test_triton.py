"""The gateway in front of a real Triton."""

import os
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient.grpc import aio as triton_aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs
from tritonclient.utils import shared_memory

from leadline.records.batches import UnobservedReason
from leadline.records.ids import id_from_text, pack_ids, row_id
from leadline.records.models import ModelSpec, OutputSpec, ScoreForm
from leadline.testing.servers.triton import Tensor, Triton, write_onnx_model

LINEAR = Path(__file__).resolve().parents[2] / "fixtures" / "linear.onnx"
CLASSES = ("cat", "dog", "eel")
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4) / 7
SERVICE = "/inference.GRPCInferenceService/"
DECLARED = ModelSpec(
    "linear",
    classes=CLASSES,
    output=OutputSpec("probabilities", ScoreForm.PROBABILITIES),
    id_from="request",
)


@pytest.fixture(scope="module")
def triton(tmp_path_factory, triton_tools):
    folder = tmp_path_factory.mktemp("triton")
    write_onnx_model(
        folder / "models",
        "linear",
        1,
        LINEAR,
        [Tensor("x", "FP32", (4,))],
        [Tensor("probabilities", "FP32", (3,), labels=CLASSES)],
    )
    server = Triton(folder / "server", folder / "models", triton_tools)
    server.start()
    yield server
    server.stop()


def request(**fields) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="linear", **fields)
    message.inputs.add(name="x", datatype="FP32", shape=ROWS.shape)
    message.raw_input_contents.append(ROWS.tobytes())
    return message


CALLS = {
    "ServerLive": pb.ServerLiveRequest(),
    "ServerReady": pb.ServerReadyRequest(),
    "ModelReady": pb.ModelReadyRequest(name="linear"),
    "ServerMetadata": pb.ServerMetadataRequest(),
    "ModelMetadata": pb.ModelMetadataRequest(name="linear"),
    "ModelConfig": pb.ModelConfigRequest(name="linear"),
    "RepositoryIndex": pb.RepositoryIndexRequest(),
    "SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(),
    "TraceSetting": pb.TraceSettingRequest(),
    "LogSettings": pb.LogSettingsRequest(),
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name="linear"),
    "ModelInfer": request(id="r"),
    "Unknown": pb.ServerLiveRequest(),
}
WRONG = {
    "ModelReady": pb.ModelReadyRequest(name="absent"),
    "ModelMetadata": pb.ModelMetadataRequest(name="absent"),
    "ModelInfer": pb.ModelInferRequest(model_name="absent"),
}
UNORDERED = {"TraceSetting": pb.TraceSettingResponse, "LogSettings": pb.LogSettingsResponse}


async def answer(channel, method, message):
    call = channel.unary_unary(SERVICE + method)(message.SerializeToString())
    try:
        found = await call
        # Triton writes these maps in another order each time.
        return UNORDERED[method].FromString(found) if method in UNORDERED else found
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()


@pytest.mark.parametrize(
    ("method", "message"), [*CALLS.items(), *WRONG.items()], ids=[*CALLS, *WRONG]
)
def test_each_call_answers_the_same_bytes(run, triton, method, message):
    async def test(start):
        world = await start(upstream=triton.grpc_address)
        async with grpc.aio.insecure_channel(triton.grpc_address) as direct:
            assert await answer(world.channel, method, message) == await answer(
                direct, method, message
            )

    run(test)


def test_a_request_of_rows_is_logged_row_by_row(run, triton):
    async def test(start):
        world = await start(DECLARED, upstream=triton.grpc_address)
        call = world.stub.ModelInfer(request(id="order-7"))
        response = await call
        assert dict(tuple(await call.trailing_metadata()))["leadline-id"] == "order-7"
        scores = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(2, 3)
        found = {}
        for batch in await world.logged(2):
            assert batch.header.version == "1"
            for at, identity in enumerate(map(tuple, batch.ids.tolist())):
                found[identity] = (int(batch.predicted[at]), batch.scores[at].tolist())
        first = id_from_text("order-7")
        for row in range(2):
            identity = tuple(pack_ids([row_id(first, row)])[0].tolist())
            assert found[identity] == (int(scores[row].argmax()), scores[row].tolist())

    run(test)


def test_statistics_and_streams_pass(run, triton, stream_of):
    async def test(start):
        world = await start(DECLARED, upstream=triton.grpc_address)
        call = world.stub.ModelStreamInfer(stream_of([request(id="s")]))
        answers = [each async for each in call]
        assert [each.infer_response.id for each in answers] == ["s"]
        statistics = await world.stub.ModelStatistics(pb.ModelStatisticsRequest(name="linear"))
        assert statistics.model_stats[0].inference_count > 0

    run(test)


def test_outputs_in_shared_memory_are_counted(run, triton, until):
    async def test(start):
        world = await start(DECLARED, upstream=triton.grpc_address)
        key = f"/leadline_test_{os.getpid()}"
        region = shared_memory.create_shared_memory_region("out", key, 24)
        try:
            stub = stubs.GRPCInferenceServiceStub(world.channel)
            await stub.SystemSharedMemoryRegister(
                pb.SystemSharedMemoryRegisterRequest(name="out", key=key, byte_size=24)
            )
            message = request(id="m")
            output = message.outputs.add(name="probabilities")
            output.parameters["shared_memory_region"].string_param = "out"
            output.parameters["shared_memory_byte_size"].int64_param = 24
            await stub.ModelInfer(message)
            scores = shared_memory.get_contents_as_numpy(region, np.float32, [2, 3])
            np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)
            reason = (UnobservedReason.SHARED_MEMORY, 1)
            await until(lambda: any(reason in batch.unobserved for batch in world.predictions()))
            await stub.SystemSharedMemoryUnregister(
                pb.SystemSharedMemoryUnregisterRequest(name="out")
            )
        finally:
            shared_memory.destroy_shared_memory_region(region)

    run(test)


def test_tritons_own_client_works(run, triton):
    async def test(start):
        world = await start(DECLARED, upstream=triton.grpc_address)
        tensor = triton_grpc.InferInput("x", list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS)
        aio = triton_aio.InferenceServerClient(world.gateway.address)
        result = await aio.infer("linear", [tensor], request_id="c-1", parameters={"region": "eu"})
        assert result.as_numpy("probabilities").shape == (2, 3)
        await aio.close()
        assert sum(map(len, await world.logged(2))) == 2

    run(test)
