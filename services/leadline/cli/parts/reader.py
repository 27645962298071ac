"""Puts the metric service's reader together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from leadline.cli.launch import Running, blobs_of, log_of, run
from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings as Settings
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.ends import LogEnds
from leadline.runtime.log.port import Stream
from leadline.runtime.store.open import open_store

__all__ = ["Settings", "start"]


async def start(stack: Running, settings: Settings) -> list[str]:
    """Starts it, to be ended with the stack; returns what to tell the person who started it."""
    store = open_store(settings.store_url)
    stack.callback(store.close)
    store.migrate()
    service = ReaderService(
        settings,
        store=store,
        blobs=blobs_of(settings.blob_url),
        clock=SystemClock(),
        registry=CollectorRegistry(),
        ends=ends_of(stack, settings),
    )
    await run(stack, service)
    told = [f"figures               {service.address}  (gRPC)"]
    if service.exporter_address:
        told.append(f"Prometheus            http://{service.exporter_address}/metrics")
    return told


def ends_of(stack: Running, settings: Settings) -> LogEnds | None:
    """Where the topics end, when the settings name the log."""
    if not settings.log_url:
        return None
    log = log_of(stack, settings.log_url)
    ends = LogEnds(log, Stream(settings.stream, settings.partitions), SystemClock())
    stack.callback(ends.close)
    return ends
