"""Time as an argument."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; services take one as an argument."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970-01-01 UTC; may step."""

    def monotonic_seconds(self) -> float:
        """Seconds from an arbitrary start; never falls."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic_seconds(self) -> float:
        """The monotonic clock in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits that long."""
        time.sleep(seconds)
