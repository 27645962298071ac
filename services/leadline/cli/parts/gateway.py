"""Puts the gateway together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from leadline.cli.launch import Running, blobs_of, log_of, run
from leadline.gateway.service import GatewayService
from leadline.gateway.settings import GatewaySettings as Settings
from leadline.runtime.clock import SystemClock

__all__ = ["Settings", "start"]


async def start(stack: Running, settings: Settings) -> list[str]:
    """Starts it, to be ended with the stack; returns what to tell the person who started it."""
    service = GatewayService(
        settings,
        log=log_of(stack, settings.log_url),
        blobs=blobs_of(settings.blob_url),
        models=None,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    await run(stack, service, settings.drain_seconds)
    return [
        f"inference and labels  {service.address}  (gRPC, in front of {settings.triton_address})"
    ]
