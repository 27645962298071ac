"""Merged classes, confused pairs and crossings of slices, against loops over the rows."""

from collections import Counter

import numpy as np
import pytest

from leadline.metrics.core.confusions import confused_pairs
from leadline.metrics.core.figures import Confusion, Rate, confusion_of, tally
from leadline.metrics.core.merging import Merge, absorbed, merged, merged_numbers
from leadline.metrics.core.timeline import Margins
from leadline.metrics.core.view import CrossingCounts, crossing_listing, sums
from leadline.records.cells import CellKind, Cells, Series, count, merge

MERGES = (Merge("small", (1, 4, 7)), Merge("large", (2, 9)))


def into(number):
    return {4: 1, 7: 1, 9: 2}.get(number, number)


def pair_cells(true, said, minute=0):
    index = np.asarray(true, np.uint64) << np.uint64(32) | np.asarray(said, np.uint64)
    return merge(
        [
            count(CellKind.CONFUSION, 0, minute, index),
            count(CellKind.PREDICTED, 0, minute, np.asarray(said, np.uint64)),
            count(CellKind.RANK, 0, minute, index),
        ]
    )


@pytest.fixture
def rows():
    rng = np.random.default_rng(2)
    return rng.integers(0, 12, 800), rng.integers(0, 12, 800)


def test_merged_cells_are_those_of_merged_rows(rows):
    found = merged(pair_cells(*rows), MERGES)
    matrix = confusion_of(sums(found, CellKind.CONFUSION))
    told = dict(
        zip(
            zip(matrix.true.tolist(), matrix.predicted.tolist(), strict=True),
            matrix.count.tolist(),
            strict=True,
        )
    )
    pairs = zip(*(side.tolist() for side in rows), strict=True)
    assert told == Counter((into(true), into(said)) for true, said in pairs)
    predicted = sums(found, CellKind.PREDICTED)
    assert dict(zip(predicted.index.tolist(), predicted.count.tolist(), strict=True)) == Counter(
        into(said) for said in rows[1].tolist()
    )
    assert not sums(found, CellKind.RANK).total  # a merged class's rank is not known


def test_without_merges_nothing_changes(rows):
    cells = pair_cells(*rows)
    assert merged(cells, ()) is cells
    assert len(merged(empty(), MERGES)) == 0


def empty():
    columns = (np.uint8, np.uint32, np.uint32, np.uint64, np.int64)
    return Cells(*(np.empty(0, of) for of in columns))


def test_classes_of_a_merge():
    assert merged_numbers(MERGES) == {1, 2, 4, 7, 9}
    assert absorbed(MERGES) == {4, 7, 9}
    assert [each.number for each in MERGES] == [1, 2]


def test_margins_of_steps_are_those_of_merged_rows(rows):
    """A pair of two classes of one merge becomes right, which margins alone could not tell."""
    renumbered = [[into(number) for number in side.tolist()] for side in rows]
    one = Margins(5, MERGES)(pair_cells(*rows, minute=7))
    other = Margins(5)(pair_cells(*renumbered, minute=7))
    for name in ("kind", "minute", "index", "count"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def matrix_of(rows):
    found = Counter(zip(*(side.tolist() for side in rows), strict=True))
    index = np.array([true << 32 | said for true, said in found], np.uint64)
    return found, confusion_of(tally(index, np.array(list(found.values()), np.int64)))


def test_confused_pairs_are_those_of_a_loop(rows):
    cells, matrix = matrix_of(rows)
    wrong = {pair: number for pair, number in cells.items() if pair[0] != pair[1]}
    order = sorted(wrong, key=lambda pair: (-wrong[pair], pair))
    for most in (1, 7, 10_000):
        found = confused_pairs(matrix, most)
        assert [(each.true, each.predicted) for each in found] == order[:most]
        for each in found:
            of_true = sum(number for (true, _), number in cells.items() if true == each.true)
            assert each.share == Rate(wrong[each.true, each.predicted], of_true)
            assert each.reverse == cells[each.predicted, each.true]


def test_a_matrix_without_errors_has_no_confused_pair():
    none = np.empty(0, np.int64)
    assert confused_pairs(Confusion(none, none, none), 5) == ()
    right = np.array([3, 8])
    assert confused_pairs(Confusion(right, right, np.array([5, 1])), 5) == ()


def test_crossings_are_those_of_a_loop():
    rng = np.random.default_rng(4)
    series, parts, totals, without = [], [], {}, 0
    for number in range(40):
        values = tuple(
            (column, str(rng.integers(0, 3)))
            for column in ("a", "b", "c")
            if number % 10 or column != "b"
        )
        series.append(("main/0", number, Series("m", "1", "m", values)))
        true, said = rng.integers(0, 3, (2, int(rng.integers(1, 20))))
        parts.append(of_series(pair_cells(true, said), number))
        given = dict(values)
        if "b" not in given:
            without += len(true)
            continue
        key = (("c", given["c"]), ("b", given["b"]))
        seen, right = totals.get(key, (0, 0))
        totals[key] = seen + len(true), right + int((true == said).sum())
    shards = {"main/0": merge(parts)}
    order = sorted(totals, key=lambda key: (-totals[key][0], key))
    found = crossing_listing(shards, series, ("c", "b"), most=4)
    assert found.rows == tuple(
        CrossingCounts(key, totals[key][0], Rate(totals[key][1], totals[key][0]))
        for key in order[:4]
    )
    assert found.left_out == len(order) - 4
    assert found.left_out_predictions == sum(totals[key][0] for key in order[4:])
    assert found.without_columns == without > 0
    assert crossing_listing(shards, series, ("a", "nowhere")).rows == ()
    assert crossing_listing({}, [], ("a",)).rows == ()


def of_series(cells, number):
    series = np.full(len(cells), number, np.uint32)
    return Cells(cells.kind, series, cells.minute, cells.index, cells.count)
