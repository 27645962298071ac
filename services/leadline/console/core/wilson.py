"""The Wilson score interval, for shares that the console itself takes from the matrix."""

from __future__ import annotations

import math

from leadline.console.core.figures import Rate

Z95 = 1.959963984540054


def wilson(successes: int, trials: int) -> Rate:
    """A share with its 95 % Wilson interval (Wilson 1927); no value without trials.

    >>> rate = wilson(218, 1979)
    >>> round(rate.lower, 3), round(rate.upper, 3)
    (0.097, 0.125)
    """
    if trials <= 0:
        return Rate()
    p, z2 = successes / trials, Z95 * Z95
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials * trials))
    lower = 0.0 if successes == 0 else max(centre - half, 0.0)
    upper = 1.0 if successes == trials else min(centre + half, 1.0)
    return Rate(p, lower, upper, successes, trials)
