"""A slow or dead log never slows or fails a prediction."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from leadline.gateway.core.observe import Exchange
from leadline.gateway.handover import Handover
from leadline.records.batches import UnobservedReason
from leadline.records.models import ModelSpec, OutputSpec, ScoreForm

CALLS = 150
WRITE_SECONDS = 0.2
DIGITS = ModelSpec("digits", output=OutputSpec("scores", ScoreForm.PROBABILITIES))


def request() -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="digits")
    message.inputs.add(name="image", datatype="FP32", shape=[2, 1])
    message.raw_input_contents.append(b"\0" * 8)
    return message


async def latencies(call: Callable[[], Awaitable[object]]) -> np.ndarray:
    found = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        found.append(time.perf_counter() - began)
    return np.array(found)


def test_a_stalled_log_does_not_slow_a_prediction(run):
    async def test(start):
        world = await start(DIGITS, log_queue_rows_max=50)
        await world.stub.ModelInfer(request())
        world.log.stall()
        await latencies(lambda: world.stub.ModelInfer(request()))
        assert await asyncio.to_thread(world.log.await_stalled, 10)
        stalled = await latencies(lambda: world.stub.ModelInfer(request()))
        # No call waits for the log: each append would block for seconds.
        assert np.percentile(stalled, 90) < WRITE_SECONDS / 2
        name = "leadline_gateway_dropped_total"
        async with asyncio.timeout(10):
            while not world.metric(name, reason="log_queue_full"):
                await asyncio.sleep(0.01)
        world.log.heal()
        await world.stub.ModelInfer(request())
        reason = UnobservedReason.QUEUE_FULL
        async with asyncio.timeout(10):
            while not any(reason in dict(batch.unobserved) for batch in world.predictions()):
                await asyncio.sleep(0.01)

    run(test)


class WritingHandover(Handover):
    """The fault that the design excludes: the hand-over waits for a stalled log."""

    def __init__(self, stalled: threading.Event) -> None:
        super().__init__(1000, 1 << 20)
        self._stalled = stalled

    def offer(self, exchange: Exchange) -> bool:
        if self._stalled.is_set():
            threading.Event().wait(WRITE_SECONDS)
        return super().offer(exchange)


def test_the_check_notices_a_gateway_that_waits_for_its_log(run):
    """Negative control: with the write on the way of the answer the check above fails."""

    async def test(start):
        world = await start(DIGITS)
        stalled = threading.Event()
        world.gateway._tee._handover = WritingHandover(stalled)
        stalled.set()
        began = time.perf_counter()
        await world.stub.ModelInfer(request())
        assert time.perf_counter() - began > WRITE_SECONDS / 2

    run(test)


def test_a_full_hand_over_drops_and_counts(run):
    async def test(start):
        world = await start(DIGITS, handover_bytes_max=1)
        call = world.stub.ModelInfer(request())
        await call
        assert "leadline-id" in dict(tuple(await call.trailing_metadata()))
        name = "leadline_gateway_unobserved_total"
        async with asyncio.timeout(10):
            while world.metric(name, reason="queue_full") != 1:
                await asyncio.sleep(0.01)
        assert world.metric("leadline_gateway_dropped_total", reason="handover_queue_full") == 1

    run(test)


class BrokenModels:
    """Declarations that cannot be had, because of a bug."""

    def get(self, name):
        raise RuntimeError("bug")

    for_task = get


def test_a_bug_on_the_way_does_not_fail_a_prediction(run, caplog):
    async def test(start):
        world = await start(DIGITS)
        world.gateway._tee._models = BrokenModels()
        answer = await world.stub.ModelInfer(request())
        assert answer.model_name == "digits"
        assert world.metric("leadline_gateway_read_failures_total") == 1

    run(test)


def test_a_large_message_passes_and_a_larger_one_is_refused(run):
    async def test(start):
        world = await start(DIGITS, message_bytes_max=3_500_000)
        large = request()
        large.raw_input_contents[0] = bytes(3_000_000)
        await world.stub.ModelInfer(large)
        large.raw_input_contents[0] = bytes(3_600_000)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await world.stub.ModelInfer(large)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(test)
