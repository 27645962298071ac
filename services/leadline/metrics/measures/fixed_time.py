"""Tests for one look that was planned beforehand, and the correction for many of them.

Reports name them. `sequential` has the test that may be watched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TESTED_DISCORDANT_MAX = 1_000
"""McNemar's test is exact up to so many discordant pairs, and normal beyond, where they agree."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """Tests of equal accuracy on the same inputs, for one look that was planned beforehand.

    Attributes:
        exact: two-sided p-value of the binomial test of the discordant pairs.
        mid: the same with half of the probability of what was seen: closer to its level.
    """

    exact: float
    mid: float


def mcnemar(only_first: int, only_second: int) -> McNemar | None:
    """McNemar's test from the discordant pairs; None without one.

    Q. McNemar, Psychometrika 12 (1947), 153-157; mid-p: M. Fagerland, S. Lydersen and P. Laake,
    BMC Med. Res. Methodol. 13 (2013), 91. Beyond TESTED_DISCORDANT_MAX pairs normal tails are used,
    of the exact one with continuity correction; they agree there to within 1e-3.
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    if not total:
        return None
    if total > TESTED_DISCORDANT_MAX:
        root = math.sqrt(total)
        gap = abs(only_first - only_second)
        corrected = max(0.0, gap - 1) / root
        return McNemar(*(math.erfc(each / math.sqrt(2)) for each in (corrected, gap / root)))
    tail = sum(math.comb(total, at) for at in range(fewer + 1)) / 2**total
    seen = math.comb(total, fewer) / 2**total
    if only_first == only_second:
        return McNemar(1.0, 1.0 - seen / 2)
    return McNemar(min(1.0, 2 * tail), 2 * tail - seen)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: those at most alpha are wrong together at most alpha of the time.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979),
    65-70; whatever the dependence between them.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - place)))
        adjusted[at] = largest
    return tuple(adjusted)
