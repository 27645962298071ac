"""Rules as JSON: what was written comes back, what is not known stops."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.errors import StoppedError
from leadline.records.rules import KINDS, ExceptionRow, Rules, RulesRow
from leadline.records.rules_json import (
    fact_from_json,
    fact_to_json,
    rules_from_json,
    rules_to_json,
)

numbers = st.integers(0, 2**53)
rules = st.builds(
    Rules,
    *[numbers] * 7,
    default_labels=st.dictionaries(st.text(max_size=5), st.integers(0, 2**32), max_size=3),
    kinds=st.sets(st.sampled_from(sorted(KINDS))).map(frozenset),
)
rows = st.builds(RulesRow, numbers, numbers, numbers, rules) | st.builds(
    ExceptionRow, st.integers(0, 1), numbers, numbers, numbers
)


@given(written=rules)
def test_rules_come_back_as_they_were_written(written):
    assert rules_from_json(rules_to_json(written)) == written


@given(shard=st.text(max_size=8), row=rows)
def test_rows_come_back_with_their_shard(shard, row):
    assert fact_from_json(fact_to_json(shard, row)) == (shard, row)


def test_equal_rules_are_equal_bytes():
    one = Rules(default_labels={"a": 1, "b": 2})
    other = Rules(default_labels={"b": 2, "a": 1})
    assert rules_to_json(one) == rules_to_json(other)
    assert fact_to_json("main/0", ExceptionRow(1, 2, 3, 4)) == (
        b'{"append_ms":4,"from_offset":2,"kind":"exception","shard":"main/0","side":1,'
        b'"to_offset":3}'
    )


def changed(**changes):
    found = json.loads(rules_to_json(Rules()))
    found.update(changes)
    return json.dumps({name: one for name, one in found.items() if one is not ...})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (changed(merge_window_ms=1), "merge_window_ms"),
        (changed(pairs_max=...), "pairs_max"),
        (changed(kinds=["scores", "heat"]), "heat"),
        (changed(label_window_ms="x"), "type"),
        (changed(default_labels=[1]), "type"),
        ("[]", "object"),
        ("{", "no JSON"),
    ],
)
def test_what_is_not_known_stops(text, why):
    with pytest.raises(StoppedError, match=why) as raised:
        rules_from_json(text)
    assert "Upgrade the metric service" in raised.value.remedy


@pytest.mark.parametrize(
    "value",
    [
        b'{"shard":"main/0","kind":"merge"}',
        b'{"kind":"rules"}',
        b'{"shard":"main/0","kind":"rules","number":0,"from_p":0,"from_l":0}',
        b'{"shard":"main/0","kind":"exception","side":0}',
        b'{"shard":"main/0","kind":"exception","side":0,"more":1}',
    ],
)
def test_a_record_that_is_not_known_stops(value):
    with pytest.raises(StoppedError):
        fact_from_json(value)
