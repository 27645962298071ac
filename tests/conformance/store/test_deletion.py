"""What was deleted is gone, stays gone when it comes again, and takes nothing else with it."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from leadline.records.batches import InputAbsence
from leadline.records.cases import Case
from leadline.records.cells import CellKind, Series
from leadline.records.errors import NotFoundError, UsageError
from leadline.records.models import ModelSpec
from leadline.runtime.store import tombstone_rows
from leadline.runtime.store.compaction import Compaction
from leadline.runtime.store.port import CaseQuery

GONE, KEPT = Series("gone", "1", "digits"), Series("kept", "1", "digits")
TASK = Series(task="digits")
KINDS = [CellKind.CONFUSION, CellKind.UNMATCHED]


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """Not in memory, where nothing is deleted."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/truth.sqlite"
    return request.getfixturevalue("postgres_database")


def case(number, model, **changes):
    found = Case(
        id=number.to_bytes(16, "big"),
        model=model,
        version="1",
        task="digits",
        clock_ms=1,
        hash=number,
        event_time_us=number,
        predicted=0,
        top_classes=(0,),
        top_scores=(1.0,),
        keep_probability=1.0,
        input_ref=f"ref-{number}",
        input_uri="",
        absence=InputAbsence.PRESENT,
        id_text="",
        slices=(),
    )
    return replace(found, **changes)


def cells(tools, minute=70):
    return tools.cells(
        {
            (CellKind.CONFUSION, 0, minute, 1): 3,
            (CellKind.CONFUSION, 1, minute, 1): 4,
            (CellKind.UNMATCHED, 2, minute, 0): 5,
        }
    )


@pytest.fixture
def filled(store, owner, tools):
    """Cells of two models in blocks and in a delta, cases of both, and their declarations."""
    numbers = {GONE: 0, KEPT: 1, TASK: 2}
    seen = {("gone", "1"): 70, ("kept", "1"): 70}
    cases = [case(1, "gone"), case(2, "gone"), case(2, "kept"), case(3, "kept")]
    for name in ("gone", "kept"):
        store.save_model(ModelSpec(name), None)
    after = replace(owner.state, p=1)
    commit = owner.prepare(1, new_series=numbers, last_seen=seen, cases=cases)
    store.commit(replace(commit, after=after, delta=cells(tools)))
    owner.state = after
    store.compact("main/0", 9)
    owner.add(cells(tools, 300))
    return owner


def shown(store):
    """All that a reader finds of each model."""
    with store.snapshot() as snapshot:
        found = snapshot.cells(None, KINDS)["main/0"]
        counts = {}
        for series, count in zip(found.series.tolist(), found.count.tolist(), strict=True):
            counts[series] = counts.get(series, 0) + count
        cases = {
            name: [one.id[-1] for one in snapshot.cases(CaseQuery(name, "1"))]
            for name in ("gone", "kept")
        }
        return (
            counts,
            {seen.model for seen in snapshot.versions()},
            {series.model for _, _, series in snapshot.series()},
            cases,
            [spec.name for spec, _ in snapshot.models()],
        )


WITHOUT = ({1: 8, 2: 10}, {"kept"}, {"kept", ""}, {"gone": [], "kept": [3, 2]}, ["kept"])


def test_a_model_is_deleted_with_all_that_is_its_own(store, filled):
    assert shown(store)[0] == {0: 6, 1: 8, 2: 10}
    assert store.delete_model("gone", 5) == ["ref-1"]  # input 2 is a case of the other one too
    assert shown(store) == WITHOUT
    with store.snapshot() as snapshot:
        asked = snapshot.cells({"main/0": [0]}, KINDS)["main/0"]
        assert len(asked) == 0
        assert snapshot.case("gone", "1", case(2, "gone").id) is None
        assert [one.model for one in snapshot.case_versions("digits", case(2, "gone").id)] == [
            "kept"
        ]
    assert store.delete_model("gone", 6) == []


def test_no_block_of_it_is_left_once_its_deltas_are_folded(store, filled, database):
    store.delete_model("gone", 5)
    assert store.compact("main/0", 9) == 1
    with database.read() as session:
        rows = session.rows("SELECT DISTINCT series FROM blocks ORDER BY series")
        assert rows == [(1,), (2,)]
    assert shown(store) == WITHOUT


