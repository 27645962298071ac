from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.console.core import scale
from leadline.console.core.figures import Matrix, Point, Rate, Timeline
from leadline.console.core.matrix import OTHER, by_errors, confused_pairs, errors_shown, matrix_view
from leadline.console.core.timeline import timeline_view
from leadline.console.core.urlstate import View
from leadline.console.core.wilson import wilson

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("value", "step"), [(1, 1), (10, 3), (45, 5), (120, 6), (218, 7), (1841, 9), (1944, 9)]
)
def test_colours_are_logarithmic(value, step):
    assert scale.log_step(value, 1944) == step


@given(st.floats(0.001, 1e9), st.floats(1.001, 1e9))
def test_a_step_is_one_of_nine(value, largest):
    assert 1 <= scale.log_step(value, largest) <= 9
    assert 1 <= scale.linear_step(value, largest) <= 9


@given(st.floats(0, 1))
def test_an_axis_holds_its_lowest_value_and_ends_at_one(lowest):
    low, ticks = scale.share_axis(lowest)
    assert low <= lowest + 1e-6
    assert ticks[-1] == pytest.approx(1.0)
    assert 3 <= len(ticks) <= 6


@given(st.integers(0, 2**50), st.integers(60_000_000, 400 * 24 * HOUR))
def test_ticks_are_few_and_inside(start, span):
    ticks = scale.time_ticks(start, start + span)
    assert len(ticks) <= 14
    assert all(start <= t <= start + span for t in ticks)


def ten() -> Matrix:
    cells = {(i, i): 100 for i in range(10)}
    cells |= {(5, 8): 20, (8, 5): 3, (9, 4): 12}
    return Matrix(tuple("0123456789"), cells)


def test_cells_lead_to_themselves_and_zero_is_a_dot():
    view = matrix_view(ten(), None, View(true=5, pred=8))
    cell = view.rows[5].cells[8]
    assert (cell.text, cell.target, cell.selected) == ("20", (5, 8), True)
    assert view.rows[0].cells[1].css == "z"
    assert view.rows[5].cells[5].css.startswith("d")
    assert view.rows[5].selected
    assert view.columns[8].selected


def test_shares_are_of_the_row_or_of_the_column():
    true = matrix_view(ten(), None, View(norm="true")).rows[5].cells[8]
    pred = matrix_view(ten(), None, View(norm="predicted")).rows[5].cells[8]
    assert (true.text, pred.text) == ("16.7", "16.7")
    assert matrix_view(ten(), None, View(norm="true")).rows[0].cells[0].text == "100.0"


def test_order_by_errors_puts_the_worst_first():
    assert by_errors(ten())[:3] == [5, 8, 4]
    assert matrix_view(ten(), None, View(order="errors")).rows[0].name == "5"
    assert confused_pairs(ten(), 2) == [(5, 8, 20), (9, 4, 12)]


def many() -> Matrix:
    cells = {(i, i): 10 for i in range(40)}
    cells |= {(i, i + 1): 1 for i in range(39)}
    cells |= {(3, 7): 30, (7, 3): 10}
    return Matrix(tuple(f"c{i}" for i in range(40)), cells)


def test_many_classes_are_folded_and_no_error_is_lost():
    matrix = many()
    view = matrix_view(matrix, None, View())
    assert len(view.rows) == len(view.columns) == 16
    assert view.rows[-1].name == "(other)"
    errors = sum(
        int(cell.text)
        for row in view.rows
        for column, cell in zip(view.columns, row.cells, strict=True)
        if row.number != column.number or row.number == OTHER
    )
    assert errors == matrix.errors()
    assert 0 < errors_shown(matrix, [r.number for r in view.rows]) < 1
    assert "classes, errors only" in view.note


def line(labelled: list[int], settled: int | None = None) -> Timeline:
    points = tuple(
        Point(i * HOUR, 100, n, wilson(n * 9 // 10, n) if n else Rate())
        for i, n in enumerate(labelled)
    )
    return Timeline(HOUR, points, settled, 0, len(labelled) * HOUR)


def test_a_step_without_labels_breaks_the_line():
    view = timeline_view(line([50, 60, 0, 70, 80, 90]))
    assert view.line.count("M") == 2
    assert view.ribbon.count("Z") == 2
    assert view.marks[2].y is None


def test_few_labels_and_labels_to_come_are_hollow():
    view = timeline_view(line([50, 10, 60, 60], settled=3 * HOUR))
    assert [m.hollow for m in view.marks] == [False, True, False, True]
    assert view.grey == 75.0
    assert view.last is view.marks[2]


def test_the_strip_is_the_share_labelled():
    marks = timeline_view(line([50, 10])).marks
    assert [m.share for m in marks] == [0.5, 0.1]
    assert marks[1].cells[1] == "9 of 10"


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_everything_lies_in_the_frame(labelled):
    view = timeline_view(line(labelled))
    for mark in view.marks:
        assert 0 <= mark.x <= 100
        assert 0 <= mark.left <= mark.left + mark.width <= 100.1
        assert mark.y is None or 0 <= mark.y <= 1
