"""Old cells become coarser and no sum changes, whenever what is folded, rolled up and read."""

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from growth import KEEP, KINDS, NOW, add, roll_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.records.cells import HISTORY_KINDS, CellKind
from leadline.records.rules import Rules, RulesRow
from leadline.runtime.store import rollup
from leadline.runtime.store.port import Commit
from leadline.runtime.store.resolution import (
    DAY,
    DELETED_STEP,
    HOUR,
    QUARTER,
    Retention,
)
from leadline.runtime.store.snapshot import SqlSnapshot
from leadline.runtime.store.sql import open_database
from leadline.runtime.store.truth import SqlTruthStore

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """Not in memory, where every minute is kept."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/truth.sqlite"
    return request.getfixturevalue("postgres_database")


def step_of(rolled, kind, minute):
    """The obvious bucket of a cell."""
    if kind == CellKind.SCORES:
        return DAY if minute < rolled.scores else HOUR
    for step, until in ((DAY, rolled.day), (HOUR, rolled.hour), (QUARTER, rolled.quarter)):
        if minute < until:
            return step
    return 1


def answer(rows, rolled, kinds=tuple(KINDS), minutes=(0, 2**32), numbers=None):
    """The obvious answer of a snapshot."""
    found = Counter()
    for (kind, series, minute, index), count in rows.items():
        if kind not in HISTORY_KINDS:
            if minute < rolled.deleted:
                continue
            step = step_of(rolled, kind, minute)
            minute = minute // step * step  # noqa: PLW2901
        wanted = kind in kinds and (numbers is None or series in numbers)
        if wanted and minutes[0] <= minute < minutes[1]:
            found[kind, series, minute, index] += count
    return {key: count for key, count in found.items() if count}


def over_time(rows):
    found = Counter()
    for (kind, series, _, index), count in rows.items():
        found[kind, series, 0, index] += count
    return {key: count for key, count in found.items() if count}


ages = st.sampled_from([0, 1, 2, 3, 4, 8, 9, 10, 15, 17, 40, 70, 75, 80]).map(lambda age: age * DAY)
minutes = st.builds(lambda age, more: NOW - age - more, ages, st.integers(0, 1600))
keys = (
    st.tuples(st.just(CellKind.CONFUSION), st.integers(0, 2), minutes, st.integers(0, 2))
    | st.tuples(
        st.just(CellKind.SCORES),
        st.integers(0, 2),
        minutes.map(lambda minute: minute - minute % HOUR),
        st.sampled_from([7, 2**40]),
    )
    | st.tuples(st.just(CellKind.ADDED), st.integers(0, 2), st.just(0), st.integers(0, 2))
)
deltas = st.dictionaries(keys, st.sampled_from([-1, 1, 2, 2**40]), min_size=1, max_size=15)
steps = (
    deltas
    | st.tuples(st.just("compact"), st.integers(1, 4))
    | st.tuples(st.just("roll"), st.sampled_from([DAY, 20 * DAY, 0]))
)
questions = st.tuples(
    st.none() | st.sets(st.integers(0, 3), max_size=2),
    st.sets(st.sampled_from(KINDS), max_size=3),
    st.just(0) | minutes,
    st.just(2**32) | minutes,
)


@pytest.mark.parametrize("bytes_max", [1, rollup.BODIES_BYTES_MAX])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(steps, max_size=9), question=questions)
def test_sums_stay_whatever_is_rolled_up_and_when(
    new_owner, store, tools, monkeypatch, bytes_max, history, question
):
    """Late deltas, blocks of all ages, portions of one block: always the obvious answer."""
    monkeypatch.setattr(rollup, "BODIES_BYTES_MAX", bytes_max)
    owner = new_owner(f"main/{next(_numbers)}")
    shard, added = owner.state.shard, []
    for step in history:
        if isinstance(step, dict):
            add(owner, tools.cells(step))
            added.append(step)
        elif step[0] == "compact":
            store.compact(shard, step[1])
        else:
            store.roll_up(shard, replace(KEEP, days=step[1]))
        rows = tools.summed(added)
        numbers, kinds, begin, end = question
        with store.snapshot() as snapshot:
            rolled = snapshot.rolled(shard)
            asked = snapshot.cells(numbers and {shard: numbers}, kinds, begin, end)
            total = snapshot.totals(numbers and {shard: numbers}, kinds, begin, end)
            every = snapshot.cells(None, KINDS)
        assert tools.rows_of(every[shard]) == answer(rows, rolled)
        if numbers != set():
            found = tools.rows_of(asked[shard])
            assert found == answer(rows, rolled, kinds, (begin, end), numbers)
            assert tools.rows_of(total[shard]) == over_time(found)


def test_what_is_rolled_up_lies_in_few_blocks_of_its_resolution(store, owner, database, tools):
    rows = {(CellKind.CONFUSION, 0, NOW - back, 1): 1 for back in range(0, 30 * DAY, 7)}
    rows |= {
        (CellKind.SCORES, 0, (NOW - back) // HOUR * HOUR, 1): 1 for back in range(0, 9 * DAY, 60)
    }
    rows |= {(CellKind.ADDED, 0, 0, 1): 9}
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    roll_all(store)
    with store.snapshot() as snapshot:
        rolled = snapshot.rolled("main/0")
        assert tools.rows_of(snapshot.cells(None, KINDS)["main/0"]) == answer(rows, rolled)
    with database.read() as session:
        found = session.rows(
            "SELECT kind, resolution, count(*) FROM blocks GROUP BY kind, resolution "
            "ORDER BY kind, resolution"
        )
    counts = {(kind, step): blocks for kind, step, blocks in found}
    assert counts[CellKind.CONFUSION, 1] <= 31
    assert counts[CellKind.CONFUSION, QUARTER] <= 5
    assert counts[CellKind.CONFUSION, HOUR] <= 3
    assert counts[CellKind.CONFUSION, DAY] <= 2
    assert counts[CellKind.SCORES, 1] <= 73
    assert counts[CellKind.SCORES, DAY] <= 2
    assert counts[CellKind.ADDED, 0] == 1
    assert len(counts) == 7


def bodies_read(database, question):
    """What a question reads of blocks, by resolution."""
    found = Counter()

    class Watched:
        def __init__(self, session):
            self._session = session

        def rows(self, sql, values=()):
            rows = self._session.rows(sql, values)
            if "FROM blocks" in sql:
                found[values[2]] += len(rows)
            return rows

        def __getattr__(self, name):
            return getattr(self._session, name)

    with database.read() as session:
        question(SqlSnapshot(Watched(session)))
    return +found


def test_totals_over_weeks_read_days_and_the_minutes_at_the_ends(store, owner, database, tools):
    rows = {(CellKind.CONFUSION, 0, NOW - back, 1): 1 for back in range(0, 30 * DAY, 7)}
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    begin = NOW - 28 * DAY + 77

    def ask(snapshot):
        found = snapshot.totals(None, [CellKind.CONFUSION], begin, NOW + 1)["main/0"]
        true = snapshot.rolled("main/0").ceiling(CellKind.CONFUSION, begin)
        assert found.count.tolist() == [sum(1 for key in rows if key[2] >= true)]

    assert bodies_read(database, ask)[1] > 600
    roll_all(store, keep=Retention())
    read = bodies_read(database, ask)
    assert read[1] <= 31 and read[DAY] <= 2 and read[QUARTER] + read[HOUR] <= 3


def test_a_late_cell_is_added_to_the_sum_of_its_day_too(store, owner, tools):
    rows = {(CellKind.CONFUSION, 0, NOW - back * DAY, 1): 1 for back in range(8)}
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    roll_all(store)
    for back, count in [(2, 5), (5, -1), (7, 3)]:
        add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW - back * DAY, 1): count}))
        for _ in range(2):
            with store.snapshot() as snapshot:
                whole = (NOW - 9 * DAY, NOW + 1)
                fine = snapshot.cells(None, KINDS, *whole)["main/0"].count.sum()
                assert snapshot.totals(None, KINDS, *whole)["main/0"].count.sum() == fine
            store.compact("main/0", 9)
    assert fine == 15


@pytest.mark.parametrize("bytes_max", [1, 500, 10**6])
def test_days_are_summed_in_portions_and_once(store, owner, tools, monkeypatch, bytes_max):
    monkeypatch.setattr(rollup, "DAYS_BYTES_MAX", bytes_max)
    rows = {(CellKind.CONFUSION, back % 3, NOW - back * 100, 1): 1 for back in range(200)}
    rows |= {(CellKind.CONFUSION, 0, 77, 1): 4}
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    while store.roll_up("main/0", Retention()):
        with store.snapshot() as snapshot:
            assert snapshot.totals(None, KINDS)["main/0"].count.sum() == 204
            assert snapshot.cells(None, KINDS)["main/0"].count.sum() == 204
    with store.snapshot() as snapshot:
        assert NOW - snapshot.rolled("main/0").summed < 2 * DAY


def test_nothing_is_rolled_up_before_its_time_or_twice(store, owner, tools):
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW, 1): 1}))
    store.compact("main/0", 9)
    assert store.roll_up("main/0", KEEP) == 0
    assert store.roll_up("main/9", KEEP) == 0
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW - 2 * DAY, 1): 1}))
    store.compact("main/0", 9)
    with store.snapshot() as snapshot:
        before = snapshot.rolled("main/0")
        assert len(snapshot.cells(None, KINDS)["main/0"]) == 2
    assert store.roll_up("main/0", KEEP) == 0
    with store.snapshot() as snapshot:
        assert snapshot.rolled("main/0") == before


def test_bounds_move_with_the_log_clock_and_not_with_any_other(store, owner, tools):
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW, 1): 1}), minute=NOW - 8 * DAY)
    store.compact("main/0", 9)
    assert roll_all(store) == 0
    add(owner, tools.cells({}), minute=NOW + 2 * DAY)
    assert roll_all(store) == 2  # a sum of a day, and one that moved


def test_questions_that_follow_one_another_add_up(store, owner, tools):
    """A question within a bucket is cut at the ceilings of its bounds, and says so."""
    rows = {(CellKind.CONFUSION, 0, NOW - back, 1): 1 for back in range(0, 12 * DAY, 11)}
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    roll_all(store)
    cuts = [NOW - back for back in range(12 * DAY, 0, -1003)]
    bounds = [0, *cuts, 2**32]
    with store.snapshot() as snapshot:
        rolled = snapshot.rolled("main/0")

        def total(begin, end):
            return int(snapshot.cells(None, KINDS[:1], begin, end)["main/0"].count.sum())

        parts = [total(*pair) for pair in itertools.pairwise(bounds)]
        assert sum(parts) == len(rows)
        for cut in cuts:
            true = rolled.ceiling(CellKind.CONFUSION, cut)
            assert total(cut, 2**32) == sum(1 for key in rows if key[2] >= true)


def test_days_past_their_retention_are_deleted_and_the_bound_says_since_when(
    store, owner, database, tools
):
    rows = {
        (CellKind.CONFUSION, 0, NOW - 80 * DAY, 1): 3,
        (CellKind.CONFUSION, 0, NOW - 5, 1): 4,
        (CellKind.SCORES, 0, (NOW - 90 * DAY) // HOUR * HOUR, 1): 5,
        (CellKind.ADDED, 0, 0, 1): 7,
    }
    add(owner, tools.cells(rows))
    store.compact("main/0", 9)
    roll_all(store, keep=replace(KEEP, days=0))
    with store.snapshot() as snapshot:
        assert snapshot.rolled("main/0").deleted == 0
        assert snapshot.cells(None, KINDS)["main/0"].count.sum() == 19
    roll_all(store)
    with store.snapshot() as snapshot:
        deleted = snapshot.rolled("main/0").deleted
        assert NOW - 40 * DAY - DELETED_STEP < deleted <= NOW - 40 * DAY
        assert snapshot.cells(None, KINDS)["main/0"].count.tolist() == [4, 7]
    with database.read() as session:
        assert session.rows("SELECT count(*) FROM blocks") == [(2,)]
    late = {(CellKind.CONFUSION, 0, NOW - 80 * DAY, 1): 3}
    add(owner, tools.cells(late))
    with store.snapshot() as snapshot:
        assert snapshot.cells(None, KINDS)["main/0"].count.tolist() == [4, 7]
    store.compact("main/0", 9)
    with database.read() as session:
        assert session.rows("SELECT count(*) FROM blocks") == [(2,)]


def test_cells_live_at_least_as_long_as_the_label_window(store, owner, tools):
    state = owner.state
    rules = RulesRow(0, 0, 0, Rules(label_window_ms=300 * DAY * 60_000))
    after = replace(state, rules=1)
    store.commit(Commit(state, after, tools.cells({}), {}, new_rules=rules))
    owner.state = after
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW - 280 * DAY, 1): 3}))
    store.compact("main/0", 9)
    roll_all(store)
    with store.snapshot() as snapshot:
        assert snapshot.rolled("main/0").deleted <= NOW - 300 * DAY
        assert snapshot.cells(None, KINDS)["main/0"].count.tolist() == [3]


# --- races


def write(owner, tools, done):
    """The law: the sum of CONFUSION cells is p."""
    try:
        for number in range(60):
            rows = {(CellKind.CONFUSION, number % 3, NOW - number * 700, 1): 1}
            add(owner, tools.cells(rows), minute=NOW + number * 60)
    finally:
        done.set()


def upkeep(store, done):
    while not done.is_set():
        store.compact("main/0", 3)
        store.roll_up("main/0", replace(KEEP, days=0))


def check(store, done):
    while not done.is_set():
        with store.snapshot() as snapshot:
            (state,) = snapshot.shards()
            assert snapshot.cells(None, KINDS)["main/0"].count.sum() == state.p


def test_readers_see_the_sum_of_their_vector_while_all_others_work(store, owner, tools):
    done = threading.Event()
    tasks = [(write, owner, tools, done), *[(upkeep, store, done)] * 2, *[(check, store, done)] * 2]
    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(*task) for task in tasks]:
            future.result()
    roll_all(store, keep=replace(KEEP, days=0))
    with store.snapshot() as snapshot:
        assert snapshot.cells(None, KINDS)["main/0"].count.sum() == owner.state.p == 60


def test_a_second_process_reads_the_same_bounds(store, store_url, owner, tools):
    add(owner, tools.cells({(CellKind.CONFUSION, 0, NOW - 2 * DAY + 3, 1): 1}))
    roll_all(store)
    database = open_database(store_url)
    try:
        with SqlTruthStore(database).snapshot() as snapshot:
            found = snapshot.cells(None, KINDS)["main/0"]
    finally:
        database.close()
    assert found.minute.tolist() == [(NOW - 2 * DAY + 3) // QUARTER * QUARTER]
