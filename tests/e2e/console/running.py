"""A console in front of a generated world, in this event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from traffic import NOW
from world import World, serve

from leadline.console.service import ConsoleService
from leadline.console.settings import ConsoleSettings


class WorldClock:
    """The world's time; monotonic time is real, so that refreshes go on."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_us(self) -> int:
        return self._world.now * 1_000_000

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@asynccontextmanager
async def running_console(world: World, **changes: object) -> AsyncIterator[str]:
    """Serves the world and a console of it; yields the console's URL."""
    server, port = await serve(world)
    world.server = server
    settings = ConsoleSettings(
        listen_address="127.0.0.1:0",
        reader_address=f"127.0.0.1:{port}",
        refresh_seconds=0.1,
        idle_seconds=0.5,
        retry_seconds=0.5,
        **changes,
    )
    console = ConsoleService(settings, clock=WorldClock(world))
    await console.start()
    try:
        yield f"http://{console.address}"
    finally:
        await console.close(grace_seconds=1.0)
        await server.stop(0)


__all__ = ["NOW", "World", "running_console"]
