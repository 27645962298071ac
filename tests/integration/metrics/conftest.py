"""A reader in front of a truth in SQLite, as a running service."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings
from leadline.runtime.store.blob import BlobStore, open_blobs
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import TruthStore
from leadline.testing.clock import ManualClock
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub
from leadline.v1.models_pb2_grpc import ModelServiceStub

StartReader = Callable[..., Awaitable[ReaderService]]


@pytest.fixture
def clock() -> ManualClock:
    """Stands at a whole minute."""
    return ManualClock(1_700_000_040_000_000)


@pytest.fixture
def now_minute(clock: ManualClock) -> int:
    """The running minute."""
    return clock.now_us() // 60_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TruthStore]:
    """An empty truth in SQLite."""
    opened = open_store(f"sqlite:{tmp_path / 'truth.sqlite'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """An empty blob store in a folder."""
    return open_blobs(str(tmp_path / "blobs"))


@pytest.fixture
async def start_reader(
    store: TruthStore, blobs: BlobStore, clock: ManualClock
) -> AsyncIterator[StartReader]:
    """Starts a reader with the given settings; closed after the test."""
    async with AsyncExitStack() as running:

        async def start(**settings: object) -> ReaderService:
            given = {"listen_address": "127.0.0.1:0", "exporter_address": "", **settings}
            service = ReaderService(
                ReaderSettings(**given),
                store=store,
                blobs=blobs,
                clock=clock,
                registry=CollectorRegistry(),
            )
            await service.start()
            running.push_async_callback(service.close, 5.0)
            return service

        yield start


@pytest.fixture
async def channel(start_reader: StartReader) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a reader."""
    service = await start_reader()
    async with grpc.aio.insecure_channel(service.address) as opened:
        yield opened


@pytest.fixture
def evaluation(channel: grpc.aio.Channel) -> EvaluationServiceStub:
    """The figures."""
    return EvaluationServiceStub(channel)


@pytest.fixture
def declared(channel: grpc.aio.Channel) -> ModelServiceStub:
    """The models."""
    return ModelServiceStub(channel)
