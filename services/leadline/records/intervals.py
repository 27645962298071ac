"""The interval of a share, as every page and figure of Leadline states it."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float] | None:
    """Wilson score interval of a share, both bounds in [0, 1]; None without a trial.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927), 209-212: the shares p' for which |p - p'| <= z sqrt(p' (1 - p') / n), without continuity
    correction. Unlike p +- z sqrt(p (1 - p) / n) it stays within [0, 1] and is sound at 0 and n.

    >>> wilson(0, 0) is None
    True
    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if trials <= 0:
        return None
    share = successes / trials
    square = z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == trials else min(1.0, centre + half)
    return lower, upper
