"""Folds with a cache of sums tell what the cells tell by hand, however stored content changes.

The control keeps sums by where a block stands, not by what is in it: it must go wrong in each way.
"""

import shutil
import sqlite3
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from leadline.metrics.core.timeline import Margins
from leadline.records.cells import CellKind, Cells, Series, merge
from leadline.runtime.store import folded
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import Commit, LastRecord, Replacement
from leadline.runtime.store.resolution import DAY, Retention
from leadline.runtime.store.sum_cache import OverTime, SumCache

SHARD = "main/0"
KINDS = (CellKind.PREDICTED, CellKind.CONFUSION, CellKind.DELAY)
KEEP = Retention(minutes=DAY // 2, quarters=DAY, hours=8 * DAY, scores=DAY)
LATER = Retention(minutes=DAY // 4, quarters=DAY // 2, hours=4 * DAY, scores=DAY)
NOW = 20_000_000
WINDOWS = [(0, 2**32), (NOW - 12 * DAY - 7, NOW), (NOW - 3 * DAY - 100, NOW - 61)]
NUMBERS = [None, {SHARD: [0, 2]}]


def drawn(seed, size=500, days=12):
    """Cells of three series; counts are positive, as in every truth."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(np.array(KINDS, np.uint8), size)
    true = np.where(kind == CellKind.CONFUSION, rng.integers(0, 4, size), 0).astype(np.uint64)
    minute = NOW - rng.integers(0, days * DAY, size) // rng.choice([1, 200], size)
    index = true << np.uint64(32) | rng.integers(0, 5, size).astype(np.uint64)
    series = rng.integers(0, 3, size).astype(np.uint32)
    return merge([Cells(kind, series, minute.astype(np.uint32), index, rng.integers(1, 9, size))])


def add(store, cells, new=None):
    before = store.shard(SHARD)
    after = replace(before, p=before.p + 1, predictions_clock_ms=NOW * 60_000)
    store.commit(Commit(before, after, cells, new or {}))


def fill(store):
    """Blocks of every resolution, sums of days, and two deltas."""
    new = {Series(name, "1", name): at for at, name in enumerate("abc")}
    for seed in range(3):
        add(store, drawn(seed), new if not seed else None)
    before = store.shard(SHARD)
    seen = replace(before, p=before.p + 1)
    store.commit(Commit(before, seen, drawn(3), {}, last_seen={("b", "1"): NOW}))
    compact(store)
    roll_up(store, KEEP)
    add(store, drawn(4, 300))
    add(store, drawn(5, 300, days=1))


def compact(store):
    while store.compact(SHARD, 2):
        pass


def roll_up(store, retention):
    while hasattr(store, "roll_up") and store.roll_up(SHARD, retention):
        pass


def rows_of(cells):
    columns = (cells.kind, cells.series, cells.minute, cells.index)
    keys = list(zip(*(each.tolist() for each in columns), strict=True))
    assert keys == sorted(set(keys))
    assert all(cells.count.tolist())
    return dict(zip(keys, cells.count.tolist(), strict=True))


def over_time(rows):
    found = Counter()
    for (kind, series, _, index), count in rows.items():
        found[kind, series, 0, index] += count
    return found


def margins(step):
    def by_hand(rows):
        found = Counter()
        for (kind, _, minute, index), count in rows.items():
            at = minute // step * step
            if kind == CellKind.PREDICTED:
                found[kind, 0, at, 0] += count
            elif kind == CellKind.DELAY:
                found[kind, 0, 0, index] += count
            elif kind == CellKind.CONFUSION:
                true, said = index >> 32, index & 0xFFFF_FFFF
                found[kind, 0, at, true << 32] += count
                found[kind, 0, at, said << 32 | 1] += count
                if true == said:
                    found[kind, 0, at, true << 32 | 2] += count
        return found

    return by_hand


FOLDS = [
    (OverTime(), over_time),
    (Margins(2 * DAY), margins(2 * DAY)),
    (Margins(360), margins(360)),
]


def check(store, kept):
    """Every question, out of what is kept, against the cells added up by hand."""
    with store.snapshot() as snapshot:
        for numbers in NUMBERS:
            for window in WINDOWS:
                cells = snapshot.cells(numbers, KINDS, *window)
                for fold, by_hand in FOLDS:
                    found = snapshot.folded(fold, numbers, KINDS, *window, kept)
                    assert found.keys() == cells.keys()
                    for shard, sums in found.items():
                        wanted = by_hand(rows_of(cells[shard]))
                        assert rows_of(sums) == dict(wanted), (fold, window)


def counted(store):
    add(store, drawn(6, 200, days=1))


def came_late(store):
    """Into what was rolled up, and into sums of days."""
    add(store, drawn(7, 200))
    compact(store)


def rolled_further(store):
    roll_up(store, LATER)


def rolled_by_portions(store):
    """Bounds have moved, and most blocks not yet."""
    if hasattr(store, "roll_up"):
        store.roll_up(SHARD, LATER)


def deleted(store):
    if hasattr(store, "delete_model"):
        store.delete_model("b", 1)


def replaced(store):
    if not hasattr(store, "replace_cells"):
        return
    before = store.shard(SHARD)
    after = replace(before, epoch=before.epoch + 1)
    store.replace_cells(Replacement(before, after, drawn(8), NOW - 6 * DAY))


def reset(store):
    """Another topic is counted from its begin: vectors, and so keys of deltas, come again."""
    if not hasattr(store, "reset_shard"):
        return
    before = store.shard(SHARD)
    compact(store)
    zero = {"p": 0, "l": 0, "rules": 0, "predictions_clock_ms": 0, "labels_clock_ms": 0}
    none = {"predictions_last": LastRecord(), "labels_last": LastRecord()}
    store.reset_shard(before, replace(before, epoch=before.epoch + 1, **zero, **none))
    for seed in range(9, 15):
        add(store, drawn(seed, 200))


CHANGES = [
    counted,
    compact,
    came_late,
    rolled_further,
    rolled_by_portions,
    deleted,
    replaced,
    reset,
]
IN_PLACE = [change for change in CHANGES if change not in (counted, deleted)]
"""These write other content where a block stood that is asked for at the same cut."""
SEEN = [counted, came_late, deleted, replaced, reset]
"""These change what is told; folding and rolling up change no sum over time."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_kept_never_tells_of_before(store, change):
    fill(store)
    kept = SumCache(1 << 26)
    check(store, kept)
    change(store)
    check(store, kept)
    for _ in range(2):
        came_late(store)
        check(store, kept)


@pytest.mark.parametrize("bound", [0, 20_000])
def test_a_small_cache_changes_no_answer(store, bound):
    """A bound at which none stays, and one at which entries leave all the time."""
    fill(store)
    kept = SumCache(bound)
    for change in (came_late, rolled_further):
        change(store)
        check(store, kept)
        assert kept.size_bytes <= bound


@pytest.mark.parametrize("change", IN_PLACE)
def test_control_sums_kept_by_place_are_stale(tmp_path, monkeypatch, change):
    monkeypatch.setattr(folded, "_part", by_place(folded._part))
    store = open_store(f"sqlite:{tmp_path}/truth.sqlite")
    store.migrate()
    fill(store)
    kept = SumCache(1 << 26)
    check(store, kept)
    change(store)
    with pytest.raises(AssertionError):
        check(store, kept)
    check(store, SumCache(1 << 26))
    store.close()


@pytest.mark.parametrize("change", SEEN)
def test_control_a_change_is_one_that_shows(tmp_path, change):
    """An answer of before is wrong afterwards: `check` would notice it."""
    store = open_store(f"sqlite:{tmp_path}/truth.sqlite")
    store.migrate()
    fill(store)

    def answer():
        with store.snapshot() as snapshot:
            return rows_of(snapshot.folded(OverTime(), None, KINDS)[SHARD])

    before = answer()
    assert answer() == before
    change(store)
    assert answer() != before
    store.close()


def by_place(part):
    """Keeps sums by shard, kind, series, resolution and cut: what a block's row is found by."""

    def changed(stored, minutes):
        found = part(stored, minutes)
        return replace(found, identity=repr((stored.key, found.begin, found.end)).encode())

    return changed


def restored(tmp_path, kept):
    """A backup is put back under a reader that goes on, and counting takes another way."""
    path, backup = tmp_path / "truth.sqlite", tmp_path / "backup.sqlite"
    store = open_store(f"sqlite:{path}")
    store.migrate()
    fill(store)
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM INTO ?", [str(backup)])
    connection.close()
    came_late(store)
    add(store, drawn(20, 200))
    check(store, kept)
    store.close()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    shutil.copy(backup, path)
    store = open_store(f"sqlite:{path}")
    add(store, drawn(21, 200))  # at the same vector as the commit that is lost
    compact(store)
    add(store, drawn(22, 200))
    return store


def test_a_restored_backup_is_told_as_it_is(tmp_path):
    kept = SumCache(1 << 26)
    store = restored(tmp_path, kept)
    check(store, kept)
    store.close()


def test_control_a_restored_backup_shows_sums_kept_by_place(tmp_path, monkeypatch):
    monkeypatch.setattr(folded, "_part", by_place(folded._part))
    kept = SumCache(1 << 26)
    store = restored(tmp_path, kept)
    with pytest.raises(AssertionError):
        check(store, kept)
    store.close()


def test_control_a_restored_backup_shows_deltas_kept_by_place(tmp_path, monkeypatch):
    """Two deltas of one vector: what is kept by their number tells of the lost one."""
    kept = SumCache(1 << 26)
    places = Counter()

    def delta(self, body):
        places[self] += 1
        return self._kept.get(("delta", places[self]), lambda: self._codec.decode(body))

    monkeypatch.setattr(folded.Folding, "_delta", delta)
    store = restored(tmp_path, kept)
    with pytest.raises(AssertionError):
        check(store, kept)
    store.close()


def test_only_what_changed_is_decoded(tmp_path, monkeypatch):
    store = open_store(f"sqlite:{tmp_path}/truth.sqlite")
    store.migrate()
    fill(store)
    compact(store)
    kept = SumCache(1 << 26)
    decoded = []
    decode = CellsCodec.decode

    def noted(self, body, *between):
        decoded.append(body)
        return decode(self, body, *between)

    monkeypatch.setattr(CellsCodec, "decode", noted)

    def ask():
        decoded.clear()
        with store.snapshot() as snapshot:
            for fold, _ in FOLDS:
                snapshot.folded(fold, None, KINDS, NOW - 12 * DAY, NOW, kept)
        return len(decoded)

    assert ask() > 100
    assert ask() == 0
    for number in range(folded.RUN):
        assert ask() == min(number, 1)
        add(store, drawn(100 + number, 1))
    assert ask() == folded.RUN
    assert ask() == 0
    compact(store)
    assert 1 <= ask() <= 2 * folded.RUN * len(FOLDS)  # their blocks, and the sums of their days
    store.close()
