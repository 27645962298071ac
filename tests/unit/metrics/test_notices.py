"""Each notice appears when it should, says what to do, and is silent otherwise."""

from dataclasses import replace

import pytest

from leadline.metrics.core.notices import Facts, notices
from leadline.metrics.core.scope import Position
from leadline.metrics.core.view import Counts
from leadline.records.batches import UnobservedReason

FINE = Facts(
    model="digits",
    counts=Counts(),
    predictions=1000,
    labelled=500,
    declared=True,
    id_from="request",
    vector=(Position("main/0", 1, 1, 0),),
)


def codes(facts: Facts) -> list[str]:
    return [each.code for each in notices(facts)]


def with_counts(**counts: object) -> Facts:
    return replace(FINE, counts=replace(Counts(), **counts))


def test_nothing_is_said_when_all_is_well():
    assert notices(FINE) == ()


def test_more_than_one_percent_duplicates():
    assert codes(with_counts(duplicates=10)) == []
    (found,) = notices(with_counts(duplicates=11))
    assert found.code == "duplicate_ids"
    assert found.text.startswith("1.1 % of the predictions repeat an id")
    assert "request ids often collide" in found.text
    assert "id_from: fresh" in found.remedy


def test_first_events_raise_nothing():
    assert codes(replace(with_counts(duplicates=10), predictions=30, labelled=30)) == []


@pytest.mark.parametrize("reason", [*UnobservedReason, 99])
def test_the_commonest_reason_of_what_was_not_logged_is_named(reason):
    found = notices(with_counts(unobserved=((int(reason), 90), (50, 10))))
    assert [each.code for each in found] == ["unobserved"]
    assert "9.1 % of the requests" in found[0].text
    assert "90 of 100" in found[0].text
    assert found[0].remedy


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (with_counts(unmatched=200), "unmatched_labels"),
        (with_counts(clamped=20), "clamped_times"),
        (replace(FINE, labelled=0), "no_labels"),
        (replace(FINE, labelled=29), "few_labels"),
        (replace(FINE, declared=False), "undeclared_model"),
        (
            replace(FINE, vector=(Position("main/0", 1, 1, 0, stopped="cut", remedy="reset"),)),
            "shard_stopped",
        ),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(facts, code):
    (found,) = notices(facts)
    assert found.code == code
    assert found.text
    assert found.remedy


def test_few_labels_says_how_many_are_needed():
    assert "26 more labels" in notices(replace(FINE, labelled=4))[0].remedy


def test_the_gravest_comes_first():
    facts = replace(
        with_counts(duplicates=500),
        declared=False,
        vector=(Position("main/0", 1, 1, 0, stopped="cut"),),
    )
    assert codes(facts) == ["shard_stopped", "duplicate_ids", "undeclared_model"]
