"""From the signal to the end of the process: one budget of time, whatever hangs.

A thread that waits for a store or a log that does not answer cannot be interrupted: psycopg and
SQLite offer no deadline on the client's side. So parts are asked to end in order, and when the
budget is spent the process ends all the same. That is a crash, and loses nothing: a commit is one
transaction, done or not, and what was read after it is read again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SECONDS = 20.0
"""Kubernetes kills a pod 30 s after its SIGTERM."""
GRACE_SECONDS = 10.0
"""What one part may take of the budget at most."""


class StopBudget:
    """The time that is left once the end has begun. Safe to use from any thread.

    Args:
        seconds: from the beginning of the end.
        end: ends the process; called from a thread of its own when the budget is spent.
    """

    def __init__(self, seconds: float, end: Callable[[str], None]) -> None:
        self._seconds, self._end = seconds, end
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._deadline: float | None = None

    def begin(self) -> None:
        """The end begins; later calls change nothing."""
        with self._lock:
            if self._deadline is not None:
                return
            self._deadline = time.monotonic() + self._seconds
        threading.Thread(target=self._watch, name="stop-budget", daemon=True).start()

    def share(self, grace_seconds: float = GRACE_SECONDS) -> float:
        """Seconds for the next part to end: at most half of what is left, for there are others."""
        with self._lock:
            if self._deadline is None:
                return min(grace_seconds, self._seconds / 2)
            return max(0.0, min(grace_seconds, (self._deadline - time.monotonic()) / 2))

    def ended(self) -> None:
        """Everything has ended in time, unless a thread would still keep the process."""
        if not _waiting():
            self._ended.set()

    def _watch(self) -> None:
        if not self._ended.wait(self._seconds):
            self._end(
                f"not ended {self._seconds:g} s after it was told to: "
                f"{', '.join(_busy()) or 'a thread'} still waits for the log or the store. "
                "Ended by force; a commit is whole or not there, and what it held is read again."
            )


def end_process(reason: str) -> None:
    """Ends this process at once, with exit code 1 and a line on stderr."""
    os.write(2, f"leadline: {reason}\n".encode())
    os._exit(1)


@contextmanager
def on_signals(told: Callable[[], None]) -> Iterator[None]:
    """Calls `told` at SIGINT and SIGTERM, also while the event loop is held up by a blocking call.

    For the main thread.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        told()

    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _waiting() -> list[str]:
    """Threads that Python waits for at its end."""
    main = threading.main_thread()
    return [each.name for each in threading.enumerate() if each is not main and not each.daemon]


def _busy() -> list[str]:
    """Threads that probably hold the process up: those of shards, or those that are waited for."""
    names = [each.name for each in threading.enumerate()]
    return sorted({*_waiting(), *(name for name in names if name.startswith("shard-"))})
