"""Cells: the additive integers that everything is derived from.

A cell is (kind, series, minute, index) -> count. Counts of the same cell add up; a correction is a
delta that subtracts. Which index means what:

    kind           series of          minute of      index
    PREDICTED      version, slices    prediction     predicted class
    CONFUSION      version, slices    prediction     true class << 32 | predicted class
    RANK           version, slices    prediction     true class << 32 | its rank: 0 is best,
                                                     RANK_NONE is beyond the best or not known
    DELAY          version, slices    prediction     delay bin of the counted label
    SCORES         version, slices    its hour       class << 32 | (is it true) << 16 | score code
    STRATUM        version, slices    its hour       predicted class << 32 | confidence band
    STRATUM_LABELLED
                   version, slices    its hour       true class << 32 | predicted class << 4 | band
    DUPLICATE      version, slices    record         0
    SUPERSEDED     version, slices    prediction     0
    DEFAULTED      version, slices    prediction     0
    PAIR           version A, slices  prediction A   true class << 32 | series number of version B
                                                     << 2 | (A is right) << 1 | (B is right)
    PAIR_OVERFLOW  version B, slices  prediction B   0
    UNMATCHED      task               label          0
    CLAMPED        version, slices;   append         0 prediction, 1 label
                   or task
    UNOBSERVED     version            append         reason
    DEAD           nobody             append         topic (0 predictions, 1 labels) << 32 | reason
    ADDED          version, slices    0              as CONFUSION: all time, only grows
    RETRACTED      version, slices    0              as CONFUSION: all time, only grows

All but ADDED and RETRACTED are a pure function of the offset vector; of those two the difference
is. Minutes count from 1970-01-01 UTC; an hour is its first minute. docs/counting.md says when a
cell counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from leadline.records.keys import Column, sum_by_key, sum_chunks

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

RANKS_MAX = 7
"""Ranks that are told apart, 0 to 6: top-k is exact up to k = 7. A rank has 3 bits."""
RANK_NONE = RANKS_MAX
"""The rank of a true class that is beyond the best ones or not known."""


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
    SCORES = 13
    PAIR = 14
    PAIR_OVERFLOW = 15
    DEFAULTED = 16
    STRATUM = 17
    STRATUM_LABELLED = 18


STRATUM_CLASSES_MAX = 1 << 28
"""Predicted classes from this number on have no strata: an index has no room for them."""

FRAGMENT_ROWS_MIN = 16
"""Where runs of one kind are shorter, cells are first ordered by kind as a whole."""

CHUNK_ROWS = 16_384
"""Cells that are packed at a time when they are added to a table: they stay in the cache."""

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
    """The cells of all parts behind one another: not normalised. May share a part's memory."""
    found = [part for part in parts if len(part)]
    if not found:
        return empty_cells()
    if len(found) == 1:
        return found[0]
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
    by_kind: dict[int, list[Cells]] = {}
    for part in parts:
        for kind, piece in _by_kind(part):
            by_kind.setdefault(kind, []).append(piece)
    return concatenate(_summed(kind, by_kind[kind]) for kind in sorted(by_kind))


def over_time(parts: Iterable[Cells]) -> Cells:
    """The sum of all parts over all minutes, normalised: every cell stands at minute 0."""
    by_kind: dict[int, list[Cells]] = {}
    for part in parts:
        for kind, piece in _by_kind(part):
            by_kind.setdefault(kind, []).append(piece)
    return concatenate(_summed_over_time(kind, by_kind[kind]) for kind in sorted(by_kind))


def count(
    kind: CellKind,
    series: U32 | int,
    minute: U32 | int,
    index: U64 | int,
    weight: I64 | int = 1,
) -> Cells:
    """Cells of one kind, normalised, from one row for each thing that is counted.

    The columns are of equal length; an integer stands for every row. Where all of them are
    integers, there is one row.
    """
    columns: list[Column] = [each for each in (series, minute) if isinstance(each, np.ndarray)]
    if isinstance(index, np.ndarray):
        columns += _split(index, wide=_is_wide(index))
    if not columns:
        weight = np.atleast_1d(np.asarray(weight, np.int64))
        columns = [np.zeros(len(weight), np.uint8)]
    found, sums = sum_by_key(columns, weight)
    varying, size = list(found), len(sums)

    def column(given: U32 | int) -> U32:
        return varying.pop(0) if isinstance(given, np.ndarray) else np.full(size, given, np.uint32)

    return Cells(
        np.full(size, kind, np.uint8),
        column(series),
        column(minute),
        _joined(varying) if isinstance(index, np.ndarray) else np.full(size, index, np.uint64),
        sums,
    )


