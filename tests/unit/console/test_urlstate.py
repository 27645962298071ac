from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.console.core.urlstate import (
    NEED_FIGURES,
    NEED_GOALS,
    NORMS,
    ORDERS,
    SCALES,
    TOPS,
    WINDOWS,
    Need,
    View,
    number_text,
    parse,
    query,
    with_slice,
)

MINUTE = 60_000_000
numbers = st.none() | st.integers(0, 999_999)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
columns = names.filter(lambda text: ":" not in text)
fixed = st.tuples(st.integers(1, 30_000_000), st.integers(1, 500_000)).map(
    lambda pair: {"start_us": pair[0] * MINUTE, "end_us": (pair[0] + pair[1]) * MINUTE}
)
moving = st.fixed_dictionaries({"window": st.sampled_from([key for key, _ in WINDOWS])})
shares = st.floats(0, 1).map(lambda x: float(number_text(x)) if x > 1e-9 else 0.0)
needs = st.builds(Need, st.sampled_from(NEED_FIGURES), shares, st.sampled_from(NEED_GOALS))


@st.composite
def views(draw):
    slices = draw(st.dictionaries(columns, names, max_size=3))
    return View(
        **draw(fixed | moving),
        slices=tuple(sorted(slices.items())),
        true=draw(numbers),
        pred=draw(numbers),
        case=draw(st.sampled_from(["", "0193a5e2"])),
        norm=draw(st.sampled_from(NORMS)),
        scale=draw(st.sampled_from(SCALES)),
        order=draw(st.sampled_from(ORDERS)),
        top=draw(st.sampled_from(TOPS)),
        find=draw(st.just("") | names),
        part=draw(st.integers(1, 9999)),
        label=draw(numbers),
        threshold=draw(st.none() | shares),
        cost=draw(st.none() | st.tuples(st.integers(1, 999).map(float), shares)),
        need=draw(st.none() | needs),
        vs=draw(st.just("") | names),
        at=draw(st.sampled_from(["", "main/0:12:3,main/1:4:5"])),
    )


@given(views())
def test_a_view_survives_its_url(view):
    assert parse(parse_qsl(query(view), keep_blank_values=True)) == view


@given(st.lists(st.tuples(st.sampled_from(["from", "to", "true", "case", "at", "x"]), names)))
def test_what_is_not_understood_is_left_out(pairs):
    view = parse(pairs)
    assert parse(parse_qsl(query(view))) == view


@pytest.mark.parametrize(
    "pair",
    [
        ("threshold", "1.5"),
        ("threshold", "-0.1"),
        ("threshold", "nan"),
        ("threshold", "."),
        ("cost", "0:0"),
        ("cost", "1"),
        ("cost", "1e99:1"),
        ("need", "recall:2:precision"),
        ("need", "speed:0.5:precision"),
        ("need", "recall:0.5:luck"),
        ("part", "0"),
        ("class", "x"),
    ],
)
def test_a_choice_that_cannot_be_meant_is_the_default(pair):
    assert parse([pair]) == View()


def test_the_fields_of_a_form_are_the_same_as_the_link():
    fields = [("need_figure", "recall"), ("need_bound", "0.95"), ("need_goal", "precision")]
    fields += [("missed", "5"), ("false_alarm", "1.0"), ("threshold", "0.050")]
    assert query(parse(fields)) == "threshold=0.05&cost=5:1&need=recall:0.95:precision"


def test_the_default_has_no_query():
    assert query(View()) == ""
    assert parse([]) == View()


@pytest.mark.parametrize("window", ["0h", "x", "999999d", "-1h", "5w"])
def test_an_absurd_window_is_the_default(window):
    assert parse([("window", window)]).window == "24h"


def test_a_fixed_window_must_not_end_before_it_starts():
    pairs = [("from", "2026-11-22T10:00Z"), ("to", "2026-11-22T09:00Z")]
    assert not parse(pairs).fixed


def test_a_form_without_a_zone_means_utc():
    pairs = [("from", "2026-11-22T10:00"), ("to", "2026-11-22T11:00")]
    assert query(parse(pairs)) == "from=2026-11-22T10:00Z&to=2026-11-22T11:00Z"


def test_a_slice_column_has_one_value():
    view = with_slice(View(slices=(("device", "a"),), case="12"), "device", "b")
    assert view.slices == (("device", "b"),)
    assert view.case == ""
    assert with_slice(view, "device", None).slices == ()
