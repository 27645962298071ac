"""Rules and exceptions: written with the vector, fenced with it, read in their order."""

from dataclasses import replace

import pytest

from leadline.records.cells import CellKind, empty_cells
from leadline.records.errors import FencedError, StoppedError
from leadline.records.rules import ExceptionRow, Rules, RulesRow
from leadline.runtime.store import shard_rows
from leadline.runtime.store.port import Commit
from leadline.runtime.store.truth import SqlTruthStore

RULES = Rules(revision=3, label_window_ms=5, default_labels={"ads": 0, "ä\0": 7}, kinds=frozenset())


def rules_commit(state, rules=RULES, **changes):
    row = RulesRow(state.rules, state.p, state.l, rules)
    after = replace(state, rules=state.rules + 1)
    return replace(Commit(state, after, empty_cells(), {}, new_rules=row), **changes)


def add_rules(owner, rules=RULES):
    commit = rules_commit(owner.state, rules)
    owner.store.commit(commit)
    owner.state = commit.after
    return commit.new_rules


def test_rules_are_added_at_the_vector_that_holds(store, owner):
    assert store.shard_rules("main/0") == []
    first = add_rules(owner)
    owner.commit(5, dl=3)
    second = add_rules(owner, replace(RULES, revision=4, kinds=frozenset({"scores"})))
    assert store.shard_rules("main/0") == [first, second]
    assert (second.number, second.from_p, second.from_l) == (1, 5, 3)
    assert store.shard("main/0").rules == 2
    assert store.shard_rules("main/1") == []


def test_of_two_owners_that_add_rules_one_is_fenced(store, new_owner):
    first, second = new_owner(), new_owner()
    row = add_rules(first)
    with pytest.raises(FencedError):
        add_rules(second, replace(RULES, revision=9))
    assert store.shard_rules("main/0") == [row]


def test_an_owner_that_does_not_know_the_new_rules_is_fenced(store, new_owner, tools):
    first, second = new_owner(), new_owner()
    add_rules(first)
    with pytest.raises(FencedError):
        second.commit(4)
    assert tools.counted(store) == (first.state, 0)


class BlindToRules(SqlTruthStore):
    """A store whose compare-and-set compares all but the rules."""

    def _move(self, session, commit, body):
        found = shard_rows.read_shard(session, commit.before.shard)
        known = replace(commit.before, rules=found.rules)
        after = replace(commit.after, rules=found.rules)
        return super()._move(session, replace(commit, before=known, after=after), body)


def test_without_comparing_the_rules_a_record_is_counted_by_the_old_ones(
    database, store, new_owner, tools
):
    """Records from offset 0 on live by rule 0, and were counted by an owner that knew of none."""
    first, second = new_owner(), new_owner(of=BlindToRules(database))
    row = add_rules(first)
    second.commit(4)
    state, total = tools.counted(store)
    assert (row.from_p, state.p, total, second.state.rules) == (0, 4, 4, 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"p": 1}, "alone"),
        ({"l": 1}, "alone"),
        ({"rules": 0}, "number"),
        ({"rules": 2}, "number"),
    ],
)
def test_rules_that_do_not_come_alone_are_a_bug(store, owner, changes, why):
    commit = rules_commit(owner.state)
    with pytest.raises(ValueError, match=why):
        store.commit(replace(commit, after=replace(commit.after, **changes)))
    assert store.shard_rules("main/0") == []


@pytest.mark.parametrize(("field", "why"), [("number", "number"), ("from_p", "begin")])
def test_rules_of_another_place_are_a_bug(store, owner, field, why):
    commit = rules_commit(owner.state)
    row = replace(commit.new_rules, **{field: 1})
    with pytest.raises(ValueError, match=why):
        store.commit(replace(commit, new_rules=row))


def test_the_number_of_rules_changes_with_a_row_only(store, owner, tools):
    with pytest.raises(ValueError, match="row"):
        store.commit(rules_commit(owner.state, new_rules=None))
    delta = tools.cells({(CellKind.PREDICTED, 0, 1, 1): 1})
    with pytest.raises(ValueError, match="twice"):
        store.commit(rules_commit(owner.state, delta=delta))


def test_rules_of_a_newer_version_stop(store, owner, database):
    add_rules(owner)
    with database.write() as session:
        session.run("UPDATE rules SET body = replace(body, 'label_window', 'lable_window')")
    with pytest.raises(StoppedError, match="lable_window_ms") as raised:
        store.shard_rules("main/0")
    assert "Upgrade" in raised.value.remedy


def test_exceptions_are_written_with_the_records_that_they_are_of(store, owner):
    rows = [ExceptionRow(1, 0, 2, 77), ExceptionRow(0, 3, 5, 78), ExceptionRow(0, 0, 1, 0)]
    owner.commit(5, dl=2, exceptions=rows)
    owner.commit(1, exceptions=[ExceptionRow(0, 5, 6, 2**50)])
    assert store.shard_exceptions("main/0") == [
        rows[2],
        rows[1],
        ExceptionRow(0, 5, 6, 2**50),
        rows[0],
    ]
    assert store.shard_exceptions("main/1") == []


def test_a_fenced_commit_leaves_its_exceptions_out(store, new_owner):
    first, zombie = new_owner(), new_owner()
    first.commit(1)
    with pytest.raises(FencedError):
        zombie.commit(2, exceptions=[ExceptionRow(0, 0, 1, 5)])
    assert store.shard_exceptions("main/0") == []


@pytest.mark.parametrize(
    "row",
    [
        ExceptionRow(0, 1, 3, 9),
        ExceptionRow(0, 4, 6, 9),
        ExceptionRow(0, 3, 3, 9),
        ExceptionRow(1, 0, 1, 9),
        ExceptionRow(2, 2, 3, 9),
    ],
)
def test_exceptions_of_records_that_are_not_read_now_are_a_bug(store, owner, row):
    owner.commit(2)
    with pytest.raises(ValueError, match=r"(?i)exception"):
        store.commit(owner.prepare(3, exceptions=[row]))


def test_what_was_not_published_is_named_until_it_was(store, new_owner):
    owner, other = new_owner(), new_owner("main/1")
    add_rules(other)
    first = add_rules(owner)
    owner.commit(5, exceptions=[ExceptionRow(0, 0, 2, 9), ExceptionRow(0, 4, 5, 8)])
    second = add_rules(owner, replace(RULES, revision=8))
    found = store.unpublished("main/0")
    assert found == [first, second, ExceptionRow(0, 0, 2, 9), ExceptionRow(0, 4, 5, 8)]
    store.mark_published("main/0", [first, ExceptionRow(0, 4, 5, 8)])
    assert store.unpublished("main/0") == [second, ExceptionRow(0, 0, 2, 9)]
    store.mark_published("main/0", found)
    store.mark_published("main/0", [])
    assert store.unpublished("main/0") == []
    assert len(store.unpublished("main/1")) == 1
    assert store.shard_rules("main/0") == [first, second]
