"""Cells add up in any order; delay bins are what a slow computation says."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.cells import (
    CellKind,
    Cells,
    concatenate,
    count,
    delay_bin,
    delay_bin_upper_ms,
    empty_cells,
    merge,
    pair_index,
    select,
    split_index,
)

KEYS = st.tuples(
    st.integers(1, 3), st.integers(0, 2), st.sampled_from([0, 1, 2**32 - 1]), st.integers(0, 2)
)
LARGE_KEYS = st.tuples(
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
)
COUNTS = st.integers(-3, 3)
ROWS = st.lists(st.tuples(st.one_of(KEYS, LARGE_KEYS), COUNTS), max_size=12)


def cells(rows):
    """Cells as they come: in any order, with repetition and zeros."""
    columns = list(zip(*(key for key, _ in rows), strict=True)) or [()] * 4
    types = (np.uint8, np.uint32, np.uint32, np.uint64)
    arrays = [np.array(column, of) for column, of in zip(columns, types, strict=True)]
    return Cells(*arrays, np.array([count for _, count in rows], np.int64))


def rows_of(found):
    keys = zip(
        found.kind.tolist(),
        found.series.tolist(),
        found.minute.tolist(),
        found.index.tolist(),
        strict=True,
    )
    return list(zip(keys, found.count.tolist(), strict=True))


def summed(*parts):
    total = Counter()
    for rows in parts:
        for key, weight in rows:
            total[key] += weight
    return sorted((key, weight) for key, weight in total.items() if weight)


@given(ROWS)
def test_merging_sums_sorts_and_leaves_zeros_out(rows):
    assert rows_of(merge([cells(rows)])) == summed(rows)


@given(st.lists(ROWS, max_size=4), st.randoms(use_true_random=False))
def test_merging_is_commutative(parts, random):
    expected = rows_of(merge([cells(rows) for rows in parts]))
    assert expected == summed(*parts)
    random.shuffle(parts)
    assert rows_of(merge([cells(rows) for rows in parts])) == expected


@given(ROWS, ROWS, ROWS)
def test_merging_is_associative(first, second, third):
    a, b, c = cells(first), cells(second), cells(third)
    left = merge([merge([a, b]), c])
    assert rows_of(left) == rows_of(merge([a, merge([b, c])])) == rows_of(merge([a, b, c]))


@given(ROWS)
def test_nothing_is_neutral_and_the_opposite_cancels(rows):
    once = merge([cells(rows)])
    assert rows_of(merge([once, merge([])])) == rows_of(once)
    opposite = Cells(once.kind, once.series, once.minute, once.index, -once.count)
    assert len(merge([once, opposite])) == 0


@given(ROWS)
def test_merging_keeps_the_types_of_columns(rows):
    found, nothing = merge([cells(rows)]), empty_cells()
    for name in ("kind", "series", "minute", "index", "count"):
        assert getattr(found, name).dtype == getattr(nothing, name).dtype


def test_many_parts_of_many_kinds():
    """Long runs of a kind, short ones, and parts that follow one another."""
    rng = np.random.default_rng(3)
    parts = []
    for number, size in enumerate([500, 0, 40, 3, 200, 200]):
        keys = [rng.integers(1, top, size) for top in (4, 3, 5, 9)]
        if number % 2:
            keys[2] += 10 * number
        rows = zip(*(column.tolist() for column in keys), strict=True)
        drawn = [((*key[:3], key[3] << 32 | number % 2), 1 - 2 * (number % 2)) for key in rows]
        parts.append(sorted(drawn) if number > 3 else drawn)
    found = merge([cells(rows) for rows in parts])
    assert rows_of(found) == summed(*parts)
    assert rows_of(merge([found])) == rows_of(found)


@pytest.mark.parametrize("hours", [1, 40], ids=["of one hour", "that follow one another"])
def test_many_blocks(hours):
    """More cells than are packed at a time; some cancel."""
    rng = np.random.default_rng(8)
    total, blocks = Counter(), []
    for number in range(40):
        index = (rng.integers(0, 3, 900) << 32 | rng.integers(0, 2, 900) << 16).astype(np.uint64)
        index += rng.integers(0, 500, 900).astype(np.uint64)
        weight = rng.integers(-1, 3, 900)
        minute = 60 * (number % hours)
        blocks.append(count(CellKind.SCORES, 5, minute, index, weight))
        for key, value in zip(index.tolist(), weight.tolist(), strict=True):
            total[int(CellKind.SCORES), 5, minute, key] += value
    expected = sorted((key, value) for key, value in total.items() if value)
    assert rows_of(merge(blocks)) == expected
    assert rows_of(merge(reversed(blocks))) == expected


def test_parts_that_only_look_ordered_are_still_summed():
    """Ends that follow one another, with a cell out of order, twice or of no count between them."""
    for inner in ((7, 2), (3, 0), (1, 1), (9, -1)):
        first = [((13, 0, 0, key), value) for key, value in ((1, 1), inner, (8, 2))]
        second = [((13, 0, 0, 9), 1)]
        found = merge([cells(first), cells(second)])
        assert rows_of(found) == summed(first, second)


@given(ROWS, st.tuples(*[st.booleans()] * 4))
def test_counting_sums_rows_where_integers_stand_for_all(rows, varying):
    columns = cells(rows)
    names = ("series", "minute", "index", "count")
    chosen = [
        getattr(columns, name) if varies else 3 for name, varies in zip(names, varying, strict=True)
    ]
    size = len(rows) if any(varying) else 1
    filled = [column.tolist() if len(np.shape(column)) else [3] * size for column in chosen]
    expected = summed([((13, *key), weight) for *key, weight in zip(*filled, strict=True)])
    found = count(CellKind.SCORES, *chosen)
    assert rows_of(found) == expected
    nothing = empty_cells()
    for name in ("kind", *names):
        assert getattr(found, name).dtype == getattr(nothing, name).dtype


@given(ROWS, st.data())
def test_selecting_takes_the_marked_cells_in_order(rows, data):
    size = len(rows)
    mask = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    found = select(concatenate([cells(rows)]), np.array(mask, np.bool_))
    assert rows_of(found) == [row for row, taken in zip(rows, mask, strict=True) if taken]


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))))
def test_a_pair_of_classes_is_one_number_and_back(pairs):
    true = np.array([true for true, _ in pairs], np.uint32)
    second = np.array([second for _, second in pairs], np.uint32)
    index = pair_index(true, second)
    assert index.tolist() == [true * 2**32 + second for true, second in pairs]
    assert [column.tolist() for column in split_index(index)] == [true.tolist(), second.tolist()]


DELAYS_MS = st.one_of(st.integers(-(2**62), 2**62), st.integers(-5, 5_000))


def slow_bin(delay_ms):
    """Octave and eighth of (delay + 1) as a single-precision number."""
    value = float(np.float32(max(delay_ms, 0)) + np.float32(1))
    mantissa, exponent = math.frexp(value)  # mantissa in [0.5, 1)
    return 8 * (exponent - 1) + math.floor((2 * mantissa - 1) * 8)


def slow_upper(number):
    octave, eighth = divmod(number + 1, 8)
    return 2.0**octave * (1 + eighth / 8) - 1


def bin_of(delay_ms):
    return int(delay_bin(np.array([delay_ms], np.int64))[0])


def upper_of(number):
    return float(delay_bin_upper_ms(np.array([number], np.uint64))[0])


@given(DELAYS_MS)
def test_a_delay_bin_is_an_eighth_of_an_octave(delay_ms):
    assert bin_of(delay_ms) == slow_bin(delay_ms)


@given(st.integers(0, 8 * 63))
def test_a_bins_upper_bound_is_where_the_next_begins(number):
    assert upper_of(number) == slow_upper(number)


@given(st.integers(0, 2**62))
def test_a_delay_is_below_its_bound_by_at_most_an_eighth(delay_ms):
    upper = upper_of(bin_of(delay_ms))
    assert delay_ms < upper
    assert upper + 1 <= (delay_ms + 1) * 1.125 * (1 + 2**-23)


@given(DELAYS_MS, DELAYS_MS)
def test_bins_are_ordered_as_delays_are(one, other):
    assert (bin_of(one) <= bin_of(other)) or one > other


def test_a_label_that_was_there_first_has_the_first_bin():
    assert [bin_of(delay) for delay in (-(2**62), -1, 0, 1)] == [0, 0, 0, 8]
