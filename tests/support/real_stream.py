"""A stream on a real Kafka that owners count into a real PostgreSQL, and stores with faults."""

import asyncio
import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
from prometheus_client import CollectorRegistry

from leadline.metrics.owner import OwnerService
from leadline.metrics.owner_settings import OwnerSettings
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.cells import CellKind, split_index
from leadline.records.columns import split_labels, split_predictions
from leadline.records.errors import FencedError, TransientError
from leadline.records.ids import pack_ids
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import DEAD_LETTERS, LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.open import open_store
from leadline.testing.servers import process
from leadline.wire.batches import encode_labels, encode_predictions
from leadline.wire.dead_letters import decode_dead_letter

PARTITIONS, CLASSES, DEADLINE_SECONDS = 3, 4, 90
CLOCK = SystemClock()


class World:
    """One stream on a Kafka, counted into a PostgreSQL."""

    def __init__(self, bootstrap, store_url, partitions=PARTITIONS):
        self.bootstrap, self.store_url = bootstrap, store_url
        self.stream = Stream(f"s{secrets.token_hex(4)}", partitions)
        self.log = open_log(f"kafka://{bootstrap}", CLOCK)
        ensure_topics(self.log, self.stream)
        self.store = open_store(store_url)
        self.writer = self.log.writer()
        self.sent = 0

    def close(self):
        self.writer.close()
        self.store.close()
        self.log.close()

    def settings(self, **changes):
        given = {
            "stream": self.stream.name,
            "partitions": self.stream.partitions,
            "idle_wait_seconds": 0.02,
            "retry_seconds": 0.1,
            "events_per_commit_max": 200,
            "cache_dir": "",
            "compact_seconds": 0.2,
        }
        return OwnerSettings(**(given | changes))

    @asynccontextmanager
    async def counting(self, *, log=None, store=None, **changes):
        """An owner with connections of its own, and its registry."""
        registry, failed = CollectorRegistry(), []
        own_log = open_log(f"kafka://{self.bootstrap}", CLOCK)
        own_store = open_store(self.store_url)
        owner = OwnerService(
            self.settings(**changes),
            log=own_log if log is None else log(own_log),
            store=own_store if store is None else store(own_store),
            blobs=None,
            clock=CLOCK,
            registry=registry,
            on_failure=failed.append,
        )
        try:
            await owner.start()
            yield registry
            assert failed == []
        finally:
            await owner.close(15.0)
            own_store.close()
            own_log.close()

    def send(self, batches, rows=20):
        """So many batches of each side; label i of a batch is right when i is even."""
        for _ in range(batches):
            numbers = range(self.sent, self.sent + rows)
            self.sent += rows
            ids = pack_ids([number.to_bytes(16, "big") for number in numbers])
            said = np.array(numbers, np.uint32) % CLASSES
            right = np.arange(rows) % 2
            true = ((said + right) % CLASSES).astype(np.uint32)
            now = np.full(rows, CLOCK.now_us())
            predictions = PredictionBatch(PredictionHeader("m", "1", "m"), ids, now, said)
            labels = LabelBatch(LabelHeader("m"), ids, now, true)
            for partition, part in split_predictions(predictions, self.stream.partitions):
                self.append(PREDICTIONS, partition, encode_predictions(part))
            for partition, part in split_labels(labels, self.stream.partitions):
                self.append(LABELS, partition, encode_labels(part))
        self.writer.flush(30.0)

    def append(self, topic, partition, value):
        self.writer.append(self.stream.topic(topic), partition, value)

    def expected(self):
        """Counts by (true, predicted) of all that was sent."""
        return Counter(
            ((number % CLASSES + at % 2) % CLASSES, number % CLASSES)
            for at, number in enumerate(range(self.sent))
        )

    def total(self, kind=CellKind.CONFUSION):
        """Counts by index of everything in the truth."""
        found = Counter()
        with self.store.snapshot() as snapshot:
            for shard, cells in snapshot.cells(None, [kind]).items():
                if not self.mine(shard):
                    continue
                for index, count in zip(cells.index.tolist(), cells.count.tolist(), strict=True):
                    found[index] += count
        return found

    def matrix(self):
        total = self.total()
        true, said = split_index(np.array(list(total), np.uint64))
        return Counter(
            dict(zip(zip(true.tolist(), said.tolist(), strict=True), total.values(), strict=True))
        )

    def positions(self):
        with self.store.snapshot() as snapshot:
            return [(state.p, state.l) for state in snapshot.shards() if self.mine(state.shard)]

    def mine(self, shard):
        return shard.startswith(f"{self.stream.name}/")

    def ends(self):
        found = []
        for partition in range(self.stream.partitions):
            readers = [
                self.log.reader(self.stream.topic(base), partition)
                for base in (PREDICTIONS, LABELS)
            ]
            found.append((readers[0].end(), readers[1].end()))
            for reader in readers:
                reader.close()
        return found

    def all_counted(self):
        return self.positions() == self.ends()

    def dead_letters(self):
        reader = self.log.reader(self.stream.topic(DEAD_LETTERS), 0)
        try:
            end, found = reader.end(), []
            while reader.position() < end:
                found += [decode_dead_letter(record.value) for record in reader.poll(100, 1.0)]
            return found
        finally:
            reader.close()


async def until(condition, what):
    """Returns once the condition holds; a store that is away has not answered yet."""

    def holds():
        try:
            return condition()
        except TransientError:
            return False

    await asyncio.to_thread(process.until, holds, DEADLINE_SECONDS, what)


def metric(registry, name):
    """Sum of an owner's metric over its shards."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    )


class Wrapped:
    """A truth store that passes everything on."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class WithoutCompare(Wrapped):
    """Test only: adds a delta whatever the vector is, as a store without compare-and-set would."""

    def commit(self, commit):
        while True:
            try:
                return self.inner.commit(commit)
            except FencedError:
                if commit.new_rules is not None:
                    raise
                now = self.inner.shard(commit.before.shard)
                known = self.inner.shard_series(now.shard)
                commit = replace(
                    commit,
                    before=now,
                    after=replace(commit.after, p=now.p + 1, l=now.l + 1),
                    new_series={
                        series: number
                        for series, number in commit.new_series.items()
                        if series not in known
                    },
                )
