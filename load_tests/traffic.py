"""Traffic as it is in production, and what must be counted of it, worked out apart.

A part of the predictions is logged twice, a part of the labels is corrected later, some labels name
ids that were never predicted, and a quarter of the label messages is written before their
predictions. What must come out is added up while the traffic is drawn: it shares nothing with the
service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.ids import partition_of
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, LogWriter, Stream
from leadline.wire.batches import encode_labels, encode_predictions

CLASSES = 10
DUPLICATE, CORRECTED, UNMATCHED = 0.01, 0.01, 0.005
LABELS_FIRST = 4
"""One message of labels in so many is written before its predictions."""
LAG_MESSAGES = 8
"""Corrections and duplicates come so many messages later."""
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Shape:
    """How the traffic is cut.

    Attributes:
        predictions: different ids.
        rows: of a message.
        partitions: of both topics.
        models: the messages go round them.
        scores: whether predictions carry ten of them.
        plain: every prediction once, with one label, all labels after all predictions.
    """

    predictions: int
    rows: int = 2_700
    partitions: int = 1
    models: int = 1
    scores: bool = True
    plain: bool = False


@dataclass(slots=True)
class Expected:
    """What the truth must hold once everything is counted.

    Attributes:
        matrix: (true, predicted), over all models.
        ends: for each partition the ends of predictions and labels.
    """

    matrix: np.ndarray
    duplicates: int = 0
    superseded: int = 0
    unmatched: int = 0
    predictions: int = 0
    labels: int = 0
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Rows of both topics."""
        return self.predictions + self.labels


def fill(log: Log, stream: Stream, shape: Shape, now_us: int, seed: int = 1) -> Expected:
    """Writes the traffic into both topics; returns what must come out."""
    rng = np.random.default_rng(seed)
    expected = Expected(np.zeros((CLASSES, CLASSES), np.int64))
    writer = log.writer()
    ends = np.zeros((shape.partitions, 2), np.int64)
    share = shape.predictions // shape.partitions
    for partition in range(shape.partitions):
        before = ""
        messages = _messages(rng, shape, partition, share, now_us, expected)
        if shape.plain:
            messages = iter(sorted(messages, key=lambda each: each[0], reverse=True))
        for topic, value in messages:
            if shape.plain and before not in {"", topic}:
                _pass_time(writer)
            before = topic
            writer.append(stream.topic(topic), partition, value)
            ends[partition, int(topic == LABELS)] += 1
        writer.flush(120)
    writer.close()
    expected.ends = {at: (int(p), int(l)) for at, (p, l) in enumerate(ends)}
    return expected


def _pass_time(writer: LogWriter) -> None:
    """What is written next has a later append time: consumers that order by it need that."""
    writer.flush(120)
    SystemClock().sleep(0.05)


