"""Cases: written with the truth, found by what they are, trimmed by age."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.records.batches import InputAbsence
from leadline.records.cases import Case, CaseLabel, CaseRelabel
from leadline.records.cells import empty_cells
from leadline.records.errors import FencedError
from leadline.runtime.store import case_rows
from leadline.runtime.store.port import CaseQuery, Commit


def case(number: int, **changes) -> Case:
    found = Case(
        id=number.to_bytes(16, "big"),
        model="digits",
        version="1",
        task="digits",
        clock_ms=1,
        hash=2**64 - 1 - number,
        event_time_us=1_000 + number,
        predicted=number % 3,
        top_classes=(number % 3, 7),
        top_scores=(0.5 + number / 100, 0.1),
        keep_probability=0.05,
        input_ref=f"ref-{number}",
        input_uri="",
        absence=InputAbsence.PRESENT,
        id_text=f"request {number}",
        slices=(("device", "phone"),),
    )
    return replace(found, **changes)


def label(true_class: int) -> CaseLabel:
    return CaseLabel(true_class, "expert", 2_000, -5, 17)


@pytest.fixture
def save(owner):
    def run(*cases: Case) -> None:
        owner.commit(1, cases=cases)

    return run


@pytest.fixture
def find(store):
    def run(**conditions) -> list[Case]:
        with store.snapshot() as snapshot:
            query = CaseQuery(**{"model": "digits", "version": "1", **conditions})
            found = snapshot.cases(query)
            everything = replace(query, limit=10**6, offset=0)
            assert snapshot.count_cases(query) == len(snapshot.cases(everything))
            return found

    return run


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
cases = st.builds(
    Case,
    id=st.binary(min_size=16, max_size=16),
    model=st.just("odd"),
    version=st.just("1"),
    task=st.just("odd"),
    clock_ms=st.just(7),
    hash=st.integers(0, 2**64 - 1),
    event_time_us=st.integers(-(2**62), 2**62),
    predicted=st.integers(0, 2**32 - 1),
    top_classes=st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple),
    top_scores=st.lists(st.floats(0, 1, width=32), max_size=5).map(tuple),
    keep_probability=st.floats(0, 1, exclude_min=True),
    input_ref=texts,
    input_uri=texts,
    absence=st.sampled_from(InputAbsence),
    id_text=texts,
    slices=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    label=st.none()
    | st.builds(
        CaseLabel,
        st.integers(0, 2**32 - 1),
        texts,
        st.integers(-(2**62), 2**62),
        st.integers(-(2**62), 2**62),
        st.integers(0, 2**62),
    ),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(written=cases)
def test_a_case_comes_back_as_it_was_written(store, owner, written):
    """Whatever a producer puts into its texts: NUL, quotes, any alphabet."""
    owner.commit(1, cases=[written])
    with store.snapshot() as snapshot:
        assert snapshot.case("odd", "1", written.id) == written
        assert written in snapshot.case_versions("odd", written.id)
    assert store.case_labels([("odd", "1", written.id)]) == [written]


def test_a_case_that_is_written_again_is_replaced(save, find, store):
    save(case(1), case(2))
    save(replace(case(1), label=label(2)), case(2), replace(case(2), label=label(0)))
    assert find() == [replace(case(2), label=label(0)), replace(case(1), label=label(2))]
    save(replace(case(1), label=None))
    assert find(errors_only=True) == [replace(case(2), label=label(0))]


def test_a_fenced_commit_leaves_its_cases_out(store, owner, find):
    owner.commit(1)
    stale = replace(owner.state, p=0)
    with pytest.raises(FencedError):
        store.commit(Commit(stale, replace(stale, p=9), empty_cells(), {}, [case(1)]))
    assert find() == []


def test_cases_are_found_by_their_cell(save, find):
    written = [
        case(number, predicted=number % 3, label=label(number // 3 % 2) if number % 4 else None)
        for number in range(24)
    ]
    save(*written)
    for true_class in (None, 0, 1, 5):
        for predicted in (None, 0, 2):
            for errors_only in (False, True):
                expected = [
                    one
                    for one in reversed(written)
                    if true_class is None or (one.label and one.label.true_class == true_class)
                    if predicted is None or one.predicted == predicted
                    if not errors_only or (one.label and one.label.true_class != one.predicted)
                ]
                found = find(true_class=true_class, predicted=predicted, errors_only=errors_only)
                assert found == expected


def test_cases_are_those_of_one_version(save, find):
    save(case(1), case(1, version="2"), case(1, model="other"))
    assert find() == [case(1)]
    assert find(version="2") == [case(1, version="2")]
    assert find(version="3") == []


def test_times_include_the_begin_and_not_the_end(save, find):
    save(*[case(number) for number in range(10)])
    found = find(from_us=1_003, to_us=1_006)
    assert [one.event_time_us for one in found] == [1_005, 1_004, 1_003]


def test_newest_first_and_equal_times_by_id(save, find):
    save(case(3, event_time_us=5), case(1, event_time_us=5), case(2, event_time_us=9))
    assert [one.id[-1] for one in find()] == [2, 1, 3]


def test_by_score_the_surest_first_and_those_without_a_score_last(save, find):
    save(
        case(1, predicted=4, top_classes=(4,), top_scores=(0.7,)),
        case(2, predicted=4, top_classes=(4,), top_scores=()),
        case(3, predicted=4, top_classes=(4,), top_scores=(0.9,)),
        case(4, predicted=4, top_classes=(5, 4), top_scores=(0.95, 0.8)),
        case(5, predicted=4, top_classes=(5,), top_scores=(0.99,)),
    )
    assert [one.id[-1] for one in find(by_score=True)] == [3, 4, 1, 2, 5]


@pytest.mark.parametrize("by_score", [True, False])
def test_pages_hold_every_case_once(save, find, by_score):
    save(*[case(n, event_time_us=n // 4, top_scores=(0.5, 0.1)) for n in range(25)])
    pages = [find(by_score=by_score, limit=7, offset=at) for at in range(0, 35, 7)]
    assert [len(page) for page in pages] == [7, 7, 7, 4, 0]
    every = [one for page in pages for one in page]
    assert every == find(by_score=by_score, limit=100)


def test_slices_are_matched_exactly(save, find):
    """Also where a value looks like a pattern, like JSON, or differs by case only."""
    several = (("device", "phone"), ("site", "3"))
    odd = (("a", '"],["device","phone"'), ("%", "_"), ('q"', "x\\"))
    save(
        case(1, slices=several),
        case(2, slices=odd),
        case(3, slices=(("device", "Phone"),)),
        case(4, slices=(("device", "phones"),)),
        case(5, slices=(("xdevice", "phone"),)),
        case(6, slices=()),
        case(7, slices=(("b[", "device"), ("phone", "device"))),
    )

    def found(*pairs):
        return sorted(one.id[-1] for one in find(slices=pairs))

    assert found(("device", "phone")) == [1]
    assert found(("site", "3"), ("device", "phone")) == [1]
    assert found(("site", "3"), ("device", "Phone")) == []
    assert found(("device", "Phone")) == [3]
    assert found(("%", "_")) == [2]
    assert found(odd[0]) == [2]
    assert found(('q"', "x\\")) == [2]
    assert found(("", "")) == []
    assert found() == [1, 2, 3, 4, 5, 6, 7]


pairs = st.lists(
    st.tuples(st.text('a[],"\\', max_size=3), st.text('a[],"\\', max_size=3)), max_size=3
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=pairs, asked=st.tuples(st.text('a[],"\\', max_size=3), st.text('a[],"\\', max_size=3))
)
def test_no_text_is_mistaken_for_a_slice(save, find, stored, asked):
    save(case(1, slices=tuple(stored)))
    assert bool(find(slices=(asked,))) == (asked in stored)


def test_the_versions_of_one_input_are_found_together(save, store):
    save(case(1), case(1, version="2"), case(1, model="b"), case(1, task="x", model="c"), case(2))
    with store.snapshot() as snapshot:
        found = snapshot.case_versions("digits", case(1).id)
        assert snapshot.case("digits", "9", case(1).id) is None
    assert [(one.model, one.version) for one in found] == [
        ("b", "1"),
        ("digits", "1"),
        ("digits", "2"),
    ]


def test_labels_of_many_keys_are_read_at_once(save, store):
    save(*[case(number, version=str(number % 2)) for number in range(500)])
    keys = [("digits", str(number % 2), case(number).id) for number in range(900)]
    found = store.case_labels([*keys, *keys[:10]])
    assert len(found) == 500
    assert {(one.version, one.id) for one in found} == {key[1:] for key in keys[:500]}
    assert store.case_labels([]) == []


def test_trimming_keeps_the_newest_and_names_blobs_that_nobody_needs(save, find, store):
    save(
        *[case(number) for number in range(6)],
        case(9, event_time_us=1_002, input_ref=""),
        case(0, version="2"),  # the same input as case 0 of version 1
        case(7, model="other", input_ref="ref-1"),
    )
    assert store.trim_cases("digits", "1", 3) == ["ref-2"]
    assert [one.id[-1] for one in find()] == [5, 4, 3]
    assert store.trim_cases("digits", "1", 3) == []
    assert store.trim_cases("digits", "1", 9) == []
    assert store.trim_cases("digits", "2", 0) == ["ref-0"]
    assert store.trim_cases("digits", "1", 0) == ["ref-3", "ref-4", "ref-5"]
    assert find() == []


def test_trimming_cuts_equal_times_by_id(save, find, store):
    save(*[case(number, event_time_us=5) for number in range(6)])
    store.trim_cases("digits", "1", 2)
    assert [one.id[-1] for one in find()] == [0, 1]


@pytest.mark.parametrize("by_score", [False, True])
@pytest.mark.parametrize("cell", [{}, {"true_class": 1, "predicted": 2}])
def test_the_newest_and_the_surest_are_found_by_an_index(database, store, by_score, cell):
    """No sorting of all cases of a version when a page of them is asked for."""
    if by_score and not cell:
        return
    where, values = case_rows._conditions(CaseQuery("m", "1", **cell))
    order = case_rows._SUREST if by_score else case_rows._NEWEST
    sql = f"SELECT detail FROM cases WHERE {where} ORDER BY {order} LIMIT 36"
    with database.write() as session:
        if database.dialect.name == "sqlite":
            plan = session.rows("EXPLAIN QUERY PLAN " + sql, values)
        else:
            session.run("SET LOCAL enable_seqscan = off")
            session.run("SET LOCAL enable_bitmapscan = off")
            plan = session.rows("EXPLAIN " + sql, values)
    text = str(plan)
    assert "TEMP B-TREE" not in text
    assert "Sort" not in text


def relabel(of: Case, to: CaseLabel | None, **changes) -> CaseRelabel:
    found = CaseRelabel(of.model, of.version, of.task, of.id, of.clock_ms, to)
    return replace(found, **changes)


def test_a_label_changes_alone(owner, save, find):
    save(case(1), case(2, label=label(1)), case(3, label=label(0)))
    changes = [relabel(case(1), label(2)), relabel(case(2), None), relabel(case(2), label(0))]
    owner.commit(1, case_labels=[*changes, relabel(case(3), None)])
    assert find() == [case(3), case(2, label=label(0)), case(1, label=label(2))]
    assert find(true_class=0) == [case(2, label=label(0))]
    assert find(errors_only=True) == [case(2, label=label(0)), case(1, label=label(2))]


def test_a_case_of_the_same_commit_is_relabelled(owner, find):
    owner.commit(1, cases=[case(1)], case_labels=[relabel(case(1), label(2))])
    assert find() == [case(1, label=label(2))]


def test_the_label_of_a_case_that_was_deleted_touches_nothing(owner, save, find, store):
    save(case(1), case(2))
    store.trim_cases("digits", "1", 1)
    other = {"model": "b", "version": "2", "task": "t", "id": bytes(16), "clock_ms": 2}
    strangers = [relabel(case(2), label(0), **{name: one}) for name, one in other.items()]
    owner.commit(1, case_labels=[relabel(case(1), label(2)), *strangers])
    assert find() == [case(2)]


def test_a_fenced_commit_leaves_labels_as_they_are(owner, save, find, store):
    save(case(1))
    stale = replace(owner.state, p=0)
    commit = Commit(stale, replace(stale, p=9), empty_cells(), {})
    with pytest.raises(FencedError):
        store.commit(replace(commit, case_labels=[relabel(case(1), label(2))]))
    assert find() == [case(1)]


def test_generations_of_one_id_are_cases_of_their_own(owner, save, find, store):
    old, new = case(1, clock_ms=5), case(1, clock_ms=900, event_time_us=2_000)
    save(new, old, case(1, clock_ms=7, task="other", event_time_us=5))
    owner.commit(1, case_labels=[relabel(old, label(2))])
    old = replace(old, label=label(2))
    assert find(from_us=1_000) == [new, old]
    with store.snapshot() as snapshot:
        assert snapshot.case("digits", "1", new.id) == new
        assert snapshot.case_versions("digits", new.id) == [new]
    assert [one.clock_ms for one in store.case_labels([("digits", "1", new.id)])] == [5, 7, 900]
    store.trim_cases("digits", "1", 1)
    assert find() == [new]


def test_trimming_keeps_one_of_two_generations_of_equal_time(save, find, store):
    save(case(1, clock_ms=5), case(1, clock_ms=6), case(1, clock_ms=5, task="a"))
    assert store.trim_cases("digits", "1", 2) == []
    assert [(one.task, one.clock_ms) for one in find()] == [("a", 5), ("digits", 5)]
