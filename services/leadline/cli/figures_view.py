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
from leadline.evaluation import BestThreshold, Evaluation
from leadline.metrics.measures.curves import Bounded

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
    auc: float | None = None


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


def print_evaluation(result: Evaluation, best: Sequence[BestThreshold] = ()) -> None:
    """Prints the figures of files, and the best thresholds."""
    classes = [
        ClassLine(
            result.classes[each.number],
            each.support,
            each.predicted,
            each.precision.value,
            each.recall.value,
            each.f1,
            _area(result, result.classes[each.number]),
        )
        for each in result.figures.classes
    ]
    small = len(result.classes) <= MATRIX_CLASSES_MAX
    matrix = result.confusion if small else None
    view = View(_headline_of(result), classes, result.classes, matrix, result.confused(PAIRS_MAX))
    terminal = console()
    terminal.print(render(view))
    if best:
        terminal.print(_thresholds(best))
    for each in result.advice:
        terminal.print(Text(f"{each.text} {each.remedy}", style="yellow"))


def _headline_of(result: Evaluation) -> list[tuple[str, str]]:
    found, calibration, weighted = result.figures, result.calibration, result.weighted_accuracy
    lower, upper = result.interval or (None, None)
    rows = [("accuracy", percent(result.accuracy) + interval(lower, upper))]
    if (
        weighted is not None
        and weighted.rate is not None
        and found.predictions != weighted.plain.trials
    ):
        bounds = weighted.interval or (None, None)
        rows.append(("of all rows", f"about {percent(weighted.rate.value)}{interval(*bounds)}"))
    rows += [(f"top-{k}", percent(rate.value)) for k, rate in found.top_k]
    rows.append(("macro F1", percent(found.macro.f1)))
    if result.auc is not None:
        rows.append(("macro AUC", _bounded(result.auc)))
    if calibration is not None and calibration.log_loss is not None:
        rows.append(("log loss", _bounded(calibration.log_loss)))
    if calibration is not None and calibration.error is not None:
        rows.append(("calibration error", percent(calibration.error.value)))
    return [*rows, ("labelled", f"{found.accuracy.trials:,} of {found.predictions:,}")]


def _bounded(found: Bounded) -> str:
    """A figure, with its bounds where they are seen in four decimals."""
    text = f"{found.value:.4f}"
    if f"{found.lower:.4f}" == f"{found.upper:.4f}" == text:
        return text
    return f"{text}  certainly {found.lower:.4f} to {found.upper:.4f}"


def _area(result: Evaluation, name: str) -> float | None:
    """The area under the ROC curve of a class."""
    found = result.areas.get(name)
    return None if found is None or found.auc is None else found.auc.value


def _thresholds(best: Sequence[BestThreshold]) -> Table:
    title = f"Thresholds: {best[0].goal}"
    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    table.add_column("class")
    for name in ("threshold", "precision", "recall", "flagged", "F1", "optimism"):
        table.add_column(name, justify="right")
    for each in best[:CLASSES_MAX]:
        choice = each.choice
        if choice is None or each.threshold is None:
            table.add_row(Text(each.class_name), Text(each.reason, style="dim"))
            continue
        table.add_row(
            Text(each.class_name),
            f"{each.threshold:.6g}",
            percent(choice.precision.value),
            percent(choice.recall.value),
            percent(choice.flagged.value),
            percent(choice.f1),
            "-" if each.optimism is None else f"{each.optimism:.4f}",
        )
    left = len(best) - CLASSES_MAX
    if left > 0:
        table.add_row(Text(f"… and {left} more", style="dim"))
    return table


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
    scored = any(line.auc is not None for line in view.classes)
    for name in ("labels", "predicted", "precision", "recall", "F1", *(["AUC"] if scored else [])):
        table.add_column(name, justify="right")
    for line in view.classes[:CLASSES_MAX]:
        table.add_row(
            Text(line.name),
            f"{line.support:,}",
            f"{line.predicted:,}",
            percent(line.precision),
            percent(line.recall),
            percent(line.f1),
            *(["-" if line.auc is None else f"{line.auc:.4f}"] if scored else []),
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
