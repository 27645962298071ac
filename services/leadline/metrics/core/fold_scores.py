"""SCORES cells of pairs: one key for each kept score, counted by the cheapest way that fits.

Pairs of one series and hour with dense scores, which is what a live stream brings, are counted
class by class: in a table of all codes where there are many rows, else by sorting 16 bits. All
others are sorted as (place, class, is it true, code), where a place is a series and hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.records.batches import I64, U32
from leadline.records.cells import CellKind, Cells, concatenate, count, merge
from leadline.records.keys import Packing, runs
from leadline.records.scores import CODE_BITS, CODE_MASK

U16 = npt.NDArray[np.uint16]
U64 = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.integer[Any]]

TRUE_MARK = 1 << CODE_BITS
MARKED_BITS = CODE_BITS + 1
"""Bits of a code with the mark of the true class above it."""
TABLE_ROWS_MIN = 3_000
"""From so many rows on a table of all codes is filled and scanned faster than codes are sorted."""
PLACE_ROWS_MIN = 500
"""Places that have so many rows on average are counted one by one."""
PLACE_BITS_MAX = 16


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows with kept scores.

    Attributes:
        series, hour: uint32 (r,), hour as its first minute.
        true_class: uint32 (r,).
        classes: uint32 (r, k), or None for dense scores.
        codes: uint16 (r, k), bits above the code are ignored.
    """

    series: U32
    hour: U32
    true_class: U32
    classes: U32 | None
    codes: U16

    def __len__(self) -> int:
        return len(self.codes)


def score_cells(came: Sequence[KeptRows], went: Sequence[KeptRows]) -> Cells:
    """The difference of the SCORES cells of rows that came and went, normalised."""
    groups: dict[tuple[int, int, int], tuple[list[KeptRows], list[KeptRows]]] = {}
    others: list[Cells] = []
    for side, sign in ((came, 1), (went, -1)):
        for rows in side:
            for part, is_one_place in _by_place(rows):
                if part.classes is None and is_one_place:
                    key = (int(part.series[0]), int(part.hour[0]), part.codes.shape[1])
                    groups.setdefault(key, ([], []))[sign < 0].append(part)
                else:
                    others.append(_of_many_places(part, sign))
    found = [_of_one_place(*groups[key]) for key in sorted(groups)]
    if not others and len({key[:2] for key in groups}) == len(groups):
        return concatenate(found)
    return merge([*found, *others]) if len(found) + len(others) > 1 else others[0]


def _by_place(rows: KeptRows) -> Iterator[tuple[KeptRows, bool]]:
    """The rows of each place where places are few, else all together; whether it is one place."""
    if not rows.codes.size:
        return
    packing = Packing([(rows.series, rows.hour)])
    if not packing.width or packing.width > PLACE_BITS_MAX:
        yield rows, not packing.width
        return
    place = packing.pack((rows.series, rows.hour), np.int64)
    found = np.flatnonzero(np.bincount(place))
    if len(found) * PLACE_ROWS_MIN > len(rows):
        yield rows, False
        return
    for number in found.tolist():
        yield _take(rows, np.flatnonzero(place == number)), True


def _take(rows: KeptRows, at: I64) -> KeptRows:
    classes = None if rows.classes is None else rows.classes[at]
    return KeptRows(rows.series[at], rows.hour[at], rows.true_class[at], classes, rows.codes[at])


def _marked(rows: KeptRows) -> U16:
    """`is it the true class's << 13 | code` of each score, contiguous."""
    found: U16 = rows.codes & np.uint16(CODE_MASK)
    if rows.classes is not None:
        found |= (rows.classes == rows.true_class[:, None]) * np.uint16(TRUE_MARK)
        return found
    size, k = rows.codes.shape
    at = np.arange(0, size * k, k)
    at += rows.true_class
    if int(rows.true_class.max()) >= k:  # classes that the version does not know
        at = at[rows.true_class < k]
    found.ravel()[at] |= np.uint16(TRUE_MARK)
    return found


