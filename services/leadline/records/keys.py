"""Sums by key: columns of unsigned integers packed into one number a row, then counted or sorted.

Columns are packed by their ranges (largest - smallest), so that a key is usually narrow: a narrow
one is counted in a dense table, another one is sorted as uint32 or uint64 and cut into runs. Keys
of more than 64 bits are sorted column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.unsignedinteger[Any]]
I64 = npt.NDArray[np.int64]
Sums = tuple[tuple[Column, ...], I64]

KEY_BITS_MAX = 64
DENSE_CELLS_A_ROW = 4
"""A table of at most so many cells a row is filled and scanned faster than the rows are sorted."""
DENSE_BITS_MAX = 24
"""128 MiB of int64: a larger table does not fit any cache."""


def sum_by_key(columns: Sequence[Column], weight: int | I64 = 1) -> Sums:
    """The distinct rows of the columns in lexicographic order, and the sum of each one's weights.

    Rows whose weights sum to 0 are left out. Sums wrap around beyond 64 bits.

    Args:
        columns: at least one, of equal length, the most significant first. Types are kept.
        weight: int64 of the same length, or one for all rows.
    """
    if not len(columns[0]) or (isinstance(weight, int) and not weight):
        return tuple(column[:0] for column in columns), np.empty(0, np.int64)
    packing = Packing(columns)
    if packing.width > KEY_BITS_MAX:
        return _sum_rows(columns, weight)
    if 1 << packing.width <= min(DENSE_CELLS_A_ROW * packing.rows, 1 << DENSE_BITS_MAX):
        return _sum_dense(packing, weight)
    if isinstance(weight, np.ndarray):
        return _sum_weighted(packing, weight)
    return _sum_sorted(packing, weight)


class Packing:
    """How columns of at least one row fit into one number: each one's offset and bits.

    Attributes:
        rows: how many there are.
        width: bits of a key.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self.rows = len(columns[0])
        self._lows = [int(np.minimum.reduce(column)) for column in columns]
        self._bits = [
            (int(np.maximum.reduce(column)) - low).bit_length()
            for column, low in zip(columns, self._lows, strict=True)
        ]
        self.width = sum(self._bits)

    def pack(self, of: type[np.integer[Any]]) -> npt.NDArray[Any]:
        """The keys, ordered as the rows are; their type has at least `width` bits."""
        key: npt.NDArray[Any] | None = None
        for column, low, bits in zip(self.columns, self._lows, self._bits, strict=True):
            if not bits:
                continue
            part = (column - column.dtype.type(low) if low else column).astype(of, copy=False)
            if key is None:
                key = part
                continue
            key = key << of(bits)
            key |= part
        return np.zeros(self.rows, of) if key is None else key

    def unpack(self, key: npt.NDArray[Any]) -> tuple[Column, ...]:
        """The columns of keys of any integer type."""
        found: list[Column] = []
        shift = 0
        of = key.dtype.type
        for column, low, bits in zip(
            reversed(self.columns), reversed(self._lows), reversed(self._bits), strict=True
        ):
            kind = column.dtype.type
            if not bits:
                found.append(np.full(len(key), low, column.dtype))
                continue
            part = key >> of(shift) if shift else key
            if shift + bits < self.width:
                part = part & of((1 << bits) - 1)
            part = part.astype(column.dtype)
            if low:
                part += kind(low)
            found.append(part)
            shift += bits
        return tuple(reversed(found))


def _sum_dense(packing: Packing, weight: int | I64) -> Sums:
    key = packing.pack(np.int64)
    if isinstance(weight, np.ndarray):
        table = np.zeros(1 << packing.width, np.int64)
        np.add.at(table, key, weight)
    else:
        table = np.bincount(key)
    at = np.flatnonzero(table != 0)  # of booleans it is three times as fast
    sums = table[at]
    if isinstance(weight, int) and weight != 1:
        sums *= weight
    return packing.unpack(at), sums


def _sum_sorted(packing: Packing, weight: int) -> Sums:
    key = np.sort(packing.pack(np.uint32 if packing.width <= 32 else np.uint64))
    found, sums = runs(key)
    return packing.unpack(found), sums if weight == 1 else sums * weight


def runs(key: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], I64]:
    """The distinct numbers of a sorted column that is not empty, and how often each stands."""
    last = np.empty(len(key), np.bool_)
    np.not_equal(key[1:], key[:-1], out=last[:-1])
    last[-1] = True
    ends = np.flatnonzero(last)
    lengths = ends.copy()
    lengths[0] += 1
    lengths[1:] -= ends[:-1]
    return key[ends], lengths


def _sum_weighted(packing: Packing, weight: I64) -> Sums:
    """Sorts keys with their weights in the lowest bits where both fit, else by their order."""
    key = packing.pack(np.uint64)
    if not (key[1:] > key[:-1]).all():
        key, weight = _sorted_with(key, packing.width, weight)
        new = np.empty(len(key), np.bool_)
        new[0] = True
        np.not_equal(key[1:], key[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        if len(starts) < len(key):
            key, weight = key[starts], np.add.reduceat(weight, starts)
    kept = weight != 0
    if not kept.all():
        key, weight = key[kept], weight[kept]
    return packing.unpack(key), weight


def _sorted_with(key: Column, width: int, weight: I64) -> tuple[Column, I64]:
    low, high = int(weight.min()), int(weight.max())
    bits = (high - low).bit_length()
    if width + bits > KEY_BITS_MAX:
        order = np.argsort(key)
        return key[order], weight[order]
    if not bits:
        return np.sort(key), weight
    both = (key << np.uint64(bits)) | (weight - np.int64(low)).view(np.uint64)
    if width + bits <= 32:
        both = np.sort(both.astype(np.uint32)).astype(np.uint64)
    else:
        both.sort()
    return both >> np.uint64(bits), (both & np.uint64((1 << bits) - 1)).view(np.int64) + low


def _sum_rows(columns: Sequence[Column], weight: int | I64) -> Sums:
    """For keys of any width: column by column."""
    order = np.lexsort(tuple(reversed(columns)))
    ordered = [column[order] for column in columns]
    new = np.zeros(len(order), np.bool_)
    new[0] = True
    for column in ordered:
        new[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(new)
    if isinstance(weight, np.ndarray):
        sums = np.add.reduceat(weight[order], starts)
    else:
        sums = np.diff(starts, append=len(order)) * weight
    kept = sums != 0
    at = starts[kept]
    return tuple(column[at] for column in ordered), sums[kept]