def fill_singles(log: Log, stream: Stream, shape: Shape, now_us: int, seed: int = 1) -> Expected:
    """Writes single rows, keyed by their id: all predictions, then a label of each."""
    rng = np.random.default_rng(seed)
    expected = Expected(np.zeros((CLASSES, CLASSES), np.int64))
    n = shape.predictions
    ids = time_ordered_ids(rng, n, now_us // 1000 - 60_000, 1_000.0)
    scores = rng.dirichlet(np.full(CLASSES, 0.3), n).astype(np.float32)
    said = scores.argmax(axis=1).astype(np.uint32)
    true = rng.integers(0, CLASSES, n).astype(np.uint32)
    keys = ids.astype(">u8").tobytes()
    writer = log.writer()
    for at in range(n):
        row, key = slice(at, at + 1), keys[16 * at : 16 * at + 16]
        value = _predictions(shape, "model-0", ids[row], said[row], scores[row], now_us)
        writer.append(stream.topic(PREDICTIONS), 0, value, key)
    writer.flush(120)
    for at in range(n):
        row, key = slice(at, at + 1), keys[16 * at : 16 * at + 16]
        value = _labels("model-0", ids[row], true[row], now_us)
        writer.append(stream.topic(LABELS), 0, value, key)
    writer.flush(120)
    writer.close()
    np.add.at(expected.matrix, (true, said), 1)
    expected.predictions = expected.labels = n
    expected.ends = {0: (n, n)}
    return expected


def time_ordered_ids(
    rng: np.random.Generator, n: int, start_ms: int, rate_per_ms: float, first: int = 0
) -> np.ndarray:
    """UUIDv7-like ids: 48 bits of time, then randomness."""
    ms = start_ms + ((first + np.arange(n)) / rate_per_ms).astype(np.uint64)
    high = (ms.astype(np.uint64) << np.uint64(16)) | np.uint64(0x7000)
    high |= rng.integers(0, 1 << 12, n).astype(np.uint64)
    low = rng.integers(0, 1 << 62, n).astype(np.uint64) | np.uint64(1 << 63)
    return np.stack([high, low], axis=1)


def random_ids(rng: np.random.Generator, n: int) -> np.ndarray:
    """128 random bits each."""
    return rng.integers(0, 2**64, (n, 2), dtype=np.uint64)


def _ids_of_partition(
    rng: np.random.Generator, count: int, partition: int, partitions: int, now_us: int
) -> np.ndarray:
    """So many time-ordered ids that belong to a partition."""
    found, have, drawn = [], 0, 0
    while have < count:
        ids = time_ordered_ids(rng, CHUNK, now_us // 1000 - 60_000, 1_000.0, drawn)
        drawn += CHUNK
        part = ids[partition_of(ids, partitions) == partition] if partitions > 1 else ids
        found.append(part[: count - have])
        have += len(found[-1])
    return np.concatenate(found)


def _messages(
    rng: np.random.Generator,
    shape: Shape,
    partition: int,
    count: int,
    now_us: int,
    expected: Expected,
) -> Iterator[tuple[str, bytes]]:
    """(topic, bytes) of one partition, in the order of writing."""
    ids = _ids_of_partition(rng, count, partition, shape.partitions, now_us)
    late: list[tuple[int, str, bytes]] = []
    for number, start in enumerate(range(0, count, shape.rows)):
        part = ids[start : start + shape.rows]
        model = f"model-{number % shape.models}"
        yield from _one(rng, shape, number, model, part, now_us, expected, late)
        while late and late[0][0] <= number:
            _, topic, value = late.pop(0)
            yield topic, value
    for _, topic, value in late:
        yield topic, value


def _one(
    rng: np.random.Generator,
    shape: Shape,
    number: int,
    model: str,
    ids: np.ndarray,
    now_us: int,
    expected: Expected,
    late: list[tuple[int, str, bytes]],
) -> Iterator[tuple[str, bytes]]:
    """One message of predictions with its labels, and what comes later of them."""
    n = len(ids)
    scores = rng.dirichlet(np.full(CLASSES, 0.3), n).astype(np.float32)
    said = scores.argmax(axis=1).astype(np.uint32)
    right = rng.random(n) < 0.8
    true = np.where(right, said, rng.integers(0, CLASSES, n)).astype(np.uint32)
    odd = 0.0 if shape.plain else 1.0
    lost = rng.random(n) < UNMATCHED * odd
    label_ids = ids.copy()
    label_ids[lost] ^= np.uint64(0xFFFF)  # another id, most likely of another partition too
    lost = _keep_partition(label_ids, ids, lost, shape.partitions)

    again = rng.random(n) < DUPLICATE * odd
    fixed = (rng.random(n) < CORRECTED * odd) & ~lost
    final = true.copy()
    final[fixed] = (true[fixed] + 1) % CLASSES

    first = _predictions(shape, model, ids, said, scores, now_us)
    labels = _labels(model, label_ids, true, now_us)
    order = [(PREDICTIONS, first), (LABELS, labels)]
    early = not shape.plain and number % LABELS_FIRST == 0
    yield from reversed(order) if early else order
    due = number + LAG_MESSAGES
    if again.any():
        value = _predictions(shape, model, ids[again], said[again], scores[again], now_us + 1)
        late.append((due, PREDICTIONS, value))
    if fixed.any():
        late.append((due, LABELS, _labels(model, ids[fixed], final[fixed], now_us + 1_000)))

    counted = ~lost
    np.add.at(expected.matrix, (final[counted], said[counted]), 1)
    expected.duplicates += int(again.sum())
    expected.superseded += int(fixed.sum())
    expected.unmatched += int(lost.sum())
    expected.predictions += n + int(again.sum())
    expected.labels += n + int(fixed.sum())


def _keep_partition(
    label_ids: np.ndarray, ids: np.ndarray, lost: np.ndarray, partitions: int
) -> np.ndarray:
    """Unmatched labels stay in their partition: those that would leave it become matched again."""
    moved = partition_of(label_ids, partitions) != partition_of(ids, partitions)
    label_ids[moved] = ids[moved]
    return lost & ~moved


def _predictions(
    shape: Shape, model: str, ids: np.ndarray, said: np.ndarray, scores: np.ndarray, now_us: int
) -> bytes:
    header = PredictionHeader(model, "1", model, class_count=CLASSES)
    times = np.full(len(ids), now_us)
    return encode_predictions(
        PredictionBatch(header, ids, times, said, scores=scores if shape.scores else None)
    )


def _labels(model: str, ids: np.ndarray, true: np.ndarray, now_us: int) -> bytes:
    return encode_labels(LabelBatch(LabelHeader(model), ids, np.full(len(ids), now_us), true))
