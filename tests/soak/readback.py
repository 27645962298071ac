"""The topics as a plain consumer reads them, checked row by row, for the oracle.

Shares no code with the services: the messages are compiled from the .proto files, and what must be
refused, and why, is written from docs/operations.md and the comments of events.proto.
"""

import json
import math
from dataclasses import dataclass
from time import monotonic

from independent import RETRACTED, partition_of
from kafka import KafkaConsumer, TopicPartition
from oracle_full import LabelRecord, LabelRow, PredictionRecord, PredictionRow

UNPARSABLE, COLUMN_LENGTH, HEADER, UNKNOWN_ENUM, SCORE_NAN, SCORE_RANGE, CLASS_RANGE = range(1, 8)
WRONG_PARTITION, SLICE_CODE, TOO_LARGE, KIND_UNSUPPORTED = range(8, 12)
KINDS, COUNTED_KINDS = range(1, 6), (1, 2)
ROWS_MAX, CLASSES_MAX, NAME_MAX = 1 << 20, 1 << 20, 200
LOG_APPEND_TIME = 1
QUIET_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Raw:
    """One record of a topic; append time -1 where the log did not stamp it."""

    offset: int
    append_ms: int
    value: bytes


class Refused(Exception):
    """A whole record is refused; the reason's number."""


