"""What passes the gateway passes unchanged."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2 as pb

INFERENCE = "inference.GRPCInferenceService"
INFER = "/inference.GRPCInferenceService/ModelInfer"


def request(model="digits", **fields) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=model, **fields)
    message.inputs.add(name="image", datatype="FP32", shape=[2, 1])
    message.raw_input_contents.append(b"\0" * 8)
    return message


def pairs(metadata) -> list[tuple[str, str | bytes]]:
    return sorted((key, value) for key, value in metadata if key != "leadline-id")


async def both(world, method: str, body: bytes):
    """The same raw call to the server itself and through the gateway."""
    direct = grpc.aio.insecure_channel(world.upstream)
    found = []
    for channel in (direct, world.channel):
        call = channel.unary_unary(method)(body, metadata=(("tenant", "a"), ("x-bin", b"\x01")))
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            answer = error.details()
        found.append(
            (
                answer,
                await call.code(),
                pairs(await call.initial_metadata()),
                pairs(await call.trailing_metadata()),
            )
        )
    await direct.close()
    return found


@pytest.mark.parametrize("model", ["digits", "refuses", "undeclared"])
def test_an_inference_answers_as_the_server_does(run, model):
    async def test(start):
        world = await start()
        body = request(model, id="r1").SerializeToString() + b"\xfa\x3e\x03abc"  # unknown field
        direct, through = await both(world, INFER, body)
        assert direct == through
        assert world.inference.requests[0] == world.inference.requests[1] == body

    run(test)


@pytest.mark.parametrize(
    "method", ["ServerLive", "ServerReady", "ServerMetadata", "ModelConfig", "Future", "Nothing"]
)
def test_every_other_method_answers_as_the_server_does(run, method):
    async def test(start):
        world = await start()
        direct, through = await both(world, f"/inference.GRPCInferenceService/{method}", b"")
        assert direct == through

    run(test)


def test_metadata_reaches_the_server(run):
    async def test(start):
        world = await start()
        await both(world, INFER, request().SerializeToString())
        direct, through = (pairs(metadata) for metadata in world.inference.metadata)
        without = [pair for pair in direct if pair[0] != "user-agent"]
        assert [pair for pair in through if pair[0] != "user-agent"] == without

    run(test)


def test_a_stream_answers_as_the_server_does(run, stream_of):
    async def test(start):
        world = await start()
        requests = [pb.ModelInferRequest(model_name="digits", id=str(n)) for n in range(3)]
        call = world.stub.ModelStreamInfer(stream_of(requests))
        answers = [answer.infer_response.id async for answer in call]
        assert answers == ["0/0", "0/1", "1/0", "1/1", "2/0", "2/1"]
        assert ("stream", "on") in tuple(await call.initial_metadata())
        refused = world.stub.ModelStreamInfer(stream_of([request("refuses")]))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await refused.read()
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert error.value.details() == "not decoupled"

    run(test)


def test_a_deadline_travels(run):
    async def test(start):
        world = await start()
        await world.stub.ModelInfer(request(), timeout=20)
        await world.stub.ModelInfer(request())
        with_one, without = world.inference.deadlines
        assert 15 < with_one <= 20
        assert without is None or without > 1e6
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await world.stub.ModelInfer(request("hangs"), timeout=0.2)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await asyncio.to_thread(world.inference.cancelled.wait, 10)

    run(test)


def test_a_cancelled_call_is_cancelled_at_the_server(run):
    async def test(start):
        world = await start()
        call = world.stub.ModelInfer(request("hangs"))
        assert await asyncio.to_thread(world.inference.started.wait, 10)
        call.cancel()
        assert await asyncio.to_thread(world.inference.cancelled.wait, 10)

    run(test)


def test_a_server_that_is_not_there_is_unavailable(run, inference):
    async def test(start):
        world = await start(upstream="127.0.0.1:1")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await world.stub.ModelInfer(request(), timeout=10)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE

    run(test)


def test_health_tells_of_the_gateway_and_of_the_server(run):
    async def test(start):
        world = await start()
        health = health_pb2_grpc.HealthStub(world.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for name in ("", "leadline.v1.IngestService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == serving
        watch = health.Watch(health_pb2.HealthCheckRequest(service=INFERENCE))
        while (await watch.read()).status != serving:
            pass
        watch.cancel()

    run(test)
