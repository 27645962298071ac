"""A log that stalls, fails and dies on demand, in front of a real one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from leadline.records.errors import TransientError
from leadline.runtime.log.port import Log, LogReader, LogWriter, TopicSpec, TopicState


class FaultyLog:
    """A `Log` whose writers obey the test. Reading passes through untouched.

    Args:
        inner: the log that takes what gets through.
        append_timeout_seconds: how long a stalled append blocks before it raises.
    """

    def __init__(self, inner: Log, append_timeout_seconds: float = 5.0) -> None:
        self._inner = inner
        self.append_timeout_seconds = append_timeout_seconds
        self._changed = threading.Condition()
        self._stalled = False
        self._failures: list[Exception] = []
        self._flush_failures: list[Exception] = []
        self._hint_failures: list[Exception] = []
        self._waiting = 0
        self._writers = 0

    def stall(self) -> None:
        """From now on appends and flushes do not return before their own time limit."""
        with self._changed:
            self._stalled = True

    def heal(self) -> None:
        """Ends a stall and forgets planned failures."""
        with self._changed:
            self._stalled = False
            self._failures.clear()
            self._flush_failures.clear()
            self._hint_failures.clear()
            self._changed.notify_all()

    def fail_appends(self, *errors: Exception) -> None:
        """The next appends raise these, one each."""
        with self._changed:
            self._failures += errors

    def fail_flushes(self, *errors: Exception) -> None:
        """The next flushes raise these, one each, after the records have become durable."""
        with self._changed:
            self._flush_failures += errors

    def fail_hints(self, *errors: Exception) -> None:
        """The next hints raise these, one each."""
        with self._changed:
            self._hint_failures += errors

    def await_stalled(self, timeout_seconds: float) -> bool:
        """Whether a writer hangs in the stall within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting > 0, timeout_seconds)

    @property
    def writers_opened(self) -> int:
        """How many writers were asked for so far."""
        with self._changed:
            return self._writers

    def writer(self) -> LogWriter:
        """A writer that obeys."""
        with self._changed:
            self._writers += 1
        return FaultyWriter(self, self._inner.writer())

    def reader(self, topic: str, partition: int) -> LogReader:
        """A reader of the inner log."""
        return self._inner.reader(topic, partition)

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """As the inner log."""
        return self._inner.create(topics)

    def describe(self, topic: str) -> TopicState | None:
        """As the inner log."""
        return self._inner.describe(topic)

    def ping(self, timeout_seconds: float) -> None:
        """As the inner log; raises in a stall."""
        self.pass_or_wait(timeout_seconds)
        self._inner.ping(timeout_seconds)

    def hint(self, group: str, positions: Mapping[tuple[str, int], int]) -> None:
        """As the inner log; raises a planned failure of hints, or in a stall at once."""
        with self._changed:
            error = self._hint_failures.pop(0) if self._hint_failures else None
        if error is not None:
            raise error
        self.pass_or_wait(0.0)
        self._inner.hint(group, positions)

    def close(self) -> None:
        """As the inner log."""
        self._inner.close()

    def pass_or_wait(self, timeout_seconds: float) -> None:
        """Returns when there is no stall.

        Raises:
            TransientError: the stall has outlasted the time.
        """
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            try:
                healed = self._changed.wait_for(lambda: not self._stalled, timeout_seconds)
            finally:
                self._waiting -= 1
        if not healed:
            raise TransientError("the log is stalled, as the test wants it")

    def planned(self, *, flush: bool) -> Exception | None:
        """The next planned failure, taken off the plan."""
        with self._changed:
            plan = self._flush_failures if flush else self._failures
            return plan.pop(0) if plan else None


class FaultyWriter:
    """A writer of a `FaultyLog`."""

    def __init__(self, log: FaultyLog, inner: LogWriter) -> None:
        self._log = log
        self._inner = inner

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """As the inner writer, unless it stalls or fails."""
        error = self._log.planned(flush=False)
        if error is not None:
            raise error
        self._log.pass_or_wait(self._log.append_timeout_seconds)
        self._inner.append(topic, partition, value, key)

    def flush(self, timeout_seconds: float) -> None:
        """As the inner writer, unless it stalls or fails."""
        self._log.pass_or_wait(timeout_seconds)
        self._inner.flush(timeout_seconds)
        error = self._log.planned(flush=True)
        if error is not None:
            raise error

    def close(self) -> None:
        """As the inner writer."""
        self._inner.close()
