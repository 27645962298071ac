"""The reader as a service: gRPC and Prometheus in front of one truth store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable

from prometheus_client import CollectorRegistry

from leadline.metrics.api.analysis import AnalysisServicer
from leadline.metrics.api.evaluation import Blobs, EvaluationServicer
from leadline.metrics.api.models import ModelServicer
from leadline.metrics.api.workers import Workers
from leadline.metrics.core.scope import Ends
from leadline.metrics.exporter import Exporter, ExporterServer
from leadline.metrics.reader import Reader
from leadline.metrics.settings import ReaderSettings
from leadline.metrics.watch import Pulse
from leadline.runtime.clock import Clock
from leadline.runtime.grpc_server import GrpcOptions, GrpcServer
from leadline.runtime.store.port import TruthStore
from leadline.v1 import analysis_pb2_grpc, evaluation_pb2_grpc, models_pb2_grpc

SERVICES = (
    "leadline.v1.AnalysisService",
    "leadline.v1.EvaluationService",
    "leadline.v1.ModelService",
)


class ReaderService:
    """Answers gRPC and Prometheus. Construct, start and close it within one running event loop.

    Args:
        settings: addresses and bounds.
        store: the truth; stays open after `close`.
        blobs: kept inputs; None when this reader has no access to them.
        clock: for windows that end now.
        registry: where the exporter's collector is registered, and what the exporter serves.
        ends: the ends of the topics, when this process can see the log; makes `exact_until` exact.

    Attributes:
        address, exporter_address: "HOST:PORT" with the real ports, after `start`; the exporter's is
            empty when it is switched off.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        *,
        store: TruthStore,
        blobs: Blobs | None,
        clock: Clock,
        registry: CollectorRegistry,
        ends: Callable[[], Ends | None] | None = None,
    ) -> None:
        self._settings = settings
        self._workers = Workers(settings.worker_threads)
        self._reader = Reader(
            store,
            clock,
            cache_entries=settings.cache_entries_max,
            sums_bytes=settings.sums_bytes_max,
            ends=ends,
        )
        self._registry = registry
        self._exporter = Exporter(self._reader, settings)
        self._exporter_server: ExporterServer | None = None
        self._pulse = Pulse(
            self._look(self._reader),
            clock,
            period_seconds=settings.watch_period_seconds,
            watchers_max=settings.watchers_max,
        )
        self._grpc = GrpcServer(_options(settings), on_drain=self._pulse.close)
        evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(
            EvaluationServicer(self._reader, blobs, self._pulse, self._workers, clock),
            self._grpc.server,
        )
        analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(
            AnalysisServicer(self._reader, self._workers), self._grpc.server
        )
        models_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelServicer(self._reader, store, self._workers), self._grpc.server
        )
        self.address = ""
        self.exporter_address = ""

    async def start(self) -> None:
        """Listens on both addresses; raises UsageError when one is taken."""
        await self._grpc.start(SERVICES)
        self.address = self._grpc.address
        if self._settings.exporter_address:
            self._registry.register(self._exporter)
            self._exporter_server = ExporterServer(self._settings.exporter_address, self._registry)
            self.exporter_address = self._exporter_server.address

    async def close(self, grace_seconds: float) -> None:
        """Drains and ends: watchers end cleanly, calls under way have the grace period."""
        await self._grpc.close(grace_seconds)
        if self._exporter_server is not None:
            await self._workers.run(self._exporter_server.close)
            self._registry.unregister(self._exporter)
            self._exporter_server = None
        self._workers.close()

    def _look(self, reader: Reader) -> Callable[[], Awaitable[Hashable]]:
        return lambda: self._workers.run(reader.state)


def _options(settings: ReaderSettings) -> GrpcOptions:
    return GrpcOptions(
        address=settings.listen_address,
        message_bytes_max=settings.message_bytes_max,
        concurrent_calls_max=settings.concurrent_calls_max,
        deadline_seconds=settings.deadline_seconds,
        connection_age_seconds=settings.connection_age_seconds,
    )
