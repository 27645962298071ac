"""Starts services out of their settings: the only place where the parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server

from leadline.cli.stopping import (
    GRACE_SECONDS,
    STOP_SECONDS,
    StopBudget,
    end_process,
    on_signals,
)
from leadline.records.errors import LeadlineError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log
from leadline.runtime.store.blob import BlobStore, open_blobs


class Running(AsyncExitStack):
    """What runs in this process: ended in reverse order on SIGINT, SIGTERM or a failure.

    Args:
        budget: begins with the end, whatever causes it.
    """

    def __init__(self, budget: StopBudget) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._failure = ""
        self.budget = budget

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Ends what runs, within the budget."""
        self.budget.begin()
        return bool(await super().__aexit__(kind, error, trace))

    def stop(self) -> None:
        """Ends the process in order; callable from any thread and from a signal handler."""
        self.budget.begin()
        self._loop.call_soon_threadsafe(self._stop.set)

    def fail(self, reason: str) -> None:
        """Ends the process with exit code 1; callable from any thread."""
        self._failure = reason
        self.stop()

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


def run_until_stopped(parts: Parts, *, gateway: bool, stop_seconds: float = STOP_SECONDS) -> None:
    """Starts the parts, waits for SIGINT or SIGTERM, and ends them in reverse order.

    When that takes longer than `stop_seconds`, the process ends by force, with exit code 1.

    Args:
        parts: starts what is to run, each to be ended with the stack.
        gateway: the gateway is among them: the process is tuned for it.
        stop_seconds: from the signal to the end of the process.
    """
    factory = None
    if gateway:
        from leadline.gateway.tuning import loop_factory, tune_process  # noqa: PLC0415

        tune_process()
        factory = loop_factory()
    budget = StopBudget(stop_seconds, end_process)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_until_stopped(parts, budget))
    finally:
        budget.ended()


async def _until_stopped(parts: Parts, budget: StopBudget) -> None:
    async with Running(budget) as stack:
        stack.enter_context(on_signals(stack.stop))
        starting = asyncio.ensure_future(parts(stack))
        stopping = asyncio.ensure_future(stack.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is not None:
            stopping.cancel()
            await starting
        if not starting.done():  # told to stop before everything had started
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
        await stopping


async def run(stack: Running, service: Service, grace_seconds: float = GRACE_SECONDS) -> None:
    """Starts a service, and ends it with the stack, within that time and the stack's budget."""

    async def close() -> None:
        await service.close(stack.budget.share(grace_seconds))

    stack.push_async_callback(close)
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
