"""Pairs of versions out of PAIR cells: what two versions said of the same labelled inputs.

A cell belongs to the version that answered first and names the other one; a question is about one
version and another, whichever was first. Series numbers are per shard, so shards are taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.scope import Numbers
from leadline.records.cells import CellKind, Cells

I64 = npt.NDArray[np.int64]
_BOTH, _FIRST, _SECOND = 3, 2, 1


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Labelled inputs that both versions predicted, by true class; int64 columns of equal length.

    Attributes:
        true_class: ascending.
        both_right, only_first, only_second, neither: which version was right.
    """

    true_class: I64
    both_right: I64
    only_first: I64
    only_second: I64
    neither: I64

    @property
    def total(self) -> int:
        """All pairs."""
        columns = (self.both_right, self.only_first, self.only_second, self.neither)
        return sum(int(column.sum()) for column in columns)


def version_pairs(
    shards: Mapping[str, Cells], first: tuple[Numbers, Numbers], second: tuple[Numbers, Numbers]
) -> PairCounts:
    """The pairs of a first and a second version.

    Args:
        shards: PAIR cells of the series of both, and of others.
        first: series numbers by shard of the first version: those asked about, and those without
            slices, by which pairs name it.
        second: those of the second version.
    """
    parts = [
        _outcomes(cells, one[0].get(shard, ()), other[1].get(shard, ()), swapped=swapped)
        for shard, cells in shards.items()
        for one, other, swapped in ((first, second, False), (second, first, True))
    ]
    true = np.concatenate([part[0] for part in parts] or [np.empty(0, np.int64)])
    outcome = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
    count = np.concatenate([part[2] for part in parts] or [np.empty(0, np.int64)])
    classes, at = np.unique(true, return_inverse=True)
    table = np.zeros((4, len(classes)), np.int64)
    np.add.at(table, (outcome, at), count)
    seen = table.any(axis=0)
    table = table[:, seen]
    return PairCounts(classes[seen], table[_BOTH], table[_FIRST], table[_SECOND], table[0])


def _outcomes(
    cells: Cells, one: Iterable[int], other: Iterable[int], *, swapped: bool
) -> tuple[I64, I64, I64]:
    """(true class, first right << 1 | second right, count) of the cells of one with the other."""
    named = (cells.index & np.uint64(0xFFFF_FFFF)) >> np.uint64(2)
    mine = (cells.kind == CellKind.PAIR) & np.isin(cells.series, sorted(one))
    mine &= np.isin(named, np.array(sorted(other), np.uint64))
    index = cells.index[mine]
    outcome = (index & np.uint64(3)).astype(np.int64)
    if swapped:
        outcome = (outcome & 1) << 1 | outcome >> 1
    return (index >> np.uint64(32)).astype(np.int64), outcome, cells.count[mine]
