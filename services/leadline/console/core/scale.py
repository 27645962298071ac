"""Axes and colour steps."""

from __future__ import annotations

import math

STEPS = 9
SHARE_FLOOR = 0.0005
"""Smallest share that has a step of its own: 0.05 %."""
FLOORS = (0.9, 0.8, 0.7, 0.5, 0.0)
_MINUTE = 60_000_000
TICK_STEPS_US = tuple(
    m * _MINUTE
    for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 10080, 20160, 43200)
)


def log_step(value: float, largest: float, floor: float = 1.0) -> int:
    """Colour step 1..9 of a positive value on a log scale from `floor` to `largest`."""
    if largest <= floor or value <= floor:
        return STEPS if value >= largest > 0 else 1
    ratio = math.log(value / floor) / math.log(largest / floor)
    return 1 + round((STEPS - 1) * min(ratio, 1.0))


def linear_step(value: float, largest: float) -> int:
    """Colour step 1..9 of a positive value on a linear scale from 0 to `largest`."""
    if largest <= 0:
        return 1
    return 1 + round((STEPS - 1) * min(value / largest, 1.0))


def floor_of(lowest: float) -> float:
    """Where a cut axis of shares starts so that `lowest` is on it: one of FLOORS."""
    return next(f for f in FLOORS if lowest >= f or f == 0.0)


def place(value: float, low: float, high: float = 1.0) -> float:
    """Where a value stands between two ends, 0 to 100, rounded to tenths; clipped."""
    if high <= low:
        return 0.0
    return round(min(max((value - low) / (high - low), 0.0), 1.0) * 100, 1)


def share_axis(lowest: float) -> tuple[float, tuple[float, ...]]:
    """Lower end and ticks of an axis of shares that ends at 1 and shows `lowest`.

    >>> share_axis(0.73)
    (0.7, (0.7, 0.8, 0.9, 1.0))
    """
    low = max(math.floor(lowest * 10 - 1e-9) / 10, 0.0)
    low = min(low, 0.7) if lowest < 0.9 else low
    step = 0.1 if low >= 0.6 else 0.2 if low >= 0.2 else 0.25
    if low >= 0.9:
        step = 0.05
    first = math.floor(low / step + 1e-9) * step
    ticks = [round(first + i * step, 3) for i in range(round((1 - first) / step) + 1)]
    return ticks[0], tuple(ticks)


def time_ticks(start_us: int, end_us: int, most: int = 9) -> tuple[int, ...]:
    """Round times in [start, end], at most `most` of them."""
    span = max(end_us - start_us, 1)
    step = next((s for s in TICK_STEPS_US if span // s + 1 <= most), TICK_STEPS_US[-1])
    first = -(-start_us // step) * step
    return tuple(range(first, end_us + 1, step))
