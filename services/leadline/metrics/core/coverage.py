"""From which minute on a recount of topics that have lost their beginning must equal the truth.

Records that are gone may still have counted in younger minutes, so a recount can only be right some
time after the first records that are kept. Let t0 be a log clock that no record that is gone has
passed on either side; `lw` and `pw` are the largest label and prediction windows.

    up to t0 + lw          whether a prediction is a duplicate: of one that is gone
    up to t0 + pw          which label wins, or is superseded: by one that is gone
    up to t0 + 2 lw        pairs: which As come first, when one of them may be a duplicate;
                           unmatched labels: in the window of one that may be a duplicate

All else of a record rests on itself. So whatever has a clock past T = t0 + 2 lw + pw counts as in
the truth. A cell's minute is that of an event, at most the append time + bound; append times are at
most the clock, but for exceptions, whose append time is that of the owner that met them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from leadline.metrics.core.arrivals import Places
from leadline.records.rules import ExceptionRow, RulesRow

DISORDER_MS = 3_600_000
"""How far append times may fall within a partition (brokers' clocks differ when a leader changes):
a record that is gone may have had a later one than the first that is kept."""
MINUTE_MS = 60_000


class Coverage:
    """What a recount has seen of one shard, as far as it matters for that minute.

    Args:
        first: offset of each side's first kept record.
        lost: which sides have lost records that were counted.
    """

    def __init__(self, first: tuple[int, int], lost: tuple[bool, bool]) -> None:
        self._first, self._lost = first, lost
        self._begin_ms: list[int | None] = [None, None]
        self._reach: tuple[list[tuple[int, int]], ...] = ([], [])  # (clock, latest append time)

    def see(self, side: int, places: Places) -> None:
        """Takes note of records, in the order of the log."""
        if not any(self._lost) or not len(places.offset):
            return
        if self._begin_ms[side] is None and int(places.clock_ms[-1]) > 0:
            clocks = places.clock_ms
            self._begin_ms[side] = int(clocks[clocks > 0][0])
        reach = self._reach[side]
        for at in (places.append_ms > places.clock_ms).nonzero()[0].tolist():
            append_ms = int(places.append_ms[at])
            if not reach or append_ms > reach[-1][1]:
                reach.append((int(places.clock_ms[at]), append_ms))

    def from_minute(
        self,
        rules: Sequence[RulesRow],
        exceptions: Sequence[ExceptionRow],
        clocks_ms: tuple[int, int],
    ) -> int:
        """The first minute whose cells rest on kept records alone; 0 when nothing was lost.

        Args:
            rules: all of the shard, at least one.
            exceptions: all of the shard.
            clocks_ms: of the truth: where a side keeps nothing, all may have been lost up to there.
        """
        if not any(self._lost):
            return 0
        begins = [
            clocks_ms[side] if begin is None else begin + DISORDER_MS
            for side, begin in enumerate(self._begin_ms)
            if self._lost[side]
        ]
        label_ms = max(row.rules.label_window_ms for row in rules)
        early_ms = max(row.rules.prediction_window_ms for row in rules)
        until_ms = max(begins) + 2 * label_ms + early_ms
        gone = [one.append_ms for one in exceptions if one.from_offset < self._first[one.side]]
        latest_ms = max([until_ms, *gone, *self._kept_exceptions(until_ms)])
        bound_ms = max(row.rules.event_time_bound_ms for row in rules)
        return (latest_ms + bound_ms) // MINUTE_MS + 1

    def _kept_exceptions(self, until_ms: int) -> list[int]:
        """The latest append time of exceptions with a clock up to that, of each side."""
        found = []
        for reach in self._reach:
            at = bisect_right(reach, until_ms, key=lambda one: one[0])
            if at:
                found.append(reach[at - 1][1])
        return found
