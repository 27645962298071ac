"""`leadline labels`: true labels from files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from leadline.cli.cells import TIME_UNITS, cell_class, cell_id, cell_time, class_list
from leadline.cli.guess import Columns, find_columns, need
from leadline.cli.importing import (
    Converted,
    Refusals,
    import_table,
    progress,
    tell_columns,
    tell_result,
)
from leadline.cli.options import json_option, log_option, stream_option
from leadline.cli.tables import Row, open_table
from leadline.client.buffer import LabelRow, label_batch
from leadline.client.edge import Edge, RefusedError, identity, time_us
from leadline.records.batches import RETRACTED, TaskKind
from leadline.records.models import check_name
from leadline.runtime.clock import SystemClock


@click.group("labels")
def command() -> None:
    """True labels."""


class Given(NamedTuple):
    """How rows are read."""

    columns: Columns
    edge: Edge
    time_unit: str
    now_us: int
    retracts: str


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", required=True, help="The label space; by default a model's own name.")
@click.option("--id", "id_", default="", help="Column of the ids.")
@click.option("--label", default="", help="Column of the true classes, by name or number.")
@click.option("--time", default="", help="Column of when each label was decided; else: now.")
@click.option(
    "--time-unit",
    type=click.Choice(list(TIME_UNITS)),
    default="s",
    show_default=True,
    help="Unit of times that are numbers since 1970.",
)
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
    help="Take the class list from the model of the task's name that is declared there.",
)
@click.option("--source", default="import", show_default=True, help="Who says so, for people.")
@click.option(
    "--source-rank",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="A higher rank always wins over a lower one.",
)
@click.option(
    "--retracts",
    default="",
    help="A label of this text takes an earlier one back, for example RETRACTED.",
)
@log_option
@stream_option
@json_option
def import_(  # noqa: PLR0913 - options
    *,
    file: Path,
    task: str,
    id_: str,
    label: str,
    time: str,
    time_unit: str,
    classes: str,
    classes_from: Path | None,
    reader: str | None,
    source: str,
    source_rank: int,
    retracts: str,
    log_url: str,
    stream: str,
    as_json: bool,
) -> None:
    """Import labels from FILE: CSV, TSV, JSON lines or Parquet.

    Columns are guessed by their names unless given, and the guesses are printed. Rows that cannot
    be read are written to FILE.refused.csv with the reason; the others go on. Importing a file
    twice changes nothing: an equal label is counted once.
    """
    check_name("task", task)
    table = open_table(file)
    columns = find_columns(
        table.columns, ("id", "label", "time"), {"id": id_, "label": label, "time": time}
    )
    need(columns, "id", table.columns)
    need(columns, "label", table.columns)
    names = class_list(classes, classes_from) or declared_classes(reader, task)
    edge = Edge(
        "", "", task, TaskKind.MULTICLASS, names, source=source, source_rank=source_rank,
        producer="import", imported=True,
    )  # fmt: skip
    given = Given(columns, edge, time_unit, SystemClock().now_us(), retracts)
    notes = [] if columns.time else ["no time column: labels are dated now"]
    if not as_json:
        tell_columns(columns, notes)
    with progress(f"importing {file.name}", shown=not as_json) as told:
        result = import_table(
            table, log_url, stream, lambda chunk: convert_labels(chunk, given), told
        )
    tell_result("labels", result, as_json=as_json)


def declared_classes(reader: str | None, task: str) -> tuple[str, ...]:
    """The class list of the model that is declared under the task's name."""
    if not reader:
        return ()
    from leadline.cli.reader_client import declared_model  # noqa: PLC0415 - needs grpc

    return declared_model(reader, task, 10.0).classes


def convert_labels(chunk: list[Row], given: Given) -> Converted:
    """The batch of a chunk, and its refused rows."""
    rows: list[LabelRow] = []
    refused: Refusals = []
    for number, row in enumerate(chunk):
        try:
            rows.append(_label_row(row, given))
        except RefusedError as why:
            refused.append((number, why))
    return Converted([label_batch(rows, given.edge)] if rows else [], refused)


def _label_row(row: Row, given: Given) -> LabelRow:
    columns = given.columns
    value = cell_class(row.get(columns.label))
    if value is None:
        raise RefusedError("no_label", "the label is empty", "leave the row out")
    when = cell_time(row.get(columns.time), given.time_unit) if columns.time else None
    return LabelRow(
        identity(cell_id(row.get(columns.id))),
        time_us(when, given.now_us),
        RETRACTED
        if given.retracts and value == given.retracts
        else int(np.uint32(given.edge.class_number(value))),
    )
