"""A gateway with everything real around it but the inference server, which obeys the test."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from leadline.gateway.models import StaticModels
from leadline.gateway.service import GatewayService
from leadline.gateway.settings import GatewaySettings
from leadline.records.batches import PredictionBatch
from leadline.records.models import ModelSpec
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.local import LocalLog
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, TopicSpec
from leadline.testing.faults import FaultyLog
from leadline.wire.batches import decode_labels, decode_predictions

PARTITIONS = 2
SCORES = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], np.float32)


class Inference(stubs.GRPCInferenceServiceServicer):
    """An inference server whose models are named after what they do."""

    def __init__(self) -> None:
        self.metadata: list[tuple[tuple[str, str | bytes], ...]] = []
        self.deadlines: list[float | None] = []
        self.requests: list[bytes] = []
        self.started = threading.Event()
        self.cancelled = threading.Event()

    def ModelInfer(self, request, context):
        self.requests.append(request.SerializeToString())
        self.metadata.append(tuple(context.invocation_metadata()))
        self.deadlines.append(context.time_remaining())
        if request.model_name == "refuses":
            context.send_initial_metadata((("early", "word"),))
            context.set_trailing_metadata((("why-bin", b"\x00\xff"), ("retry", "no")))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "shape is wrong: ü")
        if request.model_name == "hangs":
            context.add_callback(self.cancelled.set)
            self.started.set()
            self.cancelled.wait(30)
        context.send_initial_metadata((("server", "triton"),))
        context.set_trailing_metadata((("took", "12"),))
        return answer_to(request)

    def ServerLive(self, request, context):
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return pb.ServerReadyResponse(ready=True)

    def ServerMetadata(self, request, context):
        context.set_trailing_metadata((("took", "1"),))
        return pb.ServerMetadataResponse(name="triton", version="2.51.0", extensions=["a", "b"])

    def ModelConfig(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name}")

    def ModelStreamInfer(self, request_iterator, context):
        context.send_initial_metadata((("stream", "on"),))
        for request in request_iterator:
            if request.model_name == "refuses":
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "not decoupled")
            for part in range(2):
                answer = pb.ModelStreamInferResponse()
                answer.infer_response.model_name = request.model_name
                answer.infer_response.id = f"{request.id}/{part}"
                yield answer


def answer_to(request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    """Scores; the parameter `answer` asks for another kind of answer."""
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version="3", id=request.id
    )
    kind = request.parameters["answer"].string_param
    if kind != "nothing":
        output = response.outputs.add(name="scores", datatype="FP32", shape=SCORES.shape)
    if kind == "shared":
        output.parameters["shared_memory_region"].string_param = "region"
    elif kind == "logits":
        response.raw_output_contents.append((SCORES * 9).tobytes())
    elif kind != "nothing":
        response.raw_output_contents.append(SCORES.tobytes())
    return response


class Future(grpc.GenericRpcHandler):
    """A method that the gateway has never heard of."""

    def service(self, handler_call_details):
        if handler_call_details.method != "/inference.GRPCInferenceService/Future":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])


@dataclass
class World:
    """A running gateway, the server behind it and the log that it writes to."""

    inference: Inference
    upstream: str
    gateway: GatewayService
    channel: grpc.aio.Channel
    log: FaultyLog
    registry: CollectorRegistry
    inner: Log
    read: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def stub(self) -> Any:
        """The protocol, through the gateway."""
        return stubs.GRPCInferenceServiceStub(self.channel)

    def values(self, topic: str) -> list[tuple[int, bytes]]:
        """Partition and bytes of all records of a topic."""
        found = []
        for partition in range(PARTITIONS):
            reader = self.inner.reader(topic, partition)
            while records := reader.poll(1000, 0.0):
                found += [(partition, record.value) for record in records]
            reader.close()
        return found

    def predictions(self) -> list[PredictionBatch]:
        """All batches of predictions in the log; none of their rows may be refused."""
        return [self._good(decode_predictions, *value) for value in self.values(PREDICTIONS)]

    def labels(self) -> list[Any]:
        """All batches of labels in the log."""
        return [self._good(decode_labels, *value) for value in self.values(LABELS)]

    def _good(self, decode: Any, partition: int, value: bytes) -> Any:
        decoded = decode(value, partition, PARTITIONS)
        assert decoded.refusals == ()
        return decoded.batch

    async def logged(self, rows: int, seconds: float = 10.0) -> list[PredictionBatch]:
        """The batches of predictions, once so many rows are in the log."""
        await wait_until(lambda: sum(map(len, self.predictions())) >= rows, seconds)
        return self.predictions()

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value; 0 before it was ever counted."""
        return self.registry.get_sample_value(name, labels) or 0.0


async def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Waits for a condition: `await until(lambda: ..., seconds)`."""
    return wait_until


@pytest.fixture
def inference() -> Iterator[tuple[Inference, str]]:
    """The server behind the gateway, and its address."""
    servicer = Inference()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    stubs.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers((Future(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    servicer.cancelled.set()
    server.stop(0).wait()


Start = Callable[..., Awaitable[World]]


@pytest.fixture
def run(inference, tmp_path) -> Callable[[Callable[[Start], Awaitable[None]]], None]:
    """Runs a test in an event loop; `start(*specs, **settings)` starts a gateway in it."""

    async def main(test: Callable[[Start], Awaitable[None]]) -> None:
        started: list[World] = []

        async def start(*specs: ModelSpec, blobs: Any = None, **changes: Any) -> World:
            world = await _start(inference, tmp_path, specs, blobs, changes)
            started.append(world)
            return world

        try:
            await test(start)
        finally:
            for world in started:
                world.log.heal()
                await world.channel.close()
                await world.gateway.close(5.0)
                world.inner.close()

    return lambda test: asyncio.run(main(test))


async def _start(inference, folder, specs, blobs, changes) -> World:
    clock = SystemClock()
    inner = LocalLog(str(folder / "log.sqlite"), clock, LocalSettings())
    inner.create([TopicSpec(name, PARTITIONS, -1) for name in (PREDICTIONS, LABELS)])
    log = FaultyLog(inner)
    registry = CollectorRegistry()
    defaults = {
        "listen_address": "127.0.0.1:0",
        "triton_address": changes.pop("upstream", inference[1]),
        "metrics_address": "",
        "partitions": PARTITIONS,
        "triton_check_seconds": 0.05,
        "handover_linger_seconds": 0.01,
        "log_linger_seconds": 0.01,
    }
    settings = GatewaySettings(**(defaults | changes))
    gateway = GatewayService(
        settings,
        log=log,
        blobs=blobs,
        models=StaticModels(specs),
        clock=clock,
        registry=registry,
    )
    try:
        await gateway.start()
    except BaseException:
        await gateway.close(1.0)
        inner.close()
        raise
    channel = grpc.aio.insecure_channel(gateway.address)
    return World(inference[0], inference[1], gateway, channel, log, registry, inner)


@pytest.fixture
def stream_of() -> Callable[[list[Any]], AsyncIterator[Any]]:
    """An asynchronous iterator over values."""

    async def values(items: list[Any]) -> AsyncIterator[Any]:
        for item in items:
            yield item

    return values
