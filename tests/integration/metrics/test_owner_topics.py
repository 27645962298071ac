"""Topics that were cut, re-created or changed under a real owner: it stops, with cause and remedy.

What was counted stays; nothing is counted from records that are not the ones of before.
"""

import asyncio
import time
from contextlib import closing

import psycopg
import pytest
from kafka import KafkaAdminClient, TopicPartition
from real_stream import PARTITIONS, World, until

from leadline.metrics import shard_run
from leadline.records.cells import CellKind
from leadline.records.errors import UsageError
from leadline.runtime.log.port import LABELS, PREDICTIONS, TopicSpec

QUICK = {"stopped_retry_seconds": 0.2}
DEADLINE = 30.0


@pytest.fixture
def world(kafka, postgres_database):
    made = World(kafka.bootstrap, postgres_database)
    yield made
    made.close()


@pytest.fixture
def admin(kafka):
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as client:
        yield client


async def counted(world, batches=3):
    """Some batches, counted by an owner that has ended."""
    world.send(batches)
    async with world.counting():
        await until(world.all_counted, "everything counted")
    return world.total(CellKind.PREDICTED).total()


def causes(world):
    """(cause, remedy) of every shard, as the truth has them."""
    shards = [world.stream.shard(partition) for partition in range(PARTITIONS)]
    return [(state.stopped, state.remedy) for state in map(world.store.shard, shards)]


async def stopped(world, words, shards=PARTITIONS, **changes):
    """So many shards stop for a cause with these words, and say what to do."""

    def as_told():
        told = [remedy for cause, remedy in causes(world) if words in cause]
        return len(told) == shards and all(told)

    async with world.counting(**(QUICK | changes)):
        await until(as_told, f"{shards} shards stopped: {words}; {causes(world)}")


def remove(admin, topic):
    admin.delete_topics([topic])
    end = time.monotonic() + DEADLINE
    while topic in admin.list_topics():
        assert time.monotonic() < end


def renew(world, admin, base):
    """The topic is deleted and made anew, behind the back of everybody."""
    topic = world.stream.topic(base)
    remove(admin, topic)
    end = time.monotonic() + DEADLINE
    while world.log.create([TopicSpec(topic, PARTITIONS, -1)]) != [topic]:
        assert time.monotonic() < end


def cut(admin, topic, partition, before):
    """Kafka's DeleteRecords: everything below an offset is gone."""
    admin.delete_records({TopicPartition(topic, partition): before})


@pytest.mark.parametrize("base", [PREDICTIONS, LABELS])
async def test_a_topic_that_was_made_anew_empty_stops_its_shards(world, admin, base):
    before = await counted(world)
    positions = world.positions()
    renew(world, admin, base)
    await stopped(world, "re-created")
    assert world.positions() == positions
    assert world.total(CellKind.PREDICTED).total() == before


async def test_a_topic_that_was_made_anew_and_filled_past_the_position_stops_its_shards(
    world, admin
):
    before = await counted(world)
    positions = world.positions()
    refill(world, admin)
    await stopped(world, "re-created: its id was")
    assert world.positions() == positions
    assert world.total(CellKind.PREDICTED).total() == before


def refill(world, admin):
    """Other records than those of before, at the same offsets and at later ones."""
    positions = world.positions()
    renew(world, admin, PREDICTIONS)
    with closing(World(world.bootstrap, world.store_url)) as other:
        other.stream, other.sent = world.stream, 10_000
        other.send(2 * world.sent // 20)
    ends = world.ends()
    assert all(end > p for (end, _), (p, _) in zip(ends, positions, strict=True))


async def test_without_ids_a_topic_filled_again_is_known_by_its_last_record(world, admin):
    await counted(world)
    forget_ids(world)
    refill(world, admin)
    await stopped(world, "holds another record")


async def test_without_ids_a_shorter_topic_is_known_by_its_end(world, admin):
    """As after an election that cut acknowledged records."""
    await counted(world)
    forget_ids(world)
    renew(world, admin, PREDICTIONS)
    await stopped(world, "it was cut or re-created")


async def test_without_either_the_wrong_records_would_be_counted(world, admin):
    """The control: the topic's id and the last record are what tells."""
    before = await counted(world)
    forget_ids(world)
    with psycopg.connect(world.store_url) as db:
        db.execute("UPDATE shards SET predictions_offset = -1, labels_offset = -1")
    refill(world, admin)
    async with world.counting(**QUICK):
        await until(world.all_counted, "everything counted")
    assert world.total(CellKind.PREDICTED).total() > before


def forget_ids(world):
    """As a log that has no ids of topics leaves the truth."""
    with psycopg.connect(world.store_url) as db:
        db.execute("UPDATE shards SET predictions_topic_id = '', labels_topic_id = ''")


@pytest.mark.parametrize("side", [0, 1])
async def test_records_deleted_beyond_the_position_stop_that_shard_alone(world, admin, side):
    await counted(world)
    base = (PREDICTIONS, LABELS)[side]
    world.send(3)  # not counted yet
    position, end = world.positions()[1][side], world.ends()[1][side]
    assert end > position
    cut(admin, world.stream.topic(base), 1, end)
    others = [world.ends()[0], world.ends()[2]]
    async with world.counting(**QUICK):
        await until(lambda: world.positions()[::2] == others, "the others counted")
        await until(lambda: causes(world)[1][0] != "", "one stopped")
    ((cause, told),) = [each for each in causes(world) if each[0]]
    assert "records were lost to retention" in cause
    assert "leadline rebuild --reset" in told
    assert world.positions()[1][side] == position


async def test_records_deleted_up_to_the_position_stop_nothing(world, admin):
    """The control: what is counted and no longer waits may go."""
    await counted(world)
    positions = world.positions()
    for base, at in ((PREDICTIONS, 0), (LABELS, 1)):
        cut(admin, world.stream.topic(base), 1, positions[1][at])
    async with world.counting(**QUICK):
        world.send(3)
        await until(world.all_counted, "everything counted")
    assert [cause for cause, _ in causes(world)] == [""] * PARTITIONS


@pytest.mark.parametrize("again", [renew, refill], ids=["empty", "filled"])
async def test_a_topic_that_is_made_anew_while_counting_stops_its_shards(
    world, admin, monkeypatch, again
):
    monkeypatch.setattr(shard_run, "PARTITIONS_SECONDS", 0.2)
    world.send(3)
    async with world.counting(**QUICK):
        await until(world.all_counted, "everything counted")
        before = world.total(CellKind.PREDICTED)
        await asyncio.to_thread(again, world, admin, *([PREDICTIONS] if again is renew else []))
        await until(lambda: all(cause for cause, _ in causes(world)), "all stopped")
    assert all(remedy for _, remedy in causes(world))
    assert before.total() == world.sent


async def test_partitions_added_while_counting_are_refused_with_instructions(
    world, admin, monkeypatch
):
    monkeypatch.setattr(shard_run, "PARTITIONS_SECONDS", 0.2)
    world.send(3)
    async with world.counting(**QUICK):
        await until(world.all_counted, "everything counted")
        admin.create_partitions({world.stream.topic(LABELS): PARTITIONS + 1})
        await until(lambda: all(cause for cause, _ in causes(world)), "all stopped")
    for cause, remedy in causes(world):
        assert "has 4 partitions" in cause
        assert "leadline topics create --stream NAME" in remedy
    with pytest.raises(UsageError, match="partitions are never added in place"):
        async with world.counting():
            pass
