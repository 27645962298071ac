"""Event batches: bytes to records and back.

Reading: the bytes are parsed with the twin schema (twin.proto), whose columns are `bytes`, so a
column becomes a numpy view without a copy. Where a column's length does not fit its row count, the
writer may have split a packed field in chunks or written it unpacked, both legal: the plain schema
decides. What is wrong then is refused: the whole record, or single rows where the others are good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from leadline.records.batches import (
    I64,
    READER,
    SLICE_LENGTH_MAX,
    SLICES_MAX,
    Decoded,
    InputAbsence,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
    TaskKind,
    UnobservedReason,
)
from leadline.records.columns import take_labels, take_predictions
from leadline.records.errors import (
    DeadLetterReason,
    InputError,
    Refusal,
    StoppedError,
    UsageError,
)
from leadline.records.ids import U64
from leadline.records.models import check_name
from leadline.v1 import events_pb2, twin_pb2
from leadline.wire.rows import check_label_rows, check_prediction_rows

ROWS_MAX = 1 << 20
"""Rows of one batch; more would stall a shard's freshness for seconds."""
FRAME_INDICES_MAX = 16
"""Message indices of a schema registry's frame: a message is nested no deeper."""
VARINT_BYTES_MAX = 10
"""Bytes of a 64-bit varint; garbage may go on for megabytes."""
COLUMN_FIELDS = range(20, 30)
"""Field numbers of the columns of both batches; the headers' are below."""
INPUT_REF_MAX = 300
"""Characters of a blob's key, of which there are at most 270; databases bound what they index."""
UNOBSERVED_MAX = 1 << 40
"""No producer loses so many between two batches, and no sum of such counts overflows."""
FAR_FUTURE_US = np.uint64(2**62)
"""Later times are taken for this one."""
COUNTED_KINDS = frozenset({TaskKind.BINARY, TaskKind.MULTICLASS})
"""Task kinds that this version counts; others are dead-lettered until it does."""


def encode_predictions(batch: PredictionBatch) -> bytes:
    """The message of a batch; equal to what a plain protobuf writer produces."""
    header = batch.header
    message = twin_pb2.PredictionBatchTwin(
        reader=READER,
        n=len(batch),
        model=header.model,
        version=header.version,
        task="" if header.task == header.model else header.task,
        kind=int(header.kind),  # type: ignore[arg-type]
        class_count=header.class_count,
        class_digest=header.class_digest,
        log_rate=0.0 if header.log_rate == 1.0 else header.log_rate,
        imported=header.imported,
        producer=header.producer,
        id=_bytes(batch.ids, "<u8"),
        event_time_us=_bytes(batch.event_time_us, "<i8"),
        predicted_class=_bytes(batch.predicted, "<u4"),
        score=_bytes(batch.scores, "<f4"),
        top_k=0 if batch.top_classes is None else batch.top_classes.shape[1],
        top_class=_bytes(batch.top_classes, "<u4"),
        top_score=_bytes(batch.top_scores, "<f4"),
        vector_width=0 if batch.vectors is None else batch.vectors.shape[1],
        vector=_bytes(batch.vectors, "<f4"),
    )
    for column in batch.slices:
        message.slices.add(name=column.name, value=column.values, code=_bytes(column.codes, "<u4"))
    for kept in batch.kept:
        message.kept.add(
            row=kept.row,
            probability=kept.probability,
            input_ref=kept.input_ref,
            input_uri=kept.input_uri,
            absence=int(kept.absence),
            id_text=kept.id_text,
        )
    for reason, count in batch.unobserved:
        message.unobserved.add(reason=int(reason), count=count)
    return message.SerializeToString()


def encode_labels(batch: LabelBatch) -> bytes:
    """The message of a batch; equal to what a plain protobuf writer produces."""
    header = batch.header
    message = twin_pb2.LabelBatchTwin(
        reader=READER,
        n=len(batch),
        task=header.task,
        kind=int(header.kind),  # type: ignore[arg-type]
        class_count=header.class_count,
        class_digest=header.class_digest,
        source=header.source,
        source_rank=header.source_rank,
        imported=header.imported,
        producer=header.producer,
        id=_bytes(batch.ids, "<u8"),
        label_time_us=_bytes(batch.label_time_us, "<i8"),
        true_class=_bytes(batch.true_class, "<u4"),
    )
    return message.SerializeToString()


def encode_tick() -> bytes:
    """A batch of either topic that holds nothing: its append time moves the log clock on."""
    return twin_pb2.LabelBatchTwin(reader=READER).SerializeToString()