def _by_kind(part: Cells) -> Iterator[tuple[int, Cells]]:
    """The cells of each kind, in one piece or several."""
    if not len(part):
        return
    starts = np.flatnonzero(part.kind[1:] != part.kind[:-1]) + 1
    if len(starts) * FRAGMENT_ROWS_MIN > len(part) + len(CellKind) * FRAGMENT_ROWS_MIN:
        part = _take(part, np.argsort(part.kind, kind="stable"))
        starts = np.flatnonzero(part.kind[1:] != part.kind[:-1]) + 1
    for begin, end in pairwise((0, *starts.tolist(), len(part))):
        yield int(part.kind[begin]), _take(part, slice(begin, end))


def _summed(kind: int, parts: list[Cells]) -> Cells:
    """The sum of parts of one kind, each with at least one cell."""
    parts = sorted(parts, key=lambda part: _key(part, 0))
    ordered = all(_key(one, -1) < _key(other, 0) for one, other in pairwise(parts))
    if ordered and all(map(_is_normalised, parts)):
        return concatenate(parts)
    wide = any(_is_wide(part.index) for part in parts)
    chunks = [
        ((part.series, part.minute, *_split(part.index, wide=wide)), part.count)
        for part in _chunks(parts)
    ]
    (series, minute, *index), sums = sum_chunks(chunks)
    return Cells(np.full(len(sums), kind, np.uint8), series, minute, _joined(index), sums)


def _summed_over_time(kind: int, parts: list[Cells]) -> Cells:
    """The sum of parts of one kind, each with at least one cell, at minute 0."""
    wide = any(_is_wide(part.index) for part in parts)
    chunks = [
        ((part.series, *_split(part.index, wide=wide)), part.count) for part in _chunks(parts)
    ]
    (series, *index), sums = sum_chunks(chunks)
    size = len(sums)
    return Cells(
        np.full(size, kind, np.uint8), series, np.zeros(size, np.uint32), _joined(index), sums
    )


def _chunks(parts: list[Cells]) -> Iterator[Cells]:
    """The cells in pieces of about CHUNK_ROWS."""
    waiting: list[Cells] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK_ROWS:
            whole = concatenate(waiting)
            for begin in range(0, len(whole), CHUNK_ROWS):
                yield _take(whole, slice(begin, begin + CHUNK_ROWS))
            waiting, size = [], 0
    if waiting:
        yield concatenate(waiting)


def _key(part: Cells, at: int) -> tuple[int, int, int]:
    """What orders a cell within its kind."""
    return int(part.series[at]), int(part.minute[at]), int(part.index[at])


def _is_normalised(part: Cells) -> bool:
    """Whether cells of one kind ascend strictly, and none is 0."""
    ascends = part.index[1:] > part.index[:-1]
    for column in (part.minute, part.series):
        ascends &= column[1:] == column[:-1]
        ascends |= column[1:] > column[:-1]
    return bool(ascends.all() and part.count.all())


def _is_wide(index: U64) -> bool:
    """Whether an index has more than 32 bits."""
    return bool(len(index)) and int(index.max()) > 0xFFFF_FFFF


def _split(index: U64, *, wide: bool) -> tuple[Column, ...]:
    """The index in columns whose ranges are small, since halves have a meaning of their own."""
    if not wide:
        return (index.astype(np.uint32),)
    high = (index >> np.uint64(32)).astype(np.uint32)
    return high, (index >> np.uint64(16)).astype(np.uint16), index.astype(np.uint16)


def _joined(columns: Sequence[Column]) -> U64:
    """Undoes `_split`."""
    index: U64 = columns[0].astype(np.uint64)
    for column in columns[1:]:
        index <<= np.uint64(16)
        index |= column
    return index


def _take(cells: Cells, at: I64 | slice) -> Cells:
    return Cells(
        cells.kind[at], cells.series[at], cells.minute[at], cells.index[at], cells.count[at]
    )


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


def stratum_index(predicted: U32, band: npt.NDArray[np.uint8]) -> U64:
    """STRATUM index of (predicted class, confidence band)."""
    return pair_index(predicted, band.astype(np.uint32))


def stratum_labelled_index(true: U32, predicted: U32, band: npt.NDArray[np.uint8]) -> U64:
    """STRATUM_LABELLED index of (true class, predicted class below STRATUM_CLASSES_MAX, band)."""
    return pair_index(true, predicted << np.uint32(4) | band)


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
