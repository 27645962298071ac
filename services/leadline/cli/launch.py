"""Starts services out of their settings: the only place where the parts are put together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server

from leadline.records.errors import LeadlineError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log
from leadline.runtime.store.blob import BlobStore, open_blobs

GRACE_SECONDS = 10.0
"""Shared by all parts at the end; Kubernetes gives a pod 30."""


class Running(AsyncExitStack):
    """What runs in this process: ended in reverse order on SIGINT, SIGTERM or a failure."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._failure = ""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._stop.set)

    def fail(self, reason: str) -> None:
        """Ends the process with exit code 1; callable from any thread."""
        self._failure = reason
        self._loop.call_soon_threadsafe(self._stop.set)

    async def wait(self) -> None:
        """Returns when it is time to end.

        Raises:
            LeadlineError: because something failed.
        """
        await self._stop.wait()
        if self._failure:
            raise LeadlineError(f"Ended by a failure in {self._failure}")


Parts = Callable[[Running], Awaitable[None]]


class Service(Protocol):
    """What every service offers."""

    async def start(self) -> None:
        """Serves in the background."""

    async def close(self, grace_seconds: float) -> None:
        """Ends within that time."""


def run_until_stopped(parts: Parts, *, gateway: bool) -> None:
    """Starts the parts, waits for SIGINT or SIGTERM, and ends them in reverse order.

    Args:
        parts: starts what is to run, each to be ended with the stack.
        gateway: the gateway is among them: the process is tuned for it.
    """
    factory = None
    if gateway:
        from leadline.gateway.tuning import loop_factory, tune_process  # noqa: PLC0415

        tune_process()
        factory = loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_until_stopped(parts))


async def _until_stopped(parts: Parts) -> None:
    async with Running() as stack:
        await parts(stack)
        await stack.wait()


async def run(stack: Running, service: Service, grace_seconds: float = GRACE_SECONDS) -> None:
    """Starts a service, and ends it with the stack, within that time."""
    stack.push_async_callback(service.close, grace_seconds)
    await service.start()


def blobs_of(url: str) -> BlobStore | None:
    """The blob store of a setting; None where it is empty."""
    return open_blobs(url) if url else None


def log_of(stack: Running, url: str) -> Log:
    """The log of a setting, closed with the stack."""
    log = open_log(url, SystemClock())
    stack.callback(log.close)
    return log


def show_health(stack: Running, address: str, registry: CollectorRegistry) -> None:
    """Serves a registry over HTTP; nowhere when the address is empty.

    Raises:
        UsageError: the address is taken, or none.
    """
    if not address:
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host or "127.0.0.1", registry)
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(
            f"Cannot listen on {address!r}: {error}.", "Choose a free port."
        ) from error
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
