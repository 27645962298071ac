"""Live updates: a page's state is rendered once for all who look at it.

    a state (path and query)  --one task-->  regions  --those that changed-->  its viewers

A task starts with a state's first viewer and ends with its last. It renders at most once in
refresh_seconds: when the reader says that the figures changed, or after idle_seconds. A slow viewer
passes over renderings and gets the newest one: nothing is queued for it. A task that fails ends its
viewers' streams, and they ask again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from leadline.console.reader import ReaderError
from leadline.console.render import Region
from leadline.console.settings import ConsoleSettings

HEARTBEAT_SECONDS = 15.0
"""A line is sent at least so often, so that proxies keep the connection and we notice its end."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A state's regions; stale while the reader does not answer, failed when there is nothing."""

    regions: Mapping[str, Region]
    stale: bool
    failed: bool = False


Render = Callable[[], Awaitable[Rendering]]
Changes = Callable[[], AsyncIterator[None]]


@dataclass(slots=True)
class _Channel:
    """One state: its newest rendering, and who waits for the next."""

    task: asyncio.Task[None] | None = None
    viewers: int = 0
    number: int = 0
    newest: Rendering | None = None
    turned: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Renders states for their viewers; at most viewers_max of them in all."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._channels: dict[str, _Channel] = {}
        self._closing = asyncio.Event()
        self.viewers = 0
        self.renderings = 0

    @property
    def full(self) -> bool:
        """Whether one more viewer would be too many."""
        return self.viewers >= self._settings.viewers_max or self._closing.is_set()

    async def close(self) -> None:
        """Ends all streams; viewers try again elsewhere."""
        self._closing.set()
        for channel in self._channels.values():
            channel.turned.set()

    async def view(self, key: str, render: Render, changes: Changes | None) -> AsyncIterator[bytes]:
        """Server-sent events of one state, until the viewer goes or the hub closes."""
        channel = self._enter(key, render, changes)
        sent: dict[str, str] = {}
        last = -1
        try:
            yield b"retry: 4000\n\n"
            while not self._closing.is_set():
                if channel.newest is not None and channel.number != last:
                    last = channel.number
                    yield _event(channel.newest, sent)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(channel.turned.wait(), HEARTBEAT_SECONDS)
                    continue
                if channel.task is None or channel.task.done():
                    return
                yield b": still here\n\n"
        finally:
            self._leave(key, channel)

    def _enter(self, key: str, render: Render, changes: Changes | None) -> _Channel:
        channel = self._channels.setdefault(key, _Channel())
        channel.viewers += 1
        self.viewers += 1
        if channel.task is None:
            channel.task = asyncio.create_task(self._run(channel, render, changes))
        return channel

    def _leave(self, key: str, channel: _Channel) -> None:
        channel.viewers -= 1
        self.viewers -= 1
        if channel.viewers == 0:
            self._channels.pop(key, None)
            if channel.task is not None:
                channel.task.cancel()

    async def _run(self, channel: _Channel, render: Render, changes: Changes | None) -> None:
        changed = asyncio.Event()
        watcher = asyncio.create_task(self._watch(changes, changed))
        try:
            while True:
                changed.clear()
                rendering = await render()
                self.renderings += 1
                self._publish(channel, rendering)
                await asyncio.sleep(self._settings.refresh_seconds)
                quiet = self._settings.retry_seconds if rendering.stale else self._rest(changes)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), quiet)
        finally:
            watcher.cancel()

    def _rest(self, changes: Changes | None) -> float:
        """How long to wait for a change; without a stream of changes the page itself is asked."""
        return 0.0 if changes is None else self._settings.idle_seconds

    async def _watch(self, changes: Changes | None, changed: asyncio.Event) -> None:
        """Sets `changed` at every change; a stream that breaks is opened again."""
        while changes is not None:
            with contextlib.suppress(ReaderError):
                async for _ in changes():
                    changed.set()
            await asyncio.sleep(self._settings.retry_seconds)
            changed.set()

    @staticmethod
    def _publish(channel: _Channel, rendering: Rendering) -> None:
        old = channel.newest
        same = old is not None and old.stale == rendering.stale and old.failed == rendering.failed
        if same and old is not None and _digests(old) == _digests(rendering):
            return
        channel.newest = rendering
        channel.number += 1
        turned, channel.turned = channel.turned, asyncio.Event()
        turned.set()


def _digests(rendering: Rendering) -> dict[str, str]:
    return {name: region.digest for name, region in rendering.regions.items()}


def _event(rendering: Rendering, sent: dict[str, str]) -> bytes:
    """The regions that this viewer has not been sent; updates `sent`."""
    new = {n: r for n, r in rendering.regions.items() if sent.get(n) != r.digest}
    sent.update({n: r.digest for n, r in new.items()})
    body = {
        "stale": rendering.stale,
        "failed": rendering.failed,
        "regions": {n: [r.digest, r.html] for n, r in new.items()},
    }
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
