"""Immutable runs of waiting rows, sorted by key: what the head of the pending store is cut into.

A segment holds the rows of one stretch of one topic. Its rows lie in two runs, each sorted by the
keys' hash, so that one binary search finds an id:

    run        predictions                          labels
    0 common   ids of the segment's own time        labels that had a pair when they came
    1 apart    ids of another time (outliers)       labels that waited for a prediction

Of predictions, run 0 is searched for ids of its time range only, so that one device with a wrong
clock does not make every search visit every segment. Of labels, run 1 is what new predictions look
at; both are searched for the labels of an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leadline.metrics.core.keys import Keys
from leadline.metrics.core.rows import I64, Bools, Codes, Form, Rows
from leadline.records.ids import U64

TRIMMED = 0.02
"""Share of ids at either end that does not decide where the common times are ..."""
WIDENED = 3.0
"""... which are the rest's, widened by this many times their width on both sides."""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows sorted by the hash of their key.

    Attributes:
        keys: uint64 (n,) twice.
        rows: PREDICTION or LABEL (n,).
        from_ms, to_ms: least and largest `id_time_ms` of its ids; (0, 2**64 - 1) searches always.
    """

    keys: Keys
    rows: Rows
    from_ms: int = 0
    to_ms: int = 2**64 - 1

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, keys: Keys) -> tuple[I64, I64]:
        """All rows of some keys: (positions in `keys`, positions in the run), both int64 (m,)."""
        at = np.searchsorted(self.keys.hash, keys.hash)
        at[at == len(self)] = 0
        hit = np.flatnonzero(self.keys.hash.take(at) == keys.hash) if len(self) else at[:0]
        begin = at[hit]
        end = np.searchsorted(self.keys.hash, keys.hash[hit], "right")
        query, place = expand(begin, end)
        query = hit[query]
        same = self.keys.low.take(place) == keys.low[query]
        return query[same], place[same]


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of one stretch of one topic.

    Attributes:
        number: of the segment; grows with the log.
        from_clock_ms, to_clock_ms: least and largest log clock of its rows.
        runs: common and apart.
        codes: kept scores by number of the form.
        labelled: uint8, 1 where a prediction may have labels; run 0's rows, then run 1's. Mutable:
            only ever set, and a needless 1 costs time alone.
    """

    number: int
    from_clock_ms: int
    to_clock_ms: int
    runs: tuple[Run, Run]
    codes: dict[int, Codes]
    labelled: Any

    def __len__(self) -> int:
        return len(self.runs[0]) + len(self.runs[1])


def expand(begin: I64, end: I64) -> tuple[I64, I64]:
    """All (i, k) with begin[i] <= k < end[i], by i and k."""
    counts = end - begin
    total = int(counts.sum())
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(total) - np.repeat(before - begin, counts)


def sorted_run(keys: Keys, rows: Rows) -> tuple[Run, I64]:
    """The run of some rows, and where each of its rows came from."""
    order = _by_hash(keys.hash)
    return Run(Keys(keys.hash.take(order), keys.low.take(order)), rows.take(order)), order


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
    low, high = np.quantile(times, [TRIMMED, 1 - TRIMMED])
    margin = WIDENED * (high - low) + 1
    far: Bools = (times < low - margin) | (times > high + margin)
    return far


def cut_codes(
    codes: dict[int, Codes], rows: tuple[Rows, Rows], forms: list[Form]
) -> dict[int, Codes]:
    """Codes in the order of the runs' rows, whose `at` is renumbered in place."""
    moved = {}
    for number, kept in codes.items():
        if not forms[number].width:
            continue
        at, begin = [], 0
        for run in rows:
            own = np.flatnonzero(run["form"] == number)
            at.append(run["at"][own].astype(np.int64))
            run["at"][own] = np.arange(begin, begin + len(own), dtype=np.uint32)
            begin += len(own)
        if begin:
            moved[number] = kept.take(np.concatenate(at))
    return moved
