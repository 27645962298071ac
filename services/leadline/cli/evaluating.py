"""Predictions and labels out of files, as an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import numpy as np

from leadline.cli.cells import cell_class, cell_id, class_list
from leadline.cli.guess import Columns, find_columns, need
from leadline.cli.importing import CHUNK_ROWS, progress, tell_columns
from leadline.cli.predictions import FORMS, KINDS, row_scores
from leadline.cli.tables import Row, Table, open_table
from leadline.client.edge import Edge, RefusedError, probabilities, score_refusal
from leadline.evaluation import UNLABELLED, Evaluation, counted
from leadline.records.errors import UsageError

Named = str | int | None
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are read; empty texts are guessed, and the guesses told.

    Attributes:
        id, predicted, scores, label: columns.
        scores_as: of FORMS.
        kind: of KINDS.
        classes: names, separated by commas.
        classes_from: file of names.
        quiet: nothing is told.
    """

    id: str = ""
    predicted: str = ""
    scores: str = ""
    label: str = ""
    scores_as: str = "probabilities"
    kind: str = "multiclass"
    classes: str = ""
    classes_from: Path | None = None
    quiet: bool = False

    @property
    def given(self) -> dict[str, str]:
        """Columns by meaning."""
        return {
            "id": self.id,
            "predicted": self.predicted,
            "scores": self.scores,
            "label": self.label,
        }

    @property
    def edge(self) -> Edge:
        """How scores become probabilities."""
        return Edge("file", "1", "file", KINDS[self.kind], form=FORMS[self.scores_as])


