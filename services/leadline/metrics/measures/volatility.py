"""How much a rate varies over windows beyond what its sample sizes explain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Volatility:
    """The spread of a rate between windows; all of it in units of the rate.

    Attributes:
        windows: those with trials.
        mean: all successes over all trials, in [0, 1].
        deviation: standard deviation of the windows' rates around the mean, weighted by trials.
        expected: what it would be on average if the rate were constant: the binomial one.
        ratio: deviation / expected; None where none is expected (the mean is 0 or 1).
        excess: standard deviation of the true rate between windows, at least 0.
    """

    windows: int
    mean: float
    deviation: float
    expected: float
    ratio: float | None
    excess: float


def volatility(successes: npt.ArrayLike, trials: npt.ArrayLike) -> Volatility | None:
    """The volatility of a rate over windows; None with fewer than two windows with trials.

    With Q the sum of n (p - mean)^2 over k windows, a constant rate gives Q = mean (1 - mean)
    (k - 1) on average. Rates that vary with variance t^2 give (mean (1 - mean) - t^2) (k - 1) +
    t^2 (N - sum n^2 / N); the excess solves this for t (method of moments: J. C. Kleinman,
    "Proportions with extraneous variance", JASA 68 (1973), 46-54).

    Args:
        successes: whole numbers (windows,), 0 to trials.
        trials: whole numbers (windows,).
    """
    wins, size = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    wins, size = wins[size > 0], size[size > 0]
    windows, total = len(size), float(size.sum())
    if windows < 2:
        return None
    mean = float(wins.sum()) / total
    spread = float(size @ (wins / size - mean) ** 2)
    expected = mean * (1 - mean) * (windows - 1)
    scale = total - float(size @ size) / total - (windows - 1)
    excess = max(0.0, spread - expected) / scale if scale > 0 else 0.0
    return Volatility(
        windows=windows,
        mean=mean,
        deviation=math.sqrt(spread / total),
        expected=math.sqrt(expected / total),
        ratio=math.sqrt(spread / expected) if expected > 0 else None,
        excess=math.sqrt(excess),
    )
