"""Rows of many records, gathered column by column: checked at once, then dealt out by header.

A block holds rows of one shape: equal widths of all columns and equally many slice columns.
Whether a row is good is decided in two steps: cheap tests of whole columns find the suspects, and
the checks of `rows` decide on those. A suspect may be good; what is no suspect surely is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.records.batches import (
    I64,
    RETRACTED,
    SLICE_LENGTH_MAX,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
    UnobservedReason,
)
from leadline.records.errors import Refusal
from leadline.records.ids import partition_of
from leadline.wire.batches import ids_of, times_of
from leadline.wire.rows import CLASSES_MAX, check_label_rows, check_prediction_rows

Bools = npt.NDArray[np.bool_]
Buffer = bytes | memoryview
Column = npt.NDArray[Any] | None
Slices = tuple[tuple[str, tuple[str, ...]], ...]
"""(name, dictionary) of each slice column."""
Losses = tuple[tuple[UnobservedReason, int], ...]
Shape = tuple[tuple[int, ...], int]
"""Bytes of a row in each column (0: the column is absent), and the number of slice columns."""

PREDICTION_COLUMNS, LABEL_COLUMNS = 7, 3
COLUMN_TYPES = ("", "", "<u4", "<f4", "<u4", "<f4", "<f4")
"""Types of the columns after ids and times."""
CLASSES, SCORES, TOP_CLASSES, TOP_SCORES = 2, 3, 4, 5
MATRICES = frozenset({3, 4, 5, 6})
"""Columns of several numbers a row."""
ONE_BITS = np.float32(1).view(np.uint32)
"""Bits above these: scores above 1, negative ones (-0.0 too), and what is no number."""
RADIX_MAX = 1 << 16
"""Numbers below are sorted without comparisons."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the rows of a record have in common; equal records may share one.

    Attributes:
        record: -1, or the record whose rows stay alone, since it has `unobserved` counts.
    """

    header: PredictionHeader | LabelHeader
    slices: Slices = ()
    record: int = -1
    unobserved: Losses = ()

    @property
    def group(self) -> object:
        """Rows of sources with an equal group come together."""
        return self.header, tuple(name for name, _ in self.slices), self.record


class Block:
    """Rows of one shape as they are gathered.

    Args:
        shape: theirs.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.sources: list[Source] = []
        self.kept: list[tuple[int, KeptRow]] = []
        self._chunks: list[list[Buffer]] = [[] for _ in range(len(shape[0]) + shape[1])]
        self._places: list[tuple[I64, I64]] = []
        self._runs: list[tuple[int, int, int]] = []
        self._numbers: dict[int, int] = {}
        self._size = 0

    def number(self, source: Source) -> int:
        """Number of a source, the same one for the same object."""
        number = self._numbers.setdefault(id(source), len(self.sources))
        if number == len(self.sources):
            self.sources.append(source)
        return number

    def add(
        self,
        record: int,
        source: int,
        n: int,
        columns: Iterable[Buffer],
        kept: Sequence[KeptRow] = (),
    ) -> None:
        """Rows of one record: the content of each column, codes of slice columns last."""
        for chunks, column in zip(self._chunks, columns, strict=True):
            chunks.append(column)
        self._runs.append((record, source, n))
        if kept:
            self.kept += [(self._size + row.row, row) for row in kept]
        self._size += n

    def add_many(self, records: I64, sources: I64, n: int, columns: Iterable[Buffer]) -> None:
        """Rows of many records of n rows each."""
        self._flush()
        for chunks, column in zip(self._chunks, columns, strict=True):
            chunks.append(column)
        self._places.append((np.repeat(records, n), np.repeat(sources, n)))
        self._size += n * len(records)

    def places(self) -> tuple[I64, I64]:
        """Record and source of each row."""
        self._flush()
        if len(self._places) == 1:
            return self._places[0]
        records, sources = zip(*self._places, strict=True)
        return np.concatenate(records), np.concatenate(sources)

    def columns(self) -> list[Column]:
        """The columns, None for those that are absent; codes of slice columns last."""
        widths = self.shape[0] + (4,) * self.shape[1]
        types = COLUMN_TYPES[: len(self.shape[0])] + ("<u4",) * self.shape[1]
        raw = [b"".join(chunks) for chunks in self._chunks]  # aligned, of single bytes no copy
        found: list[Column] = [ids_of(raw[0]), times_of(raw[1])]
        for at in range(2, len(raw)):
            numbers = np.frombuffer(raw[at], types[at]) if widths[at] else None
            if numbers is not None and at in MATRICES and at < len(self.shape[0]):
                numbers = numbers.reshape(-1, widths[at] // 4)
            found.append(numbers)
        return found

    def _flush(self) -> None:
        if self._runs:
            runs = np.array(self._runs, np.int64).T
            self._places.append((np.repeat(runs[0], runs[2]), np.repeat(runs[1], runs[2])))
            self._runs.clear()


class Table(NamedTuple):
    """The rows of a block as arrays.

    Attributes:
        record: int64 (n,), never falls within the rows of one call of `add_many` or several `add`s.
        source: int64 (n,), numbers of `sources`.
        columns: as `Block.columns`.
        slices: how many of them are codes of slice columns, the last ones.
    """

    sources: Sequence[Source]
    record: I64
    source: I64
    columns: Sequence[Column]
    slices: int

    def take(self, rows: I64) -> Table:
        """Some rows, in the given order."""
        columns = [None if each is None else each.take(rows, axis=0) for each in self.columns]
        record, source = self.record.take(rows), self.source.take(rows)
        return Table(self.sources, record, source, columns, self.slices)

    def cut(self, start: int, end: int) -> Table:
        """Rows from start to end, as views."""
        columns = [None if each is None else each[start:end] for each in self.columns]
        record, source = self.record[start:end], self.source[start:end]
        return Table(self.sources, record, source, columns, self.slices)

    def batch(self, kept: Sequence[KeptRow] = (), *, source: Source) -> Any:  # noqa: ANN401
        """The rows as one batch: all are of sources with the same group as the one given."""
        header, fixed = source.header, len(self.columns) - self.slices
        columns: Any = self.columns[:fixed]
        if isinstance(header, LabelHeader):
            return LabelBatch(header, *columns)
        slices = tuple(self._slice_column(at, name) for at, (name, _) in enumerate(source.slices))
        parts: list[Any] = [header, *columns, slices, tuple(kept), source.unobserved]
        return PredictionBatch(*parts)

    def _slice_column(self, at: int, name: str) -> SliceColumn:
        """One slice column; different dictionaries are united."""
        codes: Any = self.columns[len(self.columns) - self.slices + at]
        numbers, first = np.unique(self.source, return_index=True)
        order = numbers[np.argsort(first)]
        dictionaries = [self.sources[number].slices[at][1] for number in order.tolist()]
        if len(set(dictionaries)) <= 1:
            return SliceColumn(name, dictionaries[0] if dictionaries else (), codes)
        code_of: dict[str, int] = {}
        mapped = [
            code_of.setdefault(value, len(code_of)) for each in dictionaries for value in each
        ]
        starts = np.zeros(len(self.sources), np.int64)
        starts[order] = np.cumsum([0, *map(len, dictionaries[:-1])])
        codes = np.array(mapped, np.uint32)[starts[self.source] + codes]
        return SliceColumn(name, tuple(code_of), codes)


def suspects(table: Table, partition: int, partitions: int) -> Bools:
    """Rows that may be bad, (n,); every bad row is among them."""
    columns: Any = table.columns
    limits = _limits(table)
    found: Bools = partition_of(columns[0], partitions) != partition
    outside = columns[CLASSES] >= limits
    if len(columns) == LABEL_COLUMNS:
        outside &= columns[CLASSES] != RETRACTED
        found |= outside
        return found
    found |= outside
    for scores in (columns[SCORES], columns[TOP_SCORES]):
        if scores is not None and scores.view(np.uint32).max(initial=0) > ONE_BITS:
            found |= ~((scores >= 0) & (scores <= 1)).all(axis=1)
    if columns[TOP_CLASSES] is not None:
        found |= (columns[TOP_CLASSES] >= limits.reshape(-1, 1)).any(axis=1)
    for at in range(table.slices):
        found |= columns[PREDICTION_COLUMNS + at] >= _code_limits(table, at)
    return found


def _limits(table: Table) -> npt.NDArray[np.uint32]:
    """Class numbers are below these: of each row (n,), or of all (1,)."""
    counts = [source.header.class_count or CLASSES_MAX for source in table.sources]
    if len(set(counts)) == 1:
        return np.array(counts[:1], np.uint32)
    return np.array(counts, np.uint32).take(table.source)


def _code_limits(table: Table, at: int) -> npt.NDArray[np.uint32]:
    """Good codes of a slice column are below these; 0 where a value is too long."""
    sizes = []
    for source in table.sources:
        values = source.slices[at][1]
        fit = max(map(len, values), default=0) <= SLICE_LENGTH_MAX
        sizes.append(len(values) if fit else 0)
    return np.array(sizes, np.uint32).take(table.source)


Numbered = tuple[int, Refusal]
"""Index of the record, and what is refused of it."""
CHECKS: dict[type, Callable[[Any, int, int], list[Refusal]]] = {
    PredictionBatch: check_prediction_rows,
    LabelBatch: check_label_rows,
}


def refused(
    table: Table, rows: I64, partition: int, partitions: int
) -> tuple[list[Numbered], list[int]]:
    """What is refused of the suspect rows, and the rows that are."""
    refusals: list[Numbered] = []
    bad: list[int] = []
    starts = np.flatnonzero(np.diff(table.record, prepend=-1))
    order = rows[np.argsort(table.source[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(table.source[order], prepend=-1)).tolist()
    for start, end in zip(bounds, [*bounds[1:], len(order)], strict=True):
        of_source = order[start:end]
        source = table.sources[table.source[of_source[0]]]
        batch = table.take(of_source).batch(source=source)
        for refusal in CHECKS[type(batch)](batch, partition, partitions):
            row = int(of_source[refusal.row])
            first = starts[np.searchsorted(starts, row, "right") - 1]
            refusals.append((int(table.record[row]), replace(refusal, row=row - int(first))))
            bad.append(row)
    return refusals, bad
