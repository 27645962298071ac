"""What a question is about: a version, a window, slices; and where an answer holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leadline.metrics.core.merging import Merges
from leadline.records.cells import Series

MINUTE_US = 60_000_000
MINUTE_END = 2**32
"""Exclusive end of all minutes: they are stored as uint32."""
STEP_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200)
"""Steps of a timeline that nobody asked for by length."""
STEPS_AIM = 48
"""About so many steps are read at a glance."""

Slices = tuple[tuple[str, str], ...]
Numbers = dict[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Window:
    """Event time [from_minute, to_minute), minutes since 1970-01-01 UTC."""

    from_minute: int
    to_minute: int

    @property
    def minutes(self) -> int:
        """Its length."""
        return self.to_minute - self.from_minute


EVERYTHING = Window(0, MINUTE_END)


@dataclass(frozen=True, slots=True)
class Last:
    """The window of that many minutes which ends with the running minute, that one included."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What a figure is computed over.

    Attributes:
        version: empty means the champion.
        window: None means everything.
        slices: (column, value) conditions that must all hold.
        merges: classes that count as one.
    """

    model: str
    version: str = ""
    window: Window | Last | None = None
    slices: Slices = ()
    merges: Merges = ()


def resolve(window: Window | Last | None, now_us: int) -> Window:
    """The window in minutes at the wall time `now_us` (microseconds since 1970-01-01 UTC)."""
    if window is None:
        return EVERYTHING
    if isinstance(window, Window):
        return window
    end = now_us // MINUTE_US + 1
    return Window(max(0, end - window.minutes), end)


def of_version(
    series: Iterable[tuple[str, int, Series]], model: str, version: str, slices: Slices = ()
) -> Numbers:
    """Series numbers by shard of a version, where all slice conditions hold."""
    wanted = set(slices)
    return _numbers(
        (shard, number)
        for shard, number, each in series
        if each.model == model and each.version == version and wanted.issubset(each.slices)
    )


def of_tasks(series: Iterable[tuple[str, int, Series]], tasks: frozenset[str]) -> Numbers:
    """Series numbers by shard of what is counted by task: labels beside the matrix."""
    return _numbers(
        (shard, number) for shard, number, each in series if not each.model and each.task in tasks
    )


def tasks_of(series: Iterable[tuple[str, int, Series]], model: str, version: str) -> frozenset[str]:
    """The label spaces that a version was counted in; one, unless its declaration changed."""
    return frozenset(
        each.task for _, _, each in series if each.model == model and each.version == version
    )


def union(*parts: Numbers) -> Numbers:
    """Series numbers that are in any part."""
    shards = {shard for part in parts for shard in part}
    return {
        shard: frozenset().union(*(part.get(shard, frozenset()) for part in parts))
        for shard in sorted(shards)
    }


def _numbers(pairs: Iterable[tuple[str, int]]) -> Numbers:
    found: dict[str, set[int]] = {}
    for shard, number in pairs:
        found.setdefault(shard, set()).add(number)
    return {shard: frozenset(numbers) for shard, numbers in found.items()}


def champion(declared: str, seen: Sequence[str]) -> str:
    """The version in charge: the declared one, else the one seen last; empty when there is none.

    Args:
        declared: `ModelSpec.champion`; empty when not declared.
        seen: counted versions, the one seen last first.
    """
    return declared or (seen[0] if seen else "")


def step_minutes(window: Window, aim: int = STEPS_AIM) -> int:
    """The first length of `STEP_MINUTES` that cuts the window into at most about `aim` steps."""
    wanted = max(1, window.minutes) / aim
    for step in STEP_MINUTES:
        if step >= wanted:
            return step
    return -(-window.minutes // aim // 1440) * 1440 + 1440


@dataclass(frozen=True, slots=True)
class Position:
    """Where the counting of a shard stands.

    Attributes:
        p, l: next offset of predictions and of labels.
        predictions_clock_ms, labels_clock_ms: log clocks; 0 before the first record.
        stopped, remedy: why it does not count, and what to do; empty while it counts.
    """

    shard: str
    p: int
    l: int
    epoch: int
    predictions_clock_ms: int = 0
    labels_clock_ms: int = 0
    committed_us: int = 0
    dead_letters: int = 0
    stopped: str = ""
    remedy: str = ""


Ends = Mapping[str, tuple[int, int]]
"""For each shard the ends of its topics: the next offsets that the log will give."""


def exact_until_ms(vector: Sequence[Position], ends: Ends | None = None, now_ms: int = 0) -> int:
    """Append time in milliseconds up to which every record is counted; 0 while nothing was read.

    With the ends of the topics known: the oldest clock of a side that has lag; where none has, the
    last full second before `now_ms`, the ends being up to a second old. Without them it is not
    known which side has lag, so the oldest clock of all sides that have ever had a record: never
    too late, and too early when a topic is silent.
    """
    sides = [
        (clock, None if ends is None else ends.get(each.shard, (0, 0))[side] > position)
        for each in vector
        for side, (clock, position) in enumerate(
            ((each.predictions_clock_ms, each.p), (each.labels_clock_ms, each.l))
        )
    ]
    behind = [clock for clock, lag in sides if lag or (lag is None and clock > 0)]
    if behind:
        return min(behind)
    newest = max((clock for clock, _ in sides), default=0)
    if ends is None or not newest:
        return newest
    return max(newest, (now_ms - 1000) // 1000 * 1000)