def decode_predictions(value: bytes, partition: int, partitions: int) -> Decoded[PredictionBatch]:
    """The good rows of a record of `predictions`, and what is refused; nothing of a tick.

    Raises:
        StoppedError: the batch asks for a newer reader; it must not be passed over.
    """
    try:
        batch = _predictions(value)
    except InputError as error:
        if _is_tick(events_pb2.PredictionBatch, error, value):
            return Decoded(None, np.empty(0, np.int64))
        return _refused(error)
    refusals = check_prediction_rows(batch, partition, partitions)
    return _good_predictions(batch, refusals)


def decode_labels(value: bytes, partition: int, partitions: int) -> Decoded[LabelBatch]:
    """The good rows of a record of `labels`, and what is refused; nothing of a tick.

    Raises:
        StoppedError: the batch asks for a newer reader; it must not be passed over.
    """
    try:
        batch = _labels(value)
    except InputError as error:
        if _is_tick(events_pb2.LabelBatch, error, value):
            return Decoded(None, np.empty(0, np.int64))
        return _refused(error)
    refusals = check_label_rows(batch, partition, partitions)
    return _good_labels(batch, refusals)


def _predictions(framed: bytes) -> PredictionBatch:
    value = unframed(framed)
    twin = _parse(twin_pb2.PredictionBatchTwin, value)
    if (
        not _prediction_lengths_fit(twin)
        or _has_unpacked_columns(twin)
        or _lost_a_chunk(twin, len(value))
    ):
        twin = _replain(events_pb2.PredictionBatch, twin_pb2.PredictionBatchTwin, value)
        if not _prediction_lengths_fit(twin):
            raise InputError(DeadLetterReason.COLUMN_LENGTH, _prediction_lengths(twin))
    _check_reader(twin.reader, twin.model, twin.version)
    n, width = twin.n, twin.vector_width
    return PredictionBatch(
        header=prediction_header(twin),
        ids=ids_of(twin.id),
        event_time_us=times_of(twin.event_time_us),
        predicted=np.frombuffer(twin.predicted_class, "<u4"),
        scores=_matrix(twin.score, "<f4", n, twin.class_count),
        top_classes=_matrix(twin.top_class, "<u4", n, twin.top_k),
        top_scores=_matrix(twin.top_score, "<f4", n, twin.top_k),
        vectors=_matrix(twin.vector, "<f4", n, width),
        slices=slice_columns(twin),
        kept=kept_rows(twin, n),
        unobserved=tuple(_unobserved(lost) for lost in twin.unobserved),
    )


def _labels(framed: bytes) -> LabelBatch:
    value = unframed(framed)
    twin = _parse(twin_pb2.LabelBatchTwin, value)
    if not _label_lengths_fit(twin) or _has_unpacked_columns(twin):
        twin = _replain(events_pb2.LabelBatch, twin_pb2.LabelBatchTwin, value)
        if not _label_lengths_fit(twin):
            raise InputError(
                DeadLetterReason.COLUMN_LENGTH,
                f"n is {twin.n}, but the columns hold {len(twin.id) // 16} ids, "
                f"{len(twin.label_time_us) // 8} times and {len(twin.true_class) // 4} classes.",
            )
    _check_reader(twin.reader, twin.task)
    return LabelBatch(
        header=label_header(twin),
        ids=ids_of(twin.id),
        label_time_us=times_of(twin.label_time_us),
        true_class=np.frombuffer(twin.true_class, "<u4"),
    )


def _is_tick(plain: Any, error: InputError, framed: bytes) -> bool:  # noqa: ANN401 - as _parse
    """Whether what lacks its names is no broken batch, but one with no field beside `reader`."""
    if error.reason is not DeadLetterReason.HEADER:
        return False
    try:
        return bool(plain.FromString(unframed(framed)) == plain(reader=READER))
    except DecodeError:
        return False


def prediction_header(twin: twin_pb2.PredictionBatchTwin) -> PredictionHeader:
    """The header of a batch; InputError when it is not possible."""
    return PredictionHeader(
        model=_name("model", twin.model),
        version=_name("version", twin.version),
        task=_name("task", twin.task or twin.model),
        kind=_kind(twin.kind),
        class_count=twin.class_count,
        class_digest=twin.class_digest,
        log_rate=_rate("log_rate", twin.log_rate or 1.0),
        imported=twin.imported,
        producer=twin.producer,
    )


def label_header(twin: twin_pb2.LabelBatchTwin) -> LabelHeader:
    """The header of a batch; InputError when it is not possible."""
    return LabelHeader(
        task=_name("task", twin.task),
        kind=_kind(twin.kind),
        class_count=twin.class_count,
        class_digest=twin.class_digest,
        source=twin.source,
        source_rank=twin.source_rank,
        imported=twin.imported,
        producer=twin.producer,
    )


