"""The gateway's loop: one gRPC server, one channel to Triton, and the threads behind them.

Invariant: a slow or dead log, store or disk never slows or fails a prediction. The event loop only
scans a head, makes an id and appends to a bounded queue; all that can wait has threads of its own
behind bounded queues, which drop and count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, start_http_server

from leadline.gateway.handover import Handover
from leadline.gateway.ingest import IngestServicer
from leadline.gateway.keeper import BlobSink, Keeper
from leadline.gateway.models import ModelSource, PolledModels
from leadline.gateway.observer import Observer
from leadline.gateway.passthrough import SERVICE, Passthrough
from leadline.gateway.settings import GatewaySettings
from leadline.gateway.tee import Randomness, Tee
from leadline.gateway.telemetry import QueueCollector, Telemetry
from leadline.records.errors import UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import Log, Stream
from leadline.runtime.producer import EventProducer, ProducerLimits
from leadline.v1 import ingest_pb2, ingest_pb2_grpc

INGEST = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name
LAST_WORD_SECONDS = 0.1
"""What a health watch has to send NOT_SERVING before it ends."""
INFERENCE = SERVICE.strip("/")

_log = logging.getLogger(__name__)


class GatewayService:
    """The gateway. Construct, start and close it within one running event loop.

    Args:
        settings: all that can be set.
        log: where events go; closed by its owner, after this.
        blobs: where kept inputs go; None: they are not stored.
        models: declarations; None: read from `settings.models_address`.
        clock: the time.
        registry: where the gateway's own metrics are shown.
        randomness: n random bytes, for fresh ids.

    Attributes:
        address: where it listens, host:port, after `start`.
        metrics_address: where its metrics are, host:port, after `start`; empty: nowhere.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        log: Log,
        blobs: BlobSink | None,
        models: ModelSource | None,
        clock: Clock,
        registry: CollectorRegistry,
        randomness: Randomness = os.urandom,
    ) -> None:
        self.address = self.metrics_address = ""
        self._settings = settings
        self._clock = clock
        self._registry = registry
        self._polled = PolledModels(settings.models_address, settings.models_poll_seconds)
        self._models = models or self._polled
        self._polls = models is None and bool(settings.models_address)
        self._telemetry = Telemetry(registry)
        stream = Stream(settings.stream, settings.partitions)
        self._producer = EventProducer(log, stream, producer_limits(settings), clock)
        self._keeper = None if blobs is None else make_keeper(settings, blobs, clock)
        self._handover = Handover(settings.handover_requests_max, settings.handover_bytes_max)
        self._observer = Observer(
            self._handover, self._producer, self._keeper, settings, self._telemetry, clock
        )
        self._tee = Tee(self._models, self._handover, self._telemetry, clock, randomness)
        depths = {"handover": self._handover.depth}
        if self._keeper is not None:
            depths["blobs"] = self._keeper.depth
        registry.register(QueueCollector(depths, self._producer.stats))
        self._draining = asyncio.Event()
        self._health = DrainingHealth()
        self._channel: grpc.aio.Channel | None = None
        self._server: grpc.aio.Server | None = None
        self._checking: asyncio.Task[None] | None = None
        self._metrics: Any = None

    async def start(self) -> None:
        """Listens and serves; waits at most `models_wait_seconds` for the first declarations.

        Raises:
            UsageError: an address is taken or no address.
        """
        self._producer.start()
        if self._keeper is not None:
            self._keeper.start()
        self._observer.start()
        if self._polls and not await self._polled.start(self._settings.models_wait_seconds):
            _log.warning(
                "Serving without declarations: %s does not answer yet, so every model counts as "
                "undeclared until it does.",
                self._settings.models_address,
            )
        options = channel_options(self._settings.message_bytes_max)
        self._channel = grpc.aio.insecure_channel(self._settings.triton_address, options)
        self._server = grpc.aio.server(options=options)
        self._add_handlers(self._server, self._channel)
        self.address = listen(self._server, "listen_address", self._settings.listen_address)
        self._metrics = serve_metrics(self._settings.metrics_address, self._registry)
        if self._metrics is not None:
            host, port = self._metrics[0].server_address[:2]
            self.metrics_address = f"{host}:{port}"
        await self._server.start()
        for name in ("", INGEST):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        ready: Any = self._channel.unary_unary(SERVICE + "ServerReady")
        self._checking = asyncio.create_task(self._check_triton(ready), name="leadline-check")

    async def close(self, grace_seconds: float | None = None) -> None:
        """Drains and ends within one budget, `drain_seconds` by default.

        Health answers NOT_SERVING, calls in flight are answered, streams are ended before half of
        the budget is gone, then what waits is written. The rest is lost and counted.
        """
        budget = self._settings.drain_seconds if grace_seconds is None else grace_seconds
        end = self._clock.monotonic_seconds() + budget
        await self._health.enter_graceful_shutdown()
        if self._checking is not None:
            self._checking.cancel()
        await self._stop_server(budget / 2)
        if self._polls:
            await self._polled.close()
        if self._channel is not None:
            await self._channel.close()
        await asyncio.to_thread(self._close_threads, end)
        if self._metrics is not None:
            server, thread = self._metrics
            server.shutdown()
            server.server_close()
            thread.join()

    async def _stop_server(self, grace_seconds: float) -> None:
        """Answers calls in flight; ends streams when the time is nearly over."""
        if self._server is None:
            return
        await self._health.end_watches()
        stopping = asyncio.create_task(self._server.stop(grace_seconds))
        await asyncio.wait([stopping], timeout=grace_seconds * 0.8)
        self._draining.set()
        await stopping

    def _close_threads(self, end: float) -> None:
        left = max(0.0, end - self._clock.monotonic_seconds())
        self._observer.close(left / 2)
        if self._keeper is not None:
            self._keeper.close()
        self._producer.close(max(0.05, end - self._clock.monotonic_seconds()))

    def _add_handlers(self, server: grpc.aio.Server, channel: grpc.aio.Channel) -> None:
        """The gateway's own services first; every other call goes to the inference server."""
        settings = self._settings
        ingest = IngestServicer(self._models, self._producer, settings.producer, self._clock)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(ingest, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [INGEST, health.SERVICE_NAME, reflection.SERVICE_NAME]
        with contextlib.suppress(ImportError):  # without it, only this description is missing
            from tritonclient.grpc import service_pb2  # noqa: PLC0415

            names.append(service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name)
        reflection.enable_server_reflection(names, server)
        passthrough = Passthrough(channel, self._tee, self._draining)
        server.add_generic_rpc_handlers((passthrough,))

    async def _check_triton(self, ready_call: Callable[..., Awaitable[bytes]]) -> None:
        """Keeps the health of the inference service what Triton says of itself."""
        status = health_pb2.HealthCheckResponse
        while True:
            ready = False
            with contextlib.suppress(grpc.aio.AioRpcError):
                # ServerReadyResponse: field 1, a bool; absent means false.
                ready = (await ready_call(b"", timeout=5.0)).startswith(b"\x08\x01")
            self._telemetry.triton_ready.set(ready)
            await self._health.set(INFERENCE, status.SERVING if ready else status.NOT_SERVING)
            await asyncio.sleep(self._settings.triton_check_seconds)


class DrainingHealth(health.aio.HealthServicer):  # type: ignore[misc]  # it has no types
    """The health service, whose watches end when the server drains: one would hold it up."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[Any]] = set()

    async def Watch(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Sends each change of a service's health until the server drains."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait([watch])
        finally:
            watch.cancel()
            self._watches.discard(watch)

    async def end_watches(self) -> None:
        """Ends all open watches, once each has had the time to send its last change."""
        if self._watches:
            await asyncio.wait(self._watches, timeout=LAST_WORD_SECONDS)
        for watch in self._watches:
            watch.cancel()


def producer_limits(settings: GatewaySettings) -> ProducerLimits:
    """The bounds of the queue in front of the log."""
    return ProducerLimits(
        queued_rows_max=settings.log_queue_rows_max,
        queued_bytes_max=settings.log_queue_bytes_max,
        linger_seconds=settings.log_linger_seconds,
        batch_rows_max=settings.log_batch_rows_max,
    )


def make_keeper(settings: GatewaySettings, blobs: BlobSink, clock: Clock) -> Keeper:
    """The queue in front of the blob store."""
    return Keeper(
        blobs,
        inputs_max=settings.blob_queue_inputs_max,
        bytes_max=settings.blob_queue_bytes_max,
        timeout_seconds=settings.blob_timeout_seconds,
        threads=settings.blob_threads,
        clock=clock,
    )


def channel_options(message_bytes_max: int) -> list[tuple[str, int]]:
    """Arguments of both sides: one message bound, and no second server on a taken port."""
    return [
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        ("grpc.so_reuseport", 0),
    ]


def listen(server: grpc.aio.Server, setting: str, address: str) -> str:
    """Binds the server; returns host:port with the real port.

    Raises:
        UsageError: the address is taken or no address.
    """
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise UsageError(
            f"{setting} = {address!r}: cannot listen there.",
            f"Set {setting} to a free host:port.",
        ) from error
    return f"{address.rpartition(':')[0]}:{port}"


def serve_metrics(address: str, registry: CollectorRegistry) -> Any:  # noqa: ANN401 - its own type
    """Serves the registry over HTTP; None where the address is empty.

    Raises:
        UsageError: the address is taken or no address.
    """
    if not address:
        return None
    host, _, port = address.rpartition(":")
    try:
        return start_http_server(int(port), host, registry)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"metrics_address = {address!r}: cannot listen there ({error}).",
            "Set metrics_address to a free host:port, or to nothing.",
        ) from error
