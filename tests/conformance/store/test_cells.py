"""Cells come back as the sum of all deltas, whatever was compacted and whatever is asked."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.records.cells import CellKind
from leadline.runtime.store import compaction
from leadline.runtime.store.port import Commit

_numbers = itertools.count()
KINDS = [CellKind.CONFUSION, CellKind.DELAY, CellKind.ADDED]

keys = st.tuples(
    st.sampled_from([CellKind.CONFUSION, CellKind.DELAY]),
    st.integers(0, 4),
    st.integers(0, 200),
    st.sampled_from([0, 1, 7, 1 << 32, 3 << 32 | 2, 2**64 - 1]),
) | st.tuples(
    st.just(CellKind.ADDED), st.integers(0, 4), st.just(0), st.sampled_from([0, 1 << 32 | 1])
)
counts = st.sampled_from([-2, -1, 1, 2, 2**40])
deltas = st.dictionaries(keys, counts, max_size=25)
# A number stands for a compaction of at most that many deltas.
histories = st.lists(deltas | st.integers(1, 4), max_size=10)


class Question:
    """What is asked of a snapshot, and the obvious answer."""

    def __init__(self, numbers, kinds, from_minute, to_minute):
        self.numbers, self.kinds = numbers, kinds
        self.minutes = (from_minute, to_minute)

    def __repr__(self):
        return f"Question({self.numbers}, {self.kinds}, {self.minutes})"

    def answer(self, rows):
        return {
            (kind, series, minute, index): count
            for (kind, series, minute, index), count in rows.items()
            if kind in self.kinds
            and (self.numbers is None or series in self.numbers)
            and self.minutes[0] <= minute < self.minutes[1]
        }


questions = st.builds(
    Question,
    st.none() | st.sets(st.integers(0, 6), max_size=3),
    st.sets(st.sampled_from(KINDS), max_size=3),
    st.sampled_from([0, 1, 59, 60, 61, 119]),
    st.sampled_from([0, 1, 60, 61, 120, 190, 2**32]),
)


@pytest.mark.parametrize("compacts", [True, False])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories, question=questions)
def test_compaction_changes_no_answer(new_owner, store, tools, compacts, history, question):
    owner = new_owner(f"main/{next(_numbers)}")
    shard, added = owner.state.shard, []
    for step in history:
        if isinstance(step, dict):
            owner.add(tools.cells(step))
            added.append(step)
        elif compacts:
            store.compact(shard, step)
    expected = question.answer(tools.summed(added))
    numbers = None if question.numbers is None else {shard: question.numbers}
    with store.snapshot() as snapshot:
        found = snapshot.cells(numbers, question.kinds, *question.minutes)
    assert tools.rows_of(found[shard]) == expected
    assert numbers is None or list(found) == [shard]


def test_a_compaction_takes_the_oldest_and_says_how_many(store, owner, database):
    for _ in range(5):
        owner.commit(2)
    assert [store.compact("main/0", 2) for _ in range(4)] == [2, 2, 1, 0]
    with database.read() as session:
        assert session.rows("SELECT count(*) FROM deltas") == [(0,)]


def test_a_run_is_bounded_by_its_bytes_and_always_gets_on(store, owner, monkeypatch):
    for _ in range(5):
        owner.commit(2)
    with store._database.read() as session:
        size = session.rows("SELECT length(body) FROM deltas LIMIT 1")[0][0]
    monkeypatch.setattr(compaction, "BODIES_BYTES_MAX", 2 * size + 1)
    assert store.compact("main/0", 9) == 2
    monkeypatch.setattr(compaction, "BODIES_BYTES_MAX", 1)
    assert [store.compact("main/0", 9) for _ in range(4)] == [1, 1, 1, 0]
    owner.commit(1)
    assert store.compact("main/0", 0) == 0


def test_a_compaction_of_a_shard_that_does_not_exist_does_nothing(store):
    assert store.compact("main/9", 10) == 0


def test_the_oldest_are_the_first_committed_even_when_only_labels_moved(store, owner, database):
    for dl in (5, 6, 7):
        before = owner.state
        after = replace(before, l=before.l + dl)
        store.commit(Commit(before, after, owner.prepare(3).delta, {}))
        owner.state = after
    store.compact("main/0", 2)
    with database.read() as session:
        assert session.rows("SELECT p, l FROM deltas") == [(0, 18)]


def test_blocks_whose_counts_cancel_out_are_deleted(store, owner, database, tools):
    owner.add(tools.cells({(CellKind.CONFUSION, 1, 70, 3): 4, (CellKind.DELAY, 1, 70, 3): 1}))
    store.compact("main/0", 9)
    owner.add(tools.cells({(CellKind.CONFUSION, 1, 70, 3): -4}))
    store.compact("main/0", 9)
    with database.read() as session:
        rows = session.rows("SELECT kind, series, block_start FROM blocks")
    assert rows == [(int(CellKind.DELAY), 1, 60)]


def test_minutes_survive_compaction(store, owner, tools):
    """An hour's block holds its minutes, so a question may cut it anywhere."""
    rows = {(CellKind.CONFUSION, 0, minute, 1): minute for minute in range(60, 120)}
    owner.add(tools.cells(rows))
    store.compact("main/0", 9)
    with store.snapshot() as snapshot:
        for begin, end in [(60, 61), (75, 90), (119, 500), (0, 60), (120, 121)]:
            found = snapshot.cells(None, [CellKind.CONFUSION], begin, end)["main/0"]
            assert found.minute.tolist() == [m for m in range(60, 120) if begin <= m < end]


def test_more_series_than_fit_into_one_statement(store, owner, tools):
    rows = {(CellKind.CONFUSION, series, 60, 1): series + 1 for series in range(1000)}
    owner.add(tools.cells(rows))
    store.compact("main/0", 9)
    owner.add(tools.cells({(CellKind.CONFUSION, 999, 60, 1): 5}))
    with store.snapshot() as snapshot:
        found = snapshot.cells({"main/0": range(500, 2000)}, [CellKind.CONFUSION])["main/0"]
    assert found.series.tolist() == list(range(500, 1000))
    assert found.count.tolist() == [*range(501, 1000), 1005]
    assert store.compact("main/0", 9) == 1


def test_a_shard_without_cells_has_an_empty_answer(store):
    store.shard("main/0")
    with store.snapshot() as snapshot:
        assert len(snapshot.cells(None, [CellKind.CONFUSION])["main/0"]) == 0
        assert len(snapshot.cells({"main/5": [1]}, [CellKind.CONFUSION])["main/5"]) == 0
        assert snapshot.cells({}, [CellKind.CONFUSION]) == {}
