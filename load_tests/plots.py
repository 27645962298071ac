"""The plots of docs/benchmarks.md, drawn as SVG out of the scenarios' JSON.

Colours follow the reader's light or dark theme by a media query inside the picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from load_tests.result import Figure, Result, number, read

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 390, 110, 26, 48
TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.small { font-size: 11px; fill: #57606a }
.own { fill: #1f6feb } .other { fill: #8c959f } .spread { stroke: #24292f; stroke-width: 1.5 }
.goal { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 5 4 }
.goaltext { fill: #bc4c00; font-size: 11px }
.axis { stroke: #d0d7de } .line { fill: none; stroke: #1f6feb; stroke-width: 2 }
.line2 { fill: none; stroke: #8c959f; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 } .own { fill: #4493f8 } .other { fill: #656c76 }
.spread { stroke: #e6edf3 } .goal { stroke: #f0883e } .goaltext { fill: #f0883e }
.axis { stroke: #3d444d } .line { stroke: #4493f8 } .line2 { stroke: #9198a1 }
}
</style>"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; low and high are its runs."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    own: bool = True


def bars(
    title: str, unit: str, rows: Sequence[Bar], goal: float | None = None, *, log: bool = False
) -> str:
    """A chart of horizontal bars; `log` starts the axis below the least value."""
    most = max([row.high or row.value for row in rows] + [goal or 0.0])
    least = min(row.value for row in rows) / 3 if log else 0.0
    room = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        if log:
            return LEFT + room * max(log10(value / least), 0.0) / log10(most / least)
        return LEFT + room * value / most

    bottom = TOP + ROW * len(rows)
    parts = [_text(12, bottom + 18, unit + ", logarithmic" * log, "small")]
    for at, row in enumerate(rows):
        parts += _bar_parts(row, TOP + ROW * at, x)
    if goal is not None:
        parts += _goal(x(goal), TOP - 6, bottom, f"goal {number(goal)}")
    return _svg(bottom + 26, title, parts)


def _bar_parts(row: Bar, y: int, x: Callable[[float], float]) -> list[str]:
    end = x(row.value)
    kind = "own" if row.own else "other"
    width = max(end - LEFT, 1)
    parts = [
        _text(LEFT - 8, y + 14, row.label, anchor="end"),
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="18" rx="2"/>',
    ]
    if row.low is not None and row.high is not None:
        parts.append(f'<path class="spread" d="M{x(row.low):.1f} {y + 9}H{x(row.high):.1f}"/>')
        end = max(end, x(row.high))
    return [*parts, _text(end + 6, y + 14, number(row.value))]


def shares(title: str, curves: dict[str, Sequence[float]], goal: float) -> str:
    """The share of values up to each x, in milliseconds, logarithmic; at most two curves."""
    values = [value for each in curves.values() for value in each]
    least, most = max(min(values), 1.0), max(*values, goal) * 1.1
    height, bottom, top, left = 300, 256, 56, 56
    room = WIDTH - left - 40

    def x(value: float) -> float:
        return left + room * log10(max(value, least) / least) / log10(most / least)

    parts = []
    for share in (0.0, 0.5, 0.9, 1.0):
        y = bottom - (bottom - top) * share
        parts.append(f'<path class="axis" d="M{left} {y:.1f}H{WIDTH - 40}"/>')
        parts.append(_text(left - 6, y + 4, f"{share:.0%}", "small", "end"))
    parts += [
        _text(x(tick), bottom + 16, f"{tick} ms", "small", "middle")
        for tick in TICKS_MS
        if least <= tick <= most
    ]
    for at, (name, found) in enumerate(curves.items()):
        kind = ("line2", "line")[at % 2]
        ordered = sorted(found)
        ys = [bottom - (bottom - top) * (n + 1) / len(ordered) for n in range(len(ordered))]
        points = [f"{x(value):.1f} {y:.1f}" for value, y in zip(ordered, ys, strict=True)]
        parts.append(f'<path class="{kind}" d="M{"L".join(points)}"/>')
        parts.append(f'<path class="{kind}" d="M{left + at * 330} {height - 12}h22"/>')
        parts.append(_text(left + 28 + at * 330, height - 8, name, "small"))
    parts += _goal(x(goal), top, bottom, f"goal for p99: {number(goal)} ms")
    return _svg(height, title, parts)


def draw(found: Path, folder: Path) -> None:
    """Draws the plot of every scenario whose JSON is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        file = found / f"{name}.json"
        if file.exists():
            (folder / f"{name}.svg").write_text(plot(read(json.loads(file.read_text()))))


def _truth(result: Result) -> str:
    rows = [_bar(each) for each in result.figures]
    goal = next((each.goal for each in result.figures if each.goal), None)
    return bars(
        "From Kafka to committed truth", "events a CPU-second of the owner's process", rows, goal
    )


def _peers(result: Result) -> str:
    rows = [
        Bar(each.name, each.value, each.low, each.high, own=each.name.endswith("owner"))
        for each in result.figures
        if each.unit != "ratio"
    ]
    return bars("The same joined count elsewhere", "events a CPU-second", rows, log=True)


def _freshness(result: Result) -> str:
    curves: dict[str, Any] = {
        f"at {float(name):.0%} of the maximal load": found
        for name, found in result.data.items()
        if isinstance(found, list) and found
    }
    return shares("From a label in Kafka to the changed figure at a watcher", curves, 250.0)


def _pending(result: Result) -> str:
    rows = [_waiting(each) for each in result.figures if each.unit.endswith("CPU-s")]
    return bars("What waits: events a CPU-second by what is waiting", "events a CPU-second", rows)


def _query(result: Result) -> str:
    rows = [_bar(each) for each in result.figures if each.name.endswith("p99")]
    return bars("Questions over 30 days, p99", "milliseconds over gRPC", rows, 100.0, log=True)


def _waiting(each: Figure) -> Bar:
    label = each.name.replace(" waiting,", ",").replace(" ids:", ":")
    return Bar(label, each.value, each.low, each.high)


def _bar(each: Figure) -> Bar:
    return Bar(each.name.removesuffix(", p99"), each.value, each.low, each.high)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    more = f' class="{kind}"' * bool(kind) + f' text-anchor="{anchor}"' * bool(anchor)
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _goal(x: float, top: float, bottom: float, words: str) -> list[str]:
    line = f'<path class="goal" d="M{x:.1f} {top}V{bottom}"/>'
    return [line, _text(x, top - 4, words, "goaltext", "middle")]


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    words = escape(title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{words}">'
    )
    return "\n".join([head, STYLE, _text(12, 22, title, "title"), *parts, "</svg>"]) + "\n"


PLOTS: dict[str, Callable[[Result], str]] = {
    "kafka_to_truth": _truth,
    "peers": _peers,
    "freshness": _freshness,
    "pending": _pending,
    "query": _query,
}
