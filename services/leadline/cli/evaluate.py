"""`leadline evaluate`: figures of files, with no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from leadline.cli.cells import cell_class, cell_id, class_list
from leadline.cli.guess import Columns, find_columns, need
from leadline.cli.importing import CHUNK_ROWS, progress, tell_columns
from leadline.cli.options import json_option
from leadline.cli.output import print_json
from leadline.cli.predictions import FORMS, KINDS, row_scores
from leadline.cli.tables import Row, Table, open_table
from leadline.client.edge import Edge, RefusedError, probabilities, score_refusal
from leadline.evaluation import UNLABELLED, Evaluation, counted
from leadline.records.errors import UsageError

Named = str | int | None


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


@click.command("evaluate")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("labels_file", type=click.Path(path_type=Path), required=False)
@click.option("--id", "id_", default="", help="Column of the ids, to join two files.")
@click.option("--predicted", default="", help="Column of the predicted classes.")
@click.option("--scores", default="", help="Column that holds a list of scores, one a class.")
@click.option(
    "--scores-as",
    type=click.Choice(list(FORMS)),
    default="probabilities",
    show_default=True,
    help="What the scores are; softmax and sigmoid are logits.",
)
@click.option(
    "--kind", type=click.Choice(list(KINDS)), default="multiclass", show_default=True, help="Task."
)
@click.option("--label", default="", help="Column of the true classes.")
@click.option("--classes", default="", help="Class names in order, separated by commas.")
@click.option(
    "--classes-from",
    type=click.Path(path_type=Path),
    help="File of class names, one a line (Triton's label file).",
)
@json_option
def command(  # noqa: PLR0913 - options
    *,
    file: Path,
    labels_file: Path | None,
    id_: str,
    predicted: str,
    scores: str,
    scores_as: str,
    kind: str,
    label: str,
    classes: str,
    classes_from: Path | None,
    as_json: bool,
) -> None:
    """Figures of the predictions in FILE, with labels beside them or in LABELS_FILE.

    Files are CSV, TSV, JSON lines or Parquet. Columns are guessed by their names unless given, and
    the guesses are printed. Two files are joined by id; the last label of an id counts, and the
    first of its predictions.
    """
    given = {"id": id_, "predicted": predicted, "scores": scores, "label": label}
    edge = Edge("file", "1", "file", KINDS[kind], form=FORMS[scores_as])
    table = open_table(file)
    wanted = ("id", "predicted", "scores") if labels_file else ("label", "predicted", "scores")
    columns = _find(table, wanted, given, quiet=as_json)
    if not columns.scores and not columns.score_columns:
        need(columns, "predicted", table.columns)
    rows = _read(table, columns, quiet=as_json)
    if labels_file is not None:
        rows = _joined(rows, open_table(labels_file), given, quiet=as_json)
    elif not columns.label:
        need(columns, "label", table.columns)
    names = class_list(classes, classes_from) or _names(rows, columns)
    result = _evaluated(rows, edge, names)
    if as_json:
        print_json(result.to_dict())
        return
    from leadline.cli.figures_view import print_evaluation  # noqa: PLC0415 - half of a start-up

    print_evaluation(result)
    if rows.repeated:
        click.echo(f"{rows.repeated:,} predictions of an id that was there before: not counted")


def _find(table: Table, wanted: tuple[str, ...], given: dict[str, str], *, quiet: bool) -> Columns:
    columns = find_columns(table.columns, wanted, given)
    if not quiet:
        tell_columns(columns, ())
    return columns


def _read(table: Table, columns: Columns, *, quiet: bool) -> Rows:
    rows = Rows([], [], [], [])
    seen: set[str | bytes] = set()
    repeated = 0
    with progress(f"reading {table.path.name}", shown=not quiet) as told:
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


def _joined(rows: Rows, table: Table, given: dict[str, str], *, quiet: bool) -> Rows:
    """The rows with the labels of another file."""
    columns = _find(table, ("id", "label"), given, quiet=quiet)
    need(columns, "id", table.columns)
    need(columns, "label", table.columns)
    labels: dict[str | bytes, Named] = {}
    with progress(f"reading {table.path.name}", shown=not quiet) as told:
        for chunk in table.chunks(CHUNK_ROWS, told):
            for row in chunk:
                labels[cell_id(row.get(columns.id))] = cell_class(row.get(columns.label))
    found = [labels.get(name) for name in rows.ids]
    unmatched = len(labels.keys() - set(rows.ids))
    if unmatched and not quiet:
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
