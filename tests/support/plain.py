"""Batches as a plain protobuf writer would write them, field by field, and raw wire format.

The messages come from events.proto; nothing of the codecs is used.
"""

import struct

from leadline.v1 import events_pb2

MULTICLASS = events_pb2.TASK_KIND_MULTICLASS
I64, LENGTH, I32 = 1, 2, 5


def prediction_message(batch):
    """A record batch of predictions, number by number."""
    header = batch.header
    message = events_pb2.PredictionBatch(
        reader=1,
        n=len(batch.ids),
        model=header.model,
        version=header.version,
        kind=int(header.kind),
        class_count=header.class_count,
        class_digest=header.class_digest,
        imported=header.imported,
        producer=header.producer,
    )
    if header.task != header.model:
        message.task = header.task
    if header.log_rate != 1.0:
        message.log_rate = header.log_rate
    for column in batch.slices:
        codes = [int(code) for code in column.codes]
        message.slices.add(name=column.name, value=column.values, code=codes)
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
    for high, low in batch.ids:
        message.id.extend((int(high), int(low)))
    message.event_time_us.extend(int(time) for time in batch.event_time_us)
    message.predicted_class.extend(int(number) for number in batch.predicted)
    message.score.extend(flat(batch.scores))
    if batch.top_classes is not None:
        message.top_k = batch.top_classes.shape[1]
        message.top_class.extend(flat(batch.top_classes))
    message.top_score.extend(flat(batch.top_scores))
    if batch.vectors is not None:
        message.vector_width = batch.vectors.shape[1]
        message.vector.extend(flat(batch.vectors))
    return message


def label_message(batch):
    """A record batch of labels, number by number."""
    header = batch.header
    message = events_pb2.LabelBatch(
        reader=1,
        n=len(batch.ids),
        task=header.task,
        kind=int(header.kind),
        class_count=header.class_count,
        class_digest=header.class_digest,
        source=header.source,
        source_rank=header.source_rank,
        imported=header.imported,
        producer=header.producer,
    )
    for high, low in batch.ids:
        message.id.extend((int(high), int(low)))
    message.label_time_us.extend(int(time) for time in batch.label_time_us)
    message.true_class.extend(int(number) for number in batch.true_class)
    return message


def flat(matrix):
    return [] if matrix is None else [number.item() for row in matrix for number in row]


def two_predictions(**changes):
    """A good message of two rows and three classes, with changes."""
    fields = {
        "reader": 1,
        "n": 2,
        "model": "animals",
        "version": "7",
        "kind": MULTICLASS,
        "class_count": 3,
        "id": [1, 2, 3, 4],
        "event_time_us": [1_000, 2_000],
        "predicted_class": [2, 0],
        "score": [0.125, 0.25, 0.625, 0.5, 0.25, 0.25],
    }
    return events_pb2.PredictionBatch(**(fields | changes))


def two_labels(**changes):
    """A good message of two labels, with changes."""
    fields = {
        "reader": 1,
        "n": 2,
        "task": "animals",
        "kind": MULTICLASS,
        "class_count": 3,
        "id": [1, 2, 3, 4],
        "label_time_us": [1_000, 2_000],
        "true_class": [2, 0],
    }
    return events_pb2.LabelBatch(**(fields | changes))


def varint(number):
    """Base-128, low bits first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def chunk(field, content):
    """One length-delimited field."""
    return varint(field << 3 | LENGTH) + varint(len(content)) + content


def unpacked(field, numbers, of):
    """A repeated field, a tag before every number; `of` is a struct format of 4 or 8 bytes."""
    tag = varint(field << 3 | (I64 if struct.calcsize(of) == 8 else I32))
    return b"".join(tag + struct.pack(of, number) for number in numbers)


def packed(field, numbers, of):
    """A repeated field in one chunk."""
    return chunk(field, b"".join(struct.pack(of, number) for number in numbers))


COLUMNS = {
    "id": (20, "<Q"),
    "event_time_us": (21, "<Q"),
    "label_time_us": (21, "<Q"),
    "predicted_class": (22, "<I"),
    "true_class": (22, "<I"),
    "score": (23, "<f"),
    "top_class": (24, "<I"),
    "top_score": (25, "<f"),
    "vector": (26, "<f"),
}
"""Field number and struct format of each column."""


def rewritten(message, name, write):
    """The message's bytes with one column written by `write(field, numbers, format)`."""
    rest = type(message)()
    rest.CopyFrom(message)
    rest.ClearField(name)
    return rest.SerializeToString() + write(
        COLUMNS[name][0], getattr(message, name), COLUMNS[name][1]
    )
