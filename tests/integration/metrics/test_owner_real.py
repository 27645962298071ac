"""The owner on a real Kafka and a real PostgreSQL: outages, overlaps, and what is refused."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager, closing

import pytest
import yaml
from real_stream import PARTITIONS, WithoutCompare, World, Wrapped, metric, until

from leadline.records.cells import CellKind
from leadline.records.errors import TransientError, UsageError
from leadline.runtime.log.port import PREDICTIONS
from leadline.runtime.store.port import ShardState
from leadline.testing.faults import FaultyLog
from leadline.v1 import events_pb2


@pytest.fixture
def world(kafka, postgres_database):
    made = World(kafka.bootstrap, postgres_database)
    yield made
    made.close()


async def test_everything_is_counted_once(world):
    world.send(10)
    async with world.counting() as registry:
        await until(world.all_counted, "the first half counted")
        world.send(10)
        await until(world.all_counted, "everything counted")
    assert world.matrix() == world.expected()
    assert world.total(CellKind.PREDICTED).total() == world.sent
    assert world.total(CellKind.UNMATCHED).total() == 0
    assert metric(registry, "leadline_owner_rows_total") == 2 * world.sent


async def test_an_ordinal_of_each_partition_is_enough(world):
    world.send(5)
    async with world.counting(replicas=2, ordinal=0), world.counting(replicas=2, ordinal=1):
        await until(world.all_counted, "everything counted by two owners")
    assert world.matrix() == world.expected()


@pytest.fixture
def beside_postgres(kafka, own_postgres):
    made = World(kafka.bootstrap, own_postgres.uri)
    yield made
    made.close()


def failures(registry):
    return metric(registry, "leadline_owner_failures_total")


async def test_a_crash_of_the_store_loses_and_doubles_nothing(beside_postgres, own_postgres):
    world = beside_postgres
    world.send(10)
    async with world.counting() as registry:
        await until(lambda: sum(map(sum, world.positions())) > 10, "some of it counted")
        own_postgres.kill()
        world.send(10)
        await until(lambda: failures(registry) >= 3, "the outage noticed")
        own_postgres.start()
        world.send(5)
        await until(world.all_counted, "everything counted")
    assert world.matrix() == world.expected()
    assert world.total(CellKind.PREDICTED).total() == world.sent


async def test_a_frozen_store_loses_and_doubles_nothing(beside_postgres, own_postgres):
    world = beside_postgres
    world.send(10)
    async with world.counting():
        await until(lambda: sum(map(sum, world.positions())) > 10, "some of it counted")
        own_postgres.pause()
        world.send(10)
        await until(lambda: not own_postgres.ready(), "the store frozen")
        own_postgres.resume()
        await until(world.all_counted, "everything counted")
    assert world.matrix() == world.expected()


class Careless(WithoutCompare):
    """Test only: takes a commit that failed for one that succeeded."""

    def commit(self, commit):
        try:
            super().commit(commit)
        except TransientError:
            return


async def test_a_store_that_forgives_an_outage_would_lose(beside_postgres, own_postgres):
    """The control of the two tests before: an outage meets commits, and they would show it."""
    world = beside_postgres
    async with world.counting(store=Careless) as registry:
        world.send(5)
        await until(lambda: world.total(CellKind.PREDICTED).total() == world.sent, "counted")
        own_postgres.kill()
        world.send(5)
        done = 2 * world.sent
        await until(lambda: metric(registry, "leadline_owner_rows_total") == done, "all passed by")
        own_postgres.start()
    assert world.total(CellKind.PREDICTED).total() < world.sent


class AnswersLost(Wrapped):
    """Commits, and then loses the answer, as a connection does that breaks in between."""

    def commit(self, commit):
        self.inner.commit(commit)
        raise TransientError("the answer was lost, as the test wants it")


async def test_a_commit_whose_answer_is_lost_counts_once(world):
    world.send(10)
    async with world.counting(store=AnswersLost) as registry:
        await until(world.all_counted, "everything counted")
        await until(lambda: metric(registry, "leadline_owner_fenced_total") >= 3, "it was fenced")
    assert world.matrix() == world.expected()
    assert world.total(CellKind.PREDICTED).total() == world.sent


async def test_without_the_compare_a_lost_answer_would_double(world):
    """The control: it is the compare-and-set that keeps the count."""
    world.send(10)
    async with world.counting(store=lambda inner: AnswersLost(WithoutCompare(inner))):
        await until(lambda: world.total(CellKind.PREDICTED).total() > world.sent, "too much")


@asynccontextmanager
async def race(world, store=None):
    """Three owners of two deployments count the same partitions until one was fenced."""
    async with (
        world.counting(store=store) as one,
        world.counting(store=store, replicas=2, ordinal=0) as other,
        world.counting(store=store, replicas=2, ordinal=1) as third,
    ):
        yield [one, other, third]


def fenced(registries):
    return sum(metric(registry, "leadline_owner_fenced_total") for registry in registries)


async def test_owners_of_different_replica_settings_count_once(world):
    world.send(3)
    async with race(world) as registries:
        while fenced(registries) < 3:
            world.send(2)
            await until(world.all_counted, "everything counted so far")
    assert world.matrix() == world.expected()
    assert world.total(CellKind.PREDICTED).total() == world.sent


async def test_without_the_compare_overlapping_owners_would_double(world):
    """The control: the same race without the compare-and-set."""
    world.send(3)
    async with race(world, WithoutCompare):
        while world.total(CellKind.PREDICTED).total() <= world.sent:
            world.send(2)
            await until(lambda: world.total(CellKind.PREDICTED).total() >= world.sent, "counted")


class WithoutVector(WithoutCompare):
    """Test only: does not remember where the counting stood, but by which rules."""

    def shard(self, name):
        return ShardState(name, rules=self.inner.shard(name).rules)


async def test_a_restart_of_kafka_loses_and_doubles_nothing(own_kafka, postgres_database):
    """Control: an owner beside it that forgets its vector reads anew, and doubles."""
    with (
        closing(World(own_kafka.bootstrap, postgres_database)) as world,
        closing(World(own_kafka.bootstrap, postgres_database)) as control,
    ):
        world.send(10)
        control.send(1)
        once = control.sent
        async with world.counting() as registry:
            async with control.counting(store=WithoutVector) as forgetful:
                await until(lambda: sum(map(sum, world.positions())) > 10, "some of it counted")
                await until(lambda: control.total(CellKind.PREDICTED).total() == once, "counted")
                own_kafka.kill()
                for each in (registry, forgetful):
                    await until(lambda each=each: failures(each) >= 3, "the outage noticed")
            own_kafka.start()
            world.send(10)
            await until(world.all_counted, "everything counted")
            async with control.counting(store=WithoutVector):
                await until(lambda: control.total(CellKind.PREDICTED).total() > once, "too much")
        assert world.matrix() == world.expected()
        assert world.total(CellKind.PREDICTED).total() == world.sent


async def test_another_number_of_partitions_is_refused_with_the_remedy(world):
    with pytest.raises(UsageError, match="set `partitions` to 3"):
        async with world.counting(partitions=2):
            pass
    async with world.counting(partitions=3):
        world.send(1)
        await until(world.all_counted, "counted with the right number")


async def test_the_command_refuses_in_words(world, tmp_path):
    config = tmp_path / "leadline.yaml"
    owner = {
        "log_url": f"kafka://{world.bootstrap}",
        "store_url": world.store_url,
        "stream": world.stream.name,
        "partitions": 2,
        "health_address": "",
    }
    config.write_text(yaml.safe_dump({"owner": owner}))
    command = [sys.executable, "-m", "leadline", "serve", "owner", "--config", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = result.stdout + result.stderr
    assert result.returncode not in (0, None)
    assert "set `partitions` to 3" in said
    assert "Traceback" not in said


async def test_dead_letters_are_durable_before_the_vector_moves(world):
    for partition in range(PARTITIONS):
        world.append(PREDICTIONS, partition, b"\x07 no batch")
    world.send(2)
    logs = []

    def stalled(inner):
        logs.append(FaultyLog(inner, append_timeout_seconds=0.1))
        logs[0].stall()
        return logs[0]

    async with world.counting(log=stalled) as registry:
        await until(lambda: failures(registry) >= 3 * PARTITIONS, "dead letters refused")
        assert world.positions() == [(0, 0)] * PARTITIONS
        assert world.dead_letters() == []
        assert world.total(CellKind.PREDICTED) == {}
        logs[0].heal()
        await until(world.all_counted, "everything counted")
    assert {(letter.partition, letter.offset) for letter in world.dead_letters()} == {
        (partition, 0) for partition in range(PARTITIONS)
    }
    assert world.matrix() == world.expected()
    with world.store.snapshot() as snapshot:
        assert [state.dead_letters for state in snapshot.shards()] == [1] * PARTITIONS
    assert metric(registry, "leadline_owner_dead_letters_total") == PARTITIONS


class Hushed(Wrapped):
    """Test only: a log whose writers take what they lose for written."""

    def writer(self):
        return HushedWriter(self.inner.writer())


class HushedWriter(Wrapped):
    def append(self, *args, **kwargs):
        try:
            self.inner.append(*args, **kwargs)
        except TransientError:
            return

    def flush(self, timeout_seconds):
        return


async def test_a_writer_that_hides_a_failure_would_lose_dead_letters(world):
    """The control: it is the writer's failure that keeps the vector."""
    world.append(PREDICTIONS, 0, b"\x07 no batch")
    world.send(2)

    def stalled(inner):
        faulty = FaultyLog(inner, append_timeout_seconds=0.1)
        faulty.stall()
        return Hushed(faulty)

    async with world.counting(log=stalled):
        await until(world.all_counted, "everything counted")
    assert world.dead_letters() == []
    with world.store.snapshot() as snapshot:
        assert sum(state.dead_letters for state in snapshot.shards()) == 1


