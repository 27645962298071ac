"""An independent producer, a real Kafka and PostgreSQL, crashes: every cell equals the oracle."""

import math
import random
import sys
import time
from collections import Counter

import grpc
import independent
import oracle_full as oracle
import pytest
import yaml
from kafka import KafkaConsumer, TopicPartition

from leadline.records.cells import HISTORY_KINDS, CellKind
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.open import open_store
from leadline.testing.servers.process import ManagedProcess, accepts, free_ports, until
from leadline.v1 import evaluation_pb2 as pb
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub

COUNT, CLASSES, PARTITIONS, MALFORMED, KILLS = 100_000, 10, 3, 1_000, 5
WINDOW_MS = 30 * 86_400_000


def read_topic(bootstrap, topic, partition):
    """(offset, append time, bytes) of every record, by the plain client."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end = consumer.end_offsets([place])[place]
    found = []
    while consumer.position(place) < end:
        for records in consumer.poll(1000).values():
            found.extend((record.offset, record.timestamp, record.value) for record in records)
    consumer.close()
    return found


def records_of(types, bootstrap, partition):
    """The oracle's records of one partition; what is malformed is left out by its own rules."""
    predictions = []
    for offset, append_ms, value in read_topic(bootstrap, "predictions", partition):
        batch = parsed(types["PredictionBatch"], value)
        if batch is None or batch.kind != independent.MULTICLASS:
            continue
        rows = []
        for row in range(batch.n):
            scores = tuple(batch.score[row * CLASSES : (row + 1) * CLASSES])
            if not any(math.isnan(score) for score in scores):
                event_us = min(batch.event_time_us[row], 2**62)
                said = batch.predicted_class[row]
                rows.append(oracle.PredictionRow(id_of(batch, row), event_us, said, scores))
        task = batch.task or batch.model
        predictions.append(
            oracle.PredictionRecord(
                offset, append_ms, batch.model, batch.version, task, tuple(rows)
            )
        )
    labels = []
    for offset, append_ms, value in read_topic(bootstrap, "labels", partition):
        batch = parsed(types["LabelBatch"], value)
        if batch is None or len(batch.true_class) != batch.n:
            continue
        rows = [
            oracle.LabelRow(id_of(batch, row), min(batch.label_time_us[row], 2**62), true)
            for row, true in enumerate(batch.true_class)
            if true < CLASSES or true == oracle.RETRACTED
        ]
        labels.append(
            oracle.LabelRecord(
                offset, append_ms, batch.task, batch.source, batch.source_rank, tuple(rows)
            )
        )
    return predictions, labels


def parsed(kind, value):
    try:
        return kind.FromString(value)
    except Exception:
        return None


def id_of(batch, row):
    return (batch.id[2 * row] << 64 | batch.id[2 * row + 1]).to_bytes(16, "big")


def counted(store):
    """All cells of the truth as the oracle names them, dead letters and history left out."""
    left_out = {*HISTORY_KINDS, CellKind.DEAD}
    found = Counter()
    with store.snapshot() as snapshot:
        names = {(shard, number): series for shard, number, series in snapshot.series()}
        for shard, cells in snapshot.cells(None, set(CellKind) - left_out).items():
            for kind, series, minute, index, count in zip(
                cells.kind, cells.series, cells.minute, cells.index, cells.count, strict=True
            ):
                key, told = name_of(names[shard, int(series)]), int(index)
                if kind == CellKind.PAIR:
                    other = name_of(names[shard, told >> 2 & (1 << 30) - 1])
                    told = (told >> 32, other, bool(told & 2), bool(told & 1))
                found[CellKind(kind).name, key, int(minute), told] += int(count)
    return {key: count for key, count in found.items() if count}


def name_of(one):
    return (one.model, one.version, one.task, one.slices)


class Services:
    """The owner and the reader as a container runs them."""

    def __init__(self, folder, bootstrap, store_url):
        self.reader_port, exporter, health = free_ports(3)
        log = {"log_url": f"kafka://{bootstrap}", "partitions": PARTITIONS}
        config = {
            "owner": {
                **log,
                "store_url": store_url,
                "health_address": f"127.0.0.1:{health}",
                "cache_dir": str(folder / "cache"),
                "pending_head_rows_max": 5_000,
                "label_window_seconds": WINDOW_MS / 1000,
                "longest_outage_seconds": 0,
            },
            "reader": {
                "store_url": store_url,
                "blob_url": str(folder / "blobs"),
                "listen_address": f"127.0.0.1:{self.reader_port}",
                "exporter_address": f"127.0.0.1:{exporter}",
            },
        }
        path = folder / "leadline.yaml"
        path.write_text(yaml.safe_dump(config))
        self.owner, self.reader = (
            ManagedProcess(
                name,
                [sys.executable, "-m", "leadline", "serve", name, "--config", str(path)],
                folder,
            )
            for name in ("owner", "reader")
        )
        self._health = health

    def start_owner(self):
        self.owner.start(lambda: accepts(self._health), 60)

    def start_reader(self):
        self.reader.start(lambda: accepts(self.reader_port), 60)


