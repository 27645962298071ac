"""Reads CSV, JSON lines and Parquet as chunks of columns; nothing is held but one chunk."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from leadline.records.errors import UsageError

Row = dict[str, Any]
Told = Callable[[float], None]

CSV_FIELD_BYTES_MAX = 4 * 1024 * 1024
"""A row of scores of a model with many classes may be one long field."""
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows.

    Attributes:
        form: "csv", "tsv", "json" or "parquet", by the file's ending.
        columns: names, in the file's order; of JSON lines those of the first row.
    """

    path: Path
    form: str
    columns: tuple[str, ...]

    def chunks(self, rows: int, told: Told) -> Iterator[list[Row]]:
        """Rows in order, at most that many at once; `told` hears the share that was read.

        Raises:
            UsageError: a line cannot be read.
        """
        reader = _read_parquet if self.form == "parquet" else _read_lines
        return reader(self, rows, told)


def open_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        UsageError: the file is missing, empty, or of an unknown kind.
    """
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"{str(path)!r} has no known ending", f"Use one of: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}", "Correct the path")
    columns = _parquet_columns(path) if form == "parquet" else _line_columns(path, form)
    if not columns:
        raise UsageError(f"{str(path)!r} has no rows", "Is it the right file?")
    return Table(path, form, columns)


def _line_columns(path: Path, form: str) -> tuple[str, ...]:
    with _text(path) as file:
        if form == "json":
            for line in file:
                if line.strip():
                    return tuple(_json_row(line, path, 1))
            return ()
        names = next(_csv(file, form), [])
    if len(set(names)) < len(names):
        raise UsageError(f"{str(path)!r} names a column twice in its first line", "Rename one")
    return tuple(names)


def _read_lines(table: Table, rows: int, told: Told) -> Iterator[list[Row]]:
    size = max(table.path.stat().st_size, 1)
    chunk: list[Row] = []
    with _text(table.path) as file:
        for row in _json_rows(file, table.path) if table.form == "json" else _csv_rows(file, table):
            chunk.append(row)
            if len(chunk) >= rows:
                told(min(file.buffer.tell() / size, 1.0))  # type: ignore[attr-defined]
                yield chunk
                chunk = []
    told(1.0)
    if chunk:
        yield chunk


def _json_rows(file: IO[str], path: Path) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _json_row(line, path, number)


def _json_row(line: str, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{str(path)!r}, line {number}: {error.msg}", "One object a line"
        ) from None
    if not isinstance(row, dict):
        raise UsageError(f"{str(path)!r}, line {number} is no object", "One object a line")
    return row


def _csv_rows(file: IO[str], table: Table) -> Iterator[Row]:
    lines = _csv(file, table.form)
    next(lines, None)
    for number, values in enumerate(lines, 2):
        if not values:
            continue
        if len(values) != len(table.columns):
            raise UsageError(
                f"{str(table.path)!r}, row {number} has {len(values)} fields, and there are "
                f"{len(table.columns)} columns",
                "Quote fields that hold the separator",
            )
        yield dict(zip(table.columns, values, strict=True))


def _csv(file: IO[str], form: str) -> Iterator[list[str]]:
    csv.field_size_limit(CSV_FIELD_BYTES_MAX)
    return iter(csv.reader(file, delimiter="\t" if form == "tsv" else ","))


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{str(path)!r} is not UTF-8", "Convert it: iconv -t UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{str(path)!r} is no CSV: {error}") from None


def _parquet(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "Parquet files need pyarrow", "pip install 'leadline[imports]', or use CSV"
        ) from None
    try:
        return parquet.ParquetFile(path)
    except ArrowInvalid as error:
        raise UsageError(f"{str(path)!r} is no Parquet file: {error}") from None


def _parquet_columns(path: Path) -> tuple[str, ...]:
    return tuple(_parquet(path).schema_arrow.names)


def _read_parquet(table: Table, rows: int, told: Told) -> Iterator[list[Row]]:
    file = _parquet(table.path)
    total, seen = max(file.metadata.num_rows, 1), 0
    for batch in file.iter_batches(batch_size=rows):
        chunk: list[Row] = batch.to_pylist()
        seen += len(chunk)
        told(seen / total)
        yield chunk
