"""One watcher's pace: at most one state in an interval; the newest wins, missed ones count.

States are numbered as they appear: 1, 2, 3 ... A watcher asks how long it must wait, then takes the
newest state there is. It holds a number and a time, never a queue.
"""

from __future__ import annotations


class Coalescer:
    """Bounds the rate of states that go to one watcher.

    Args:
        min_interval_seconds: least time between two states, at least 0.

    >>> pace = Coalescer(1.0)
    >>> pace.on_sent(1, now_seconds=10.0), pace.wait_seconds(now_seconds=10.25)
    (0, 0.75)
    >>> pace.on_sent(5, now_seconds=11.0)
    3
    """

    def __init__(self, min_interval_seconds: float) -> None:
        self._min_interval_seconds = min_interval_seconds
        self._sent_number: int | None = None
        self._sent_seconds = 0.0

    def wait_seconds(self, now_seconds: float) -> float:
        """How long the next state has to wait, from now; 0 before the first."""
        if self._sent_number is None:
            return 0.0
        return max(0.0, self._sent_seconds + self._min_interval_seconds - now_seconds)

    def on_sent(self, number: int, now_seconds: float) -> int:
        """Notes that a state goes out now; returns how many were passed over since the last one."""
        last = self._sent_number
        self._sent_number, self._sent_seconds = number, now_seconds
        return 0 if last is None else max(0, number - last - 1)
