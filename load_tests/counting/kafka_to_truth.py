"""From a real Kafka to committed truth: events a CPU-second of the owner, and freshness.

    python load_tests/counting/kafka_to_truth.py [--predictions 500000] [--json FILE]

Predictions with ten scores and one label each are written first, in batches of 2,700 rows; then the
owner counts all of them into PostgreSQL and SQLite, in turn. The peer in the same run is the least
that any consumer must do: it reads the same records with the plain client, parses them with the
published messages and joins them with one dictionary, and stores nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.metrics.shard import Shard, World
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.open import open_store
from leadline.testing.servers.kafka import Kafka, fetch_jars
from leadline.testing.servers.postgres import Postgres
from leadline.testing.servers.process import until
from leadline.v1 import events_pb2
from leadline.wire.batches import encode_labels, encode_predictions

ROWS, CLASSES = 2_700, 10


def fill(log: Log, predictions: int) -> None:
    """Writes so many predictions and their labels; a label follows its prediction at once."""
    rng = np.random.default_rng(1)
    writer = log.writer()
    for start in range(0, predictions, ROWS):
        n = min(ROWS, predictions - start)
        ids = rng.integers(0, 2**63, (n, 2)).astype(np.uint64)
        scores = rng.random((n, CLASSES)).astype(np.float32)
        now = np.full(n, SystemClock().now_us())
        batch = PredictionBatch(
            PredictionHeader("bench", "1", "bench", class_count=CLASSES),
            ids,
            now,
            scores.argmax(axis=1).astype(np.uint32),
            scores=scores,
        )
        true = rng.integers(0, CLASSES, n).astype(np.uint32)
        writer.append(PREDICTIONS, 0, encode_predictions(batch))
        writer.append(LABELS, 0, encode_labels(LabelBatch(LabelHeader("bench"), ids, now, true)))
    writer.flush(60)
    writer.close()


def count(log: Log, store_url: str, goal: tuple[int, int], events: int) -> dict[str, float]:
    """The owner's wall and CPU seconds until the truth stands at the goal."""
    store = open_store(store_url)
    store.migrate()
    stop = Event()
    settings = OwnerSettings()
    world = World(
        stream=Stream(),
        log=log,
        writer=log.writer(),
        store=store,
        settings=settings,
        clock=SystemClock(),
        health=OwnerHealth(CollectorRegistry()),
    )
    thread = Thread(target=Shard(world, 0).run, args=(stop,))
    began, cpu = time.perf_counter(), cpu_seconds()
    thread.start()
    until(lambda: (store.shard("main/0").p, store.shard("main/0").l) == goal, 600, "all counted")
    wall, used = time.perf_counter() - began, cpu_seconds() - cpu
    stop.set()
    thread.join()
    world.writer.close()
    store.close()
    return {"wall_s": wall, "cpu_s": used, "events_per_cpu_s": events / used}


def plain(bootstrap: str, events: int) -> dict[str, float]:
    """The peer: plain client, published messages, one dictionary, no store."""
    began, cpu = time.perf_counter(), cpu_seconds()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    said: dict[tuple[int, int], int] = {}
    matrix: Counter[tuple[int, int]] = Counter()
    for topic, kind in (
        (PREDICTIONS, events_pb2.PredictionBatch),
        (LABELS, events_pb2.LabelBatch),
    ):
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end = consumer.end_offsets([place])[place]
        while consumer.position(place) < end:
            for records in consumer.poll(1000).values():
                for record in records:
                    batch = kind.FromString(record.value)
                    keys = zip(batch.id[::2], batch.id[1::2], strict=True)
                    if topic == PREDICTIONS:
                        said.update(zip(keys, batch.predicted_class, strict=True))
                    else:
                        matrix.update(
                            (true, said[key])
                            for key, true in zip(keys, batch.true_class, strict=True)
                        )
    consumer.close()
    wall, used = time.perf_counter() - began, cpu_seconds() - cpu
    return {"wall_s": wall, "cpu_s": used, "events_per_cpu_s": events / used}


def cpu_seconds() -> float:
    """Processor time of this process, all threads."""
    times = os.times()
    return times.user + times.system


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=500_000)
    parser.add_argument("--tools", type=Path, default=Path(".tools"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    events = 2 * given.predictions
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = Kafka(folder / "kafka", fetch_jars(given.tools / "kafka"))
        kafka.start()
        stack.callback(kafka.stop)
        postgres = Postgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        log = open_log(f"kafka://{kafka.bootstrap}", SystemClock())
        stack.callback(log.close)
        ensure_topics(log, Stream())
        fill(log, given.predictions)
        records = -(-given.predictions // ROWS)
        goal = (records, records)
        result = {
            "owner into PostgreSQL": count(log, postgres.uri, goal, events),
            "owner into SQLite": count(log, f"sqlite:{folder}/truth.sqlite", goal, events),
            "plain dictionary, no store": plain(kafka.bootstrap, events),
        }
    print(f"{'':28} {'wall s':>8} {'CPU s':>8} {'events/CPU-s':>14}")
    for name, figures in result.items():
        print(
            f"{name:28} {figures['wall_s']:8.2f} {figures['cpu_s']:8.2f} "
            f"{figures['events_per_cpu_s']:14,.0f}"
        )
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
