"""The pulse that tells watchers when to look again.

One task asks the store for its state while anybody watches, and numbers the states that differ. A
watcher waits for a higher number, then for its own pace, and reads the newest figures: nothing is
queued for it, so a slow one costs no memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from leadline.metrics.core.coalesce import Coalescer
from leadline.records.errors import TransientError
from leadline.runtime.clock import Clock
from leadline.runtime.grpc_status import BusyError

_LOG = logging.getLogger("leadline.metrics.watch")

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Pulse:
    """Numbers the states of the truth. For one event loop.

    Args:
        look: the present state, equal to the last one when nothing has changed.
        clock: for the watchers' pace.
        period_seconds: between two looks.
        watchers_max: further ones are refused; each holds a stream.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Hashable]],
        clock: Clock,
        *,
        period_seconds: float,
        watchers_max: int,
    ) -> None:
        self._look = look
        self._clock = clock
        self._period_seconds = period_seconds
        self._watchers_max = watchers_max
        self._watchers = 0
        self._number = 0
        self._state: Hashable = None
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """The number of the newest state."""
        return self._number

    async def follow(self, min_interval_seconds: float) -> AsyncIterator[tuple[int, Coalescer]]:
        """Yields whenever a look is worth it, at most once in the interval; ends on `close`.

        Yields:
            The newest state's number, and the pace to tell when something was sent.

        Raises:
            BusyError: there are `watchers_max` watchers.
        """
        self._enter()
        try:
            pace = Coalescer(min_interval_seconds)
            seen = -1
            while await self._next(seen, pace):
                seen = self._number
                yield seen, pace
        finally:
            await self._leave()

    async def close(self) -> None:
        """Ends all watchers, each at its next step, without an error."""
        self._closing.set()
        async with self._changed:
            self._changed.notify_all()
        await self._stop_looking()

    def _enter(self) -> None:
        if self._watchers >= self._watchers_max:
            raise BusyError(f"{self._watchers_max} watchers are served already.")
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._beat())

    async def _leave(self) -> None:
        self._watchers -= 1
        if not self._watchers:
            await self._stop_looking()

    async def _stop_looking(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _next(self, seen: int, pace: Coalescer) -> bool:
        """Waits for a state after `seen` and for the pace; False when closing."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > seen or self._closing.is_set())
        wait = pace.wait_seconds(self._clock.monotonic_seconds())
        if wait and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait)
        return not self._closing.is_set()

    async def _beat(self) -> None:
        while True:
            try:
                state = await self._look()
            except TransientError as error:
                _LOG.warning("cannot look for changes: %s", error)
            else:
                await self._on_state(state)
            await asyncio.sleep(self._period_seconds)

    async def _on_state(self, state: Hashable) -> None:
        if state == self._state:
            return
        self._state = state
        async with self._changed:
            self._number += 1
            self._changed.notify_all()


class Shared(Generic[Key, Answer]):
    """One answer for all watchers of one question at one state, for as long as it is the newest.

    Without it a hundred watchers of one page would read the store a hundred times for each change.

    Args:
        answer: computes an answer.
    """

    def __init__(self, answer: Callable[[Key], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._number = -1
        self._answers: dict[Key, asyncio.Future[Answer]] = {}

    async def get(self, key: Key, number: int) -> Answer:
        """The answer at state `number` or a later one; raises what computing it raises."""
        if number > self._number:
            self._number, self._answers = number, {}
        if key not in self._answers:
            self._answers[key] = asyncio.ensure_future(self._answer(key))
        answer = self._answers[key]
        try:
            return await asyncio.shield(answer)
        except Exception:
            if self._answers.get(key) is answer:  # the next one who asks tries again
                del self._answers[key]
            raise
