"""What producers write, in small: each record as bytes for the log and in the oracle's words.

The bytes come from events.proto by the plain protobuf library; nothing of the codecs is used.
"""

from dataclasses import dataclass

import oracle_full as oracle

from leadline.records.ids import pack_ids, partition_of
from leadline.v1 import events_pb2

BASE_MS = 1_700_002_760_000
"""Where time begins; 40 s before a full hour, so that schedules cross hours and minutes."""
TICK_MS = 20_000
"""Windows are a few ticks: three make a minute."""
PARTITIONS = 2
CLASSES = 3
TASKS = ("m", "t")
VERSIONS = (("m", "1"), ("m", "2"), ("n", "1"))
SOURCES = ("bot", "clerk", "expert")
SLICES = ((), (("os", "x"),), (("os", "y"),), (("os", "z"),))
SCORES = (
    (0.125, 0.25, 0.625),
    (0.25, 0.25, 0.5),
    (0.0, 1.0, 0.0),
    (0.5, 0.25, 0.25),
    (1.0, 0.0, 0.0),
)
UNPARSABLE, CLASS_RANGE, WRONG_PARTITION = 1, 7, 8
GARBAGE = b"\xff\xff\xff"


def _ids():
    """Eight ids of partition 0, half of them with a time in front, and two of another partition."""
    own, foreign = [], []
    number = 0
    while len(own) < 8 or len(foreign) < 2:
        number += 1
        if number % 2:
            stamp = BASE_MS + number * TICK_MS
            one = (stamp << 80 | 7 << 76 | 2 << 62 | number).to_bytes(16, "big")
        else:
            one = (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big")
        mine = int(partition_of(pack_ids([one]), PARTITIONS)[0]) == 0
        (own if mine else foreign).append(one)
    return tuple(own[:8] + foreign[:2])


IDS = _ids()
FOREIGN = 8
"""From this one on ids belong to another partition."""


@dataclass(frozen=True, slots=True)
class Said:
    """One predicted row: numbers into the lists above; `at_ms` is relative to the append time."""

    id: int
    predicted: int = 0
    at_ms: int = 0
    scores: int = 0
    slices: int = 0
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One label; `true` is None where it is taken back."""

    id: int
    true: int | None = 0
    at_ms: int = 0


DENSE, TOP, BARE = "dense", "top", "bare"


def prediction(offset, append_ms, version, task, rows, *, form, imported, unobserved):
    """(bytes, oracle's record) of one batch of predictions."""
    model, name = VERSIONS[version]
    base_us = max(append_ms, BASE_MS) * 1000
    message = events_pb2.PredictionBatch(
        reader=1,
        n=len(rows),
        model=model,
        version=name,
        task=TASKS[task],
        kind=events_pb2.TASK_KIND_MULTICLASS,
        class_count=CLASSES,
        imported=imported,
    )
    good, refused = [], []
    columns = sorted({column for row in rows for column, _ in SLICES[row.slices]})
    values = ["-", *(value for one in SLICES for _, value in one)]
    for column in columns:
        codes = [values.index(dict(SLICES[row.slices]).get(column, "-")) for row in rows]
        message.slices.add(name=column, value=values, code=codes)
    for number, row in enumerate(rows):
        event_us = max(base_us + row.at_ms * 1000, 0)
        id_ = IDS[row.id]
        message.id.append(int.from_bytes(id_[:8], "big"))
        message.id.append(int.from_bytes(id_[8:], "big"))
        message.event_time_us.append(event_us)
        message.predicted_class.append(row.predicted)
        scores, top, top_scores = _form(form, row.scores)
        message.score.extend(scores)
        message.top_class.extend(top)
        message.top_score.extend(top_scores)
        if row.kept:
            message.kept.add(row=number, probability=0.5)
        if row.id >= FOREIGN:
            refused.append(WRONG_PARTITION)
        elif row.predicted >= CLASSES:
            refused.append(CLASS_RANGE)
        else:
            slices = dict(SLICES[row.slices])
            pairs = tuple((column, slices.get(column, "-")) for column in columns)
            good.append(
                oracle.PredictionRow(
                    id_, event_us, row.predicted, scores, top, top_scores, pairs, row.kept
                )
            )
    if form == TOP:
        message.top_k = 2
    if unobserved:
        message.unobserved.add(reason=2, count=unobserved)
    record = oracle.PredictionRecord(
        offset,
        append_ms,
        model,
        name,
        TASKS[task],
        tuple(good),
        imported,
        ((2, unobserved),) if unobserved else (),
        tuple(refused),
    )
    return message.SerializeToString(), record


def _form(form, number):
    scores = SCORES[number]
    if form == DENSE:
        return scores, (), ()
    if form == TOP:
        best = sorted(range(CLASSES), key=lambda c: (-scores[c], c))[:2]
        return (), tuple(best), tuple(scores[c] for c in best)
    return (), (), ()


def label(offset, append_ms, task, source, rows, *, imported):
    """(bytes, oracle's record) of one batch of labels; a source's rank is its number."""
    base_us = max(append_ms, BASE_MS) * 1000
    message = events_pb2.LabelBatch(
        reader=1,
        n=len(rows),
        task=TASKS[task],
        kind=events_pb2.TASK_KIND_MULTICLASS,
        class_count=CLASSES,
        source=SOURCES[source],
        source_rank=source,
        imported=imported,
    )
    good, refused = [], []
    for row in rows:
        time_us = max(base_us + row.at_ms * 1000, 0)
        true = oracle.RETRACTED if row.true is None else row.true
        id_ = IDS[row.id]
        message.id.append(int.from_bytes(id_[:8], "big"))
        message.id.append(int.from_bytes(id_[8:], "big"))
        message.label_time_us.append(time_us)
        message.true_class.append(true)
        if row.id >= FOREIGN:
            refused.append(WRONG_PARTITION)
        elif true >= CLASSES and true != oracle.RETRACTED:
            refused.append(CLASS_RANGE)
        else:
            good.append(oracle.LabelRow(id_, time_us, true))
    record = oracle.LabelRecord(
        offset,
        append_ms,
        TASKS[task],
        SOURCES[source],
        source,
        tuple(good),
        imported,
        tuple(refused),
    )
    return message.SerializeToString(), record


def tick(side, offset, append_ms):
    """(bytes, oracle's record) of a batch that holds nothing."""
    if side == 0:
        record = oracle.PredictionRecord(offset, append_ms)
        return events_pb2.PredictionBatch(reader=1).SerializeToString(), record
    record = oracle.LabelRecord(offset, append_ms)
    return events_pb2.LabelBatch(reader=1).SerializeToString(), record


def garbage(side, offset, append_ms):
    """(bytes, oracle's record) of what nobody can parse."""
    kind = oracle.LabelRecord if side else oracle.PredictionRecord
    return GARBAGE, kind(offset, append_ms, refused=(UNPARSABLE,))
