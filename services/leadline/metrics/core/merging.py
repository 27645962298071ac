"""Classes that a question counts as one.

What is counted by class adds up: the matrix, its margins and all predictions. What depends on
scores does not: the score of "a or b" is the sum of two scores of one row, and cells do not say
which scores stood together. So ranks are left out here, and with them top-k.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.records.cells import CellKind, Cells, select

U64 = npt.NDArray[np.uint64]
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Merge:
    """Classes that count as one.

    Attributes:
        name: of the merged class.
        classes: two or more class numbers, ascending; the merged class has the first.
    """

    name: str
    classes: tuple[int, ...]

    @property
    def number(self) -> int:
        """Of the merged class."""
        return self.classes[0]


Merges = tuple[Merge, ...]
"""A class is in at most one of them."""


def merged_numbers(merges: Merges) -> frozenset[int]:
    """All classes that are in a merge."""
    return frozenset(number for each in merges for number in each.classes)


def absorbed(merges: Merges) -> frozenset[int]:
    """Classes that no longer exist on their own."""
    return frozenset(number for each in merges for number in each.classes[1:])


def merged(cells: Cells, merges: Merges) -> Cells:
    """The cells with PREDICTED and CONFUSION of merged classes, without RANK; not normalised."""
    if not merges:
        return cells
    cells = select(cells, cells.kind != CellKind.RANK)
    old, new = _table(merges)
    index = cells.index.copy()
    said = cells.kind == CellKind.PREDICTED
    index[said] = _renumbered(index[said], old, new)
    pair = cells.kind == CellKind.CONFUSION
    high, low = index[pair] >> _HALF, index[pair] & _LOW
    index[pair] = _renumbered(high, old, new) << _HALF | _renumbered(low, old, new)
    return Cells(cells.kind, cells.series, cells.minute, index, cells.count)


def _table(merges: Iterable[Merge]) -> tuple[U64, U64]:
    """Absorbed classes, ascending, and what each becomes."""
    pairs = sorted((number, each.number) for each in merges for number in each.classes[1:])
    table = np.array(pairs, np.uint64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _renumbered(numbers: U64, old: U64, new: U64) -> U64:
    place = np.minimum(np.searchsorted(old, numbers), len(old) - 1)
    return np.where(old[place] == numbers, new[place], numbers)