def test_what_comes_later_is_not_shown_and_deleted_in_time(store, filled, tools, database):
    store.delete_model("gone", 5)
    late = [case(1, "gone"), case(8, "gone"), case(8, "kept", input_ref="ref-9")]
    filled.add(cells(tools, 71), cases=late, last_seen={("gone", "1"): 99, ("kept", "1"): 99})
    kept = ({1: 12, 2: 15}, *WITHOUT[1:3], {"gone": [], "kept": [8, 3, 2]}, WITHOUT[4])
    assert shown(store) == kept
    store.compact("main/0", 9)
    assert store.purge_deleted() == ["ref-1", "ref-8"]
    assert shown(store) == kept
    assert store.purge_deleted() == []
    with database.read() as session:
        assert session.rows("SELECT DISTINCT model FROM cases") == [("kept",)]
        assert session.rows("SELECT DISTINCT model FROM last_seen") == [("kept",)]


def test_the_owner_keeps_its_numbers(store, filled):
    store.delete_model("gone", 5)
    assert store.shard_series("main/0") == {GONE: 0, KEPT: 1, TASK: 2}


def test_its_name_is_not_used_again(store, filled):
    store.delete_model("gone", 5)
    for expected in (None, 0, 1):
        with pytest.raises(UsageError, match="deleted") as raised:
            store.save_model(ModelSpec("gone"), expected)
        assert "another name" in raised.value.remedy
    assert shown(store)[4] == ["kept"]


def test_a_model_that_was_never_there_is_not_found(store, filled):
    with pytest.raises(NotFoundError, match="other"):
        store.delete_model("other", 5)
    store.save_model(ModelSpec("other"), None)
    store.delete_model("other", 5)  # declared, never counted
    assert shown(store)[4] == ["gone", "kept"]


def test_an_id_is_deleted_with_its_cases_and_its_counts_stay(store, filled):
    before = shown(store)[0]
    assert store.delete_id(case(2, "").id, "", 5) == ["ref-2"]
    assert shown(store)[3] == {"gone": [1], "kept": [3]}
    assert shown(store)[0] == before
    with store.snapshot() as snapshot:
        assert snapshot.case("kept", "1", case(2, "").id) is None
        assert snapshot.case_versions("digits", case(2, "").id) == []
        assert snapshot.count_cases(CaseQuery("kept", "1")) == 1
    assert store.case_labels([("kept", "1", case(2, "").id)]) == []


def test_an_id_that_comes_again_stays_deleted(store, filled, tools):
    """From another owner's batch, or because the case had not been written yet."""
    assert store.delete_id(case(7, "").id, "", 5) == []
    filled.add(tools.cells({}), cases=[case(7, "kept"), case(6, "kept")])
    assert shown(store)[3]["kept"] == [6, 3, 2]
    assert store.purge_deleted() == ["ref-7"]
    assert shown(store)[3]["kept"] == [6, 3, 2]


def test_an_id_of_one_task_leaves_the_others(store, filled, tools):
    filled.add(tools.cells({}), cases=[case(2, "kept", task="other", clock_ms=9)])
    store.delete_id(case(2, "").id, "digits", 5)
    with store.snapshot() as snapshot:
        assert [one.task for one in snapshot.cases(CaseQuery("kept", "1"))] == ["digits", "other"]
    assert shown(store)[3] == {"gone": [1], "kept": [3, 2]}


class Paused(Compaction):
    """A compactor that stops when it has looked for tombstones and not yet written."""

    def __init__(self, session, reached, go):
        super().__init__(session, "main/0")
        stored = self._blocks.stored

        def pause(keys):
            reached.set()
            assert go.wait(30)
            return stored(keys)

        self._blocks.stored = pause


def delete_while_compacting(database, delete):
    """Blocks that are left of a model that is deleted in the midst of a compaction."""
    reached, go = threading.Event(), threading.Event()

    def compact():
        with database.write() as session:
            Paused(session, reached, go).run(9)

    with ThreadPoolExecutor(2) as pool:
        compacting = pool.submit(compact)
        assert reached.wait(30)
        deleting = pool.submit(delete)
        wait([deleting], timeout=0.3)  # it may be done already: then it did not wait for the lock
        go.set()
        compacting.result()
        deleting.result()
    with database.read() as session:
        return session.rows("SELECT count(*) FROM blocks WHERE series = 0")[0][0]


on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)


@on_postgres
@pytest.mark.usefixtures("filled")
def test_a_compactor_at_work_brings_no_block_back(database, store):
    assert delete_while_compacting(database, lambda: store.delete_model("gone", 5)) == 0
    assert shown(store) == WITHOUT


@on_postgres
@pytest.mark.usefixtures("filled")
def test_without_the_lock_it_does(database):
    def delete():
        with database.write() as session:
            tombstone_rows.bury_model(session, "gone", 5)
            tombstone_rows.purge_blocks(session, "main/0")

    assert delete_while_compacting(database, delete) == 1
