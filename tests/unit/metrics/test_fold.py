"""From matched pairs to cells: every kind against a slow reference; ranks and columns."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.metrics.core.fold import (
    NO_DELAY,
    Pairs,
    Scored,
    fold_pairs,
    no_pairs,
    ranks_of,
)
from leadline.records.cells import RANK_NONE, CellKind, delay_bin
from leadline.records.scores import ranked_codes, ranks

FEW = st.integers(0, 3)
MINUTES = st.one_of(st.integers(58, 62), st.integers(0, 2**32 - 1))
DELAYS = st.one_of(st.just(NO_DELAY), st.integers(-(2**40), 2**40))
ROW = st.tuples(
    st.one_of(FEW, st.integers(0, 2**32 - 1)), MINUTES, FEW, FEW, st.integers(0, 7), DELAYS
)
CODES = st.one_of(st.sampled_from([0, 4031, 8065]), st.integers(0, 8065))


@st.composite
def paired(draw):
    """Rows, and for some of them their scores in each of the forms, as (class, code) lists."""
    rows = draw(st.lists(ROW, max_size=8))
    forms = draw(st.lists(st.sampled_from([None, "dense", "top"]), min_size=len(rows), max_size=8))
    forms = forms[: len(rows)]
    whole = draw(st.booleans()) and rows
    if whole:
        forms = [draw(st.sampled_from(["dense", "top"]))] * len(rows)
    k = draw(st.integers(1, 5))
    lists = []
    for form in forms:
        codes = draw(st.lists(CODES, min_size=k, max_size=k))
        names = list(range(k))
        if form == "top":
            least = draw(st.sampled_from([0, 1000, 2**32 - 8]))
            names = [least + n for n in draw(st.permutations(range(k)))]
        lists.append(list(zip(names, codes, strict=True)) if form else [])
    scored = []
    for form in ("dense", "top"):
        at = [number for number, each in enumerate(forms) if each == form]
        if not at:
            continue
        table = np.array([lists[number] for number in at], np.int64).reshape(-1, k, 2)
        codes = table[:, :, 1].astype(np.uint16)
        if form == "dense":
            codes |= np.uint16(draw(st.integers(0, 7)) << 13)
        scored.append(
            Scored(
                at=None if whole else np.array(at, np.int64),
                classes=table[:, :, 0].astype(np.uint32) if form == "top" else None,
                codes=codes,
            )
        )
    return rows, lists, pairs_of(rows, tuple(scored))


def pairs_of(rows, scored=()):
    columns = list(zip(*rows, strict=True)) or [()] * 6
    types = (np.uint32, np.uint32, np.uint32, np.uint32, np.uint8, np.int64)
    arrays = [np.array(column, of) for column, of in zip(columns, types, strict=True)]
    return Pairs(*arrays, scored)


def slow_fold(rows, lists, sign):
    total = Counter()
    for (series, minute, predicted, true, rank, delay_ms), scores in zip(rows, lists, strict=True):
        pair = true << 32 | predicted
        total[CellKind.CONFUSION, series, minute, pair] += sign
        total[CellKind.RANK, series, minute, true << 32 | rank] += sign
        if delay_ms == NO_DELAY:
            total[CellKind.DEFAULTED, series, minute, 0] += sign
        else:
            late = int(delay_bin(np.array([delay_ms]))[0])
            total[CellKind.DELAY, series, minute, late] += sign
        total[CellKind.ADDED if sign > 0 else CellKind.RETRACTED, series, 0, pair] += 1
        for number, code in scores:
            index = number << 32 | (number == true) << 16 | code
            total[CellKind.SCORES, series, minute - minute % 60, index] += sign
    return total


def rows_of(cells):
    columns = (cells.kind, cells.series, cells.minute, cells.index)
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return list(zip(keys, cells.count.tolist(), strict=True))


def expected_of(*parts):
    total = Counter()
    for part in parts:
        total.update(part)
    return sorted((key, value) for key, value in total.items() if value)


@settings(deadline=None)
@given(paired(), paired())
def test_pairs_become_cells_as_the_rules_say(added, taken):
    found = fold_pairs(added[2], taken[2])
    assert rows_of(found) == expected_of(
        slow_fold(added[0], added[1], 1), slow_fold(taken[0], taken[1], -1)
    )


@settings(deadline=None)
@given(paired())
def test_what_comes_and_goes_leaves_only_history(both):
    rows, _, pairs = both
    found = fold_pairs(pairs, pairs)
    assert set(found.kind.tolist()) <= {CellKind.ADDED, CellKind.RETRACTED}
    assert int(found.count.sum()) == 2 * len(rows)


def test_no_pairs_are_no_cells():
    assert len(fold_pairs(no_pairs(), no_pairs())) == 0
    empty = Scored(None, None, np.empty((0, 3), np.uint16))
    assert len(fold_pairs(pairs_of([], (empty,)), no_pairs())) == 0


def random_pairs(rng, rows, classes, places=1, top=None):
    """Pairs of a size at which every way of counting is chosen, with their lists of scores."""
    columns = [
        rng.integers(0, places, rows),
        rng.integers(29_000_000, 29_000_000 + 40 * places, rows),
        rng.integers(0, classes, rows),
        rng.integers(0, classes, rows),
        rng.integers(0, 8, rows),
        rng.integers(0, 10**6, rows),
    ]
    table = list(zip(*(column.tolist() for column in columns), strict=True))
    k = top or classes
    names = np.tile(np.arange(classes), (rows, 1))
    if top:
        names = rng.permuted(names, axis=1)[:, :top]
    codes = rng.integers(0, 8066, (rows, k))
    lists = [
        list(zip(*each, strict=True)) for each in zip(names.tolist(), codes.tolist(), strict=True)
    ]
    scored = Scored(None, names.astype(np.uint32) if top else None, codes.astype(np.uint16))
    return table, lists, pairs_of(table, (scored,))


@pytest.mark.parametrize("places", [1, 2, 30])
@pytest.mark.parametrize("rows", [3, 200, 12_000])
@pytest.mark.parametrize(("classes", "top"), [(1, None), (3, None), (10, None), (300, 5)])
def test_batches_of_every_size(rows, classes, top, places):
    rng = np.random.default_rng(rows + classes)
    added = random_pairs(rng, rows, classes, places, top)
    for taken in (random_pairs(rng, rows // 3, classes, places, top), ([], [], no_pairs())):
        assert rows_of(fold_pairs(added[2], taken[2])) == expected_of(
            slow_fold(added[0], added[1], 1), slow_fold(taken[0], taken[1], -1)
        )


STEPS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])  # few values, so that scores are equal


@st.composite
def score_matrices(draw):
    rows, classes = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    found = draw(st.lists(STEPS, min_size=rows * classes, max_size=rows * classes))
    return np.array(found, np.float32).reshape(rows, classes)


@settings(deadline=None)
@given(score_matrices(), st.integers(0, 15))
def test_a_rank_is_read_from_dense_codes(scores, true):
    rows, classes = scores.shape
    places = ranks(scores)
    expected = places[:, true].tolist() if true < classes else [RANK_NONE] * rows
    scored = Scored(None, None, ranked_codes(scores))
    column = np.full(rows, true, np.uint32)
    assert ranks_of(column, scored, np.zeros(rows, np.uint32)).tolist() == expected


@given(st.lists(st.permutations(range(9)), min_size=1, max_size=4), st.integers(0, 9))
def test_a_rank_is_the_place_in_a_list_of_the_best(lists, true):
    scored = Scored(None, np.array(lists, np.uint32), np.zeros((len(lists), 9), np.uint16))
    expected = [min(best.index(true), RANK_NONE) if true in best else RANK_NONE for best in lists]
    column = np.full(len(lists), true, np.uint32)
    found = ranks_of(column, scored, np.zeros(len(lists), np.uint32))
    assert found.tolist() == expected
    assert found.dtype == np.uint8


def test_rows_without_scores_know_the_predicted_class_only():
    true, predicted = np.array([3, 3, 3], np.uint32), np.array([3, 1, 1], np.uint32)
    assert ranks_of(true, None, predicted).tolist() == [0, RANK_NONE, RANK_NONE]
    scored = Scored(np.array([2]), np.array([[1, 3]], np.uint32), np.zeros((1, 2), np.uint16))
    assert ranks_of(true, scored, predicted).tolist() == [0, RANK_NONE, 1]
    assert ranks_of(true[:0], None, predicted[:0]).tolist() == []
