"""The bounded hand-over from the event loop, which answers, to the thread that reads."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

from leadline.gateway.core.observe import Exchange, Missed


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in a queue, and what it has turned away so far."""

    items: int
    bytes: int
    dropped: int


class Handover:
    """A queue that never blocks: what does not fit is dropped and counted.

    One thread (the event loop) offers, one takes. Bounds are by requests and by bytes.
    """

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._queue: deque[tuple[Exchange, int]] = deque()
        # Each is written by one thread alone, so that an offer needs no lock.
        self._bytes_in = self._bytes_out = self._dropped = 0
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._missed: dict[tuple[object, ...], Missed] = {}

    def offer(self, exchange: Exchange) -> bool:
        """Queues an answered request; False: there was no room."""
        size = exchange.size()
        held = self._bytes_in - self._bytes_out
        if len(self._queue) >= self._requests_max or held + size > self._bytes_max:
            self._dropped += 1
            return False
        self._bytes_in += size
        self._queue.append((exchange, size))
        if 2 * len(self._queue) >= self._requests_max or 2 * (held + size) >= self._bytes_max:
            self._wake.set()
        return True

    def wait(self, seconds: float) -> None:
        """Returns after that time, or when the queue is half full, or when it is woken."""
        self._wake.wait(seconds)
        self._wake.clear()

    def wake(self) -> None:
        """Ends a wait."""
        self._wake.set()

    def miss(self, missed: Missed) -> None:
        """Counts requests that will not be read at all."""
        key = (id(missed.declaration), missed.version, missed.reason)
        with self._lock:
            known = self._missed.get(key)
            count = missed.count + (known.count if known else 0)
            self._missed[key] = replace(missed, count=count)

    def take(self, requests_max: int) -> tuple[list[Exchange], list[Missed]]:
        """What waits, at most so many requests, and what was missed since the last time."""
        taken = []
        for _ in range(min(requests_max, len(self._queue))):
            exchange, size = self._queue.popleft()
            self._bytes_out += size
            taken.append(exchange)
        if not self._missed:
            return taken, []
        with self._lock:
            missed, self._missed = self._missed, {}
        return taken, list(missed.values())

    def depth(self) -> Depth:
        """What waits at this moment."""
        return Depth(len(self._queue), self._bytes_in - self._bytes_out, self._dropped)
