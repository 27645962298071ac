"""Shares that the console itself takes from the matrix, with their interval."""

from __future__ import annotations

from leadline.console.core.figures import Rate
from leadline.records import intervals


def wilson(successes: int, trials: int) -> Rate:
    """A share with its 95 % Wilson interval; no value without trials.

    >>> rate = wilson(218, 1979)
    >>> round(rate.lower, 3), round(rate.upper, 3)
    (0.097, 0.125)
    """
    bounds = intervals.wilson(successes, trials)
    return Rate() if bounds is None else Rate(successes / trials, *bounds, successes, trials)
