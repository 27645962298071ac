"""Many records at once: what decoding them one by one gives, for a fraction of the price.

Rows of records with equal headers become one batch. `batches.decode_predictions` and
`batches.decode_labels` are the reference: what is good, what is refused and why is theirs, and
they decode whatever is written in an unusual way. The others are read in three steps: records of
equal length that are written alike by `layouts`, the rest by `scan`, both without parsing a column;
all rows are then checked at once by `blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from leadline.records.batches import (
    I64,
    Decoded,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
)
from leadline.records.errors import InputError, StoppedError
from leadline.v1 import twin_pb2
from leadline.wire.batches import (
    ROWS_MAX,
    decode_labels,
    decode_predictions,
    kept_rows,
    label_header,
    prediction_header,
    slice_columns,
)
from leadline.wire.blocks import Block, Numbered, Shape, Source
from leadline.wire.deal import deal
from leadline.wire.layouts import Matrix, same_places, value_spans
from leadline.wire.scan import Scan, scan

Batch = TypeVar("Batch")

ALIKE_MIN = 8
"""Records of one length that are worth to be compared; fewer are scanned one by one."""
LENGTH_MAX = 8_192
"""Bytes of records that are compared; larger ones cost little a row when they are scanned."""
LAYOUTS_MAX = 8
"""Layouts that are tried among the records of one length; the rest is scanned one by one."""
HEADS_MAX, HEAD_BYTES_MAX = 10_000, 1_024
"""Headers that are remembered by default, and how long they may be in bytes: 10 MB in all."""
LABEL_WIDTHS = (16, 8, 4)
NO_CODES: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows(Generic[Batch]):
    """Good rows of one or more records with equal headers, in the order of the log.

    Attributes:
        batch: the rows; `unobserved` counts only where they come from a single record.
        record: int64 (n,), for each row the index of its record; never falls.
        first: index of the first record, also where there are no rows but `unobserved` counts.
    """

    batch: Batch
    record: I64
    first: int


@dataclass(frozen=True, slots=True)
class DecodedMany(Generic[Batch]):
    """What a sequence of records holds.

    Attributes:
        rows: by `first`; a record's rows stand in one of them.
        refusals: (index of the record, what was refused), in the order of the log.
        records: how many records were decoded: fewer than given when a batch asks for a newer
            reader.
        stopped: why not all were decoded; those before are decoded all the same.
    """

    rows: tuple[Rows[Batch], ...]
    refusals: tuple[Numbered, ...]
    records: int
    stopped: StoppedError | None


class Heads:
    """Headers met so far, so that each is parsed once; what is decoded does not depend on them.

    Args:
        limit: of headers of one side; when it is reached, all are forgotten.
    """

    def __init__(self, limit: int = HEADS_MAX) -> None:
        self.limit = limit
        self.predictions: dict[bytes, _Head] = {}
        self.labels: dict[bytes, _Head] = {}


def decode_many_predictions(
    values: Sequence[bytes], partition: int, partitions: int, heads: Heads | None = None
) -> DecodedMany[PredictionBatch]:
    """The good rows of records of `predictions`, and what is refused.

    A record with `unobserved` counts has rows of its own: the counts belong to its place.

    Args:
        values: the records, in the order of the log.
        partition: where they stand.
        partitions: of the topic.
        heads: kept between calls, it saves the parsing of headers.
    """
    return _Many(PREDICTIONS, values, partition, partitions, heads or Heads()).decoded()


def decode_many_labels(
    values: Sequence[bytes], partition: int, partitions: int, heads: Heads | None = None
) -> DecodedMany[LabelBatch]:
    """The good rows of records of `labels`, and what is refused; as `decode_many_predictions`."""
    return _Many(LABELS, values, partition, partitions, heads or Heads()).decoded()


class _Side(NamedTuple):
    """What differs between the two topics."""

    twin: Any
    header: Callable[[Any], PredictionHeader | LabelHeader]
    decode: Callable[[bytes, int, int], Decoded[Any]]


PREDICTIONS = _Side(twin_pb2.PredictionBatchTwin, prediction_header, decode_predictions)
LABELS = _Side(twin_pb2.LabelBatchTwin, label_header, decode_labels)


class _Head(NamedTuple):
    """A head that was parsed: the source of all records that hold nothing beside it."""

    source: Source
    top_k: int
    vector_width: int


class _Content(NamedTuple):
    """A scanned record that is good as a whole."""

    scan: Scan
    shape: Shape
    source: Source
    codes: tuple[bytes, ...]
    kept: tuple[KeptRow, ...]


class _Many:
    """One call: gathers the rows of all records, then deals them out."""

    def __init__(
        self,
        side: _Side,
        values: Sequence[bytes],
        partition: int,
        partitions: int,
        heads: Heads,
    ) -> None:
        self._side, self._values = side, values
        self._of = (partition, partitions)
        self._heads = heads.predictions if side is PREDICTIONS else heads.labels
        self._heads_max = heads.limit
        self._likely = 0
        self._blocks: dict[Shape, Block] = {}
        self._refusals: list[Numbered] = []
        self._end = len(values)
        self._stopped: StoppedError | None = None

    def decoded(self) -> DecodedMany[Any]:
        """All that the records hold."""
        for record in self._alike():
            try:
                self._one(record)
            except StoppedError as error:
                self._end, self._stopped = record, error
                break
        rows: list[Rows[Any]] = []
        for block in self._blocks.values():
            hands, refusals = deal(block, *self._of, self._end)
            rows += [Rows(*hand) for hand in hands]
            self._refusals += refusals
        rows.sort(key=lambda each: each.first)
        refusals = [each for each in self._refusals if each[0] < self._end]
        refusals.sort(key=lambda each: (each[0], each[1].row))
        return DecodedMany(tuple(rows), tuple(refusals), self._end, self._stopped)

    # -- records that are written alike -------------------------------------------------------

    def _alike(self) -> list[int]:
        """Reads what is written alike; the other records, in order."""
        left: list[I64] = []
        lengths = np.fromiter(map(len, self._values), np.int64, len(self._values))
        for records in _by_value(lengths):
            if len(records) < ALIKE_MIN or lengths[records[0]] > LENGTH_MAX:
                left.append(records)
                continue
            rest = records
            for _ in range(LAYOUTS_MAX):
                rest = self._layout(rest, left)
                if len(rest) < ALIKE_MIN:
                    break
            left.append(rest)
        return sorted(np.concatenate(left).tolist()) if left else []

    def _layout(self, records: I64, left: list[I64]) -> I64:
        """Reads the records that are written like the first; the others."""
        example = self._content(self._values[records[0]])
        spans = None if example is None else value_spans(example.scan)
        if example is None or spans is None:
            left.append(records[:1])
            return records[1:]
        whole = len(records) == len(self._values)
        values = self._values if whole else [self._values[record] for record in records.tolist()]
        matrix = Matrix.of(values)
        alike = matrix.alike(spans)
        block, numbers = self._block(example.shape), []
        for at in alike.examples:
            content = self._content(self._values[records[at]])
            fits = content is not None and same_places(content.scan, example.scan)
            if content is not None and fits and content.shape == example.shape:
                numbers.append(block.number(content.source))
            else:
                numbers.append(-1)
        sources = np.append(np.array(numbers, np.int64), -1)[alike.group]
        good = None if (sources >= 0).all() else sources >= 0
        columns = [matrix.column(span, good) for span in spans[: len(example.shape[0])]]
        columns += [matrix.column(span, good) for span in example.scan.codes]
        if good is None:
            block.add_many(records, sources, example.scan.n, columns)
            return records[:0]
        block.add_many(records[good], sources[good], example.scan.n, columns)
        return records[~good]

    # -- records one by one -------------------------------------------------------------------

    def _one(self, record: int) -> None:
        """Reads one record; raises StoppedError when it asks for a newer reader."""
        value = self._values[record]
        content = self._content(value)
        if content is None:
            self._unusual(record, value)
            return
        found, shape, source, codes, kept = content
        block = self._block(shape)
        view = memoryview(value)
        columns = [view[start:end] for start, end in found.columns[: len(shape[0])]]
        block.add(record, block.number(source), found.n, [*columns, *codes], kept)

    def _unusual(self, record: int, value: bytes) -> None:
        """Decodes a record by the reference."""
        decoded = self._side.decode(value, *self._of)
        self._refusals += [(record, refusal) for refusal in decoded.refusals]
        if decoded.batch is None:
            return
        source, kept, arrays = _parts(decoded.batch, record)
        n, fixed = len(decoded.batch), len(arrays) - len(source.slices)
        rest = [0 if a is None or not n else a.nbytes // n for a in arrays[3:fixed]]
        block = self._block(((*LABEL_WIDTHS, *rest), len(source.slices)))
        columns = [b"" if array is None else array.tobytes() for array in arrays]
        block.add(record, block.number(source), n, columns, kept)

    def _content(self, value: bytes) -> _Content | None:
        """What a record holds, its rows unchecked; None when the reference must say."""
        found = scan(value, self._heads, self._likely, sparse=self._side is PREDICTIONS)
        if found is None:
            return None
        head = self._head(found.head)
        if head is None:
            return None
        widths = _widths(found, head)
        if widths is None:
            return None
        if not found.sparse:
            return _Content(found, (widths, 0), head.source, NO_CODES, ())
        return self._sparse(found, head, widths)

    def _head(self, content: bytes) -> _Head | None:
        head = self._heads.get(content)
        if head is None:
            try:
                twin = self._side.twin.FromString(content)
                header = self._side.header(twin)
            except (DecodeError, InputError):
                return None
            wide = (twin.top_k, twin.vector_width) if self._side is PREDICTIONS else (0, 0)
            head = _Head(Source(header), *wide)
            if len(content) > HEAD_BYTES_MAX:
                return head
            if len(self._heads) >= self._heads_max:
                self._heads.clear()
            self._heads[content] = head
        self._likely = len(content)
        return head

    def _sparse(self, found: Scan, head: _Head, widths: tuple[int, ...]) -> _Content | None:
        try:
            twin = twin_pb2.PredictionBatchTwin.FromString(found.sparse)
            if any(len(column.code) != 4 * found.n for column in twin.slices):
                return None
            columns, kept = slice_columns(twin), kept_rows(twin, found.n)
        except (DecodeError, InputError):
            return None
        slices = tuple((column.name, column.values) for column in columns)
        source = Source(head.source.header, slices) if slices else head.source
        codes = tuple(column.codes.tobytes() for column in columns)
        return _Content(found, (widths, len(columns)), source, codes, kept)

    def _block(self, shape: Shape) -> Block:
        block = self._blocks.get(shape)
        if block is None:
            block = self._blocks[shape] = Block(shape)
        return block


def _by_value(numbers: I64) -> list[I64]:
    """Positions of equal numbers, each time in order."""
    if not len(numbers):
        return []
    if (numbers == numbers[0]).all():
        return [np.arange(len(numbers))]
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _widths(found: Scan, head: _Head) -> tuple[int, ...] | None:
    """Bytes of a row in each column; None when a column's length does not fit."""
    n, lengths = found.n, [end - start for start, end in found.columns]
    if n > ROWS_MAX or lengths[:3] != [16 * n, 8 * n, 4 * n]:
        return None
    if isinstance(head.source.header, LabelHeader):
        return None if any(lengths[3:]) else LABEL_WIDTHS
    score, top_class, top_score, vector = lengths[3:]
    top_k = 4 * n * head.top_k
    if (
        score not in (0, 4 * n * head.source.header.class_count)
        or top_class != top_k
        or top_score not in (0, top_k)
        or vector != 4 * n * head.vector_width
    ):
        return None
    return (*LABEL_WIDTHS, score // n, top_class // n, top_score // n, vector // n)


def _parts(
    batch: PredictionBatch | LabelBatch, record: int
) -> tuple[Source, tuple[KeptRow, ...], list[npt.NDArray[Any] | None]]:
    """A decoded batch, taken apart into what a block gathers."""
    if isinstance(batch, LabelBatch):
        return Source(batch.header), (), [batch.ids, batch.label_time_us, batch.true_class]
    slices = tuple((column.name, column.values) for column in batch.slices)
    alone = record if batch.unobserved else -1
    arrays: list[npt.NDArray[Any] | None] = [batch.ids, batch.event_time_us, batch.predicted]
    arrays += [batch.scores, batch.top_classes, batch.top_scores, batch.vectors]
    arrays += [column.codes for column in batch.slices]
    return Source(batch.header, slices, alone, batch.unobserved), batch.kept, arrays
