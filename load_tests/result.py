"""What a scenario hands back, and how it is told: figures beside their goals and peers."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "protobuf", "kafka-python", "grpcio", "psycopg", "zstandard")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the median of the runs.
        unit: of the value.
        low, high: the least and the greatest run; None for a single run.
        goal: what the value must reach; None when nothing was promised.
        at_least: whether more is better.
        peer: what was measured beside it in the same run; empty when there is none.
        ratio: value divided by the peer's.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    at_least: bool = True
    peer: str = ""
    ratio: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(slots=True)
class Result:
    """What a scenario found.

    Attributes:
        scenario: its name.
        figures: the rows of its table.
        data: whatever else the plots and the page need, as JSON.
    """

    scenario: str
    figures: list[Figure] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, runs: Sequence[float] | float, unit: str, **more: Any) -> Figure:
        """Adds the median of the runs, with its spread."""
        found = [float(each) for each in (runs if isinstance(runs, Sequence) else [runs])]
        spread = {"low": min(found), "high": max(found)} if len(found) > 1 else {}
        figure = Figure(name, statistics.median(found), unit, **spread, **more)
        self.figures.append(figure)
        return figure

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        figures = [{**asdict(each), "met": each.met} for each in self.figures]
        return {"scenario": self.scenario, "figures": figures, "data": self.data}


def read(words: dict[str, Any]) -> Result:
    """The result of `as_json`."""
    figures = [
        Figure(**{name: value for name, value in each.items() if name != "met"})
        for each in words["figures"]
    ]
    return Result(words["scenario"], figures, words["data"])


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def table(results: Sequence[Result]) -> str:
    """One row a figure."""
    rows = [("scenario", "figure", "value", "unit", "spread", "goal", "met", "peer", "ratio")]
    for result in results:
        rows += [_row(result.scenario, each) for each in result.figures]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def number(value: float) -> str:
    """A number at three to four digits, with thousands set apart.

    >>> number(1534567.0), number(0.01234), number(12.345)
    ('1,534,567', '0.0123', '12.3')
    """
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def _row(scenario: str, each: Figure) -> tuple[str, ...]:
    spread = "" if each.low is None or each.high is None else f"{number(each.low)} .. "
    spread += number(each.high) if spread and each.high is not None else ""
    goal = ""
    if each.goal is not None:
        goal = f"{'>=' if each.at_least else '<='} {number(each.goal)}"
    met = {None: "", True: "yes", False: "NO"}[each.met]
    ratio = "" if each.ratio is None else f"{each.ratio:.3g}"
    value = number(each.value)
    return (scenario, each.name, value, each.unit, spread, goal, met, each.peer, ratio)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine() or sys.platform


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
