"""Cells: the additive integers that everything is derived from.

A cell is (kind, series, minute, index) -> count. Counts of the same cell add up; a correction is a
delta that subtracts. Which index means what:

    kind        series of        minute of    index
    PREDICTED   version, slices  prediction   predicted class
    CONFUSION   version, slices  prediction   true class << 32 | predicted class
    RANK        version, slices  prediction   true class << 32 | its rank: 0 is best, RANK_NONE when
                                              it is not among the known scores
    DELAY       version, slices  prediction   delay bin of the counted label
    DUPLICATE   version, slices  prediction   0
    CLAMPED     version or task  append       0 prediction, 1 label
    UNOBSERVED  version          append       reason
    UNMATCHED   task             label        0
    SUPERSEDED  task             label        0
    DEAD        nobody           append       topic (0 predictions, 1 labels) << 32 | reason
    ADDED       version, slices  0            as CONFUSION: all time, only grows
    RETRACTED   version, slices  0            as CONFUSION: all time, only grows

All but ADDED and RETRACTED are a pure function of the offset vector; of those two the difference
is.
Minutes count from 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

RANKS_MAX = 10
"""Ranks that are told apart: top-k is exact up to k = 10."""
RANK_NONE = RANKS_MAX


class CellKind(IntEnum):
    """Families of counts; the numbers are stored and never reused."""

    PREDICTED = 1
    CONFUSION = 2
    RANK = 3
    DELAY = 4
    DUPLICATE = 5
    CLAMPED = 6
    UNOBSERVED = 7
    UNMATCHED = 8
    SUPERSEDED = 9
    DEAD = 10
    ADDED = 11
    RETRACTED = 12


HISTORY_KINDS = frozenset({CellKind.ADDED, CellKind.RETRACTED})
"""Kinds that depend on the order of reading; only their difference is a function of the vector."""


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """Whom a cell belongs to.

    Attributes:
        model: empty for cells of a task or of nobody.
        version: empty where the model is.
        task: the label space; empty for nobody.
        slices: (column, value) pairs in the order of the batch's columns.
    """

    model: str = ""
    version: str = ""
    task: str = ""
    slices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """Sparse cells in columns of equal length, sorted and without repetition or zero.

    Attributes:
        kind: uint8.
        series: uint32, numbers within one shard.
        minute: uint32, minutes since 1970-01-01 UTC.
        index: uint64.
        count: int64, any sign.
    """

    kind: npt.NDArray[np.uint8]
    series: npt.NDArray[np.uint32]
    minute: npt.NDArray[np.uint32]
    index: npt.NDArray[np.uint64]
    count: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.count)


def empty_cells() -> Cells:
    """No cells."""
    return Cells(
        np.empty(0, np.uint8),
        np.empty(0, np.uint32),
        np.empty(0, np.uint32),
        np.empty(0, np.uint64),
        np.empty(0, np.int64),
    )


def concatenate(parts: Iterable[Cells]) -> Cells:
    """The cells of all parts behind one another: not normalised."""
    found = [part for part in parts if len(part)]
    if not found:
        return empty_cells()
    return Cells(
        np.concatenate([part.kind for part in found]),
        np.concatenate([part.series for part in found]),
        np.concatenate([part.minute for part in found]),
        np.concatenate([part.index for part in found]),
        np.concatenate([part.count for part in found]),
    )


def merge(parts: Iterable[Cells]) -> Cells:
    """The sum of all parts: sorted by (kind, series, minute, index), zeros left out.

    Associative and commutative; `merge([])` is the neutral element.
    """
    cells = concatenate(parts)
    if not len(cells):
        return cells
    order = np.lexsort((cells.index, cells.minute, cells.series, cells.kind))
    kind, series = cells.kind[order], cells.series[order]
    minute, index, count = cells.minute[order], cells.index[order], cells.count[order]
    new = np.empty(len(count), np.bool_)
    new[0] = True
    new[1:] = (
        (kind[1:] != kind[:-1])
        | (series[1:] != series[:-1])
        | (minute[1:] != minute[:-1])
        | (index[1:] != index[:-1])
    )
    starts = np.flatnonzero(new)
    sums = np.add.reduceat(count, starts)
    kept = sums != 0
    at = starts[kept]
    return Cells(kind[at], series[at], minute[at], index[at], sums[kept])


def select(cells: Cells, mask: npt.NDArray[np.bool_]) -> Cells:
    """The cells where the mask holds, order kept."""
    return Cells(
        cells.kind[mask],
        cells.series[mask],
        cells.minute[mask],
        cells.index[mask],
        cells.count[mask],
    )


def pair_index(
    true: npt.NDArray[np.uint32], second: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint64]:
    """CONFUSION and RANK index of (true class, predicted class or rank)."""
    return true.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64)


def split_index(
    index: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The (true class, predicted class or rank) of CONFUSION and RANK indices."""
    return (
        (index >> np.uint64(32)).astype(np.int64),
        (index & np.uint64(0xFFFF_FFFF)).astype(np.int64),
    )


def delay_bin(delay_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """DELAY index of each delay: 8 bins an octave of (milliseconds + 1), by float32 bits.

    Negative delays (a label that was there first) fall into bin 0. A bin's relative width is at
    most 1/8; the bits decide, so every reader and machine agrees.
    """
    floored = np.maximum(delay_ms, 0).astype(np.float32) + np.float32(1)
    bits = floored.view(np.uint32)
    return ((bits >> np.uint32(20)) - np.uint32(127 << 3)).astype(np.uint64)


def delay_bin_upper_ms(index: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Exclusive upper bound of each delay bin in milliseconds."""
    bits = ((index.astype(np.uint32) + np.uint32(1)) + np.uint32(127 << 3)) << np.uint32(20)
    return bits.view(np.float32).astype(np.float64) - 1.0
