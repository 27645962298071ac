"""A console in front of a generated world, and a real browser before it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from leadline.testing.servers.chromium import Chromium

sys.path.insert(0, str(Path(__file__).parent))

from running import World, running_console

WAIT_SECONDS = 20.0


class Loop:
    """An event loop in a thread of its own: the browser is driven from the test's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_SECONDS)

    def call(self, function: Callable[[], object]) -> None:
        done: Future[None] = Future()

        def call() -> None:
            function()
            done.set_result(None)

        self._loop.call_soon_threadsafe(call)
        done.result(WAIT_SECONDS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()


@dataclass
class Running:
    """A console and its world; `change` runs in the world's own thread."""

    url: str
    world: World
    loop: Loop
    context: AbstractAsyncContextManager[str]

    def change(self, function: Callable[[World], object]) -> None:
        self.loop.call(lambda: function(self.world))

    def stop(self) -> None:
        self.loop.run(self.context.__aexit__(None, None, None))


@dataclass
class Watched:
    """A browser's page, and what went wrong on it."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> Watched:
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("request", self._request)
        return self

    def _request(self, request) -> None:
        if not request.url.startswith(self.origin):
            self.wrong.append(f"foreign request {request.url}")


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.close()


@pytest.fixture(scope="session")
def start(loop: Loop) -> Callable[[World], Running]:
    """Starts a console of a world; the test stops it."""

    def make(world: World, **changes: object) -> Running:
        context = running_console(world, **changes)
        return Running(loop.run(context.__aenter__()), world, loop, context)

    return make


@pytest.fixture(scope="session")
def console(start: Callable[[World], Running], loop: Loop) -> Iterator[Running]:
    """The console of a world that no test changes."""

    async def world() -> World:
        return World()

    running = start(loop.run(world()))
    yield running
    running.stop()


@pytest.fixture
def own_console(start: Callable[[World], Running]) -> Iterator[Running]:
    """A console whose world this test may change."""
    running = start(World())
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    """One browser a file: its event loop would be in the way of coroutine tests elsewhere."""
    with sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=str(chromium.executable), args=list(chromium.arguments)
        )
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a URL in a fresh context; options are those of `new_context`."""
    contexts: list[BrowserContext] = []

    def open_page(url: str, **options: object) -> Watched:
        context = browser.new_context(**options)
        contexts.append(context)
        origin = "/".join(url.split("/")[:3])
        watched = Watched(context.new_page(), origin).watch()
        watched.page.goto(url)
        return watched

    yield open_page
    for context in contexts:
        context.close()
