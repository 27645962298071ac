"""Geometry of the timeline: accuracy with its interval above, the labelled share below.

Paths lie in a box of 1000 x 1000 that the page stretches; everything with text or a shape that
must not be stretched is placed in percent of the width and pixels of the height.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.figures import Point, Timeline

BOX = 1000
FORMAT_DAYS_US = 2 * words.DAY_US
"""Windows longer than this are labelled by day."""
EDGE_PERCENT = 6.0
"""A label this close to an end is aligned with it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A step: x in percent, y in parts of 1 from the top (None without labels), words for it."""

    x: float
    y: float | None
    hollow: bool
    left: float
    width: float
    share: float
    title: str
    cells: tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis; at is in percent along it; anchor is start, middle or end."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class TimelineView:
    """Everything the chart draws; grey is where labels still arrive (x in percent) or None."""

    marks: tuple[Mark, ...]
    line: str
    ribbon: str
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    grey: float | None
    step: str
    last: Mark | None
    any_labels: bool


def timeline_view(timeline: Timeline) -> TimelineView:
    """The chart of a timeline; at least one step is needed for anything to be drawn."""
    shown = [p for p in timeline.points if p.start_us < timeline.end_us]
    low, ticks = scale.share_axis(_lowest(shown))
    frame = _Frame(timeline, low)
    marks = tuple(frame.mark(point) for point in shown)
    runs = _runs(shown)
    return TimelineView(
        marks=marks,
        line="".join(frame.line(run) for run in runs),
        ribbon="".join(frame.ribbon(run) for run in runs),
        ticks_x=frame.ticks(),
        ticks_y=tuple(Tick(round(100 - scale.place(t, low), 1), f"{t * 100:.0f}%") for t in ticks),
        grey=frame.grey(),
        step=words.step_words(timeline.step_us),
        last=next((m for m in reversed(marks) if m.y is not None and not m.hollow), None),
        any_labels=any(m.y is not None for m in marks),
    )


class _Frame:
    """Maps time and share to the page."""

    def __init__(self, timeline: Timeline, low: float) -> None:
        self._timeline, self._low = timeline, low
        self._start, self._span = timeline.start_us, max(timeline.end_us - timeline.start_us, 1)

    def x(self, at_us: float) -> float:
        return min(max((at_us - self._start) / self._span, 0.0), 1.0)

    def middle(self, point: Point) -> float:
        end = min(point.start_us + self._timeline.step_us, self._timeline.end_us)
        return self.x((max(point.start_us, self._start) + end) / 2)

    def y(self, share: float) -> float:
        return min(max((1 - share) / (1 - self._low), 0.0), 1.0)

    def pair(self, point: Point, share: float) -> str:
        return f"{self.middle(point) * BOX:.0f} {self.y(share) * BOX:.0f}"

    def line(self, run: list[Point]) -> str:
        return "M" + "L".join(self.pair(p, p.accuracy.value or 0.0) for p in run)

    def ribbon(self, run: list[Point]) -> str:
        upper = [self.pair(p, p.accuracy.upper or 0.0) for p in run]
        lower = [self.pair(p, p.accuracy.lower or 0.0) for p in reversed(run)]
        return "M" + "L".join(upper + lower) + "Z"

    def mark(self, point: Point) -> Mark:
        value = point.accuracy.value
        left = self.x(point.start_us)
        right = self.x(point.start_us + self._timeline.step_us)
        share = point.labelled / point.predictions if point.predictions else 0.0
        settled = self._timeline.settled_until_us
        late = settled is not None and point.start_us + self._timeline.step_us > settled
        cells = _cells(point, dated=self._span > FORMAT_DAYS_US)
        return Mark(
            x=round(self.middle(point) * 100, 2),
            y=None if value is None else round(self.y(value), 3),
            hollow=point.accuracy.few or late,
            left=round(left * 100, 2),
            width=round((right - left) * 100, 2),
            share=round(share, 2),
            title=f"{cells[0]}: {cells[1]} {cells[2]}, {cells[3]}",
            cells=cells,
        )

    def grey(self) -> float | None:
        settled = self._timeline.settled_until_us
        if settled is None or settled >= self._timeline.end_us:
            return None
        return round(self.x(settled) * 100, 2)

    def ticks(self) -> tuple[Tick, ...]:
        times = scale.time_ticks(self._start, self._timeline.end_us)
        by_day = len(times) > 1 and (times[1] - times[0]) % words.DAY_US == 0
        return tuple(
            Tick(
                round(at := self.x(t) * 100, 2),
                words.day(t) if by_day else words.minute(t),
                "start" if at < EDGE_PERCENT else "end" if at > 100 - EDGE_PERCENT else "middle",
            )
            for t in times
        )


def _cells(point: Point, *, dated: bool) -> tuple[str, str, str, str]:
    when = words.minute(point.start_us)
    if dated:
        when = f"{words.day(point.start_us)} {when}"
    rate = point.accuracy
    if rate.value is None:
        text, span = "no label", ""
    elif rate.few:
        text, span = words.k_of_n(rate), ""
    else:
        text, span = f"{words.rate(rate)}{words.NARROW}%", f"({words.interval(rate)})"
    labelled = f"{words.count(point.labelled)} of {words.count(point.predictions)} labelled"
    return when, text, span, labelled


def _runs(points: list[Point]) -> list[list[Point]]:
    """Stretches of neighbouring points that have labels; a lone point is drawn as a mark only."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.accuracy.value is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]


def _lowest(points: list[Point]) -> float:
    """Lower end of what must be on the axis: intervals where labels suffice, else values."""
    lows = [
        p.accuracy.value if p.accuracy.few else p.accuracy.lower
        for p in points
        if p.accuracy.value is not None
    ]
    return min((low for low in lows if low is not None), default=0.0)
