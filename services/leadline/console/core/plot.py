"""Geometry that the charts of scores share: log-odds and share axes, paths in a stretched box."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leadline.console.core.timeline import BOX, Tick

EDGE = 9.2103
"""The log-odds of 0.9999: how far an axis reaches where nothing says more."""
REACH_MAX = 17.0
"""The log-odds of the last float32 below 1."""
TICK_GAP = 7.5
TICKS = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def logit(share: float) -> float:
    """Log-odds of a share, at most +-REACH_MAX."""
    if share <= 0:
        return -REACH_MAX
    if share >= 1:
        return REACH_MAX
    return min(max(math.log(share / (1 - share)), -REACH_MAX), REACH_MAX)


@dataclass(frozen=True, slots=True)
class LogOdds:
    """An axis of scores by their log-odds, from `low` to `high`."""

    low: float = -EDGE
    high: float = EDGE

    def place(self, share: float) -> float:
        """Where a score stands, 0 to 100, rounded to hundredths."""
        part = (logit(share) - self.low) / (self.high - self.low)
        return round(min(max(part, 0.0), 1.0) * 100, 2)

    def ticks(self, gap: float = TICK_GAP) -> tuple[Tick, ...]:
        """Round scores on the axis, from its middle outwards, at least `gap` percent apart."""
        found: list[Tick] = []
        for value in TICKS:
            for score in dict.fromkeys((value, round(1 - value, 8))):
                at = self.place(score)
                inside = self.low - 1e-6 <= logit(score) <= self.high + 1e-6
                if inside and all(abs(at - t.at) >= gap for t in found):
                    found.append(Tick(at, f"{score:g}", anchor(at)))
        return tuple(sorted(found, key=lambda t: t.at))


def axis_of(edges: Sequence[float]) -> LogOdds:
    """The axis on which these edges of scores stand; open ends are cut one step further out."""
    inner = [logit(e) for e in edges if 0 < e < 1]
    if len(inner) < 2:
        return LogOdds()
    step = inner[1] - inner[0]
    low = inner[0] - (step if edges[0] <= 0 else 0.0)
    high = inner[-1] + (step if edges[-1] >= 1 else 0.0)
    return LogOdds(max(low, -REACH_MAX), min(high, REACH_MAX)) if high > low else LogOdds()


def anchor(at: float) -> str:
    """How a label at a place of an axis is aligned."""
    return "start" if at < 4 else "end" if at > 96 else "middle"


def path(points: Iterable[tuple[float, float]]) -> str:
    """A line through points (x, y) in percent of the box, y from its top; empty without any."""
    scale = BOX / 100
    text = "L".join(f"{x * scale:.0f} {y * scale:.0f}" for x, y in points)
    return f"M{text}" if text else ""


def share_ticks(low: float = 0.0) -> tuple[Tick, ...]:
    """Ticks of an axis of shares from `low` to 1, five steps."""
    return tuple(
        Tick(20.0 * i, f"{low + (1 - low) * i / 5:.2g}", anchor(20.0 * i)) for i in range(6)
    )
