"""Figures in the terminal: headline, classes, matrix. Used by `evaluate` and `show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from leadline.cli.output import console, percent
from leadline.evaluation import Evaluation

MATRIX_CLASSES_MAX = 20
"""A wider matrix does not fit a terminal; its most confused pairs do."""
CLASSES_MAX = 30
PAIRS_MAX = 12


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class: its name, counts, and shares (None: no trial)."""

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What is shown.

    Attributes:
        headline: (name, value) pairs, texts.
        classes: of every class.
        names: class names of the matrix.
        matrix: dense counts, rows true; None where there are too many classes.
        pairs: (true, predicted, count) of the commonest errors.
        notes: in words, below everything.
    """

    headline: Sequence[tuple[str, str]]
    classes: Sequence[ClassLine]
    names: Sequence[str]
    matrix: npt.NDArray[np.int64] | None
    pairs: Sequence[tuple[str, str, int]]
    notes: Sequence[str] = ()


def interval(lower: float | None, upper: float | None) -> str:
    """A 95 % interval as text; empty without one."""
    return "" if lower is None or upper is None else f"  95 %: {percent(lower)} to {percent(upper)}"


def print_evaluation(result: Evaluation) -> None:
    """Prints the figures of files."""
    found = result.figures
    lower, upper = result.interval or (None, None)
    headline = [
        ("accuracy", percent(result.accuracy) + interval(lower, upper)),
        *((f"top-{k}", percent(rate.value)) for k, rate in found.top_k),
        ("macro F1", percent(found.macro.f1)),
        ("labelled", f"{found.accuracy.trials:,} of {found.predictions:,}"),
    ]
    classes = [
        ClassLine(
            result.classes[each.number],
            each.support,
            each.predicted,
            each.precision.value,
            each.recall.value,
            each.f1,
        )
        for each in found.classes
    ]
    small = len(result.classes) <= MATRIX_CLASSES_MAX
    matrix = result.confusion if small else None
    view = View(headline, classes, result.classes, matrix, result.confused(PAIRS_MAX))
    console().print(render(view))


def render(view: View) -> RenderableType:
    """All of it, one below the other."""
    parts: list[RenderableType] = [_headline(view), _classes(view)]
    if view.matrix is not None:
        parts.append(Text("Confusion matrix: rows true, columns predicted", style="italic"))
        parts.append(_matrix(view.names, view.matrix))
    if view.pairs:
        parts.append(_pairs(view.pairs))
    parts += [Text(note, style="yellow") for note in view.notes]
    return Group(*parts)


def print_view(view: View, terminal: Console) -> None:
    """Prints a view."""
    terminal.print(render(view))


def _headline(view: View) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in view.headline:
        table.add_row(Text(name, style="dim"), Text(value, style="bold"))
    return table


def _classes(view: View) -> Table:
    table = Table(title="Classes", title_justify="left", box=None, header_style="dim")
    table.add_column("class")
    for name in ("labels", "predicted", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for line in view.classes[:CLASSES_MAX]:
        table.add_row(
            Text(line.name),
            f"{line.support:,}",
            f"{line.predicted:,}",
            percent(line.precision),
            percent(line.recall),
            percent(line.f1),
        )
    left = len(view.classes) - CLASSES_MAX
    if left > 0:
        table.add_row(Text(f"… and {left} more", style="dim"))
    return table


def _matrix(names: Sequence[str], matrix: npt.NDArray[np.int64]) -> Table:
    """Rows true, columns predicted; green on the diagonal, red where it errs."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    table.add_column("")
    for name in names:
        table.add_column(Text(name[:10]), justify="right")
    totals = matrix.sum(axis=1)
    for row, name in enumerate(names):
        cells = [
            Text(f"{count:,}" if count else "·", style=_style(row == column, count, totals[row]))
            for column, count in enumerate(matrix[row].tolist())
        ]
        table.add_row(Text(name, style="dim"), *cells)
    return table


def _style(right: bool, count: int, total: int) -> str:  # noqa: FBT001 - two colours
    if not count:
        return "dim"
    share = count / max(int(total), 1)
    if right:
        return "bold green"
    return "bold red" if share >= 0.1 else "red"


def _pairs(pairs: Sequence[tuple[str, str, int]]) -> Table:
    table = Table(title="Most confused", title_justify="left", box=None, header_style="dim")
    table.add_column("true")
    table.add_column("predicted as")
    table.add_column("count", justify="right")
    for true, predicted, count in pairs:
        table.add_row(Text(true), Text(predicted), f"{count:,}")
    return table