def file_options(command: Command) -> Command:
    """Adds the options that say how files are read."""
    options = (
        click.option("--id", "id_", default="", help="Column of the ids, to join files."),
        click.option("--predicted", default="", help="Column of the predicted classes."),
        click.option("--scores", default="", help="Column of a list of scores, one a class."),
        click.option(
            "--scores-as",
            type=click.Choice(list(FORMS)),
            default="probabilities",
            show_default=True,
            help="What the scores are; softmax and sigmoid are logits.",
        ),
        click.option(
            "--kind",
            type=click.Choice(list(KINDS)),
            default="multiclass",
            show_default=True,
            help="Task.",
        ),
        click.option("--label", default="", help="Column of the true classes."),
        click.option("--classes", default="", help="Class names in order, separated by commas."),
        click.option(
            "--classes-from",
            type=click.Path(path_type=Path),
            help="File of class names, one a line (Triton's label file).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class Rows(NamedTuple):
    """Predictions out of a file.

    Attributes:
        ids: empty where labels stand beside their predictions.
        predicted: the stated classes; None where the best score decides.
        scores: float32 bytes by row; empty without scores.
        labels: None where there is none.
        repeated: rows whose id was there before; the first one counts.
    """

    ids: list[str | bytes]
    predicted: list[Named]
    scores: list[bytes]
    labels: list[Named]
    repeated: int = 0


class Evaluated(NamedTuple):
    """One file's evaluation.

    Attributes:
        result: its figures.
        repeated: rows whose id was there before; not counted.
    """

    result: Evaluation
    repeated: int


def evaluate_files(file: Path, labels_file: Path | None, options: FileOptions) -> Evaluated:
    """The figures of predictions in a file, with labels beside them or in another.

    Raises:
        UsageError: a file cannot be read, or a value is no class.
    """
    rows, columns = _labelled_rows(file, labels_file, options, with_id=bool(options.id))
    names = class_list(options.classes, options.classes_from) or _names(rows, columns)
    return Evaluated(_evaluated(rows, options.edge, names), rows.repeated)


def evaluate_two(
    file: Path, labels_file: Path | None, other: Path, options: FileOptions
) -> tuple[Evaluated, Evaluated]:
    """The figures of two models on the same rows, in the same order.

    The other file's rows are found by id; without ids both files have the same rows.

    Raises:
        UsageError: as `evaluate_files`, or a row is not in both files.
    """
    rows, columns = _labelled_rows(file, labels_file, options, with_id=True)
    table = open_table(other)
    found = _find(table, ("id", "predicted", "scores"), options)
    if not found.scores and not found.score_columns:
        need(found, "predicted", table.columns)
    second = _aligned(rows, _read(table, found, options), by_id=bool(columns.id and found.id))
    names = class_list(options.classes, options.classes_from) or _names_of_two(
        _names(rows, columns), _names(second, found)
    )
    return tuple(  # type: ignore[return-value]
        Evaluated(_evaluated(each, options.edge, names), each.repeated) for each in (rows, second)
    )


def _names_of_two(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[str, ...]:
    """One class list; the names of scores keep their order."""
    if one == two:
        return one
    if all(name.isdecimal() for name in (*one, *two)):
        return max(one, two, key=len)
    if set(one) <= set(two) or set(two) <= set(one):
        return max(one, two, key=len)
    return tuple(sorted({*one, *two}))


def _aligned(rows: Rows, other: Rows, *, by_id: bool) -> Rows:
    """The other file's predictions in the order of the first, with its labels."""
    if not by_id:
        if len(rows.labels) != len(other.labels):
            raise UsageError(
                f"The files have {len(rows.labels):,} and {len(other.labels):,} rows",
                "Give the same rows, or ids to join them by",
            )
        return other._replace(labels=rows.labels)
    place = {name: at for at, name in enumerate(other.ids)}
    missing = [name for name in rows.ids if name not in place]
    if missing:
        raise UsageError(
            f"{len(missing):,} of {len(rows.ids):,} ids are not in the other file, "
            f"such as {missing[0]!r}",
            "Give the predictions of both models for the same rows",
        )
    order = [place[name] for name in rows.ids]
    return Rows(
        rows.ids,
        [other.predicted[at] for at in order],
        [other.scores[at] for at in order],
        rows.labels,
        other.repeated,
    )


def _labelled_rows(
    file: Path, labels_file: Path | None, options: FileOptions, *, with_id: bool
) -> tuple[Rows, Columns]:
    table = open_table(file)
    wanted: tuple[str, ...] = ("predicted", "scores")
    if labels_file is None:
        wanted = ("label", *wanted)
    if labels_file is not None or with_id:
        wanted = ("id", *wanted)
    columns = _find(table, wanted, options)
    if not columns.scores and not columns.score_columns:
        need(columns, "predicted", table.columns)
    rows = _read(table, columns, options)
    if labels_file is not None:
        rows = _joined(rows, open_table(labels_file), options)
    elif not columns.label:
        need(columns, "label", table.columns)
    return rows, columns


def _find(table: Table, wanted: tuple[str, ...], options: FileOptions) -> Columns:
    columns = find_columns(table.columns, wanted, options.given)
    if not options.quiet:
        tell_columns(columns, ())
    return columns


def _read(table: Table, columns: Columns, options: FileOptions) -> Rows:
    rows = Rows([], [], [], [])
    seen: set[str | bytes] = set()
    repeated = 0
    with progress(f"reading {table.path.name}", shown=not options.quiet) as told:
        for chunk in table.chunks(CHUNK_ROWS, told):
            for row in chunk:
                name = cell_id(row.get(columns.id)) if columns.id else ""
                if columns.id and name in seen:
                    repeated += 1
                    continue
                seen.add(name)
                _add(rows, name, row, columns)
    return rows._replace(repeated=repeated)


def _add(rows: Rows, name: str | bytes, row: Row, columns: Columns) -> None:
    rows.ids.append(name)
    rows.predicted.append(cell_class(row.get(columns.predicted)) if columns.predicted else None)
    rows.scores.append(row_scores(row, columns))
    rows.labels.append(cell_class(row.get(columns.label)) if columns.label else None)


def _joined(rows: Rows, table: Table, options: FileOptions) -> Rows:
    """The rows with the labels of another file."""
    columns = _find(table, ("id", "label"), options)
    need(columns, "id", table.columns)
    need(columns, "label", table.columns)
    labels: dict[str | bytes, Named] = {}
    with progress(f"reading {table.path.name}", shown=not options.quiet) as told:
        for chunk in table.chunks(CHUNK_ROWS, told):
            for row in chunk:
                labels[cell_id(row.get(columns.id))] = cell_class(row.get(columns.label))
    found = [labels.get(name) for name in rows.ids]
    unmatched = len(labels.keys() - set(rows.ids))
    if unmatched and not options.quiet:
        click.echo(f"{unmatched:,} labels have no prediction in the first file", err=True)
    return rows._replace(labels=found)


def _names(rows: Rows, columns: Columns) -> tuple[str, ...]:
    """The class list that the values say, when nobody gives it."""
    if columns.score_classes and not all(name.isdecimal() for name in columns.score_classes):
        return columns.score_classes
    values = {str(value) for value in (*rows.labels, *rows.predicted) if value is not None}
    if any(not value.isdecimal() for value in values):
        if any(rows.scores):
            raise UsageError(
                "Labels are names, and the order of the scores is not known",
                "Give the class list: --classes a,b,c or --classes-from labels.txt",
            )
        return tuple(sorted(values))
    width = max((len(row) // 4 for row in rows.scores), default=0)
    top = max((int(value) for value in values), default=-1)
    return tuple(str(number) for number in range(max(width, top + 1)))


def _evaluated(rows: Rows, edge: Edge, names: tuple[str, ...]) -> Evaluation:
    known = Edge(edge.model, edge.version, edge.task, edge.kind, names, edge.form)
    scores = _scores(rows, known)
    stated = _numbers(rows.predicted, known, "predicted")
    if scores is not None:
        stated = np.where(stated == UNLABELLED, scores.argmax(axis=1), stated)
    empty = np.flatnonzero(stated == UNLABELLED)
    if len(empty):
        raise UsageError(
            f"Row {empty[0] + 1} has neither a predicted class nor scores", "Leave it out"
        )
    true = _numbers(rows.labels, known, "label")
    return counted(true, stated.astype(np.uint32), scores, names)


def _scores(rows: Rows, edge: Edge) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    sizes = {len(row) for row in rows.scores}
    if sizes <= {0}:
        return None
    if len(sizes) > 1:
        raise UsageError("Rows have different numbers of scores", "Give one score per class")
    matrix = np.frombuffer(b"".join(rows.scores), np.float32).reshape(len(rows.scores), -1)
    scores, good = probabilities(matrix, edge)
    if not good.all():
        why, row = score_refusal(edge), int(np.argmin(good)) + 1
        raise UsageError(
            f"Row {row}: {why}", "Say what the scores are: --scores-as softmax or sigmoid"
        )
    if scores.shape[1] > len(edge.classes):
        raise UsageError(
            f"{scores.shape[1]} scores a row for {len(edge.classes)} classes", "Correct --classes"
        )
    return scores


def _numbers(values: list[Named], edge: Edge, what: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    found = np.full(len(values), UNLABELLED, np.int64)
    known: dict[str | int, int] = {}
    for row, value in enumerate(values):
        if value is None:
            continue
        if value not in known:
            try:
                known[value] = edge.class_number(value)
            except RefusedError as why:
                raise UsageError(
                    f"Row {row + 1}, {what}: there is no class {value!r}",
                    "Correct it, or give all names: --classes or --classes-from",
                ) from why
        found[row] = known[value]
    return found
