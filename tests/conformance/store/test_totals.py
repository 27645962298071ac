"""Totals of a window are its cells, added up by hand: before and after folding and rolling up."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from leadline.records.cells import CellKind, Cells, Series, merge
from leadline.runtime.store.port import Commit
from leadline.runtime.store.resolution import DAY, Retention

KINDS = (CellKind.PREDICTED, CellKind.CONFUSION, CellKind.DELAY)
KEEP = Retention(minutes=DAY // 2, quarters=DAY, hours=8 * DAY, scores=DAY)
NOW = 20_000_000
EMPTY = [(0, 0), (NOW + DAY, NOW + 2 * DAY)]
WINDOWS = [(0, 2**32), (NOW - 3 * DAY, NOW), (NOW - DAY - 7, NOW - 61), (NOW - 1, NOW), *EMPTY]


def drawn(seed, size=4_000):
    """Cells of three series over twelve days, with negative counts and large class numbers."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(np.array(KINDS, np.uint8), size)
    true = np.where(kind == CellKind.CONFUSION, rng.integers(0, 70_000, size), 0)
    return merge(
        [
            Cells(
                kind,
                rng.integers(0, 3, size).astype(np.uint32),
                (NOW - rng.integers(0, 12 * DAY, size) // rng.choice([1, 200], size)).astype(
                    np.uint32
                ),
                true.astype(np.uint64) << np.uint64(32)
                | rng.integers(0, 5, size).astype(np.uint64),
                rng.integers(-3, 9, size),
            )
        ]
    )


def by_hand(cells):
    found = Counter()
    columns = (cells.kind, cells.series, cells.index, cells.count)
    for kind, series, index, count in zip(*(each.tolist() for each in columns), strict=True):
        found[kind, series, 0, index] += count
    return {key: count for key, count in found.items() if count}


def rows_of(cells):
    columns = (cells.kind, cells.series, cells.minute, cells.index)
    keys = list(zip(*(each.tolist() for each in columns), strict=True))
    assert keys == sorted(set(keys))
    return dict(zip(keys, cells.count.tolist(), strict=True))


def same(store, numbers):
    with store.snapshot() as snapshot:
        for window in WINDOWS:
            cells = snapshot.cells(numbers, KINDS, *window)
            totals = snapshot.totals(numbers, KINDS, *window)
            assert cells.keys() == totals.keys()
            for shard, found in totals.items():
                assert rows_of(found) == by_hand(cells[shard]), window
                assert bool(len(found)) == (window not in EMPTY)


@pytest.mark.parametrize("numbers", [None, {"main/0": [0, 2]}], ids=["all", "some"])
def test_totals_are_the_cells_added_up(store, numbers):
    state = store.shard("main/0")
    new = {Series("m", "1", "m", (("c", str(at)),)): at for at in range(3)}
    for seed in range(4):
        after = replace(state, p=state.p + 1, predictions_clock_ms=NOW * 60_000)
        store.commit(Commit(state, after, drawn(seed), new if not seed else {}))
        state = after
        same(store, numbers)
        store.compact("main/0", 2)
    if hasattr(store, "roll_up"):
        for _ in range(3):
            store.roll_up("main/0", KEEP)
            same(store, numbers)


def test_a_deleted_model_has_no_totals(store):
    if not hasattr(store, "delete_model"):
        return
    state = store.shard("main/0")
    new = {Series(name, "1", name): at for at, name in enumerate("abc")}
    after = replace(state, p=1, predictions_clock_ms=NOW * 60_000)
    store.commit(Commit(state, after, drawn(1), new, last_seen={("b", "1"): NOW}))
    store.delete_model("b", 1)
    with store.snapshot() as snapshot:
        assert set(snapshot.totals(None, KINDS)["main/0"].series.tolist()) == {0, 2}