def _of_one_place(came: list[KeptRows], went: list[KeptRows]) -> Cells:
    """Dense rows of one series and hour, and one number of classes."""
    first = (came or went)[0]
    series, hour = int(first.series[0]), int(first.hour[0])
    if sum(map(len, (*came, *went))) < TABLE_ROWS_MIN:
        parts = [(_sorted_classes(_marked(rows)), 1) for rows in came]
        parts += [(_sorted_classes(_marked(rows)), -1) for rows in went]
        cells = [_cells(series, hour, key, sums * sign) for (key, sums), sign in parts]
        return cells[0] if len(cells) == 1 else merge(cells)
    key, sums = _tabulated(list(map(_marked, came)), list(map(_marked, went)))
    return _cells(series, hour, key, sums)


def _tabulated(came: list[U16], went: list[U16]) -> tuple[I64, I64]:
    """The `class << 14 | marked code` with a difference, and the differences; class by class."""
    keys, sums = [], []
    for number in range((came or went)[0].shape[1]):
        table = _table(came, number) - _table(went, number) if went else _table(came, number)
        at = np.flatnonzero(table != 0)  # of booleans it is three times as fast
        sums.append(table[at])
        at += number << MARKED_BITS
        keys.append(at)
    return np.concatenate(keys), np.concatenate(sums)


def _table(parts: list[U16], number: int) -> I64:
    """How many rows have each marked code of a class."""
    table = np.zeros(0, np.int64)
    for codes in parts:
        counts = np.bincount(codes[:, number], minlength=1 << MARKED_BITS)
        table = table + counts if len(table) else counts
    return table if len(table) else np.zeros(1 << MARKED_BITS, np.int64)


def _sorted_classes(codes: U16) -> tuple[U32, I64]:
    """The distinct `class << 14 | marked code` and how many rows have each."""
    columns = codes.T.copy()
    columns.sort(axis=1, kind="stable")  # by radix
    keys = columns.astype(np.uint32)
    keys |= np.arange(len(keys), dtype=np.uint32)[:, None] << np.uint32(MARKED_BITS)
    return runs(keys.ravel())


def _of_many_places(rows: KeptRows, sign: int) -> Cells:
    size, k = rows.codes.shape
    classes = np.arange(k, dtype=np.uint32) if rows.classes is None else rows.classes
    class_bits = int(classes.max()).bit_length()
    places = Packing([(rows.series, rows.hour)])
    low_bits = class_bits + MARKED_BITS
    if places.width + low_bits > 64:
        index = _index((classes.astype(np.uint64) << np.uint64(MARKED_BITS)) | _marked(rows))
        series, hour = np.repeat(rows.series, k), np.repeat(rows.hour, k)
        return count(CellKind.SCORES, series, hour, index.ravel(), sign)
    of = np.uint32 if places.width + low_bits <= 32 else np.uint64
    keys = np.empty((size, k), of)
    keys[:] = classes
    keys <<= of(MARKED_BITS)
    keys |= _marked(rows)
    if places.width:
        keys |= (places.pack((rows.series, rows.hour), of) << of(low_bits))[:, None]
    flat = keys.ravel()
    flat.sort()
    found, sums = runs(flat)
    series, hour = (
        places.unpack(found >> of(low_bits))
        if places.width
        else (np.full(len(found), rows.series[0]), np.full(len(found), rows.hour[0]))
    )
    return _cells(series, hour, found & of((1 << low_bits) - 1), sums * sign)


def _cells(series: U32 | int, hour: U32 | int, key: Integers, sums: I64) -> Cells:
    """Cells of `class << 14 | marked code` keys, which are in order."""
    size = len(key)
    return Cells(
        np.full(size, CellKind.SCORES, np.uint8),
        np.full(size, series, np.uint32),
        np.full(size, hour, np.uint32),
        _index(key.astype(np.uint64)),
        sums,
    )


def _index(key: U64) -> U64:
    index: U64 = (key >> np.uint64(MARKED_BITS)) << np.uint64(32)
    index |= (key & np.uint64(TRUE_MARK)) << np.uint64(16 - CODE_BITS)
    index |= key & np.uint64(CODE_MASK)
    return index
