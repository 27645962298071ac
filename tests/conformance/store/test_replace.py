"""A shard is replaced by what its log says: all or nothing, and owners of before are fenced."""

from dataclasses import replace

import pytest

from leadline.records.cells import CellKind, Series
from leadline.records.errors import FencedError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.port import Commit, Replacement
from leadline.runtime.store.rebuild import compare
from leadline.runtime.store.replacing import Replacing
from leadline.runtime.store.resolution import DAY, QUARTER, Retention

CONFUSION, SCORES, ADDED, RETRACTED = (
    int(kind) for kind in (CellKind.CONFUSION, CellKind.SCORES, CellKind.ADDED, CellKind.RETRACTED)
)
KINDS = [CellKind.CONFUSION, CellKind.SCORES, CellKind.ADDED, CellKind.RETRACTED]
NOW = 50_000 * DAY // 15 * 15


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """Not in memory, where nothing is replaced."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/truth.sqlite"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def rows():
    return {
        (CONFUSION, 0, NOW - 9 * DAY, 1): 10,
        (CONFUSION, 0, NOW - 5 * DAY + 1, 1): 20,
        (CONFUSION, 0, NOW - 5 * DAY + 16, 1): 30,
        (CONFUSION, 1, NOW - 3, 1): 40,
        (SCORES, 0, (NOW - 5 * DAY) // 60 * 60, 1): 50,
        (ADDED, 0, 0, 1): 70,
        (ADDED, 1, 0, 1): 40,
        (RETRACTED, 0, 0, 1): 10,
    }


@pytest.fixture(params=["deltas", "blocks", "rolled up", "rolled up, not moved"])
def filled(request, store, owner, tools, rows):
    """A shard with these cells, in each form that they may have."""
    clock = NOW * 60_000
    after = replace(owner.state, p=5, predictions_clock_ms=clock, labels_clock_ms=clock)
    store.commit(Commit(owner.state, after, tools.cells(rows), {}))
    owner.state = after
    if request.param != "deltas":
        store.compact("main/0", 9)
    if request.param == "rolled up":
        while store.roll_up("main/0", Retention()):
            pass
    if request.param == "rolled up, not moved":
        store.roll_up("main/0", Retention())
        owner.add(tools.cells({(CONFUSION, 0, NOW - 9 * DAY, 1): 1}))
        rows[CONFUSION, 0, NOW - 9 * DAY, 1] += 1
    return owner


def stored(store, tools):
    with store.snapshot() as snapshot:
        return snapshot.rolled("main/0"), snapshot.cells(None, KINDS)["main/0"]


def replacement(owner, cells, from_minute, **changes):
    after = replace(owner.state, epoch=owner.state.epoch + 1, **changes)
    return Replacement(owner.state, after, cells, from_minute)


def totals(found):
    """Counts by kind and series."""
    sums = {}
    for kind, series, count in zip(found.kind, found.series, found.count, strict=True):
        sums[int(kind), int(series)] = sums.get((int(kind), int(series)), 0) + int(count)
    return sums


def test_what_is_equal_stays_as_it_is(store, filled, tools, rows):
    log = {key: count for key, count in rows.items() if key[0] in (CONFUSION, SCORES)}
    rolled, before = stored(store, tools)
    assert compare(before, tools.cells(log), rolled, 0).differing.count.tolist() == []
    store.replace_cells(replacement(filled, tools.cells(log), 0))
    assert tools.rows_of(stored(store, tools)[1]) == tools.rows_of(before)
    assert store.shard("main/0").epoch == filled.state.epoch + 1


def test_all_is_replaced_and_counters_do_not_fall(store, filled, tools):
    log = tools.cells({(CONFUSION, 0, NOW - 1, 1): 61, (CONFUSION, 1, NOW - 3, 1): 35})
    before = totals(stored(store, tools)[1])
    store.replace_cells(replacement(filled, log, 0, p=3, l=7))
    rolled, after = stored(store, tools)
    found = totals(after)
    assert compare(after, log, rolled, 0).differing.count.tolist() == []
    assert (found[CONFUSION, 0], found[CONFUSION, 1]) == (61, 35)
    for series in (0, 1):
        change = found[CONFUSION, series] - before[CONFUSION, series]
        added = found[ADDED, series] - before[ADDED, series]
        retracted = found.get((RETRACTED, series), 0) - before.get((RETRACTED, series), 0)
        assert added >= 0 and retracted >= 0 and added - retracted == change
    assert (store.shard("main/0").p, store.shard("main/0").l) == (3, 7)


@pytest.mark.parametrize("bound", [NOW - 5 * DAY + 2, NOW - 5 * DAY + 1, NOW - 5 * DAY, NOW])
def test_what_begins_before_the_bound_is_kept(store, filled, tools, bound):
    rolled, before = stored(store, tools)
    log = tools.cells({(CONFUSION, 0, NOW + 7, 2): 8, (CONFUSION, 0, NOW - 20 * DAY, 2): 9})
    store.replace_cells(replacement(filled, log, bound))
    cut = {kind: rolled.ceiling(kind, bound) for kind in (CONFUSION, SCORES)}
    expected = {
        key: count
        for key, count in tools.rows_of(before).items()
        if key[0] in cut and key[2] < cut[key[0]]
    }
    expected[CONFUSION, 0, NOW + 7, 2] = 8
    found = tools.rows_of(stored(store, tools)[1])
    assert {key: count for key, count in found.items() if key[0] in cut} == expected


def test_an_owner_of_before_is_fenced(store, filled, new_owner, tools):
    store.replace_cells(replacement(filled, tools.cells({}), 0))
    with pytest.raises(FencedError):
        filled.commit(1)
    again = new_owner()
    again.commit(0, dl=1)
    assert again.state.epoch == 1


def test_when_an_owner_went_on_nothing_is_replaced(store, filled, tools):
    wanted = replacement(filled, tools.cells({}), 0)
    filled.commit(0, dl=1)
    before = tools.rows_of(stored(store, tools)[1])
    with pytest.raises(FencedError):
        store.replace_cells(wanted)
    assert tools.rows_of(stored(store, tools)[1]) == before
    assert store.shard("main/0") == filled.state


class Unfenced(Replacing):
    """A replacement that writes its vector over any other."""

    def _move(self):
        after = self._wanted.after
        names = ", ".join(f"{column} = ?" for column in shard_rows.SHARD_COLUMNS[1:])
        values = shard_rows.shard_values(after)
        self._session.run(f"UPDATE shards SET {names} WHERE shard = ?", [*values[1:], values[0]])


def test_without_the_fence_the_vector_falls_and_its_records_are_counted_again(
    store, owner, database, tools
):
    owner.commit(5)
    wanted = replacement(owner, owner.prepare(5).delta, 0)  # right at p = 5
    owner.commit(3)
    with database.write() as session:
        Unfenced(session, wanted).run()
    assert tools.counted(store)[0].p == 5 < owner.state.p


def test_new_series_come_with_it(store, owner, tools):
    series = Series("m", "2", "m")
    wanted = replacement(owner, tools.cells({(CONFUSION, 0, 70, 1): 1}), 0)
    store.replace_cells(replace(wanted, new_series={series: 0}))
    assert store.shard_series("main/0") == {series: 0}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epoch": 0}, "epoch"),
        ({"epoch": 2}, "epoch"),
        ({"rules": 1}, "rules"),
        ({"shard": "x"}, "shard"),
    ],
)
def test_a_replacement_that_cannot_be_right_is_a_bug(store, owner, tools, changes, why):
    wanted = replacement(owner, tools.cells({}), 0)
    with pytest.raises(ValueError, match=why):
        store.replace_cells(replace(wanted, after=replace(wanted.after, **changes)))
    history = tools.cells({(ADDED, 0, 0, 1): 1})
    with pytest.raises(ValueError, match="recomputed"):
        store.replace_cells(replace(wanted, cells=history))


def test_quarter_hours_are_what_is_compared_after_five_days():
    assert QUARTER == 15 and Retention().minutes < 5 * DAY < Retention().quarters