def unframed(value: bytes) -> bytes:
    """The message behind a schema registry's frame, if there is one.

    A frame is a zero byte, a 4-byte schema id and a list of message indices as zigzag varints (or
    one zero byte). No protobuf message starts with a zero byte.
    """
    if not value.startswith(b"\x00") or len(value) < 6:
        return value
    count, at = _unzigzag(value, 5)
    for _ in range(min(count, FRAME_INDICES_MAX)):
        _, at = _unzigzag(value, at)
    return value[at:]


def _unzigzag(value: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in value[at : at + VARINT_BYTES_MAX]:
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    return (number >> 1) ^ -(number & 1), at


def _parse(schema: Any, value: bytes) -> Any:  # noqa: ANN401 - any of four message classes
    try:
        message = schema.FromString(value)
    except DecodeError as error:
        raise InputError(
            DeadLetterReason.UNPARSABLE, f"These bytes are no {schema.__name__}."
        ) from error
    if message.reader == 0:
        raise InputError(
            DeadLetterReason.HEADER, "Field `reader` is missing; a writer of today sets it to 1."
        )
    if message.n > ROWS_MAX:
        raise InputError(
            DeadLetterReason.TOO_LARGE, f"{message.n} rows; a batch has at most {ROWS_MAX}."
        )
    return message


def _check_reader(reader: int, *names: str) -> None:
    """Stops for a batch that parses, whose lengths fit, and which asks for a newer reader.

    Random bytes that happen to parse have no valid names: they are refused like all garbage.
    """
    if reader <= READER:
        return
    for name in names:
        _name("header", name)
    raise StoppedError(
        f"A batch asks for reader {reader}; this is reader {READER}.",
        "Upgrade the metric service; nothing is lost meanwhile.",
    )


def _replain(plain: Any, twin: Any, value: bytes) -> Any:  # noqa: ANN401 - as _parse
    """The twin of a message as the plain schema reads it: chunks joined, columns packed."""
    return twin.FromString(_parse(plain, value).SerializeToString())


def _has_unpacked_columns(twin: Message) -> bool:
    """Whether a column was written unpacked, which the twin schema cannot read.

    A column that may be empty has a fitting length then, and would be lost unseen.
    """
    fields = UnknownFieldSet(twin)
    return any(fields[at].field_number in COLUMN_FIELDS for at in range(len(fields)))


def _lost_a_chunk(twin: twin_pb2.PredictionBatchTwin, size: int) -> bool:
    """Whether a column that may be empty is so only because its last chunk was.

    Not asked where scores are given, as they mostly are: the answer costs as much as parsing.
    """
    maybe = (twin.class_count and not twin.score) or (twin.top_k and not twin.top_score)
    return bool(maybe) and twin.ByteSize() < size


def _prediction_lengths_fit(twin: twin_pb2.PredictionBatchTwin) -> bool:
    n = twin.n
    return (
        len(twin.id) == 16 * n
        and len(twin.event_time_us) == 8 * n
        and len(twin.predicted_class) == 4 * n
        and len(twin.score) in (0, 4 * n * twin.class_count)
        and len(twin.top_class) == 4 * n * twin.top_k
        and len(twin.top_score) in (0, 4 * n * twin.top_k)
        and len(twin.vector) == 4 * n * twin.vector_width
        and all(len(column.code) == 4 * n for column in twin.slices)
    )


def _prediction_lengths(twin: twin_pb2.PredictionBatchTwin) -> str:
    return (
        f"n is {twin.n}, class_count {twin.class_count}, top_k {twin.top_k}, but the columns hold "
        f"{len(twin.id) // 16} ids, {len(twin.event_time_us) // 8} times, "
        f"{len(twin.predicted_class) // 4} classes, {len(twin.score) // 4} scores, "
        f"{len(twin.top_class) // 4} top classes."
    )


def _label_lengths_fit(twin: twin_pb2.LabelBatchTwin) -> bool:
    n = twin.n
    return (
        len(twin.id) == 16 * n
        and len(twin.label_time_us) == 8 * n
        and len(twin.true_class) == 4 * n
    )


def _name(what: str, name: str) -> str:
    try:
        check_name(what, name)
    except UsageError as error:
        raise InputError(DeadLetterReason.HEADER, str(error)) from error
    return name


def _kind(number: int) -> TaskKind:
    if number == 0:
        raise InputError(DeadLetterReason.HEADER, "Field `kind` is missing.")
    kind: TaskKind = _enum(TaskKind, number)
    if kind not in COUNTED_KINDS:
        raise InputError(
            DeadLetterReason.KIND_UNSUPPORTED,
            f"Task kind {kind.name.lower()} is not counted by this version.",
        )
    return kind


def _enum(family: Any, number: int) -> Any:  # noqa: ANN401 - any of our IntEnums
    try:
        return family(number)
    except ValueError as error:
        raise InputError(
            DeadLetterReason.UNKNOWN_ENUM, f"{number} is no {family.__name__}."
        ) from error


def _rate(name: str, rate: float) -> float:
    if not 0 < rate <= 1:  # NaN fails too
        raise InputError(DeadLetterReason.HEADER, f"{name} is {rate}; it lies in (0, 1].")
    return rate


def slice_columns(twin: twin_pb2.PredictionBatchTwin) -> tuple[SliceColumn, ...]:
    """The slice columns of a batch; InputError when they are not possible."""
    names = [column.name for column in twin.slices]
    if len(names) > SLICES_MAX or len(set(names)) < len(names) or not all(names):
        raise InputError(
            DeadLetterReason.HEADER, f"At most {SLICES_MAX} slice columns of different names."
        )
    if max(map(len, names), default=0) > SLICE_LENGTH_MAX:
        raise InputError(
            DeadLetterReason.HEADER,
            f"The name of a slice column has at most {SLICE_LENGTH_MAX} characters.",
        )
    return tuple(
        SliceColumn(column.name, tuple(column.value), np.frombuffer(column.code, "<u4"))
        for column in twin.slices
    )


def kept_rows(twin: twin_pb2.PredictionBatchTwin, n: int) -> tuple[KeptRow, ...]:
    """The kept rows of a batch of n rows; InputError when they are not possible."""
    return tuple(_kept(kept, n) for kept in twin.kept)


def _kept(kept: events_pb2.KeptRow, n: int) -> KeptRow:
    if kept.row >= n:
        raise InputError(DeadLetterReason.COLUMN_LENGTH, f"Kept row {kept.row} of {n} rows.")
    if len(kept.input_ref) > INPUT_REF_MAX:
        raise InputError(
            DeadLetterReason.HEADER,
            f"An input_ref has {len(kept.input_ref)} characters; no key of the blob store has "
            f"more than {INPUT_REF_MAX}. Other addresses go into input_uri.",
        )
    return KeptRow(
        row=kept.row,
        probability=_rate("probability of a kept row", kept.probability),
        input_ref=kept.input_ref,
        input_uri=kept.input_uri,
        absence=_enum(InputAbsence, kept.absence),
        id_text=kept.id_text,
    )


def _unobserved(lost: events_pb2.Unobserved) -> tuple[UnobservedReason, int]:
    if lost.count > UNOBSERVED_MAX:
        raise InputError(
            DeadLetterReason.HEADER,
            f"{lost.count} unobserved requests; a batch tells of at most {UNOBSERVED_MAX}.",
        )
    return _enum(UnobservedReason, lost.reason), lost.count


def ids_of(column: bytes) -> U64:
    """Ids (n, 2), a view of the column."""
    return np.frombuffer(column, np.uint64).reshape(-1, 2)


def times_of(column: bytes) -> I64:
    """Unsigned microseconds as int64: times beyond its range are the far future."""
    times = np.frombuffer(column, "<u8")
    if not len(times) or times.max() <= FAR_FUTURE_US:
        return times.view("<i8")
    clipped: I64 = np.minimum(times, FAR_FUTURE_US).astype(np.int64)
    return clipped


def _matrix(column: bytes, dtype: str, n: int, width: int) -> npt.NDArray[Any] | None:
    return np.frombuffer(column, dtype).reshape(n, width) if column else None


def _bytes(column: npt.NDArray[Any] | None, dtype: str) -> bytes:
    if column is None:
        return b""
    return np.ascontiguousarray(column, dtype=dtype).tobytes()


def _refused(error: InputError) -> Decoded[Any]:
    refusal = Refusal(-1, error.reason, str(error))
    return Decoded(None, np.empty(0, np.int64), (refusal,))


def _good_predictions(batch: PredictionBatch, refusals: list[Refusal]) -> Decoded[PredictionBatch]:
    rows = _rows_left(len(batch), refusals)
    return Decoded(take_predictions(batch, rows) if refusals else batch, rows, tuple(refusals))


def _good_labels(batch: LabelBatch, refusals: list[Refusal]) -> Decoded[LabelBatch]:
    rows = _rows_left(len(batch), refusals)
    return Decoded(take_labels(batch, rows) if refusals else batch, rows, tuple(refusals))


def _rows_left(n: int, refusals: list[Refusal]) -> I64:
    good = np.ones(n, np.bool_)
    good[[refusal.row for refusal in refusals]] = False
    return np.flatnonzero(good)
