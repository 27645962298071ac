"""Immutable segments of waiting rows: what the head of the pending store is cut into.

A segment holds the rows of one stretch of one topic in log order, as the head did: cutting moves no
row. Two runs of sorted hashes point to the rows, so that one binary search finds an id:

    run        predictions                          labels
    0 common   ids of the segment's own time        labels that had a pair when they came
    1 apart    ids of another time (outliers)       labels that waited for a prediction

Of predictions, run 0 is searched for ids of its time range only, so that one device with a wrong
clock does not make every search visit every segment. Of labels, run 1 is what new predictions look
at; both are searched for the labels of an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadline.metrics.core.keys import Keys
from leadline.metrics.core.rows import I64, Bools, Codes, Rows
from leadline.records.batches import U32
from leadline.records.ids import U64

TRIMMED = 0.02
"""Share of ids at either end that does not decide where the common times are ..."""
WIDENED = 3.0
"""... which are the rest's, widened by this many times their width on both sides."""


@dataclass(frozen=True, slots=True)
class Run:
    """An index of some rows of a segment, sorted by the hash of their key.

    Attributes:
        hash: uint64 (n,), rising.
        place: uint32 (n,), row in the segment.
        from_ms, to_ms: least and largest `id_time_ms` of its ids; (0, 2**64 - 1) searches always.
    """

    hash: U64
    place: U32
    from_ms: int = 0
    to_ms: int = 2**64 - 1

    def __len__(self) -> int:
        return len(self.hash)

    def find(self, keys: Keys, low: U64) -> tuple[I64, I64]:
        """All rows of some keys: (positions in `keys`, rows in the segment), both int64 (m,).

        Args:
            keys: what is looked for.
            low: the segment's.
        """
        at = np.searchsorted(self.hash, keys.hash)
        at[at == len(self)] = 0
        hit = np.flatnonzero(self.hash.take(at) == keys.hash) if len(self) else at[:0]
        end = np.searchsorted(self.hash, keys.hash[hit], "right")
        query, found = expand(at[hit], end)
        query, place = hit[query], self.place.take(found).astype(np.int64)
        same = np.flatnonzero(low.take(place) == keys.low[query])
        return query[same], place[same]


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of one stretch of one topic, in log order.

    Attributes:
        number: of the segment; grows with the log.
        from_clock_ms, to_clock_ms: least and largest log clock of its rows.
        low: uint64 (n,), second half of each row's key.
        rows: PREDICTION or LABEL (n,).
        runs: common and apart.
        codes: kept scores by number of the form; a row's are those `at` its place.
        labelled: uint8 (n,), 1 where a prediction may have labels. Mutable: only ever set, and a
            needless 1 costs time alone.
    """

    number: int
    from_clock_ms: int
    to_clock_ms: int
    low: U64
    rows: Rows
    runs: tuple[Run, Run]
    codes: dict[int, Codes]
    labelled: Any

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self) -> Iterator[tuple[Keys, Rows]]:
        """All rows with their keys, run by run."""
        for run in self.runs:
            place = run.place.astype(np.int64)
            yield Keys(run.hash, self.low.take(place)), self.rows.take(place)


def expand(begin: I64, end: I64) -> tuple[I64, I64]:
    """All (i, k) with begin[i] <= k < end[i], by i and k."""
    counts = end - begin
    total = int(counts.sum())
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(total) - np.repeat(before - begin, counts)


def runs_of(hash_: U64, apart: Bools) -> tuple[Run, Run]:
    """The common run of all rows but those apart, and the run of these."""
    if not apart.any():
        order = _by_hash(hash_)
        nothing = Run(hash_[:0], np.empty(0, np.uint32))
        return Run(hash_.take(order), order.astype(np.uint32)), nothing
    found = []
    for mask in (~apart, apart):
        at = np.flatnonzero(mask)
        own = hash_.take(at)
        order = _by_hash(own)
        found.append(Run(own.take(order), at.take(order).astype(np.uint32)))
    return found[0], found[1]


def _by_hash(hash_: U64) -> I64:
    """The order in which hashes rise; of numbers that carry their row, sorting is twice as fast."""
    bits = np.uint64(max(len(hash_) - 1, 1).bit_length())
    rows = np.arange(len(hash_), dtype=np.uint64)
    order: I64 = (
        np.sort(hash_ >> bits << bits | rows) & ((np.uint64(1) << bits) - np.uint64(1))
    ).view(np.int64)
    rising = hash_.take(order)
    if (rising[1:] >= rising[:-1]).all():
        return order
    return np.argsort(hash_)


def outliers(id_ms: U64) -> Bools:
    """Which ids lie far from the times of most, (n,)."""
    if not len(id_ms):
        return np.zeros(0, np.bool_)
    times = id_ms.astype(np.float64)
    trimmed = int(TRIMMED * (len(times) - 1))
    bounds = [trimmed, len(times) - 1 - trimmed]
    low, high = np.partition(times, bounds)[bounds]
    margin = WIDENED * (high - low) + 1
    far: Bools = (times < low - margin) | (times > high + margin)
    return far
