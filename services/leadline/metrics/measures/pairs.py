"""Two versions on the same inputs: counts of pairs, and the tests of them that reports name.

`sequential` has the test that may be watched.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Tally
from leadline.records.cells import split_index

I64 = npt.NDArray[np.int64]

TESTED_DISCORDANT_MAX = 1_000
"""McNemar's test is exact up to so many discordant pairs, and normal beyond, where they agree."""


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Inputs that both versions predicted, by true class; columns of equal length (k,), int64.

    Attributes:
        number: the true class, ascending, without repetition.
        both: both are right.
        champion: the champion alone is right.
        challenger: the challenger alone is right.
        neither: neither is right.
    """

    number: I64
    both: I64
    champion: I64
    challenger: I64
    neither: I64

    @property
    def pairs(self) -> I64:
        """All pairs of each class, (k,)."""
        return self.both + self.champion + self.challenger + self.neither


def pair_counts(
    of_champion: Tally, challenger: Collection[int], of_challenger: Tally, champion: Collection[int]
) -> PairCounts:
    """The pairs of two versions out of their PAIR cells of one shard, whichever predicted first.

    Args:
        of_champion: PAIR indices of the champion's series.
        challenger: series numbers, without slices, of the challenger; other pairs are left out.
        of_challenger: PAIR indices of the challenger's series.
        champion: series numbers of the champion.
    """
    true, outcome, count = [], [], []
    for cells, others, swap in (
        (of_champion, challenger, False),
        (of_challenger, champion, True),
    ):
        number, rest = split_index(cells.index)
        mine = np.isin(rest >> 2, np.array(sorted(others), np.int64))
        right = rest[mine] & 3  # (earlier one is right) << 1 | (later one is right)
        true.append(number[mine])
        outcome.append((right >> 1 | right << 1) & 3 if swap else right)
        count.append(cells.count[mine])
    number, at = np.unique(np.concatenate(true), return_inverse=True)
    sums = np.zeros((4, len(number)), np.int64)
    np.add.at(sums, (np.concatenate(outcome), at), np.concatenate(count))
    return PairCounts(number, sums[3], sums[2], sums[1], sums[0])


def add_pairs(parts: Iterable[PairCounts]) -> PairCounts:
    """The sums by true class, of shards or slices."""
    found = list(parts)
    if not found:
        return PairCounts(*np.zeros((5, 0), np.int64))
    number, at = np.unique(np.concatenate([part.number for part in found]), return_inverse=True)
    sums = np.zeros((4, len(number)), np.int64)
    columns = [(part.both, part.champion, part.challenger, part.neither) for part in found]
    np.add.at(sums.T, at, np.concatenate([np.array(each, np.int64).T for each in columns]))
    return PairCounts(number, *sums)


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
