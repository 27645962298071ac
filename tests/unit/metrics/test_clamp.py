"""Times brought within the append time +- the bound, against the rule by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.metrics.core.arrivals import clamp

APPENDED = np.array([5_000])
"""Append time of the examples, in milliseconds."""
TIMES = st.integers(0, 2**62)
APPEND_MS = st.integers(0, 2**42)
BOUNDS_MS = st.integers(1, 2**32)


@given(st.lists(TIMES, max_size=6), APPEND_MS, BOUNDS_MS, st.booleans())
def test_a_time_is_brought_within_the_bound(times, append_ms, bound_ms, imported):
    rows = np.full(len(times), append_ms, np.int64)
    found, clamped = clamp(np.array(times, np.int64), rows, bound_ms, imported=imported)
    now, bound_us = append_ms * 1000, bound_ms * 1000
    low = 0 if imported else max(now - bound_us, 0)
    expected = [low if time < low else min(time, now + bound_us) for time in times]
    assert found.tolist() == expected
    assert clamped.tolist() == [one != other for one, other in zip(times, expected, strict=True)]


@pytest.mark.parametrize(
    ("offset", "changed"), [(-1, True), (0, False), (2000, False), (2001, True)]
)
def test_the_bounds_themselves_are_within(offset, changed):
    times = np.array([5_000_000 - 1000 + offset])
    _, clamped = clamp(times, APPENDED, 1, imported=False)
    assert clamped.tolist() == [changed]


def test_history_may_be_old_and_never_in_the_future():
    times = np.array([0, 1, 9_000_000])
    found, clamped = clamp(times, np.repeat(APPENDED, 3), 1, imported=True)
    assert found.tolist() == [0, 1, 5_001_000]
    assert clamped.tolist() == [False, False, True]
