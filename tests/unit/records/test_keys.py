"""Sums by key equal those of a dictionary, whichever way they are found."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.keys import sum_by_key, sum_chunks

TYPES = {np.uint8: 8, np.uint32: 32, np.uint64: 64}
WEIGHTS = st.one_of(st.integers(-2, 2), st.integers(-(2**55), 2**55))


@st.composite
def tables(draw):
    """Up to four columns, of few values or any, and weights that may cancel."""
    types = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
    rows = draw(st.integers(0, 40))
    columns = []
    for of in types:
        low = draw(st.integers(0, 2 ** TYPES[of] - 1))
        high = draw(st.sampled_from([low, min(low + 2, 2 ** TYPES[of] - 1), 2 ** TYPES[of] - 1]))
        found = draw(st.lists(st.integers(low, high), min_size=rows, max_size=rows))
        columns.append(np.array(found, of))
    weights = draw(st.lists(WEIGHTS, min_size=rows, max_size=rows))
    return columns, np.array(weights, np.int64)


def slow(columns, weights):
    total = Counter()
    for *key, weight in zip(*(column.tolist() for column in columns), weights, strict=True):
        total[tuple(key)] += weight
    return sorted((key, value) for key, value in total.items() if value)


def rows_of(found):
    columns, sums = found
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return list(zip(keys, sums.tolist(), strict=True))


@given(tables())
def test_sums_are_those_of_a_dictionary(table):
    columns, weights = table
    assert rows_of(sum_by_key(columns, weights)) == slow(columns, weights.tolist())


@given(tables(), st.sampled_from([-1, 0, 1, 5, 2**40]))
def test_one_weight_stands_for_every_row(table, weight):
    columns, _ = table
    found = sum_by_key(columns, weight)
    assert rows_of(found) == slow(columns, [weight] * len(columns[0]))


@given(tables())
def test_types_are_kept(table):
    columns, weights = table
    found, sums = sum_by_key(columns, weights)
    assert [column.dtype for column in found] == [column.dtype for column in columns]
    assert sums.dtype == np.int64


RANGES = {
    "dense": [8, 8],
    "dense, one value": [1, 1],
    "four bytes": [2**16, 2**15],
    "eight bytes": [2**20, 2**31],
    "all of eight bytes": [2**32, 2**32],
    "more than eight bytes": [2**32, 2**32, 2**10],
}
LARGEST = {"ones": 1, "small": 100, "beyond the bits that are left": 2**61}


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("ranges", RANGES)
def test_many_rows_in_every_form_of_key(ranges, largest):
    rng = np.random.default_rng(5)
    drawn = [rng.integers(0, top, 300, dtype=np.uint64) for top in RANGES[ranges]]
    again = rng.integers(0, 300, 600)
    columns = [np.append(column, column[again]) for column in drawn]
    weights = rng.integers(-LARGEST[largest] // 900, LARGEST[largest] // 900 + 2, 900)
    for given_weights in (weights, np.abs(weights) + 1, np.ones(900, np.int64)):
        found = sum_by_key(columns, given_weights)
        assert rows_of(found) == slow(columns, given_weights.tolist())
    assert rows_of(sum_by_key(columns, -1)) == slow(columns, [-1] * 900)


@pytest.mark.parametrize("ranges", RANGES)
def test_what_cancels_is_left_out(ranges):
    rng = np.random.default_rng(6)
    columns = [np.tile(rng.integers(0, top, 50, dtype=np.uint64), 2) for top in RANGES[ranges]]
    weights = rng.integers(1, 2**62, 50)
    found, sums = sum_by_key(columns, np.append(weights, -weights))
    assert [len(column) for column in found] == [0] * len(columns)
    assert len(sums) == 0


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("ranges", RANGES)
def test_chunks_sum_as_their_rows_do(ranges, largest):
    rng = np.random.default_rng(7)
    columns = [rng.integers(0, top, 700, dtype=np.uint64) for top in RANGES[ranges]]
    weights = rng.integers(-LARGEST[largest] // 700, LARGEST[largest] // 700 + 2, 700)
    cuts = [0, 1, 300, 700]
    chunks = [
        ([column[begin:end] for column in columns], weights[begin:end])
        for begin, end in itertools.pairwise(cuts)
    ]
    assert rows_of(sum_chunks(chunks)) == slow(columns, weights)
