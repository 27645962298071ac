"""`leadline predictions`: history of predictions from files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from leadline.cli.cells import (
    TIME_UNITS,
    cell_class,
    cell_id,
    cell_scores,
    cell_time,
    class_list,
)
from leadline.cli.guess import Columns, find_columns, need
from leadline.cli.importing import (
    Converted,
    Refusals,
    import_table,
    progress,
    tell_columns,
    tell_result,
)
from leadline.cli.labels import declared_classes
from leadline.cli.options import json_option, log_option, stream_option
from leadline.cli.tables import Row, Table, open_table
from leadline.client.buffer import PredictionRow, built_rows
from leadline.client.columns import slice_value
from leadline.client.edge import Edge, RefusedError, identity, time_us
from leadline.records.batches import PredictionBatch, TaskKind
from leadline.records.errors import UsageError
from leadline.records.models import ScoreForm, check_name
from leadline.runtime.clock import SystemClock

FORMS = {
    "probabilities": ScoreForm.PROBABILITIES,
    "softmax": ScoreForm.LOGITS_SOFTMAX,
    "sigmoid": ScoreForm.LOGITS_SIGMOID,
}
KINDS = {"multiclass": TaskKind.MULTICLASS, "binary": TaskKind.BINARY}


@click.group("predictions")
def command() -> None:
    """Predictions."""


class Given(NamedTuple):
    """How rows are read."""

    columns: Columns
    slices: tuple[str, ...]
    input_uri: str
    edge: Edge
    time_unit: str
    now_us: int


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The model that predicted.")
@click.option("--version", "version", required=True, help="Its version.")
@click.option("--task", default="", help="The label space; by default the model's name.")
@click.option("--id", "id_", default="", help="Column of the ids.")
@click.option("--predicted", default="", help="Column of the predicted classes.")
@click.option(
    "--scores",
    default="",
    help="Column that holds a list of scores, one a class. Else one column a class is looked for: "
    "score_cat, score_dog …",
)
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
@click.option("--time", default="", help="Column of the event times; else: now.")
@click.option(
    "--time-unit",
    type=click.Choice(list(TIME_UNITS)),
    default="s",
    show_default=True,
    help="Unit of times that are numbers since 1970.",
)
@click.option("--slice", "slices", multiple=True, help="Column kept as a slice; at most 3 times.")
@click.option("--input-uri", default="", help="Column that says where each input lives.")
@click.option("--classes", default="", help="Class names in order, separated by commas.")
@click.option(
    "--classes-from",
    type=click.Path(path_type=Path),
    help="File of class names, one a line (Triton's label file).",
)
@click.option(
    "--reader",
    envvar="LEADLINE_READER",
    show_envvar=True,
    help="Take the class list from the model's declaration there.",
)
@click.option(
    "--keep-rate",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share that becomes cases.",
)
@log_option
@stream_option
@json_option
def import_(  # noqa: PLR0913 - options
    *,
    file: Path,
    model: str,
    version: str,
    task: str,
    id_: str,
    predicted: str,
    scores: str,
    scores_as: str,
    kind: str,
    time: str,
    time_unit: str,
    slices: tuple[str, ...],
    input_uri: str,
    classes: str,
    classes_from: Path | None,
    reader: str | None,
    keep_rate: float,
    log_url: str,
    stream: str,
    as_json: bool,
) -> None:
    """Import predictions from FILE: CSV, TSV, JSON lines or Parquet.

    Event times are taken as they are, however old; only the future is clamped. Columns are guessed
    by their names unless given, and the guesses are printed. Rows that cannot be read are written
    to FILE.refused.csv with the reason; the others go on. Importing a file twice changes no figure
    but the count of duplicates.
    """
    for what, name in (("model", model), ("version", version), ("task", task or model)):
        check_name(what, name)
    table = open_table(file)
    given_names = {"id": id_, "predicted": predicted, "scores": scores, "time": time}
    columns = find_columns(table.columns, ("id", "predicted", "scores", "time"), given_names)
    _check_columns(columns, table, slices, input_uri)
    names, notes = _classes(
        class_list(classes, classes_from) or declared_classes(reader, model), columns
    )
    if not columns.time:
        notes.append("no time column: predictions are dated now")
    edge = Edge(
        model, version, task or model, KINDS[kind], names, FORMS[scores_as],
        keep_rate=keep_rate, producer="import", imported=True,
    )  # fmt: skip
    given = Given(columns, slices, input_uri, edge, time_unit, SystemClock().now_us())
    if not as_json:
        tell_columns(columns, notes)
    with progress(f"importing {file.name}", shown=not as_json) as told:
        result = import_table(
            table, log_url, stream, lambda chunk: convert_predictions(chunk, given), told
        )
    tell_result("predictions", result, as_json=as_json)


def _check_columns(columns: Columns, table: Table, slices: tuple[str, ...], input_uri: str) -> None:
    need(columns, "id", table.columns)
    if not columns.scores and not columns.score_columns:
        need(columns, "predicted", table.columns)
    for name in (*slices, input_uri):
        if name and name not in table.columns:
            raise UsageError(
                f"There is no column {name!r}; there are: {', '.join(table.columns)}", "Correct it"
            )


def _classes(given: tuple[str, ...], columns: Columns) -> tuple[tuple[str, ...], list[str]]:
    """The class list, and what is to be told of it."""
    named = columns.score_classes
    if given or not named or all(name.isdecimal() for name in named):
        return given, []
    return named, [f"classes    {', '.join(named)}  (from the score columns; --classes decides)"]


def convert_predictions(chunk: list[Row], given: Given) -> Converted:
    """The batches of a chunk, and its refused rows."""
    rows: list[PredictionRow] = []
    numbers: dict[int, int] = {}
    refused: Refusals = []
    for number, row in enumerate(chunk):
        try:
            found = _prediction_row(row, given)
        except RefusedError as why:
            refused.append((number, why))
        else:
            numbers[id(found)] = number
            rows.append(found)
    batches: list[PredictionBatch] = []
    for group, built in built_rows(rows, given.slices, given.edge):
        if isinstance(built, RefusedError):
            refused += [(numbers[id(row)], built) for row in group]
            continue
        if built.batch is not None:
            batches.append(built.batch)
        refused += [(numbers[id(group[at])], why) for at, why in built.refused]
    return Converted(batches, sorted(refused, key=lambda each: each[0]))


def _prediction_row(row: Row, given: Given) -> PredictionRow:
    columns = given.columns
    name = cell_id(row.get(columns.id))
    stated = cell_class(row.get(columns.predicted)) if columns.predicted else None
    when = cell_time(row.get(columns.time), given.time_unit) if columns.time else None
    return PredictionRow(
        identity(name),
        name if isinstance(name, str) else "",
        time_us(when, given.now_us),
        -1 if stated is None else given.edge.class_number(stated),
        row_scores(row, columns),
        tuple([slice_value(each, _text(row.get(each))) for each in given.slices]),
        _text(row.get(given.input_uri)) if given.input_uri else "",
    )


def row_scores(row: Row, columns: Columns) -> bytes:
    """The row's scores as float32; empty without any.

    Raises:
        RefusedError: a score is no number.
    """
    if columns.score_columns:
        values = cell_scores([row.get(name) for name in columns.score_columns])
    elif columns.scores:
        values = cell_scores(row.get(columns.scores))
    else:
        return b""
    return np.array(values, np.float32).tobytes()


def _text(value: object) -> str:
    return "" if value is None else str(value)
