"""A recount on a real Kafka and a real PostgreSQL, while owners run."""

from contextlib import closing

import psycopg
import pytest
from real_stream import World, until

from leadline.metrics.cache.files import MemoryFiles
from leadline.metrics.rebuild import ShardRebuild


@pytest.fixture
def world(kafka, postgres_database):
    made = World(kafka.bootstrap, postgres_database, partitions=1)
    yield made
    made.close()


def rebuilt(world):
    return ShardRebuild(world.log, world.store, world.stream, 0, files=MemoryFiles())


async def test_a_shard_is_proved_equal_and_mended_under_its_owner(world):
    world.send(5)
    # A stop that is tried again later would not be over within this test.
    async with world.counting(stopped_retry_seconds=10_000) as _:
        await until(world.all_counted, "everything counted")
        with closing(rebuilt(world)) as shard:
            found = shard.compare()
            assert found.is_equal and found.comparison.compared > 10
        with psycopg.connect(world.store_url) as db:
            name = (world.stream.shard(0),)
            db.execute("DELETE FROM deltas WHERE shard = %s", name)
            db.execute("DELETE FROM blocks WHERE shard = %s", name)
        world.send(3)
        with closing(rebuilt(world)) as shard:
            assert not shard.compare().is_equal
            assert shard.replace(7).epoch == 1
        world.send(3)
        await until(world.all_counted, "everything counted by the owner that was fenced")
        with closing(rebuilt(world)) as shard:
            found = shard.compare()
    assert found.is_equal and found.state.epoch == 1
    assert world.matrix() == world.expected()
