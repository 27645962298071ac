"""The confusion matrix as a table of links: rows are true classes, columns predicted ones.

classes   shown                                     colour
<= 30     all                                       one scale from 1 to the largest cell
> 30      the `top` with most errors and (other)    the same; (other) counts errors only
"""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.figures import Matrix, Rate, Summary
from leadline.console.core.urlstate import View

ALL_SHOWN = 30
"""Up to this many classes are all shown; more do not fit beside their figures."""
OTHER = -1


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; css is its colour class, "z" for zero; target is None where no link leads."""

    text: str
    css: str
    target: tuple[int, int] | None
    selected: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One true class; dot, low and high place its recall on the axis, 0 to 100."""

    number: int
    name: str
    cells: tuple[Cell, ...]
    labelled: str
    recall: str
    title: str
    dot: float | None
    low: float
    high: float
    few: bool
    selected: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One predicted class."""

    number: int
    name: str
    precision: str
    title: str
    few: bool
    selected: bool


@dataclass(frozen=True, slots=True)
class MatrixView:
    """The whole table; note says what is not in it."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    labelled: str
    floor: str
    legend: str
    note: str
    total_classes: int
    many: bool
    long_names: bool


def matrix_view(matrix: Matrix, summary: Summary | None, view: View) -> MatrixView:
    """The table for a view; recall and precision with their intervals come from the summary."""
    shown, many = _shown(matrix, view)
    table = _fold(matrix, shown, other=many)
    axis = shown + ([OTHER] if many else [])
    recall, precision = _rates(summary)
    paint = _Paint(matrix, table, view)
    floor = scale.floor_of(_lowest(recall, shown))
    rows = tuple(_row(t, axis, paint, recall.get(t, Rate()), floor, view) for t in axis)
    names = [matrix.names[c] for c in shown]
    return MatrixView(
        rows=rows,
        columns=tuple(_column(p, precision.get(p, Rate()), view, matrix) for p in axis),
        labelled=words.count(sum(matrix.cells.values())),
        floor=f"{floor * 100:.0f}",
        legend=paint.legend(),
        note=_note(matrix, shown) if many else "",
        total_classes=len(matrix.names),
        many=many,
        long_names=max(map(len, names), default=0) > 4,
    )


def by_errors(matrix: Matrix) -> list[int]:
    """Class numbers, those with most errors (as true or as predicted class) first."""
    errors = [0] * len(matrix.names)
    for (true, pred), n in matrix.cells.items():
        if true != pred:
            errors[true] += n
            errors[pred] += n
    return sorted(range(len(errors)), key=lambda c: (-errors[c], c))


def errors_shown(matrix: Matrix, shown: list[int]) -> float:
    """Share of all errors that lie between two of the shown classes; 1 when there is none."""
    total, inside = matrix.errors(), set(shown)
    if not total:
        return 1.0
    lying = sum(n for (t, p), n in matrix.cells.items() if t != p and t in inside and p in inside)
    return lying / total


def confused_pairs(matrix: Matrix, most: int) -> list[tuple[int, int, int]]:
    """(true, predicted, count) of the commonest errors, at most `most`."""
    errors = [(t, p, n) for (t, p), n in matrix.cells.items() if t != p]
    return sorted(errors, key=lambda e: (-e[2], e[0], e[1]))[:most]


def _shown(matrix: Matrix, view: View) -> tuple[list[int], bool]:
    classes = len(matrix.names)
    ranked = by_errors(matrix)
    many = classes > ALL_SHOWN and int(view.top) < classes
    chosen = ranked[: int(view.top)] if many else ranked
    return (chosen if view.order == "errors" else sorted(chosen)), many


def _fold(matrix: Matrix, shown: list[int], *, other: bool) -> dict[tuple[int, int], int]:
    if not other:
        return matrix.cells
    inside, table = set(shown), dict[tuple[int, int], int]()
    for (true, pred), n in matrix.cells.items():
        key = (true if true in inside else OTHER, pred if pred in inside else OTHER)
        if true != pred or key[0] != OTHER:
            table[key] = table.get(key, 0) + n
    return table


def _note(matrix: Matrix, shown: list[int]) -> str:
    rest = len(matrix.names) - len(shown)
    part = words.share(errors_shown(matrix, shown))
    return (
        f"{part}{words.NARROW}% of all errors lie between these {len(shown)}; "
        f"(other): {words.plural(rest, 'class', 'classes')}, errors only"
    )


