"""A clock that moves when it is told to."""

from __future__ import annotations

import threading


class ManualClock:
    """A settable clock. Safe to use from several threads; it satisfies `runtime.clock.Clock`.

    Args:
        now_us: wall time at the start, microseconds since 1970-01-01 UTC.
    """

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._changed = threading.Condition()
        self._now_us = now_us
        self._monotonic_us = 0

    def now_us(self) -> int:
        """Wall time, microseconds since 1970-01-01 UTC."""
        with self._changed:
            return self._now_us

    def monotonic_seconds(self) -> float:
        """Seconds that `advance` has added so far."""
        with self._changed:
            return self._monotonic_us / 1e6

    def sleep(self, seconds: float) -> None:
        """Advances by that much and returns at once: waiting costs a test no time."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Moves both clocks on."""
        step = round(seconds * 1e6)
        with self._changed:
            self._now_us += step
            self._monotonic_us += step

    def set_now_us(self, now_us: int) -> None:
        """Steps the wall clock alone, as an administrator would."""
        with self._changed:
            self._now_us = now_us
