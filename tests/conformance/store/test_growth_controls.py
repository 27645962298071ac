"""What roll-up and its readers would do without their lock and their snapshot."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from growth import KEEP, KINDS, NOW, add, roll_all

from leadline.records.cells import CellKind
from leadline.records.errors import TransientError
from leadline.runtime.store.resolution import DAY, Rolled
from leadline.runtime.store.rollup import RollUp
from leadline.runtime.store.snapshot import SqlSnapshot


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """Not in memory, where every minute is kept."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/truth.sqlite"
    return request.getfixturevalue("postgres_database")


# On SQLite a writing transaction keeps all other writers out, so nothing could be shown there.
on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


class Unlocked:
    """A session whose reads lock no row."""

    def __init__(self, session):
        self._session = session
        self.dialect = replace(session.dialect, for_update="")

    def __getattr__(self, name):
        return getattr(self._session, name)


class Hasty(RollUp):
    """A roll-up without the lock, that lets another one read the same blocks."""

    def __init__(self, session, both_have_read):
        super().__init__(Unlocked(session), "main/0", KEEP)
        self._both_have_read = both_have_read

    def lock(self):
        pass

    def bounds(self):
        return self._planned(Rolled())

    def read(self, keys):
        found = super().read(keys)
        self._both_have_read.wait()
        return found


class HastyAndBlind(Hasty):
    """One that does not even look how many blocks it deleted."""

    def delete(self, keys):
        self._blocks.delete(keys)


def roll_twice(database, kind):
    both_have_read = threading.Barrier(2, timeout=30)

    def run():
        with database.write() as session:
            kind(session, both_have_read).run()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run), pool.submit(run)]:
            future.result()


@pytest.fixture
def old(store, owner, tools):
    """An old quarter-hour that holds 2 already, and a minute of 5 that is to be added to it."""
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW - 2 * DAY, 1): 2}))
    store.compact("main/0", 9)
    roll_all(store)
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW, 1): 5}))
    store.compact("main/0", 9)
    add(owner, tools.cells({}), minute=NOW + 2 * DAY)
    assert store.roll_up("main/0", KEEP) == 1  # sums of days come first


def total(store):
    with store.snapshot() as snapshot:
        return int(snapshot.cells(None, KINDS)["main/0"].count.sum())


@on_postgres
@pytest.mark.usefixtures("old")
def test_roll_ups_without_their_lock_count_twice(database, store):
    roll_twice(database, HastyAndBlind)
    assert total(store) > 7


@on_postgres
@pytest.mark.usefixtures("old")
def test_without_the_lock_the_number_of_deleted_blocks_tells(database, store):
    with pytest.raises(TransientError, match="nothing was written"):
        roll_twice(database, Hasty)
    assert total(store) == 7


@pytest.mark.usefixtures("old")
def test_with_the_lock_two_roll_ups_change_no_sum(store):
    with ThreadPoolExecutor(4) as pool:
        moved = [pool.submit(roll_all, store) for _ in range(4)]
        # The minute becomes a quarter-hour, and what was one an hour.
        assert sum(future.result() for future in moved) == 2
    assert total(store) == 7


class Interrupted:
    """A session that lets blocks be rolled up after those by the minute were read."""

    def __init__(self, session, roll_up):
        self._session = session
        self._roll_up = roll_up

    def rows(self, sql, values=()):
        found = self._session.rows(sql, values)
        if "FROM blocks" in sql and 1 in values:
            self._roll_up()
        return found

    def __getattr__(self, name):
        return getattr(self._session, name)


def read_interrupted(store, session):
    reader = SqlSnapshot(Interrupted(session, lambda: roll_all(store)))
    return int(reader.cells(None, [CellKind.CONFUSION])["main/0"].count.sum())


@on_postgres
@pytest.mark.usefixtures("old")
def test_without_a_snapshot_a_reader_sees_moved_cells_twice(database, store):
    with database.write() as read_committed:
        assert read_interrupted(store, read_committed) > 7


@pytest.mark.usefixtures("old")
def test_with_it_a_reader_sees_them_once(database, store):
    with database.read() as session:
        assert read_interrupted(store, session) == 7
    assert total(store) == 7
