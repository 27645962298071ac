"""A producer that knows only the .proto files: nothing of Leadline is imported here.

It compiles protos/ itself, partitions with the Kafka client's own murmur2, and sends batches,
duplicates, corrections, early labels and garbage.
"""

import random
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2

PROTOS = Path(__file__).parents[2] / "protos"
MULTICLASS = 2
RETRACTED = 0xFFFFFFFF


def messages():
    """The event messages by name, compiled from events.proto."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.bin"
        include = resources.files("grpc_tools") / "_proto"
        arguments = ["", f"-I{PROTOS}", f"-I{include}", f"--descriptor_set_out={out}"]
        assert protoc.main([*arguments, "leadline/v1/events.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"leadline.v1.{name}"))
        for name in ("PredictionBatch", "LabelBatch", "DeadLetter")
    }


def partition_of(id_bytes, partitions):
    return (murmur2(id_bytes) & 0x7FFFFFFF) % partitions


def halves(id_bytes):
    return int.from_bytes(id_bytes[:8], "big"), int.from_bytes(id_bytes[8:], "big")


class World:
    """Everything that is sent, decided by one seed."""

    def __init__(self, seed, count, classes, partitions, now_us):
        self.rng = random.Random(seed)
        self.classes, self.partitions, self.now_us = classes, partitions, now_us
        self.types = messages()
        self.ids = [self.rng.randbytes(16) for _ in range(count)]

    def prediction_batches(self):
        """(partition, bytes): every id once, some twice, some with absurd times."""
        rows = [*self.ids, *self.rng.sample(self.ids, len(self.ids) // 50)]
        self.rng.shuffle(rows)
        yield from self._batches(rows, self._predictions)

    def label_batches(self):
        """(partition, bytes): most ids, some twice, corrected, retracted, or unknown."""
        labelled = self.rng.sample(self.ids, int(len(self.ids) * 0.9))
        again = self.rng.sample(labelled, len(labelled) // 10)
        strangers = [self.rng.randbytes(16) for _ in range(len(self.ids) // 100)]
        rows = [*labelled, *again, *strangers]
        self.rng.shuffle(rows)
        yield from self._batches(rows, self._labels)

    def malformed(self, count):
        """(topic, partition, bytes): each of the ways in which a batch can be wrong."""
        makers = [self._random_bytes, self._wrong_lengths, self._unknown_enum]
        makers += [self._nan_score, self._class_out_of_range]
        for number in range(count):
            yield makers[number % len(makers)]()

    def _batches(self, rows, make):
        queues = [[] for _ in range(self.partitions)]
        sizes = [1] * self.partitions
        for id_bytes in rows:
            partition = partition_of(id_bytes, self.partitions)
            queues[partition].append(id_bytes)
            if len(queues[partition]) >= sizes[partition]:
                yield partition, make(queues[partition]).SerializeToString()
                queues[partition] = []
                sizes[partition] = self.rng.choice((1, 3, 30, 300))
        for partition, left in enumerate(queues):
            if left:
                yield partition, make(left).SerializeToString()

    def _time(self):
        absurd = self.rng.random()
        if absurd < 0.005:
            return self.rng.choice((0, 1, 2**62, 2**64 - 1))
        return self.now_us - self.rng.randrange(3_600_000_000)

    def _predictions(self, ids):
        batch = self.types["PredictionBatch"](
            reader=1, n=len(ids), model="digits", version=str(self.rng.randint(1, 2))
        )
        batch.kind, batch.class_count = MULTICLASS, self.classes
        for id_bytes in ids:
            batch.id.extend(halves(id_bytes))
            batch.event_time_us.append(self._time())
            scores = [self.rng.random() for _ in range(self.classes)]
            batch.score.extend(scores)
            batch.predicted_class.append(scores.index(max(scores)))
        return batch

    def _labels(self, ids):
        batch = self.types["LabelBatch"](
            reader=1, n=len(ids), task="digits", kind=MULTICLASS, class_count=self.classes
        )
        batch.source_rank = self.rng.randint(0, 2)
        for id_bytes in ids:
            batch.id.extend(halves(id_bytes))
            batch.label_time_us.append(self._time())
            retracted = self.rng.random() < 0.02
            batch.true_class.append(RETRACTED if retracted else self.rng.randrange(self.classes))
        return batch

    def _one(self, make):
        id_bytes = self.rng.randbytes(16)
        return partition_of(id_bytes, self.partitions), make([id_bytes])

    def _random_bytes(self):
        topic = self.rng.choice(("predictions", "labels"))
        # A first byte of 0x07 is wire type 7, which no message has.
        return topic, self.rng.randrange(self.partitions), b"\x07" + self.rng.randbytes(60)

    def _wrong_lengths(self):
        partition, batch = self._one(self._labels)
        batch.n = 5
        return "labels", partition, batch.SerializeToString()

    def _unknown_enum(self):
        partition, batch = self._one(self._predictions)
        batch.kind = 77
        return "predictions", partition, batch.SerializeToString()

    def _nan_score(self):
        partition, batch = self._one(self._predictions)
        batch.score[0] = float("nan")
        return "predictions", partition, batch.SerializeToString()

    def _class_out_of_range(self):
        partition, batch = self._one(self._labels)
        batch.true_class[0] = self.classes
        return "labels", partition, batch.SerializeToString()


def send(bootstrap, messages_in_order):
    """Sends (topic, partition, bytes) in order."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=256_000)
    for topic, partition, value in messages_in_order:
        producer.send(topic, value=value, partition=partition)
    producer.flush(60)
    producer.close(10)
