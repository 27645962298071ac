"""Names, pages, budgets, declarations: the parts behind the API."""

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from leadline.metrics.api import names, pages
from leadline.metrics.api.convert import class_name
from leadline.metrics.core.budget import choose_classes, choose_pairs, outcomes
from leadline.metrics.core.declare import changes_of, check_change
from leadline.metrics.core.figures import ClassFigures, Rate, tally
from leadline.metrics.core.scope import Last, Scope, Window
from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec, ModelSpec
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import evaluation_pb2 as messages

PLACE = {"after": str, "from": int}


def test_scopes_are_read():
    message = messages.Scope(name="models/digits/versions/2", last=Duration(seconds=3601))
    message.slices.add(column="device", value="phone")
    assert names.parse_scope(message) == Scope("digits", "2", Last(61), (("device", "phone"),))
    assert names.parse_scope(messages.Scope(name="models/digits")) == Scope("digits")
    interval = messages.Interval()
    interval.start_time.FromSeconds(119)
    interval.end_time.FromSeconds(121)
    found = names.parse_scope(messages.Scope(name="models/digits", interval=interval))
    assert found.window == Window(1, 3)


@pytest.mark.parametrize(
    "message",
    [
        messages.Scope(),
        messages.Scope(name="digits"),
        messages.Scope(name="models/"),
        messages.Scope(name="models/a/versions/"),
        messages.Scope(name="models/a/version/1"),
        messages.Scope(name="models/a/versions/1/cases/2"),
        messages.Scope(name="models/a", last=Duration()),
        messages.Scope(name="models/a", last=Duration(seconds=-60)),
        messages.Scope(name="models/a", last=Duration(seconds=10**10)),
        messages.Scope(name="models/a", interval=messages.Interval()),
        messages.Scope(name="models/a", slices=[messages.SliceValue(value="x")]),
    ],
)
def test_scopes_that_cannot_be_meant_name_their_field(message):
    with pytest.raises(FieldError) as refused:
        names.parse_scope(message)
    assert refused.value.field.startswith("scope.")


def test_case_names_go_both_ways():
    name = names.case_name("digits", "1", bytes(range(16)))
    assert names.parse_case(name) == names.CaseName("digits", "1", bytes(range(16)))
    for wrong in ("", "models/a/versions/1/cases/00", name + "0", name.replace("cases", "case")):
        with pytest.raises(FieldError):
            names.parse_case(wrong)


def test_tokens_carry_a_place():
    place = {"after": "digits", "from": 5}
    token = pages.write_token("question", place)
    assert pages.read_token(token, "question", PLACE) == place
    assert pages.read_token("", "question", PLACE) is None


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "%%%",
        "A" * 5000,
        pages.write_token("another question", {"after": "digits", "from": 5}),
        pages.write_token("question", {"after": "digits"}),
        pages.write_token("question", {"after": 5, "from": 5}),
        pages.write_token("question", {"after": "digits", "from": 5, "more": 1}),
    ],
)
def test_tokens_of_other_questions_are_refused(token):
    with pytest.raises(FieldError) as refused:
        pages.read_token(token, "question", PLACE)
    assert refused.value.field == "page_token"


def test_a_question_is_a_request_without_its_page():
    one = messages.ListCasesRequest(page_size=5, page_token="x", errors_only=True)
    same = messages.ListCasesRequest(page_size=9, errors_only=True)
    assert pages.question_digest(one) == pages.question_digest(same)
    assert pages.question_digest(one) != pages.question_digest(messages.ListCasesRequest())


def test_page_sizes_are_bounded():
    assert [pages.page_size(asked, 36, 500) for asked in (0, 1, 500, 501)] == [36, 1, 500, 500]
    with pytest.raises(FieldError):
        pages.page_size(-1, 36, 500)


def pairs(**counts: int):
    """Pairs by "tXpY" names."""
    index = [int(name[1]) << 32 | int(name[3]) for name in counts]
    return tally(np.array(index, np.uint64), np.array(list(counts.values()), np.int64))


def chosen_names(chosen: frozenset[int]) -> set[str]:
    return {f"t{index >> 32}p{index & 0xFFFFFFFF}" for index in chosen}


def test_pairs_within_the_budget_are_all_exported():
    assert chosen_names(choose_pairs(pairs(t0p0=5, t0p1=1), frozenset(), 2)) == {"t0p0", "t0p1"}