async def test_a_newer_batch_stops_its_shard_alone(world):
    newer = events_pb2.PredictionBatch(reader=2, n=0, model="m", version="1")
    garbage = events_pb2.PredictionBatch(reader=2, n=1, model="m", version="1")
    world.append(PREDICTIONS, 0, newer.SerializeToString())
    world.append(PREDICTIONS, 1, garbage.SerializeToString())
    world.send(3)
    shard = world.stream.shard(0)
    async with world.counting(stopped_retry_seconds=0.05) as registry:
        await until(lambda: world.positions()[1:] == world.ends()[1:], "the others counted")
        await until(lambda: world.store.shard(shard).stopped != "", "one stopped")
        for _ in range(50):  # a stop that is tried again and again still is one
            assert (await asyncio.to_thread(world.store.shard, shard)).stopped
            assert metric(registry, "leadline_owner_stopped") == 1
    stopped = world.store.shard(shard)
    assert (stopped.p, stopped.l) == (0, 0)
    assert "reader 2" in stopped.stopped
    assert "Upgrade" in stopped.remedy
    assert [letter.partition for letter in world.dead_letters()] == [1]


@pytest.mark.parametrize("batches", [0, 2])
async def test_a_mended_shard_is_not_called_stopped_any_more(world, batches):
    """Whether or not there is something to count after the remedy."""
    world.send(1)
    async with world.counting():
        await until(world.all_counted, "everything counted")
    shards = [world.stream.shard(partition) for partition in range(PARTITIONS)]
    for shard in shards:
        world.store.mark_stopped(shard, "a cause", "a remedy")
    world.send(batches)
    async with world.counting() as registry:
        await until(
            lambda: not any(world.store.shard(shard).stopped for shard in shards), "cleared"
        )
        world.send(1)
        await until(world.all_counted, "everything counted")
    assert [world.store.shard(shard).stopped for shard in shards] == [""] * PARTITIONS
    assert [world.store.shard(shard).remedy for shard in shards] == [""] * PARTITIONS
    assert metric(registry, "leadline_owner_stopped") == 0
