"""What every log promises about topics, whichever adapter it is."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from leadline.records.errors import UsageError
from leadline.runtime.log.port import Stream, TopicSpec
from leadline.runtime.log.topics import (
    Retention,
    check_partitions,
    check_topics,
    ensure_topics,
    require_topics,
)


def test_creating_again_changes_nothing(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, partitions=2)
    before = log.describe(topic)
    assert before is not None
    assert before.partitions == 2
    assert log.create([TopicSpec(topic, 5, 1000)]) == []
    assert world.open().create([TopicSpec(topic, 5, 1000)]) == []
    assert log.describe(topic) == before


def test_two_may_create_at_the_same_time(world: Any) -> None:
    logs = [world.open() for _ in range(4)]
    stem = world.topic(logs[0])
    names = [f"{stem}-{i}" for i in range(3)]
    specs = [TopicSpec(name, 1, -1) for name in names]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda log: log.create(specs), logs))
    assert sorted(name for some in made for name in some) == names


@pytest.mark.parametrize("name", ["", "a/b", "ä", "x" * 250, ".."])
def test_a_name_that_is_no_topics_name_is_refused(world: Any, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        world.open().create([TopicSpec(name, 1, -1)])


def test_a_topic_that_the_log_made_has_no_problems(world: Any) -> None:
    log = world.open()
    state = log.describe(world.topic(log, partitions=3, retention_ms=86_400_000))
    assert state is not None
    assert (state.partitions, state.problems, state.retention_ms) == (3, (), 86_400_000)
    assert state.topic_id


def test_a_stream_that_was_ensured_has_no_problems(world: Any) -> None:
    log = world.open()
    stream = Stream(world.topic(log), partitions=2)
    assert len(check_topics(log, stream)) == 6
    made = ensure_topics(log, stream, Retention(events_ms=1000))
    assert made[0] == f"{stream.name}.predictions"
    assert len(made) == 6
    assert ensure_topics(log, stream) == []
    assert check_topics(log, stream) == []
    require_topics(log, stream, needed_ms=1000)
    short = check_topics(log, stream, needed_ms=1001)
    assert len(short) == 2
    assert all("raise retention.ms" in problem for problem in short)


def test_topics_that_could_not_be_joined_are_told(world: Any) -> None:
    log = world.open()
    stream = Stream(world.topic(log), partitions=2)
    log.create([TopicSpec(stream.topic("labels"), 3, -1), TopicSpec(stream.topic("rules"), 2, 50)])
    ensure_topics(log, stream)
    unequal, many, forgets = sorted(check_topics(log, stream), key=len, reverse=True)
    assert "2 and 3 partitions" in unequal
    assert "2 partitions, and its order needs one" in many
    assert "must never" in forgets
    with pytest.raises(UsageError, match="cannot be counted"):
        require_topics(log, stream)


def test_partitions_are_looked_at_again_while_counting(world: Any) -> None:
    log = world.open()
    stream = Stream(f"again-{secrets.token_hex(4)}", 2)
    gone = check_partitions(log, stream)
    assert gone is not None
    assert "does not exist any more" in str(gone)
    ensure_topics(log, stream)
    assert check_partitions(log, stream) is None
    found = [log.describe(stream.topic(base)) for base in ("predictions", "labels")]
    ids = tuple(state.topic_id for state in found if state is not None)
    assert check_partitions(log, stream, ids) is None
    other = check_partitions(log, stream, (ids[0], "another"))
    assert other is not None
    assert f"labels' was re-created: its id was another and is {ids[1]}" in str(other)
    grown = check_partitions(log, Stream(stream.name, 1))
    assert grown is not None
    assert "has 2 partitions" in str(grown)
    assert "topics create --stream" in grown.remedy
