"""A shard goes on with other topics: cells stay, facts of the old offsets go, owners are fenced."""

from dataclasses import replace

import pytest

from leadline.records.cells import CellKind, Series, empty_cells
from leadline.records.errors import FencedError
from leadline.records.rules import ExceptionRow, Rules, RulesRow
from leadline.runtime.store.port import Commit, LastRecord, ShardState
from leadline.runtime.store.resolution import DAY, Retention

SERIES = Series("m", "1", "t")
EXCEPTION = ExceptionRow(0, 1, 3, 77)
NOW = 50_000 * DAY + 75


def other_topics(state, p=0, l=0):
    return ShardState(
        state.shard, p, l, state.epoch + 1, topic_ids=("c", "d"), dead_letters=state.dead_letters
    )


@pytest.fixture
def counted(store, owner, tools):
    """A shard with rules, an exception, a series, and cells up to NOW."""
    row = RulesRow(0, 0, 0, Rules())
    after = replace(owner.state, rules=1, topic_ids=("a", "b"))
    store.commit(Commit(owner.state, after, empty_cells(), {}, new_rules=row))
    owner.state = after
    rows = {
        (CellKind.PREDICTED, 0, NOW - 40 * DAY, 1): 1,
        (CellKind.PREDICTED, 0, NOW, 1): 5,
        (CellKind.SCORES, 0, NOW - 75 % 60, 1): 2,
        (CellKind.ADDED, 0, 0, 1): 3,
    }
    last = LastRecord(4, 9, 8)
    clock = NOW * 60_000
    state = replace(
        after, p=5, predictions_last=last, predictions_clock_ms=clock, labels_clock_ms=clock
    )
    delta = tools.cells(rows)
    store.commit(Commit(after, state, delta, {SERIES: 0}, exceptions=[EXCEPTION]))
    owner.state = state
    return owner


def facts(store):
    with store.snapshot() as snapshot:
        return snapshot.facts("main/0")


def every(store, tools):
    with store.snapshot() as snapshot:
        return tools.rows_of(snapshot.cells(None, list(CellKind))["main/0"])


def test_facts_are_all_that_cells_depend_on(store, counted):
    found = facts(store)
    assert found.state == counted.state == store.shard("main/0")
    assert dict(found.series) == {SERIES: 0}
    assert list(found.rules) == store.shard_rules("main/0") != []
    assert list(found.exceptions) == [EXCEPTION]
    assert (found.reset_minute, found.deleted_models) == (0, frozenset())


def test_facts_of_a_shard_that_is_not_there_are_empty(store):
    found = facts(store)
    assert found.state == ShardState("main/0")
    assert not found.series and not found.rules and not found.exceptions


def test_cells_and_series_stay_and_facts_go(store, counted, tools):
    before, after = every(store, tools), other_topics(counted.state, 2, 3)
    store.reset_shard(counted.state, after)
    found = facts(store)
    assert every(store, tools) == before
    assert found.state == after
    assert dict(found.series) == {SERIES: 0}
    assert not found.rules and not found.exceptions
    assert store.unpublished("main/0") == []


@pytest.mark.parametrize("form", ["deltas", "blocks", "rolled up"])
def test_new_cells_are_told_from_old_ones_by_their_minute(store, counted, form):
    if form != "deltas":
        store.compact("main/0", 9)
    if form == "rolled up" and hasattr(store, "roll_up"):
        while store.roll_up("main/0", Retention()):
            pass
    store.reset_shard(counted.state, other_topics(counted.state))
    first = facts(store).reset_minute
    assert NOW < first <= NOW + 60
    again = other_topics(other_topics(counted.state))
    store.reset_shard(other_topics(counted.state), again)
    assert facts(store).reset_minute == first


def test_a_shard_without_cells_has_nothing_to_tell_apart(store, owner):
    store.reset_shard(owner.state, other_topics(owner.state))
    assert facts(store).reset_minute == 0


def test_rules_and_exceptions_begin_anew_where_the_shard_does(store, counted):
    state = other_topics(counted.state, 2, 3)
    store.reset_shard(counted.state, state)
    row = RulesRow(0, 2, 3, Rules(revision=7))
    after = replace(state, rules=1)
    store.commit(Commit(state, after, empty_cells(), {}, new_rules=row))
    one = ExceptionRow(0, 2, 3, 99)
    store.commit(Commit(after, replace(after, p=3), empty_cells(), {}, exceptions=[one]))
    assert store.shard_rules("main/0") == [row]
    assert store.shard_exceptions("main/0") == [one]
    assert store.unpublished("main/0") == [row, one]


def test_an_owner_of_before_is_fenced(store, counted):
    store.reset_shard(counted.state, other_topics(counted.state, counted.state.p, counted.state.l))
    with pytest.raises(FencedError):
        counted.commit(1)


def test_when_an_owner_went_on_nothing_is_reset(store, counted, tools):
    state = counted.state
    counted.commit(1)
    before = every(store, tools), facts(store)
    with pytest.raises(FencedError):
        store.reset_shard(state, other_topics(state))
    assert (every(store, tools), facts(store)) == before


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epoch": 0}, "epoch"),
        ({"rules": 1}, "rules"),
        ({"labels_clock_ms": 1}, "clocks"),
        ({"labels_last": LastRecord(0, 0, 0)}, "evidence"),
        ({"shard": "x"}, "shard"),
    ],
)
def test_a_reset_that_cannot_be_right_is_a_bug(store, counted, changes, why):
    with pytest.raises(ValueError, match=why):
        store.reset_shard(counted.state, replace(other_topics(counted.state), **changes))