def _rates(summary: Summary | None) -> tuple[dict[int, Rate], dict[int, Rate]]:
    classes = summary.classes if summary else ()
    return {c.number: c.recall for c in classes}, {c.number: c.precision for c in classes}


def _lowest(recall: dict[int, Rate], shown: list[int]) -> float:
    lows = [
        r.lower
        for c in shown
        if (r := recall.get(c)) is not None and r.lower is not None and not r.few
    ]
    return min(lows, default=0.0)


class _Paint:
    """Text and colour of a cell, on one scale for the whole table."""

    def __init__(self, matrix: Matrix, table: dict[tuple[int, int], int], view: View) -> None:
        self._norm, self._log = view.norm, view.scale == "log"
        self._names, self._table = matrix.names, table
        self._rows, self._columns = matrix.row_totals(), matrix.column_totals()
        self._largest = max((n for n in table.values()), default=0)
        self._narrow = len(matrix.names) > 12

    def name(self, number: int) -> str:
        """A class's name."""
        return "(other)" if number == OTHER else self._names[number]

    def labelled(self, number: int, axis: list[int]) -> int:
        """Labelled predictions of a true class; of all that are not on the axis for (other)."""
        if number != OTHER:
            return self._rows[number]
        return sum(self._rows) - sum(self._rows[c] for c in axis if c != OTHER)

    def cell(self, true: int, pred: int) -> tuple[str, str]:
        """(text, css) of a cell."""
        n = self._table.get((true, pred), 0)
        ramp = "d" if true == pred != OTHER else "e"
        if n == 0:
            return "0", "z"
        if self._norm == "count":
            text = words.short(n) if self._narrow else words.count(n)
            return text, f"{ramp}{self._step(n, self._largest, 1.0)}"
        total = self._total(true, pred)
        if not total:
            return words.short(n), f"{ramp}1"
        part = n / total
        return words.cell_share(part), f"{ramp}{self._step(part, 1.0, scale.SHARE_FLOOR)}"

    def legend(self) -> str:
        """The scale in words."""
        kind = "log" if self._log else "linear"
        if self._norm == "count":
            return f"1 \u2192 {words.count(max(self._largest, 1))}, {kind}"
        low = "0.05" if self._log else "0"
        return f"{low}{words.NARROW}% \u2192 100{words.NARROW}%, {kind}"

    def _step(self, value: float, largest: float, floor: float) -> int:
        if self._log:
            return scale.log_step(value, largest, floor)
        return scale.linear_step(value, largest)

    def _total(self, true: int, pred: int) -> int:
        if self._norm == "true":
            return self._rows[true] if true != OTHER else 0
        return self._columns[pred] if pred != OTHER else 0


def _row(true: int, axis: list[int], paint: _Paint, recall: Rate, floor: float, view: View) -> Row:
    cells = []
    for pred in axis:
        text, css = paint.cell(true, pred)
        target = None if OTHER in (true, pred) else (true, pred)
        cells.append(Cell(text, css, target, (true, pred) == (view.true, view.pred)))
    few, value = recall.few, recall.value
    name = paint.name(true)
    return Row(
        number=true,
        name=name,
        cells=tuple(cells),
        labelled=words.count(paint.labelled(true, axis)),
        recall=_rate_text(recall),
        title=_rate_title("Recall", name, recall) if true != OTHER else "",
        dot=None if few or value is None else scale.place(value, floor),
        low=scale.place(recall.lower or 0.0, floor),
        high=scale.place(recall.upper or 0.0, floor),
        few=few,
        selected=true == view.true,
    )


def _column(pred: int, precision: Rate, view: View, matrix: Matrix) -> Column:
    if pred == OTHER:
        return Column(pred, "(other)", "", "", few=True, selected=False)
    name = matrix.names[pred]
    return Column(
        number=pred,
        name=name,
        precision=_rate_text(precision),
        title=_rate_title("Precision", name, precision),
        few=precision.few,
        selected=pred == view.pred,
    )


def _rate_text(rate: Rate) -> str:
    if rate.trials == 0:
        return words.NONE
    return words.k_of_n(rate) if rate.few else words.percent(rate.value)


def _rate_title(what: str, name: str, rate: Rate) -> str:
    if rate.trials == 0:
        return f"{what} of {name}: nothing counted yet"
    return (
        f"{what} of {name}: {words.rate(rate)}{words.NARROW}% ({words.interval(rate)}), "
        f"{words.k_of_n(rate)}"
    )
