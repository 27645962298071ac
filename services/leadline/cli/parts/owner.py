"""Puts the metric service's owner together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from leadline.cli.launch import Running, blobs_of, log_of, run, show_health
from leadline.metrics.owner import OwnerService
from leadline.metrics.owner_settings import OwnerSettings as Settings
from leadline.runtime.clock import SystemClock
from leadline.runtime.store.open import open_store

__all__ = ["Settings", "start"]


async def start(stack: Running, settings: Settings) -> list[str]:
    """Starts it, to be ended with the stack; returns what to tell the person who started it."""
    registry = CollectorRegistry()
    store = open_store(settings.store_url)
    stack.callback(store.close)
    service = OwnerService(
        settings,
        log=log_of(stack, settings.log_url),
        store=store,
        blobs=blobs_of(settings.blob_url),
        clock=SystemClock(),
        registry=registry,
        on_failure=stack.fail,
    )
    await run(stack, service)
    show_health(stack, settings.health_address, registry)
    shards = ", ".join(f"{settings.stream}/{partition}" for partition in service.partitions)
    return [f"counting              {shards}  from {settings.log_url.partition('?')[0]}"]
