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
    rows = len(columns[0])
    if not rows or (isinstance(weight, int) and not weight):
        return tuple(column[:0] for column in columns), np.empty(0, np.int64)
    packing = Packing([columns])
    if packing.width > KEY_BITS_MAX:
        return _sum_rows(columns, weight)
    if packing.is_dense(rows):
        return _sum_dense(packing, columns, weight)
    if isinstance(weight, np.ndarray):
        return _sum_weighted(packing, columns, weight)
    key = packing.pack(columns, np.uint32 if packing.width <= 32 else np.uint64)
    found, sums = runs(np.sort(key))
    return packing.unpack(found), sums if weight == 1 else sums * weight


def sum_chunks(chunks: Sequence[tuple[Sequence[Column], I64]]) -> Sums:
    """`sum_by_key` of all (columns, weights) together; each chunk has at least one row.

    Where a dense table is used, a chunk at a time is packed, and stays in the cache if it is small.
    """
    packing = Packing([columns for columns, _ in chunks])
    if packing.width > KEY_BITS_MAX or not packing.is_dense(sum(len(each) for _, each in chunks)):
        columns = [np.concatenate(parts) for parts in zip(*(c for c, _ in chunks), strict=True)]
        return sum_by_key(columns, np.concatenate([weight for _, weight in chunks]))
    return packing.sums(_table(packing, chunks))


class Packing:
    """How the columns of some tables fit into one number: each column's offset and bits.

    Args:
        tables: at least one, with at least one row each and the same types.

    Attributes:
        width: bits of a key.
    """

    def __init__(self, tables: Sequence[Sequence[Column]]) -> None:
        self._types = [column.dtype for column in tables[0]]
        self._lows: list[int] = []
        self._bits: list[int] = []
        for parts in zip(*tables, strict=True):
            low = int(min(map(np.minimum.reduce, parts)))
            high = int(max(map(np.maximum.reduce, parts)))
            self._lows.append(low)
            self._bits.append((high - low).bit_length())
        self.width = sum(self._bits)

    def is_dense(self, rows: int) -> bool:
        """Whether a table of all keys is cheaper than sorting so many rows."""
        return 1 << self.width <= min(DENSE_CELLS_A_ROW * rows, 1 << DENSE_BITS_MAX)

    def pack(self, columns: Sequence[Column], of: type[np.integer[Any]]) -> npt.NDArray[Any]:
        """The keys, ordered as the rows are; their type has at least `width` bits."""
        key: npt.NDArray[Any] | None = None
        for column, low, bits in zip(columns, self._lows, self._bits, strict=True):
            if not bits:
                continue
            part = (column - column.dtype.type(low) if low else column).astype(of, copy=False)
            if key is None:
                key = part
                continue
            key = key << of(bits)
            key |= part
        return np.zeros(len(columns[0]), of) if key is None else key

    def unpack(self, key: npt.NDArray[Any], without: Sequence[int] = ()) -> tuple[Column, ...]:
        """The columns of keys of any integer type; the keys may be `without` some columns."""
        kept = [number for number in range(len(self._bits)) if number not in without]
        width = sum(self._bits[number] for number in kept)
        of = key.dtype.type
        found: list[Column] = []
        shift = 0
        for number in reversed(kept):
            low, bits, dtype = self._lows[number], self._bits[number], self._types[number]
            if not bits:
                found.append(np.full(len(key), low, dtype))
                continue
            part = key >> of(shift) if shift else key
            if shift + bits < width:
                part = part & of((1 << bits) - 1)
            part = part.astype(dtype)
            if low:
                part += dtype.type(low)
            found.append(part)
            shift += bits
        return tuple(reversed(found))

    def sums(self, table: I64, without: Sequence[int] = ()) -> Sums:
        """Columns and sums of a table of all keys, after summing over the columns `without`."""
        if without:
            shape = [1 << bits for bits in self._bits]
            table = table.reshape(shape).sum(axis=tuple(without)).ravel()
        at = np.flatnonzero(table != 0)  # of booleans it is three times as fast
        return self.unpack(at, without), table[at]


def _table(packing: Packing, chunks: Sequence[tuple[Sequence[Column], I64]]) -> I64:
    """The sum of each key's weights, by key."""
    table = np.zeros(1 << packing.width, np.int64)
    for columns, weight in chunks:
        np.add.at(table, packing.pack(columns, np.int64), weight)
    return table


def _sum_dense(packing: Packing, columns: Sequence[Column], weight: int | I64) -> Sums:
    if isinstance(weight, np.ndarray):
        return packing.sums(_table(packing, [(columns, weight)]))
    found, sums = packing.sums(np.bincount(packing.pack(columns, np.int64)))
    return found, sums if weight == 1 else sums * weight


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


def _sum_weighted(packing: Packing, columns: Sequence[Column], weight: I64) -> Sums:
    """Sorts keys with their weights in the lowest bits where both fit, else by their order."""
    low = int(np.minimum.reduce(weight))
    bits = (int(np.maximum.reduce(weight)) - low).bit_length()
    width = packing.width + bits
    of = np.uint32 if width <= 32 else np.uint64
    key = packing.pack(columns, of)
    if width > KEY_BITS_MAX:
        order = np.argsort(key)
        key, weight = key[order], weight[order]
    else:
        both = np.sort((key << of(bits)) | (weight - np.int64(low)).astype(of))
        key = both >> of(bits)
        weight = (both & of((1 << bits) - 1)).astype(np.int64)
        weight += low
    new = np.empty(len(key), np.bool_)
    new[0] = True
    np.not_equal(key[1:], key[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    sums = np.add.reduceat(weight, starts)
    key = key[starts]
    kept = sums != 0
    if not kept.all():
        key, sums = key[kept], sums[kept]
    return packing.unpack(key), sums


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
