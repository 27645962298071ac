"""The owner over a real embedded log and a real SQLite truth."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from leadline.metrics.owner import OwnerService
from leadline.metrics.owner_settings import OwnerSettings
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.cells import CellKind
from leadline.records.errors import UsageError
from leadline.records.ids import pack_ids
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import DEAD_LETTERS, LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.open import open_store
from leadline.wire.batches import encode_labels, encode_predictions
from leadline.wire.dead_letters import decode_dead_letter


class World:
    """An embedded log and a truth store in a folder."""

    def __init__(self, folder, partitions=1):
        self.clock = SystemClock()
        self.stream = Stream("main", partitions)
        self.log = open_log(f"local:{folder}/log.sqlite", self.clock)
        ensure_topics(self.log, self.stream)
        self.store = open_store(f"sqlite:{folder}/truth.sqlite")
        self.writer = self.log.writer()
        self.settings = OwnerSettings(
            partitions=partitions,
            cache_dir=str(folder / "cache"),
            pending_head_rows_max=8,
            idle_wait_seconds=0.01,
            compact_seconds=0.05,
            retry_seconds=0.05,
        )

    def owner(self, **settings):
        return OwnerService(
            self.settings.model_copy(update=settings),
            log=self.log,
            store=self.store,
            blobs=None,
            clock=self.clock,
            registry=CollectorRegistry(),
        )

    @asynccontextmanager
    async def counting(self, **settings):
        owner = self.owner(**settings)
        await owner.start()
        try:
            yield owner
        finally:
            await owner.close(5.0)

    def append(self, topic, value):
        self.writer.append(topic, 0, value)
        self.writer.flush(5.0)

    async def until(self, p, l):
        """Waits until the truth stands at (p, l)."""
        async with asyncio.timeout(20):
            while True:
                state = await asyncio.to_thread(self.store.shard, "main/0")
                if (state.p, state.l) == (p, l) or state.stopped:
                    return state
                await asyncio.sleep(0.01)

    def total(self, kind):
        with self.store.snapshot() as snapshot:
            found = snapshot.cells(None, [kind])
        return {
            int(index): int(cells.count[cells.index == index].sum())
            for cells in found.values()
            for index in np.unique(cells.index)
        }


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.writer.close()
    made.store.close()
    made.log.close()


def predictions(numbers, predicted):
    now_us = SystemClock().now_us()
    return encode_predictions(
        PredictionBatch(
            PredictionHeader("digits", "2", "digits"),
            pack_ids([number.to_bytes(16, "big") for number in numbers]),
            np.full(len(numbers), now_us),
            np.array(predicted, np.uint32),
        )
    )


def labels(numbers, true, rank=0):
    now_us = SystemClock().now_us()
    return encode_labels(
        LabelBatch(
            LabelHeader("digits", source_rank=rank),
            pack_ids([number.to_bytes(16, "big") for number in numbers]),
            np.full(len(numbers), now_us),
            np.array(true, np.uint32),
        )
    )


async def test_predictions_and_labels_become_a_confusion_matrix(world):
    world.append(LABELS, labels([1], [3]))
    world.append(PREDICTIONS, predictions([1, 2, 3], [3, 4, 5]))
    world.append(LABELS, labels([2, 3, 9], [4, 4, 1]))
    async with world.counting():
        state = await world.until(1, 2)
    assert state.dead_letters == 0
    assert world.total(CellKind.CONFUSION) == {3 << 32 | 3: 1, 4 << 32 | 4: 1, 4 << 32 | 5: 1}
    assert world.total(CellKind.UNMATCHED) == {0: 1}


async def test_a_restart_counts_nothing_twice_and_still_corrects(world):
    world.append(PREDICTIONS, predictions([1, 2], [3, 4]))
    world.append(LABELS, labels([1], [5], rank=1))
    async with world.counting():
        await world.until(1, 1)
    world.append(LABELS, labels([1, 2], [3, 4], rank=2))
    async with world.counting():
        await world.until(1, 2)
    assert world.total(CellKind.CONFUSION) == {3 << 32 | 3: 1, 4 << 32 | 4: 1}
    assert world.total(CellKind.RETRACTED) == {5 << 32 | 3: 1}


async def test_two_owners_of_one_shard_count_once(world):
    async with world.counting(), world.counting():
        for batch in range(30):
            numbers = range(batch * 10, batch * 10 + 10)
            world.append(PREDICTIONS, predictions(list(numbers), [1] * 10))
            world.append(LABELS, labels(list(numbers), [1] * 10))
        await world.until(30, 30)
    assert world.total(CellKind.CONFUSION) == {1 << 32 | 1: 300}


async def test_garbage_goes_to_the_dead_letters_and_the_partition_goes_on(world):
    world.append(PREDICTIONS, b"\xff\xfenot a batch")
    world.append(PREDICTIONS, predictions([1], [3]))
    world.append(LABELS, labels([1], [3]))
    async with world.counting():
        state = await world.until(2, 1)
    assert state.dead_letters == 1
    reader = world.log.reader(DEAD_LETTERS, 0)
    (record,) = reader.poll(10, 2.0)
    letter = decode_dead_letter(record.value)
    assert (letter.topic, letter.offset, letter.row) == (PREDICTIONS, 0, -1)
    assert letter.copy == b"\xff\xfenot a batch"
    assert world.total(CellKind.CONFUSION) == {3 << 32 | 3: 1}
    reader.close()


async def test_a_recreated_topic_stops_the_shard_with_a_remedy(world, tmp_path):
    world.append(PREDICTIONS, predictions([1], [3]))
    async with world.counting():
        await world.until(1, 0)
    other = World(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    other.append(PREDICTIONS, predictions([2], [4]))
    other.store, kept = world.store, other.store
    async with other.counting():
        state = await other.until(9, 9)
    assert "re-created" in state.stopped
    assert state.remedy
    assert world.total(CellKind.PREDICTED) == {3: 1}
    kept.close()
    other.writer.close()
    other.log.close()


async def test_an_ordinal_past_the_replicas_is_refused(world):
    with pytest.raises(UsageError, match="ordinal"):
        world.owner(ordinal=2, replicas=2)


async def test_missing_topics_are_named_at_the_start(tmp_path):
    log = open_log(f"local:{tmp_path}/log.sqlite", SystemClock())
    store = open_store(f"sqlite:{tmp_path}/truth.sqlite")
    owner = OwnerService(
        OwnerSettings(cache_dir=""),
        log=log,
        store=store,
        blobs=None,
        clock=SystemClock(),
        registry=CollectorRegistry(),
    )
    with pytest.raises(UsageError, match="predictions"):
        await owner.start()
    store.close()
    log.close()


class BrokenStore:
    """A store with a bug: everything works but the commit."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, commit):
        raise ZeroDivisionError(commit.after.shard)


