"""A commit moves the vector and adds its delta together, or does nothing at all."""

from dataclasses import replace

import pytest

from leadline.records.cells import CellKind, Series, empty_cells
from leadline.records.errors import FencedError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.port import Commit, LastRecord, ShardState, VersionSeen
from leadline.runtime.store.truth import SqlTruthStore


def test_a_new_shard_has_the_zero_state(store):
    assert store.shard("main/7") == ShardState("main/7")
    with store.snapshot() as snapshot:
        assert snapshot.shards() == [ShardState("main/7")]


def test_every_part_of_the_state_is_kept(store):
    before = store.shard("main/0")
    after = ShardState(
        shard="main/0",
        p=2**40,
        l=3,
        predictions_clock_ms=5,
        labels_clock_ms=6,
        predictions_last=LastRecord(2**40 - 1, 8, -(2**63)),
        labels_last=LastRecord(2, 9, 2**63 - 1),
        topic_ids=("one", "two"),
        dead_letters=10,
        committed_us=11,
        stopped="12",
        remedy="13",
    )
    store.commit(Commit(before, after, empty_cells(), {}))
    assert store.shard("main/0") == after


def test_a_commit_moves_the_vector_and_adds_its_delta(store, owner, tools):
    owner.commit(5)
    assert tools.counted(store) == (owner.state, 5)
    owner.commit(7, dl=3)
    assert tools.counted(store) == (owner.state, 12)


def test_an_empty_delta_moves_the_vector(store, owner, tools):
    owner.commit(0, dl=4)
    assert tools.counted(store) == (owner.state, 0)
    assert owner.state.l == 4


def test_clocks_may_move_without_the_vector(store, owner):
    after = replace(owner.state, labels_clock_ms=9)
    store.commit(Commit(owner.state, after, empty_cells(), {}))
    assert store.shard("main/0") == after


@pytest.mark.parametrize("part", ["p", "l", "epoch", "rules"])
def test_a_stale_vector_is_fenced_and_writes_nothing(store, owner, series, tools, part):
    owner.commit(5, dl=1)
    stale = replace(owner.state, **{part: getattr(owner.state, part) + 1})
    delta = tools.cells({(CellKind.PREDICTED, 0, 1, 1): 1})
    rows = {"new_series": {series: 0}, "last_seen": {("digits", "1"): 3}}
    with pytest.raises(FencedError):
        store.commit(Commit(stale, replace(stale, p=stale.p + 1), delta, **rows))
    assert tools.counted(store) == (owner.state, 5)
    assert store.shard_series("main/0") == {}
    with store.snapshot() as snapshot:
        assert snapshot.versions() == []


def test_a_shard_that_does_not_exist_is_fenced(store, tools):
    ghost = ShardState("main/9")
    delta = tools.cells({(CellKind.PREDICTED, 0, 1, 1): 1})
    with pytest.raises(FencedError):
        store.commit(Commit(ghost, replace(ghost, p=1), delta, {}))
    with store.snapshot() as snapshot:
        assert snapshot.shards() == []


class Unfenced(SqlTruthStore):
    """A store without the compare-and-set."""

    def _move(self, session, commit, body):
        names = ", ".join(f"{column} = ?" for column in shard_rows.SHARD_COLUMNS[1:])
        values = shard_rows.shard_values(commit.after)
        session.run(f"UPDATE shards SET {names} WHERE shard = ?", [*values[1:], values[0]])
        insert = "INSERT INTO deltas (shard, p, l, body) VALUES (?, ?, ?, ?)"
        session.run(insert, [*values[:3], body])
        return True


def test_without_the_compare_and_set_a_zombie_is_counted_twice(database, store, new_owner, tools):
    first, zombie = new_owner(of=Unfenced(database)), new_owner(of=Unfenced(database))
    first.commit(5)
    zombie.commit(8)
    state, total = tools.counted(store)
    assert (state.p, total) == (8, 13)


def test_with_it_the_zombie_is_fenced(store, new_owner, tools):
    first, zombie = new_owner(), new_owner()
    first.commit(5)
    with pytest.raises(FencedError):
        zombie.commit(8)
    assert tools.counted(store) == (first.state, 5)


@pytest.mark.parametrize(
    ("change", "why"),
    [({"epoch": 1, "p": 9}, "epoch"), ({"p": -1}, "grows"), ({}, "twice")],
)
def test_a_commit_that_cannot_be_right_is_a_bug(store, owner, tools, change, why):
    delta = tools.cells({(CellKind.PREDICTED, 0, 1, 1): 1})
    with pytest.raises(ValueError, match=why):
        store.commit(Commit(owner.state, replace(owner.state, **change), delta, {}))


def test_shards_are_apart(store, new_owner, tools):
    one, two = new_owner("main/0"), new_owner("main/10")
    one.commit(3)
    two.commit(4)
    assert tools.counted(store, "main/0") == (one.state, 3)
    assert tools.counted(store, "main/10") == (two.state, 4)
    with store.snapshot() as snapshot:
        assert [state.shard for state in snapshot.shards()] == ["main/0", "main/10"]


def test_names_are_ordered_by_their_bytes_on_both_databases(store):
    names = ["main/1", "main/10", "Main/2", "a b", "a-b", "ä"]
    for name in names:
        store.shard(name)
    with store.snapshot() as snapshot:
        assert [state.shard for state in snapshot.shards()] == sorted(names)


def test_series_keep_their_numbers(store, owner, series):
    other = Series("", "", "digits")
    odd = Series("m", "1", "m", (('a"]["', 'b\\"\0\u2028'), ("", "")))
    owner.commit(1, new_series={series: 0, other: 1})
    owner.commit(1, new_series={odd: 2})
    assert store.shard_series("main/0") == {series: 0, other: 1, odd: 2}
    assert store.shard_series("main/1") == {}
    with store.snapshot() as snapshot:
        found = snapshot.series()
    assert found == [("main/0", 0, series), ("main/0", 1, other), ("main/0", 2, odd)]


def test_versions_are_ordered_by_the_one_seen_last(store, new_owner):
    one, two = new_owner("main/0"), new_owner("main/1")
    one.commit(1, last_seen={("b", "1"): 50, ("b", "2"): 40, ("a", "1"): 7})
    two.commit(1, last_seen={("b", "2"): 60})
    one.commit(1, last_seen={("b", "1"): 45})
    two.commit(1, last_seen={("b", "2"): 30})
    with store.snapshot() as snapshot:
        assert snapshot.versions() == [
            VersionSeen("a", "1", 7, 7),
            VersionSeen("b", "2", 30, 60),
            VersionSeen("b", "1", 45, 50),
        ]


def test_a_stop_is_noted_and_cleared(store, owner):
    owner.commit(2)
    store.mark_stopped("main/0", "The topic was cut.", "Rebuild the shard.")
    stopped = replace(owner.state, stopped="The topic was cut.", remedy="Rebuild the shard.")
    assert store.shard("main/0") == stopped
    store.mark_stopped("main/0", "", "")
    assert store.shard("main/0") == owner.state
