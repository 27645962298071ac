"""Runs the gateway as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from leadline.gateway.settings import GatewaySettings
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.store.blob import open_blobs

if TYPE_CHECKING:
    from leadline.gateway.service import GatewayService

SWITCH_SECONDS = 0.0001
"""How long a thread may hold the interpreter while another wants it. The default of 5 ms would let
the thread that reads answers hold up the event loop that returns them."""
EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""gRPC hands each read and write to a pool of threads; without it the one polling thread does it
itself. On two cores that takes 0.2 ms of CPU and 0.15 ms of latency off each request
(load_tests/gateway/hop.py). A version of gRPC that does not know the names says so, and goes on."""


def run(settings: GatewaySettings, ready: Callable[[GatewayService], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then drains within `drain_seconds`.

    Args:
        settings: all that can be set.
        ready: told once the gateway serves.

    Raises:
        UsageError: an address is taken, or a setting names nothing that can be opened.
        TransientError: the log does not answer.
    """
    tune_process()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, ready))


def tune_process() -> None:
    """Sets what belongs to the process; before `grpc` is imported, which reads it only then."""
    sys.setswitchinterval(SWITCH_SECONDS)
    os.environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it is installed: it costs half as much a call."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _serve(
    settings: GatewaySettings, ready: Callable[[GatewayService], None] | None
) -> Coroutine[Any, Any, None]:
    from leadline.gateway.service import GatewayService  # noqa: PLC0415 - see `tune_process`

    async def main() -> None:
        clock = SystemClock()
        log = open_log(settings.log_url, clock)
        with contextlib.closing(log):
            service = GatewayService(
                settings,
                log=log,
                blobs=open_blobs(settings.blob_url) if settings.blob_url else None,
                models=None,
                clock=clock,
                registry=CollectorRegistry(),
            )
            ending = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, ending.set)
            try:
                await service.start()
                if ready is not None:
                    ready(service)
                await ending.wait()
            finally:
                await service.close()

    return main()
