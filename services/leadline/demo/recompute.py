"""Everything again, in one batch, out of the log alone: the demo's check of its own figures.

Reads both topics with the published messages and joins them with plain dictionaries. It shares no
code with the services beyond the log's port.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, Record
from leadline.v1 import events_pb2

RETRACTED = 0xFFFF_FFFF
DAY_US = 86_400_000_000

Id = tuple[int, int]


@dataclass(slots=True)
class Figures:
    """The figures of one version.

    Attributes:
        predictions: without duplicates.
        matrix: counts by (true class, predicted class).
    """

    predictions: int = 0
    matrix: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def labelled(self) -> int:
        """Predictions with a label that counts."""
        return sum(self.matrix.values())

    @property
    def correct(self) -> int:
        """Labelled predictions of the true class."""
        return sum(count for (true, said), count in self.matrix.items() if true == said)


def rows_in(log: Log, partitions: int) -> tuple[int, int]:
    """Rows of predictions and of labels that are in the log, duplicates among them."""
    predictions = labels = 0
    for partition in range(partitions):
        for record in _records(log, PREDICTIONS, partition):
            predictions += events_pb2.PredictionBatch.FromString(record.value).n
        for record in _records(log, LABELS, partition):
            labels += events_pb2.LabelBatch.FromString(record.value).n
    return predictions, labels


def ends(log: Log, partitions: int) -> dict[str, tuple[int, int]]:
    """One past the newest record of each topic's partitions, by shard."""
    found = {}
    for partition in range(partitions):
        sides = []
        for topic in (PREDICTIONS, LABELS):
            reader = log.reader(topic, partition)
            sides.append(reader.end())
            reader.close()
        found[f"main/{partition}"] = (sides[0], sides[1])
    return found


def recompute(log: Log, partitions: int) -> dict[tuple[str, str], Figures]:
    """Figures by (model, version) of everything in the log."""
    figures: dict[tuple[str, str], Figures] = {}
    for partition in range(partitions):
        _join(
            list(_records(log, PREDICTIONS, partition)),
            list(_records(log, LABELS, partition)),
            figures,
        )
    return figures


def _join(
    predictions: list[Record], labels: list[Record], figures: dict[tuple[str, str], Figures]
) -> None:
    winners = _winners(labels)
    seen: set[tuple[Id, str, str]] = set()
    for record in predictions:
        batch = events_pb2.PredictionBatch.FromString(record.value)
        of = figures.setdefault((batch.model, batch.version), Figures())
        for row, said in enumerate(batch.predicted_class):
            one = (batch.id[2 * row], batch.id[2 * row + 1])
            if (one, batch.model, batch.version) in seen:
                continue
            seen.add((one, batch.model, batch.version))
            of.predictions += 1
            true = winners.get((batch.task or batch.model, one), RETRACTED)
            if true != RETRACTED:
                of.matrix[true, said] += 1


def _winners(labels: list[Record]) -> dict[tuple[str, Id], int]:
    """The true class that counts for each (task, id): highest rank, latest time, first in the log.

    A label's time is bounded by its append time +- a day; history only against the future.
    """
    best: dict[tuple[str, Id], tuple[int, int, int]] = {}
    for record in labels:
        batch = events_pb2.LabelBatch.FromString(record.value)
        now = record.append_time_ms * 1000
        for row, true in enumerate(batch.true_class):
            key = (batch.task, (batch.id[2 * row], batch.id[2 * row + 1]))
            low = 0 if batch.imported else now - DAY_US
            time_us = min(max(batch.label_time_us[row], low), now + DAY_US)
            version = (batch.source_rank, time_us, true)
            if key not in best or version[:2] > best[key][:2]:
                best[key] = version
    return {key: version[2] for key, version in best.items()}


def _records(log: Log, topic: str, partition: int) -> Iterator[Record]:
    reader = log.reader(topic, partition)
    try:
        end = reader.end()
        reader.seek(reader.begin())
        while reader.position() < end:
            yield from reader.poll(500, 1.0)
    finally:
        reader.close()