def read(bootstrap, topic, partition, end=None):
    """All records of a partition below `end` (default: its end now).

    Raises:
        TimeoutError: they do not come.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
    )
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end = consumer.end_offsets([place])[place] if end is None else end
        return list(_until(consumer, place, end))
    finally:
        consumer.close(autocommit=False)


def _until(consumer, place, end):
    moved = monotonic()
    while consumer.position(place) < end:
        for row in consumer.poll(timeout_ms=500).get(place, ()):
            moved = monotonic()
            if row.offset < end:
                stamped = row.timestamp_type == LOG_APPEND_TIME
                yield Raw(row.offset, row.timestamp if stamped else -1, row.value or b"")
        if monotonic() - moved > QUIET_SECONDS:
            raise TimeoutError(f"{place} stands at {consumer.position(place)} of {end}")


class Reading:
    """Records of one partition as the oracle takes them.

    Args:
        types: the messages by name, as `independent.messages` compiles them.

    Attributes:
        refused: {(topic's base name, partition, offset, row): reason}; row -1 is the whole record.
    """

    def __init__(self, types, partition, partitions):
        self.types, self.partition, self.partitions = types, partition, partitions
        self.refused = {}

    def predictions(self, raws):
        """Oracle's records of predictions, without the rows that are refused."""
        return [self._record("predictions", raw, self._prediction) for raw in raws]

    def labels(self, raws):
        """The same of labels."""
        return [self._record("labels", raw, self._label) for raw in raws]

    def _record(self, topic, raw, make):
        found = {}  # row -> reason
        record = None
        try:
            record = make(raw, found)
        except Refused as refused:
            found[-1] = refused.args[0]
        for row, reason in found.items():
            self.refused[topic, self.partition, raw.offset, row] = reason
        reasons = tuple(found.values())
        if record is None:
            kind = PredictionRecord if topic == "predictions" else LabelRecord
            return kind(raw.offset, raw.append_ms, refused=reasons)
        fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
        return type(record)(**{**fields, "refused": reasons})

    def _prediction(self, raw, found):
        batch = self._parsed("PredictionBatch", raw.value)
        if batch is None:
            return PredictionRecord(raw.offset, raw.append_ms)
        n, k = batch.n, batch.top_k
        _lengths(
            [(batch.id, 2 * n), (batch.event_time_us, n), (batch.predicted_class, n)]
            + [(batch.score, n * batch.class_count)] * bool(batch.score)
            + [(batch.top_class, n * k)]
            + [(batch.top_score, n * k)] * bool(batch.top_score)
            + [(batch.vector, n * batch.vector_width)]
            + [(column.code, n) for column in batch.slices]
        )
        task = batch.task or batch.model
        _header((batch.model, batch.version, task), batch.kind)
        if any(kept.row >= n for kept in batch.kept):
            raise Refused(COLUMN_LENGTH)
        kept = {one.row for one in batch.kept}
        rows = [self._prediction_row(batch, row, row in kept, found) for row in range(n)]
        return PredictionRecord(
            raw.offset,
            raw.append_ms,
            batch.model,
            batch.version,
            task,
            tuple(row for row in rows if row is not None),
            batch.imported,
            tuple((lost.reason, lost.count) for lost in batch.unobserved),
        )

    def _prediction_row(self, batch, row, kept, found):
        c, k = batch.class_count, batch.top_k
        id_bytes = _id(batch, row)
        scores = tuple(batch.score[row * c : (row + 1) * c])
        top = tuple(batch.top_class[row * k : (row + 1) * k])
        top_scores = tuple(batch.top_score[row * k : (row + 1) * k])
        said, count = batch.predicted_class[row], c or CLASSES_MAX
        wrong = [
            (WRONG_PARTITION, partition_of(id_bytes, self.partitions) != self.partition),
            (CLASS_RANGE, said >= count),
        ]
        for some in (scores, top_scores):
            wrong.append((SCORE_NAN, not all(map(math.isfinite, some))))
            wrong.append((SCORE_RANGE, any(score < 0 or score > 1 for score in some)))
        wrong.append((CLASS_RANGE, any(class_ >= count for class_ in top)))
        for column in batch.slices:
            code, size = column.code[row], len(column.value)
            wrong.append((SLICE_CODE, code >= size))
            wrong.append((TOO_LARGE, code < size and len(column.value[code]) > NAME_MAX))
        if _first(wrong, row, found):
            return None
        slices = tuple((column.name, column.value[column.code[row]]) for column in batch.slices)
        time_us = batch.event_time_us[row]
        return PredictionRow(id_bytes, time_us, said, scores, top, top_scores, slices, kept)

    def _label(self, raw, found):
        batch = self._parsed("LabelBatch", raw.value)
        if batch is None:
            return LabelRecord(raw.offset, raw.append_ms)
        n = batch.n
        _lengths([(batch.id, 2 * n), (batch.label_time_us, n), (batch.true_class, n)])
        _header((batch.task,), batch.kind)
        rows = [self._label_row(batch, row, found) for row in range(n)]
        return LabelRecord(
            raw.offset,
            raw.append_ms,
            batch.task,
            batch.source,
            batch.source_rank,
            tuple(row for row in rows if row is not None),
            batch.imported,
        )

    def _label_row(self, batch, row, found):
        id_bytes, true = _id(batch, row), batch.true_class[row]
        outside = true >= (batch.class_count or CLASSES_MAX) and true != RETRACTED
        elsewhere = partition_of(id_bytes, self.partitions) != self.partition
        if _first([(WRONG_PARTITION, elsewhere), (CLASS_RANGE, outside)], row, found):
            return None
        return LabelRow(id_bytes, batch.label_time_us[row], true)

    def _parsed(self, name, value):
        """The message; None of a tick."""
        kind = self.types[name]
        try:
            batch = kind.FromString(value)
        except Exception as error:
            raise Refused(UNPARSABLE) from error
        if batch == kind(reader=1):
            return None
        if batch.reader == 0:
            raise Refused(HEADER)
        if batch.n > ROWS_MAX:
            raise Refused(TOO_LARGE)
        return batch


def dead_letters(types, raws):
    """{(topic's base name, partition, offset, row): reason} of a topic of dead letters."""
    found = {}
    for raw in raws:
        letter = types["DeadLetter"].FromString(raw.value)
        base = letter.topic.rpartition(".")[2]
        found[base, letter.partition, letter.offset, letter.row] = letter.reason
    return found


def documents(raws):
    """The JSON of every record of a topic."""
    return [json.loads(raw.value) for raw in raws]


def _id(batch, row):
    high, low = batch.id[2 * row], batch.id[2 * row + 1]
    return high.to_bytes(8, "big") + low.to_bytes(8, "big")


def _lengths(columns):
    if any(len(column) != wanted for column, wanted in columns):
        raise Refused(COLUMN_LENGTH)


def _header(names, kind):
    for name in names:
        if not 0 < len(name) <= NAME_MAX or "/" in name or not name.isprintable():
            raise Refused(HEADER)
    if kind == 0:
        raise Refused(HEADER)
    if kind not in KINDS:
        raise Refused(UNKNOWN_ENUM)
    if kind not in COUNTED_KINDS:
        raise Refused(KIND_UNSUPPORTED)


def _first(causes, row, found):
    """Notes the first cause that holds; returns whether there is one."""
    for reason, holds in causes:
        if holds:
            found[row] = reason
            return True
    return False
