"""An open-addressing table from keys to the newest row that has each, in numpy.

A slot is a uint64: the upper half of the key's hash, and the row's number + 1 (0 is empty). Rows of
one key are chained from the newest to the oldest. Nothing is ever removed but what came last, so no
tombstones are needed; a table that fills is rebuilt, larger.
"""

from __future__ import annotations

import numpy as np

from leadline.metrics.core.keys import Keys
from leadline.metrics.core.rows import I64, Bools, Growing
from leadline.records.ids import U64

SLOTS_MIN = 4096
LOAD_MAX = 0.5
"""Beyond this the probes get long."""
GROWTH = 4
"""Slots a row of a rebuilt table: it lasts until there are eight times as many rows."""
_ROW = np.uint64(0xFFFF_FFFF)
_TAG = np.uint64(32)


class KeyIndex:
    """Rows by key. The rows are numbered in the order in which they are added."""

    def __init__(self) -> None:
        self._hash, self._low = Growing(np.uint64), Growing(np.uint64)
        self._before = Growing(np.int32)
        self._slots = np.zeros(SLOTS_MIN, np.uint64)
        self._rebuilt = 0  # rows that the last rebuild entered in no order

    def __len__(self) -> int:
        return len(self._hash)

    @property
    def keys(self) -> Keys:
        """The keys of all rows."""
        return Keys(self._hash.values, self._low.values)

    @property
    def before(self) -> I64:
        """int32: for each row the row before it of the same key, -1 for the first."""
        return self._before.values

    def add(self, keys: Keys) -> Bools:
        """Adds rows; returns for each whether its key was there, earlier in these rows included."""
        first, count = len(self), len(keys.hash)
        self._hash.extend(count)[:] = keys.hash
        self._low.extend(count)[:] = keys.low
        before = self._before.extend(count)
        if len(self) > LOAD_MAX * len(self._slots):
            self._rebuild(GROWTH * len(self))
        else:
            self._insert(first)
        return before >= 0

    def find(self, keys: Keys) -> I64:
        """The newest row of each key, int64 (n,); -1 where there is none."""
        if not len(self):
            return np.full(len(keys.hash), -1, np.int64)
        slots, mask = self._slots, len(self._slots) - 1
        hash_, low = keys.hash, keys.low
        newest = np.full(len(hash_), -1, np.int64)
        todo, at = None, (hash_ & np.uint64(mask)).view(np.int64)
        while len(at):
            slot = slots.take(at)
            same = self._has(slot, hash_, low)
            hit = np.flatnonzero(same)
            row = (slot[hit] & _ROW).view(np.int64) - 1
            newest[hit if todo is None else todo[hit]] = row
            on = np.flatnonzero(~same & (slot != 0))
            todo = on if todo is None else todo[on]
            at = (at[on] + 1) & mask
            hash_, low = hash_[on], low[on]
        return newest

    def cut(self, size: int) -> None:
        """Forgets the rows from number `size` on, as if they had never been added."""
        if size == len(self):
            return
        if size < self._rebuilt:
            self._cut_columns(size)
            self._rebuild(GROWTH * size)
            return
        keys = Keys(self._hash.values[size:].copy(), self._low.values[size:].copy())
        before = self.before[size:].copy()
        newest, _ = self._places(keys)
        self._cut_columns(size)
        oldest = before < size  # of each key one row: what stood there before it
        rows = before[oldest].astype(np.int64)
        entries = (keys.hash[oldest] >> _TAG << _TAG) | (rows + 1).astype(np.uint64)
        self._slots[newest[oldest]] = np.where(rows >= 0, entries, np.uint64(0))

    def clear(self) -> None:
        """Forgets all rows; their memory is kept for those to come."""
        self._cut_columns(0)
        self._slots.fill(0)
        self._rebuilt = 0

    def _cut_columns(self, size: int) -> None:
        for column in (self._hash, self._low, self._before):
            column.cut(size)

    def _rebuild(self, slots_min: int) -> None:
        slots = SLOTS_MIN
        while slots < slots_min:
            slots *= 2
        self._slots = np.zeros(slots, np.uint64)
        self._rebuilt = len(self)
        self._insert(0)

    def _insert(self, first: int) -> None:
        """Enters the rows from `first` on, and links them to those of the same key before."""
        keys = Keys(self._hash.values[first:], self._low.values[first:])
        rows = np.arange(first + 1, len(self) + 1, dtype=np.uint64)
        rows |= keys.hash >> _TAG << _TAG
        self._before.values[first:] = -1
        place, met = self._places(keys, rows)
        if len(met):
            self._link(first, met, place.take(met), rows)

    def _link(self, first: int, met: I64, place: I64, entry: U64) -> None:
        """Chains the rows that met their key: each to the one before it, the newest in the slot.

        Args:
            first: row number of the first new row.
            met: which of the new rows; what they met is older than any of them.
            place: the slot of each.
            entry: of all new rows.
        """
        order = np.lexsort((met, place))
        met, place = met.take(order), place.take(order)
        begins = np.ones(len(met), np.bool_)
        begins[1:] = place[1:] != place[:-1]
        before = np.empty(len(met), np.int64)
        before[1:] = met[:-1] + first
        before[begins] = (self._slots.take(place[begins]) & _ROW).view(np.int64) - 1
        self._before.values[first:][met] = before
        newest = np.append(begins[1:], True)
        self._slots[place[newest]] = entry[met[newest]]

    def _places(self, keys: Keys, claim: U64 | None = None) -> tuple[I64, I64]:
        """The slot of each key, and which rows found their key there.

        An empty slot is claimed by the entry that comes first to it. Rows of one key come to every
        slot together, so what one of them finds there is older than itself.
        """
        slots, mask = self._slots, len(self._slots) - 1
        place = (keys.hash & np.uint64(mask)).view(np.int64)
        todo, at, entry = None, place, claim
        hash_, low = keys.hash, keys.low
        met: list[I64] = []
        while len(at):
            slot = slots.take(at)
            if entry is not None:
                np.copyto(slot, entry, where=slot == 0)
                slots[at[::-1]] = slot[::-1]  # of one slot the last to write stays
                slot = slots.take(at)
                on = np.flatnonzero(slot != entry)
                slot, at, entry = slot[on], at[on], entry[on]
                hash_, low = hash_[on], low[on]
                todo = on if todo is None else todo[on]
            same = self._has(slot, hash_, low)
            here = np.flatnonzero(same)
            met.append(here if todo is None else todo[here])
            on = np.flatnonzero(~same)
            todo = on if todo is None else todo[on]
            at = (at[on] + 1) & mask
            place[todo] = at
            hash_, low = hash_[on], low[on]
            entry = None if entry is None else entry[on]
        return place, np.concatenate(met) if met else np.empty(0, np.int64)

    def _has(self, slot: U64, hash_: U64, low: U64) -> Bools:
        """Whether the row of each slot has the key."""
        found: Bools = (slot ^ hash_) >> _TAG == 0
        found &= slot != 0
        if found.any():
            at = (slot[found] & _ROW).view(np.int64) - 1
            found[found] = (self._hash.values.take(at) == hash_[found]) & (
                self._low.values.take(at) == low[found]
            )
        return found
