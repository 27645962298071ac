"""A reader over two versions' traffic, and the same rows evaluated from memory."""

from __future__ import annotations

import asyncio
import threading

import pytest
from prometheus_client import CollectorRegistry
from scored_traffic import Traffic

import leadline
from leadline.cli.reader_client import open_reader
from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store
from leadline.testing.clock import ManualClock
from leadline.testing.truth import TruthWriter
from leadline.v1 import models_pb2

NOW_US = 1_700_000_040_000_000
NAMES = ["ant", "bee", "cow & calf", "<dog>"]


@pytest.fixture(scope="module")
def traffic():
    return Traffic()


@pytest.fixture(scope="module")
def reader(tmp_path_factory, traffic):
    """The address of a reader over the truth of the traffic."""
    folder = tmp_path_factory.mktemp("truth")
    store = open_store(f"sqlite:{folder / 'truth.sqlite'}")
    store.migrate()
    traffic.write(store, NOW_US // 60_000_000)
    alone = TruthWriter(store)
    alone.predict(10**6, 1, NOW_US // 60_000_000, model="alone")
    alone.commit(append_ms=NOW_US // 1000)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async def start():  # gRPC's server belongs to the loop that it is made in
        made = ReaderService(
            ReaderSettings(listen_address="127.0.0.1:0", exporter_address=""),
            store=store,
            blobs=open_blobs(str(folder / "blobs")),
            clock=ManualClock(NOW_US),
            registry=CollectorRegistry(),
        )
        await made.start()
        return made

    service = wait(start())
    with open_reader(service.address, 10.0) as client:
        model = models_pb2.Model(name="models/m", kind=1, classes=NAMES)
        client.ask(client.models.ApplyModel, models_pb2.ApplyModelRequest(model=model))
    yield service.address
    wait(service.close(5.0))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    store.close()


@pytest.fixture(scope="module")
def evaluated(traffic):
    """Both versions, evaluated from memory."""
    true = [
        int(number) if known else None
        for number, known in zip(traffic.true, traffic.labelled, strict=True)
    ]
    return {v: leadline.evaluate(true, traffic.scores[v], NAMES) for v in ("1", "2")}
