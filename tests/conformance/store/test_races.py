"""Exact under races of owners, compactors and readers; each protection is shown to matter."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from leadline.records.cells import CellKind
from leadline.records.errors import FencedError, TransientError
from leadline.runtime.store.compaction import Compaction
from leadline.runtime.store.snapshot import SqlSnapshot
from leadline.runtime.store.sql import open_database

THREADS = 6


def run_all(*tasks):
    """Runs all at once; raises the first error."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def test_owners_that_race_count_exactly_what_they_committed(store, new_owner, tools):
    new_owner()
    start = threading.Barrier(THREADS)

    def race():
        start.wait()
        won = 0
        for _ in range(25):
            try:
                new_owner().commit(1)
                won += 1
            except FencedError:
                continue
        return won

    won = sum(run_all(*[race] * THREADS))
    state, total = tools.counted(store)
    assert state.p == total == won
    assert won >= 25


SHARDS = ("main/0", "main/1")


def write(owner):
    chance = random.Random(owner.state.shard)
    for number in range(80):
        owner.commit(chance.randrange(1, 9), minute=number)


def compact_until(done, store):
    chance = random.Random(3)
    while not done.is_set():
        store.compact(chance.choice(SHARDS), chance.randrange(1, 9))


def check_until(done, store, tools):
    while not done.is_set():
        for shard in SHARDS:
            state, total = tools.counted(store, shard)
            assert state.p == total


def test_readers_always_see_the_sum_that_belongs_to_their_vector(store, new_owner, tools):
    done = threading.Event()
    owners = [new_owner(shard) for shard in SHARDS]

    def write_all():
        try:
            run_all(*[partial(write, owner) for owner in owners])
        finally:
            done.set()

    compact, check = partial(compact_until, done, store), partial(check_until, done, store, tools)
    run_all(write_all, compact, compact, check, check)
    for owner in owners:
        assert tools.counted(store, owner.state.shard) == (owner.state, owner.state.p)
        while store.compact(owner.state.shard, 1000):
            pass
        assert tools.counted(store, owner.state.shard) == (owner.state, owner.state.p)


def test_a_snapshot_stays_at_its_vector_while_owners_and_compactors_go_on(store, owner, tools):
    owner.commit(5)
    with store.snapshot() as snapshot:
        (state,) = snapshot.shards()
        owner.commit(8)
        assert store.compact("main/0", 100) == 2
        found = snapshot.cells(None, [CellKind.PREDICTED])["main/0"]
        assert state.p == found.count.sum() == 5
    assert tools.counted(store) == (owner.state, 13)


# On SQLite a writing transaction keeps all other writers out, so nothing could be shown there.
on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@on_postgres
def test_without_a_snapshot_a_reader_sees_a_wrong_sum(database, owner):
    owner.commit(5)
    with database.write() as read_committed:
        snapshot = SqlSnapshot(read_committed)
        (state,) = snapshot.shards()
        owner.commit(8)
        found = snapshot.cells(None, [CellKind.PREDICTED])["main/0"]
        assert (state.p, found.count.sum()) == (5, 13)


class Hasty(Compaction):
    """A compactor without its lock, that lets another one read the same deltas."""

    def __init__(self, session, shard, both_have_read):
        super().__init__(session, shard)
        self._both_have_read = both_have_read

    def lock(self):
        pass

    def oldest(self, max_deltas):
        rows = super().oldest(max_deltas)
        self._both_have_read.wait()
        return rows


class HastyAndBlind(Hasty):
    """One that does not even look how many deltas it deleted."""

    def delete(self, rows):
        self._session.run("DELETE FROM deltas WHERE shard = ?", [self._shard])


def _compact_twice(database, kind):
    both_have_read = threading.Barrier(2, timeout=30)

    def run():
        with database.write() as session:
            kind(session, "main/0", both_have_read).run(100)

    run_all(run, run)


@on_postgres
def test_compactors_without_their_lock_count_twice(database, store, owner, tools):
    owner.commit(5)
    store.compact("main/0", 100)
    owner.commit(8)
    _compact_twice(database, HastyAndBlind)
    assert tools.counted(store) == (owner.state, 21)


@on_postgres
def test_without_the_lock_the_number_of_deleted_deltas_tells(database, store, owner, tools):
    owner.commit(5)
    store.compact("main/0", 100)
    owner.commit(8)
    with pytest.raises(TransientError, match="nothing was written"):
        _compact_twice(database, Hasty)
    assert tools.counted(store) == (owner.state, 13)


def test_two_processes_share_one_database(store, store_url, owner, new_owner, tools):
    """A second pool stands for a second process: nothing is kept in memory between calls."""
    other = open_database(store_url)
    try:
        zombie = new_owner(of=type(store)(other))
        owner.commit(3)
        with pytest.raises(FencedError):
            zombie.commit(1)
        assert zombie.store.compact("main/0", 10) == 1
        assert tools.counted(zombie.store) == tools.counted(store) == (owner.state, 3)
    finally:
        other.close()
