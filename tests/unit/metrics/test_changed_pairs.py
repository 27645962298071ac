"""From changes to cells: ranks and folds against slow references."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leadline.metrics.core.changed_pairs import fold_changed, fold_minutes, rank_of
from leadline.metrics.core.join import NO_CLASS, Pairs, ranked_classes
from leadline.records.cells import RANK_NONE, RANKS_MAX, CellKind, concatenate, delay_bin

STEPS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])  # few values, so that scores are equal


@st.composite
def score_matrices(draw):
    rows, classes = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    size = rows * classes
    found = draw(st.lists(STEPS, min_size=size, max_size=size))
    return np.array(found, np.float32).reshape(rows, classes)


def slow_ranked(scores):
    order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))[:RANKS_MAX]
    return order + [NO_CLASS] * (RANKS_MAX - len(order))


@given(score_matrices())
def test_equal_scores_are_ordered_by_class_number(scores):
    nobody = np.zeros(len(scores), np.uint32)
    found = ranked_classes(scores, None, nobody)
    assert found.dtype == np.uint32
    assert found.tolist() == [slow_ranked(row.tolist()) for row in scores]


@given(score_matrices(), st.integers(0, 15))
def test_a_rank_is_the_place_of_the_true_class(scores, true):
    nobody = np.zeros(len(scores), np.uint32)
    ranked = ranked_classes(scores, None, nobody)
    found = rank_of(ranked, np.full(len(scores), true, np.uint32))
    expected = []
    for row in scores.tolist():
        places = slow_ranked(row)
        expected.append(places.index(true) if true in places else RANK_NONE)
    assert found.tolist() == expected


def test_given_ranks_are_taken_as_they_are_and_cut_at_seven():
    top = np.arange(24, dtype=np.uint32).reshape(2, 12)
    found = ranked_classes(None, top, np.zeros(2, np.uint32))
    assert found.tolist() == [list(range(7)), list(range(12, 19))]
    assert rank_of(found, np.array([6, 19], np.uint32)).tolist() == [6, RANK_NONE]


def test_without_scores_only_the_predicted_class_has_a_rank():
    found = ranked_classes(None, None, np.array([3, 7], np.uint32))
    assert found.tolist() == [[3] + [NO_CLASS] * 6, [7] + [NO_CLASS] * 6]
    assert rank_of(found, np.array([3, 3], np.uint32)).tolist() == [0, RANK_NONE]


ROW = st.tuples(
    st.sampled_from([-1, 1]),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
    st.integers(0, 3),
    st.lists(st.integers(0, 4), max_size=RANKS_MAX, unique=True),
    st.integers(0, 5),
    st.integers(-(2**40), 2**40),
)


def pairs_of(rows):
    ranked = [row[4] + [NO_CLASS] * (RANKS_MAX - len(row[4])) for row in rows]
    columns = list(zip(*rows, strict=True)) or [()] * 7
    return Pairs(
        sign=np.array(columns[0], np.int64),
        series=np.array(columns[1], np.uint32),
        minute=np.array(columns[2], np.uint32),
        predicted=np.array(columns[3], np.uint32),
        ranked=np.array(ranked, np.uint32).reshape(-1, RANKS_MAX),
        true_class=np.array(columns[5], np.uint32),
        delay_ms=np.array(columns[6], np.int64),
    )


def counts_of(cells):
    found = Counter()
    columns = (cells.kind, cells.series, cells.minute, cells.index, cells.count)
    for kind, series, minute, index, count in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        found[CellKind(kind).name, series, minute, index] += count
    return {key: count for key, count in found.items() if count}


@given(st.lists(ROW, max_size=8))
def test_pairs_become_five_kinds_of_cells(rows):
    expected = Counter()
    for sign, series, minute, predicted, ranked, true, delay_ms in rows:
        pair = true << 32 | predicted
        rank = ranked.index(true) if true in ranked else RANK_NONE
        delay = int(delay_bin(np.array([delay_ms]))[0])
        expected["CONFUSION", series, minute, pair] += sign
        expected["RANK", series, minute, true << 32 | rank] += sign
        expected["DELAY", series, minute, delay] += sign
        expected["ADDED" if sign > 0 else "RETRACTED", series, 0, pair] += 1
    found = counts_of(concatenate(fold_changed(pairs_of(rows))))
    assert found == {key: count for key, count in expected.items() if count}


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([-1, 1])), max_size=8))
def test_minutes_become_cells_of_one_series(changes):
    expected = Counter()
    for minute, sign in changes:
        expected["UNMATCHED", 7, minute, 0] += sign
    found = counts_of(fold_minutes(CellKind.UNMATCHED, 7, changes))
    assert found == {key: count for key, count in expected.items() if count}
