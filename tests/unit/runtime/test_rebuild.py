"""Stored and recomputed cells, compared at the stored resolution."""

import numpy as np
import pytest

from leadline.records.cells import CellKind, Cells, empty_cells, merge
from leadline.runtime.store.rebuild import SHOWN_MAX, CellDifference, compare, history_of
from leadline.runtime.store.resolution import DAY, QUARTER_STEP, SCORES_STEP, Rolled

QUARTERS = Rolled(quarter=20 * QUARTER_STEP, scores=4 * SCORES_STEP)
UNTIL = QUARTERS.quarter
CONFUSION, SCORES = int(CellKind.CONFUSION), int(CellKind.SCORES)


def cells(rows):
    if not rows:
        return empty_cells()
    types = (np.uint8, np.uint32, np.uint32, np.uint64)
    columns = zip(zip(*rows, strict=True), types, strict=True)
    keys = (np.array(column, dtype) for column, dtype in columns)
    return merge([Cells(*keys, np.array(list(rows.values()), np.int64))])


def test_what_is_equal_at_the_stored_resolution_is_equal():
    stored = cells({(CONFUSION, 1, UNTIL - 15, 3): 5, (CONFUSION, 1, UNTIL, 3): 1})
    recomputed = cells(
        {
            (CONFUSION, 1, UNTIL - 15, 3): 2,
            (CONFUSION, 1, UNTIL - 1, 3): 3,
            (CONFUSION, 1, UNTIL, 3): 1,
        }
    )
    found = compare(stored, recomputed, QUARTERS, 0)
    assert (found.compared, len(found.differing), found.shown) == (2, 0, ())
    assert len(compare(stored, recomputed, Rolled(), 0).differing) == 2


@pytest.mark.parametrize("kind", list(CellKind))
def test_every_kind_is_compared_but_those_of_history(kind):
    minute = 0 if kind in (CellKind.ADDED, CellKind.RETRACTED) else UNTIL
    found = compare(cells({(int(kind), 1, minute, 0): 1}), empty_cells(), QUARTERS, 0)
    assert len(found.differing) == (0 if minute == 0 else 1)


def test_a_difference_names_both_counts_and_cells_that_one_side_lacks():
    stored = cells({(CONFUSION, 1, UNTIL, 1): 5, (CONFUSION, 1, UNTIL, 2): 6})
    recomputed = cells({(CONFUSION, 1, UNTIL, 1): 4, (CONFUSION, 2, UNTIL, 2**63): 7})
    found = compare(stored, recomputed, QUARTERS, 0)
    assert found.shown == (
        CellDifference(CONFUSION, 1, UNTIL, 1, 5, 4),
        CellDifference(CONFUSION, 1, UNTIL, 2, 6, 0),
        CellDifference(CONFUSION, 2, UNTIL, 2**63, 0, 7),
    )
    assert found.differing.count.tolist() == [1, 6, -7]


def test_buckets_that_begin_before_the_bound_are_left_out():
    """The log has forgotten a part of them."""
    old, late = (CONFUSION, 1, UNTIL - 15, 1), (CONFUSION, 1, UNTIL, 1)
    stored = cells({old: 5, late: 2})
    for bound, differing in [(UNTIL - 15, 2), (UNTIL - 14, 1), (UNTIL, 1), (UNTIL + 1, 0)]:
        assert len(compare(stored, empty_cells(), QUARTERS, bound).differing) == differing


def test_scores_are_bound_by_their_own_buckets():
    day, hour = (SCORES, 1, 3 * DAY, 1), (SCORES, 1, 4 * DAY, 1)
    stored = cells({day: 5, hour: 2})
    for bound, differing in [(3 * DAY, 2), (3 * DAY + 1, 1), (4 * DAY, 1), (4 * DAY + 1, 0)]:
        assert len(compare(stored, empty_cells(), QUARTERS, bound).differing) == differing


def test_only_the_first_differences_are_named():
    stored = cells({(CONFUSION, 1, UNTIL, index): 1 for index in range(3 * SHOWN_MAX)})
    found = compare(stored, empty_cells(), QUARTERS, 0)
    assert (len(found.shown), len(found.differing)) == (SHOWN_MAX, 3 * SHOWN_MAX)


def test_history_grows_by_what_pairs_changed():
    change = cells(
        {
            (CONFUSION, 1, 70, 3): 5,
            (CONFUSION, 1, 80, 3): -2,
            (CONFUSION, 2, 70, 3): -4,
            (CONFUSION, 3, 70, 3): -4,
            (CONFUSION, 3, 71, 3): 4,
            (int(CellKind.DELAY), 1, 70, 3): 9,
        }
    )
    found = history_of(change)
    assert found.kind.tolist() == [CellKind.ADDED, CellKind.RETRACTED]
    assert (found.series.tolist(), found.count.tolist()) == ([1, 2], [3, 4])
    assert found.minute.tolist() == [0, 0]
    assert len(history_of(empty_cells())) == 0
