"""Puts the metric service's reader together."""

from __future__ import annotations

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from leadline.cli.launch import run
from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings as Settings
from leadline.runtime.clock import SystemClock
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store

__all__ = ["Settings", "start"]


async def start(stack: AsyncExitStack, settings: Settings) -> list[str]:
    """Starts it, to be ended with the stack; returns what to tell the person who started it."""
    store = open_store(settings.store_url)
    stack.callback(store.close)
    store.migrate()
    service = ReaderService(
        settings,
        store=store,
        blobs=open_blobs(settings.blob_url),
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    await run(stack, service)
    told = [f"figures               {service.address}  (gRPC)"]
    if service.exporter_address:
        told.append(f"Prometheus            http://{service.exporter_address}/metrics")
    return told
