"""The least that a consumer can do: poll; poll, parse and join in a dictionary; the same in numpy.

    python -m load_tests.plain_peers WORDS_AS_JSON

None of them stores, corrects or checks anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from load_tests.measure import cpu_seconds

from leadline.v1 import events_pb2

KINDS = {"predictions": events_pb2.PredictionBatch, "labels": events_pb2.LabelBatch}


def values(words: dict[str, Any], topic: str) -> Iterator[bytes]:
    """All values of a topic's one partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=words["bootstrap"],
        enable_auto_commit=False,
        max_poll_records=5_000,
        max_partition_fetch_bytes=8 << 20,
        fetch_max_bytes=64 << 20,
    )
    place = TopicPartition(words[topic], 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end = consumer.end_offsets([place])[place]
    seen = 0
    while seen < end:
        for records in consumer.poll(1000, max_records=5_000).values():
            seen += len(records)
            for record in records:
                yield record.value
    consumer.close()


def poll(words: dict[str, Any]) -> Counter:
    """Reads both topics and drops what it read."""
    for topic in KINDS:
        for _ in values(words, topic):
            pass
    return Counter()


def dictionary(words: dict[str, Any]) -> Counter:
    """The published messages, and one dictionary."""
    said: dict[tuple[int, int], int] = {}
    counted: Counter = Counter()
    for value in values(words, "predictions"):
        batch = events_pb2.PredictionBatch.FromString(value)
        ids = batch.id
        said.update(zip(zip(ids[::2], ids[1::2], strict=True), batch.predicted_class, strict=True))
    for value in values(words, "labels"):
        labels = events_pb2.LabelBatch.FromString(value)
        ids = labels.id
        for key, true in zip(zip(ids[::2], ids[1::2], strict=True), labels.true_class, strict=True):
            if key in said:
                counted[true, said[key]] += 1
    return counted


def numpy_join(words: dict[str, Any]) -> Counter:
    """Everything into arrays, one sort and one search over all: a bound, nothing that runs live."""
    columns = {}
    for topic, field in (("predictions", "predicted_class"), ("labels", "true_class")):
        ids, classes = [], []
        for value in values(words, topic):
            batch = KINDS[topic].FromString(value)
            ids.append(np.array(batch.id, np.uint64).reshape(-1, 2))
            classes.append(np.array(getattr(batch, field), np.uint32))
        columns[topic] = np.concatenate(ids), np.concatenate(classes)
    ids, said = columns["predictions"]
    order = np.argsort(ids[:, 1])
    sorted_low, high, said = ids[order, 1], ids[order, 0], said[order]
    label_ids, true = columns["labels"]
    at = np.minimum(np.searchsorted(sorted_low, label_ids[:, 1]), len(said) - 1)
    found = (sorted_low[at] == label_ids[:, 1]) & (high[at] == label_ids[:, 0])
    pairs, counts = np.unique(true[found] * 1000 + said[at[found]], return_counts=True)
    return Counter(
        {
            (int(pair) // 1000, int(pair) % 1000): int(count)
            for pair, count in zip(pairs, counts, strict=True)
        }
    )


WAYS = {"poll": poll, "dictionary": dictionary, "numpy": numpy_join}


def peer(way: str, words: dict[str, Any]) -> dict[str, Any]:
    """Runs one in a process of its own; what it took and what it counted."""
    given = json.dumps({**words, "way": way})
    done = subprocess.run(
        [sys.executable, "-m", "load_tests.plain_peers", given],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Is the consumer."""
    words = json.loads(sys.argv[1])
    began, cpu = time.perf_counter(), cpu_seconds()
    counted = WAYS[words["way"]](words)
    used, wall = cpu_seconds() - cpu, time.perf_counter() - began
    matrix = [[true, said, count] for (true, said), count in sorted(counted.items())]
    print(json.dumps({"cpu_s": used, "wall_s": wall, "matrix": matrix}))


if __name__ == "__main__":
    main()