async def test_a_bug_in_a_shard_is_told_so_that_the_process_restarts(world):
    told = []
    world.append(PREDICTIONS, predictions([1], [3]))
    owner = OwnerService(
        world.settings,
        log=world.log,
        store=BrokenStore(world.store),
        blobs=None,
        clock=world.clock,
        registry=CollectorRegistry(),
        on_failure=told.append,
    )
    await owner.start()
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.01)
    await owner.close(5.0)
    assert told == ["shard-main/0: ZeroDivisionError('main/0')"]


class ForgetfulLog:
    """A log whose topics vanish after the start's check, until they are back."""

    def __init__(self, log):
        self._log, self.gone = log, False

    def __getattr__(self, name):
        return getattr(self._log, name)

    def reader(self, topic, partition):
        if self.gone:
            raise UsageError(f"topic {topic!r} does not exist", "create it")
        return self._log.reader(topic, partition)


async def test_what_a_person_can_mend_stops_the_shard_and_not_its_thread(world):
    world.append(PREDICTIONS, predictions([1], [3]))
    world.log, kept = ForgetfulLog(world.log), world.log
    world.log.gone = True
    async with world.counting(stopped_retry_seconds=0.05):
        state = await world.until(1, 0)
        assert "does not exist" in state.stopped
        world.log.gone = False
        async with asyncio.timeout(20):
            while world.store.shard("main/0").p != 1:
                await asyncio.sleep(0.01)
    world.log = kept
    assert world.total(CellKind.PREDICTED) == {3: 1}
