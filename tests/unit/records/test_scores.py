"""Codes, their bounds, and ranks of scores against one score at a time."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from leadline.records.cells import RANK_NONE
from leadline.records.scores import (
    CODES,
    code_lower,
    code_midpoint,
    code_upper,
    ranked_codes,
    ranks,
    score_codes,
    top_codes,
)

EDGES = [
    *(0.0, -0.0, 0.5, 1.0, 2**-149, 2**-126, 0.25, 0.75, 2**-24, 1 - 2**-24),
    *(float(np.nextafter(np.float32(0.5), np.float32(side))) for side in (0, 1)),
]
SCORES = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from([0.0, 0.125, 0.25]),  # few values, so that scores are equal
    st.floats(0, 1, width=32, allow_subnormal=True),
)


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def slow_code(score):
    score = abs(float(score))
    half = bits(0.5) >> 18
    if score < 0.5:
        return bits(score) >> 18
    return 2 * half + 1 - (bits(1 - score) >> 18)


def matrices(classes_max=20):
    shape = st.tuples(st.integers(0, 5), st.integers(1, classes_max))
    return arrays.arrays(np.float32, shape, elements=SCORES)


@given(matrices())
def test_codes_are_mirrored_bits(scores):
    found = score_codes(scores)
    assert found.dtype == np.uint16
    assert found.tolist() == [[slow_code(score) for score in row] for row in scores.tolist()]


def test_codes_at_the_ends_and_in_the_middle():
    below, above = EDGES[-2:]
    scores = np.array([0.0, -0.0, 2**-149, below, 0.5, above, 1 - 2**-24, 1.0], np.float32)
    assert score_codes(scores).tolist() == [0, 0, 0, 4031, 4033, 4034, 4769, 8065]
    assert CODES == 8066


@given(st.lists(SCORES, min_size=2, max_size=20))
def test_codes_are_ordered_as_scores_are(scores):
    found = score_codes(np.sort(np.array(scores, np.float32)))
    assert (np.diff(found.astype(np.int64)) >= 0).all()


@given(SCORES)
def test_a_score_lies_within_the_bounds_of_its_code(score):
    code = slow_code(score)
    lower, middle, upper = (float(f(code)) for f in (code_lower, code_midpoint, code_upper))
    assert lower <= abs(score) <= upper
    assert lower <= middle <= upper
    assert upper - lower <= max(min(lower, 1 - upper) / 32, 2**-131)


def test_the_bounds_of_a_code_are_those_of_its_scores():
    """The first and last float32 of each code below 0.5, and those mirrored."""
    codes = np.arange(4032, dtype=np.uint32)
    first = (codes << np.uint32(18)).view(np.float32)
    last = np.nextafter(((codes + np.uint32(1)) << np.uint32(18)).view(np.float32), np.float32(0))
    assert (score_codes(first) == codes).all()
    assert (score_codes(last) == codes).all()
    assert (code_lower(codes) == first.astype(np.float64)).all()
    assert (code_upper(codes[:-1]) == first[1:].astype(np.float64)).all()
    exact = slice(3456, None)  # from 2**-19 on 1 - score is a float32
    mirrored = np.float32(1) - first[exact]
    assert (score_codes(mirrored) == 8065 - codes[exact]).all()
    assert (code_upper(8065 - codes[exact]) == mirrored.astype(np.float64)).all()


def test_bounds_ascend_and_meet():
    codes = np.arange(CODES)
    lower, upper = code_lower(codes), code_upper(codes)
    assert (lower <= upper).all()
    assert (upper[:-1] == lower[1:]).all()
    assert (lower[0], upper[-1]) == (0.0, 1.0)
    assert lower.dtype == upper.dtype == np.float64
    assert lower[[4032, 4033]].tolist() == upper[[4032, 4033]].tolist() == [0.5, 0.5]


def slow_order(row):
    return sorted(range(len(row)), key=lambda number: (-row[number], number))


def slow_ranks(row):
    order = slow_order(row)
    return [min(order.index(number), RANK_NONE) for number in range(len(row))]


@given(matrices())
def test_ranks_are_places_and_equal_scores_go_by_class(scores):
    found = ranks(scores)
    assert found.dtype == np.uint8
    assert found.tolist() == [slow_ranks(row) for row in scores.tolist()]


@pytest.mark.parametrize(
    ("rows", "classes"),
    [(1_000, 1), (17_000, 3), (1_000, 16), (1_000, 17), (17_000, 18), (500, 64)],
)
def test_ranks_of_many_rows(rows, classes):
    scores = np.random.default_rng(4).integers(0, 12, (rows, classes)).astype(np.float32) / 12
    assert ranks(scores).tolist() == [slow_ranks(row) for row in scores.tolist()]


@given(matrices())
def test_a_ranked_code_has_the_rank_above_the_code(scores):
    found = ranked_codes(scores)
    assert found.dtype == np.uint16
    assert (found >> 13).tolist() == ranks(scores).tolist()
    assert (found & 0x1FFF).tolist() == score_codes(scores).tolist()


@given(matrices(), st.integers(1, 12))
def test_the_best_are_taken_in_order(scores, k):
    classes, codes = top_codes(scores, k)
    expected = [slow_order(row)[:k] for row in scores.tolist()]
    assert classes.tolist() == expected
    assert codes.tolist() == [
        [slow_code(row[number]) for number in best]
        for row, best in zip(scores.tolist(), expected, strict=True)
    ]
    assert (classes.dtype, codes.dtype) == (np.uint32, np.uint16)


def test_scores_are_left_as_they_are():
    scores = np.random.default_rng(4).random((50, 20)).astype(np.float32)
    before = scores.copy()
    ranked_codes(scores)
    top_codes(scores, 3)
    ranked_codes(scores[:, ::2])
    assert (scores == before).all()