@pytest.fixture
def services(tmp_path, own_kafka, postgres_database):
    made = Services(tmp_path, own_kafka.bootstrap, postgres_database)
    yield made
    made.owner.kill()
    made.reader.kill()


def positions(store):
    with store.snapshot() as snapshot:
        return {shard.shard: (shard.p, shard.l) for shard in snapshot.shards()}


def ends(bootstrap):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    found = {}
    for partition in range(PARTITIONS):
        places = [TopicPartition(topic, partition) for topic in ("predictions", "labels")]
        end = consumer.end_offsets(places)
        found[f"main/{partition}"] = (end[places[0]], end[places[1]])
    consumer.close()
    return found


def matrix_of(port):
    """The confusion matrix of both versions over gRPC, as {(version, true, predicted): count}."""
    found = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = EvaluationServiceStub(channel)
        for version in ("1", "2"):
            scope = pb.Scope(name=f"models/digits/versions/{version}")
            answer = stub.GetConfusionMatrix(pb.GetConfusionMatrixRequest(scope=scope), timeout=20)
            for true, said, count in zip(
                answer.true_class, answer.predicted_class, answer.count, strict=True
            ):
                found[version, true, said] = count
    return found


@pytest.mark.timeout(600)
def test_counts_are_exact_through_garbage_disorder_and_five_crashes(
    services, own_kafka, postgres_database
):
    bootstrap = own_kafka.bootstrap
    log = open_log(f"kafka://{bootstrap}", SystemClock())
    ensure_topics(log, Stream("main", PARTITIONS))
    store = open_store(postgres_database)
    world = independent.World(7, COUNT, CLASSES, PARTITIONS, time.time_ns() // 1000)
    labels = [("labels", *one) for one in world.label_batches()]
    third = len(labels) // 3
    rest = [("predictions", *one) for one in world.prediction_batches()]
    rest += [*labels[third:], *world.malformed(MALFORMED)]
    random.Random(1).shuffle(rest)
    independent.send(bootstrap, labels[:third])
    independent.send(bootstrap, rest)
    goal = ends(bootstrap)

    total = sum(sum(sides) for sides in goal.values())
    for kill in range(KILLS):
        services.start_owner()
        wanted = total * (kill + 1) // (KILLS + 2)
        until(
            lambda wanted=wanted: sum(map(sum, positions(store).values())) >= wanted,
            120,
            f"{wanted} records counted",
        )
        services.owner.kill()
    services.start_owner()
    services.start_reader()
    until(lambda: positions(store) == goal, 180, "everything counted")

    wanted = Counter()
    for partition in range(PARTITIONS):
        records = records_of(world.types, bootstrap, partition)
        wanted.update(oracle.join(*records, [oracle.Rule(label_window_ms=WINDOW_MS)]).cells)
    assert oracle.difference(counted(store), wanted) == []
    kinds = {key[0] for key in wanted}
    assert {"CLAMPED", "DUPLICATE", "SUPERSEDED", "UNMATCHED", "SCORES", "PAIR"} <= kinds

    over_grpc = Counter()
    for (kind, series, _, index), count in wanted.items():
        if kind == "CONFUSION":
            over_grpc[series[1], index >> 32, index & 0xFFFFFFFF] += count
    assert matrix_of(services.reader_port) == dict(over_grpc)

    letters = {
        (letter.topic, letter.partition, letter.offset, letter.row): letter.reason
        for letter in (
            world.types["DeadLetter"].FromString(value)
            for _, _, value in read_topic(bootstrap, "dead-letters", 0)
        )
    }
    assert len(letters) == MALFORMED
    assert set(Counter(letters.values()).values()) == {MALFORMED // 5}
    with store.snapshot() as snapshot:
        assert sum(shard.dead_letters for shard in snapshot.shards()) == MALFORMED
    store.close()
    log.close()
