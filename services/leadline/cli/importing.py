"""Imports a file into the log: chunk by chunk, each durable before the next."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadline.cli.guess import Columns
from leadline.cli.output import console, print_json
from leadline.cli.tables import Row, Table, Told
from leadline.client.connect import connect
from leadline.client.edge import RefusedError
from leadline.records.batches import LabelBatch, PredictionBatch
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.port import LogWriter, Stream
from leadline.runtime.rounds import messages_of

if TYPE_CHECKING:
    from _csv import Writer

CHUNK_ROWS = 10_000
"""Rows of one write: a progress bar that moves, and little to lose when it is interrupted."""
FLUSH_SECONDS = 60.0

Refusals = list[tuple[int, RefusedError]]


@dataclass(frozen=True, slots=True)
class Converted:
    """A chunk, ready to be written.

    Attributes:
        batches: to write.
        refused: (row in the chunk, why).
    """

    batches: Sequence[PredictionBatch | LabelBatch]
    refused: Refusals


@dataclass(slots=True)
class Result:
    """What an import did.

    Attributes:
        rows: read.
        written: durable in the log.
        refused: by cause.
        refused_file: where the refused rows stand; None when there are none.
    """

    rows: int = 0
    written: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    refused_file: Path | None = None


class RefusedFile:
    """The refused rows with their reasons, as CSV; made with the first one."""

    def __init__(self, table: Table) -> None:
        self.path = table.path.with_name(table.path.name + ".refused.csv")
        self._columns = table.columns
        self._file: Any = None
        self._writer: Writer | None = None

    def add(self, number: int, row: Row, why: RefusedError) -> None:
        """Writes one row; `number` counts data rows from 1."""
        if self._writer is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(["row", "reason", "remedy", *self._columns])
        values = (row.get(name) for name in self._columns)
        self._writer.writerow([number, str(why), why.remedy, *values])

    def close(self) -> Path | None:
        """Ends; where it is, if there is one."""
        if self._file is None:
            return None
        self._file.close()
        return self.path


def import_table(
    table: Table, url: str, stream: str, convert: Callable[[list[Row]], Converted], told: Told
) -> Result:
    """Writes a table's rows; refused ones go to FILE.refused.csv, the others on.

    An import that is interrupted or repeated does no harm: a row that comes twice is counted once.

    Raises:
        TransientError: the log does not answer; chunks before that are written.
    """
    result, refused_file = Result(), RefusedFile(table)
    connection = connect(url, stream, SystemClock())
    try:
        writer = connection.log.writer()
        try:
            for chunk in table.chunks(CHUNK_ROWS, told):
                converted = convert(chunk)
                _write(writer, connection.stream, converted, result)
                for at, why in converted.refused:
                    result.refused[why.cause] = result.refused.get(why.cause, 0) + 1
                    refused_file.add(result.rows + at + 1, chunk[at], why)
                result.rows += len(chunk)
        finally:
            writer.close()
    finally:
        result.refused_file = refused_file.close()
        connection.log.close()
    return result


def _write(writer: LogWriter, stream: Stream, converted: Converted, result: Result) -> None:
    for batch in converted.batches:
        for message in messages_of(batch, stream, CHUNK_ROWS):
            writer.append(message.topic, message.partition, message.value)
        writer.flush(FLUSH_SECONDS)
        result.written += len(batch)


@contextmanager
def progress(title: str, *, shown: bool) -> Iterator[Told]:
    """A progress bar; its value takes the share that is done."""
    if not shown:
        yield _untold
        return
    from rich.progress import Progress  # noqa: PLC0415 - as in output.console

    with Progress(console=console(), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _untold(share: float) -> None:
    """Nobody looks."""
    del share


def tell_columns(columns: Columns, notes: Iterable[str]) -> None:
    """States what was guessed, before anything is written."""
    for meaning, name in columns.guessed:
        click.echo(f"{meaning:<10} column {name}  (guessed; --{meaning} COLUMN decides)", err=True)
    for note in notes:
        click.echo(note, err=True)


def tell_result(what: str, result: Result, *, as_json: bool) -> None:
    """States what was done; exit code 1 when every row was refused."""
    refused = sum(result.refused.values())
    if as_json:
        print_json(
            {
                "rows": result.rows,
                "written": result.written,
                "refused": result.refused,
                "refused_file": str(result.refused_file) if result.refused_file else None,
            }
        )
    else:
        click.echo(f"{result.written:,} {what} written, {refused:,} rows refused")
        for cause, count in sorted(result.refused.items(), key=lambda item: -item[1]):
            click.echo(f"  {count:>9,}  {cause}")
        if result.refused_file:
            click.echo(f"reasons by row: {result.refused_file}")
    if refused and not result.written:
        raise click.exceptions.Exit(1)
