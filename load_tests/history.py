"""A truth store that holds 30 days of one model, as if they had been counted and rolled up.

Cells are drawn at the resolution at which they would stand by now, so that a month is written in
seconds; the store's own compaction and roll-up then put them where they belong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from leadline.records.cells import RANK_NONE, CellKind, Cells, Series, merge, pair_index
from leadline.runtime.store.port import Commit, LastRecord, TruthKeeper
from leadline.runtime.store.resolution import DAY, HOUR, MINUTE, QUARTER, Retention

SHARD = "main/0"
NEIGHBOURS = 20
"""Classes that a class is taken for."""
WRONG = 0.2
DELAY_BINS = 60


def buckets(end: int, days: int, retention: Retention) -> Iterator[tuple[int, int]]:
    """(first minute, minutes) of every bucket of the window, at the resolution of its age."""
    minute = end - days * DAY
    minute -= minute % DAY
    while minute < end:
        age = end - minute
        step = MINUTE
        if age > retention.hours:
            step = DAY
        elif age > retention.quarters:
            step = HOUR
        elif age > retention.minutes:
            step = QUARTER
        yield minute, step
        minute += step


def cells_of(rng: np.random.Generator, minute: int, n: int, classes: int, series: int) -> Cells:
    """The cells of so many labelled predictions of one bucket."""
    true = rng.integers(0, classes, n)
    off = np.where(rng.random(n) < WRONG, rng.integers(1, NEIGHBOURS + 1, n), 0)
    said = ((true + off) % classes).astype(np.uint32)
    rank = np.minimum(off, RANK_NONE).astype(np.uint32)
    true = true.astype(np.uint32)
    delay = rng.integers(0, DELAY_BINS, n).astype(np.uint64)
    parts = {
        CellKind.PREDICTED: said.astype(np.uint64),
        CellKind.CONFUSION: pair_index(true, said),
        CellKind.RANK: pair_index(true, rank),
        CellKind.DELAY: delay,
    }
    return merge(
        Cells(
            np.full(n, kind, np.uint8),
            np.full(n, series, np.uint32),
            np.full(n, minute, np.uint32),
            index,
            np.ones(n, np.int64),
        )
        for kind, index in parts.items()
    )


def fill(
    store: TruthKeeper,
    *,
    classes: int,
    per_day: int,
    days: int,
    now_us: int,
    retention: Retention,
    model: str = "m",
) -> int:
    """Writes the days and rolls them up; returns the predictions written."""
    rng = np.random.default_rng(classes)
    end = now_us // 60_000_000
    written, parts, size = 0, [], 0
    for minute, step in buckets(end, days, retention):
        n = int(rng.poisson(per_day * step / DAY))
        if not n:
            continue
        written += n
        parts.append(cells_of(rng, minute, n, classes, 0))
        size += len(parts[-1])
        if size > 500_000:
            commit(store, merge(parts), minute, model)
            parts, size = [], 0
    commit(store, merge(parts), end, model)
    while store.compact(SHARD, 50):
        pass
    while store.roll_up(SHARD, retention):
        pass
    return written


def commit(store: TruthKeeper, cells: Cells, minute: int, model: str = "m") -> None:
    """Adds cells as one commit at the vector where the shard stands."""
    before = store.shard(SHARD)
    known = store.shard_series(SHARD)
    series = Series(model, "1", model)
    place = before.p
    after = replace(
        before,
        p=place + 1,
        l=before.l + 1,
        predictions_clock_ms=max(before.predictions_clock_ms, minute * 60_000),
        labels_clock_ms=max(before.labels_clock_ms, minute * 60_000),
        predictions_last=LastRecord(place, minute * 60_000, 1),
        labels_last=LastRecord(before.l, minute * 60_000, 1),
    )
    new = {} if series in known else {series: 0}
    store.commit(Commit(before, after, cells, new, last_seen={(model, "1"): minute}))