def test_confusions_go_before_the_diagonal():
    found = choose_pairs(pairs(t0p0=500, t0p1=1, t1p0=3, t1p1=400), frozenset(), 2)
    assert chosen_names(found) == {"t0p1", "t1p0"}


def test_an_exported_pair_stays_until_twice_the_budget():
    first = choose_pairs(pairs(t0p1=9, t0p2=8, t0p3=1), frozenset(), 2)
    second = choose_pairs(pairs(t0p1=9, t0p2=8, t0p3=20, t0p4=30), first, 2)
    assert chosen_names(second) == {"t0p1", "t0p2", "t0p3", "t0p4"}
    third = choose_pairs(pairs(t0p1=9, t0p2=8, t0p3=20, t0p4=30, t0p5=99), second, 2)
    assert chosen_names(third) == {"t0p4", "t0p5"}


def test_outcomes_count_all_pairs():
    assert outcomes(pairs(t0p0=500, t0p1=1, t1p0=3, t1p1=400)) == (900, 4)


def some_classes(*errors, support=100):
    """A class for each number of missed inputs; a last one that never occurred."""
    found = [
        ClassFigures(number, support, 1, Rate(0, 0), Rate(support - missed, support), None)
        for number, missed in enumerate(errors)
    ]
    return [*found, ClassFigures(len(errors), 0, 0, Rate(0, 0), Rate(0, 0), None)]


def numbers(classes):
    return [each.number for each in classes]


def test_the_classes_with_the_most_errors_are_chosen():
    assert numbers(choose_classes(some_classes(1, 9, 5), frozenset(), 2)) == [1, 2]
    assert numbers(choose_classes(some_classes(1, 9, 5), frozenset(), 9)) == [0, 1, 2]
    assert numbers(choose_classes(some_classes(4, 4, 4), frozenset(), 2)) == [0, 1]


def test_wrongly_said_counts_as_an_error():
    often_said = ClassFigures(7, 0, 90, Rate(0, 50), Rate(0, 0), None)
    assert numbers(choose_classes([*some_classes(9), often_said], frozenset(), 1)) == [7]


def test_a_class_that_is_shown_stays_until_another_is_clearly_worse():
    shown = frozenset({0})
    assert numbers(choose_classes(some_classes(8, 9), shown, 1)) == [0]
    assert numbers(choose_classes(some_classes(8, 10), shown, 1)) == [0]  # a quarter: not more
    assert numbers(choose_classes(some_classes(8, 11), shown, 1)) == [1]
    assert numbers(choose_classes(some_classes(8, 9), frozenset(), 1)) == [1]  # the control
    assert numbers(choose_classes(some_classes(0, 0, 0), frozenset({2}), 1)) == [2]


def test_a_class_beyond_the_list_cannot_be_mistaken_for_a_declared_one():
    spec = ModelSpec("m", classes=("1", "0"))
    assert [class_name(spec, number) for number in (0, 1, 2)] == ["1", "0", "#2"]
    assert class_name(None, 2) == "2"


def test_class_lists_only_grow():
    old = ModelSpec("m", classes=("cat", "dog"))
    check_change(old, ModelSpec("m", classes=("cat", "dog", "owl")), [old])
    for classes in (("cat",), ("dog", "cat"), ()):
        with pytest.raises(UsageError, match="only grows"):
            check_change(old, ModelSpec("m", classes=classes), [old])
    check_change(old, ModelSpec("m", task="pets", classes=("dog",)), [old])


def test_models_of_a_task_share_its_classes():
    other = ModelSpec("a", task="pets", classes=("cat", "dog"))
    check_change(None, ModelSpec("b", task="pets", classes=("cat",)), [other])
    with pytest.raises(UsageError, match="calls class 1 'dog'"):
        check_change(None, ModelSpec("b", task="pets", classes=("cat", "owl")), [other])


def test_changes_are_said_in_words():
    old = ModelSpec("m", classes=("cat",))
    new = ModelSpec("m", classes=("cat", "dog"), champion="2", input=InputSpec(form=InputForm.TEXT))
    assert changes_of(old, new) == [
        "classes: grow from 1 to 2 by 'dog'.",
        "input.form: was unspecified, is text.",
        "champion: was '', is '2'.",
    ]
    assert changes_of(old, old) == []
