from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.console.core import words
from leadline.console.core.figures import Rate
from leadline.console.core.wilson import wilson

N = words.NARROW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, f"0.3{N}s"),
        (0, f"0{N}s"),
        (31, f"31{N}s"),
        (2040, f"34{N}min"),
        (11_160, f"3.1{N}h"),
        (72_000, f"20{N}h"),
        (2.4 * 86400, f"2.4{N}d"),
        (26 * 86400, f"26{N}d"),
        (None, words.NONE),
    ],
)
def test_a_duration_has_one_unit(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [(999, "999"), (25_830, f"25.8{N}k"), (212_000, f"212{N}k"), (1_200_000, f"1.2{N}M")],
)
def test_a_compact_count(n, text):
    assert words.compact(n) == text


def test_decimals_follow_the_interval():
    assert words.rate(wilson(17_580, 19_605)) == "89.7"
    assert words.interval(wilson(17_580, 19_605)) == "89.2\u201390.1"
    assert words.rate(wilson(20, 23)) == "87"
    assert words.interval(wilson(20, 23)) == "68\u201395"


def test_a_share_says_all_or_nothing_only_when_it_is():
    assert words.share(0.0001) == "<1"
    assert words.share(0.9999) == ">99"
    assert words.share(0.0) == "0"
    assert words.share(1.0) == "100"
    assert words.percent(0.9999) == "99.9"
    assert words.cell_share(0.0001) == "<0.1"


def test_without_trials_there_is_no_number():
    assert words.rate(Rate()) == words.NONE
    assert words.interval(Rate()) == ""


@pytest.mark.parametrize(
    ("probabilities", "text"),
    [
        ([1 / 6, 1 / 6], "1 error in 6 is kept"),
        ([1.0], "every error is kept"),
        ([0.5, 0.05], "1 error in 2 to 20 is kept"),
        ([], ""),
    ],
)
def test_how_many_are_kept(probabilities, text):
    assert words.one_in(probabilities, "error") == text


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_wilson_holds_its_value(successes, more):
    rate = wilson(successes, successes + more)
    assert rate.value is not None
    assert rate.lower is not None
    assert rate.upper is not None
    assert 0 <= rate.lower <= rate.value <= rate.upper <= 1
