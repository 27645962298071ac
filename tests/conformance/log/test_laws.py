"""What every log promises, whichever adapter it is. One test is one sentence."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from leadline.records.errors import NotFoundError, StoppedError, TransientError, UsageError
from leadline.runtime.log.port import Log, LogReader, Record, TopicSpec
from leadline.runtime.log.topics import (
    MAX_MESSAGE_BYTES,
)

DEADLINE = 20.0


def read(reader: LogReader, count: int) -> list[Record]:
    """That many records, however they are cut into polls."""
    found: list[Record] = []
    end = time.monotonic() + DEADLINE
    while len(found) < count and time.monotonic() < end:
        found += reader.poll(count - len(found), 1.0)
    return found


def until(condition: Callable[[], bool]) -> bool:
    """Kafka looks for expired records 30 s after its start, then every second."""
    end = time.monotonic() + 60
    while not (met := condition()) and time.monotonic() < end:
        pass
    return met


def values(records: Sequence[Record]) -> list[bytes]:
    return [record.value for record in records]


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{i}".encode() for i in range(count)]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_records_come_back_in_the_order_of_their_appends(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    sent = numbered(2000)
    for value in sent:
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    got = read(world.reader(log, topic), 2000)
    assert values(got) == sent
    assert [record.offset for record in got] == list(range(2000))


def test_a_position_is_always_the_next_record_to_read(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    reader = world.reader(log, topic)
    assert (reader.position(), reader.begin(), reader.end()) == (0, 0, 0)
    for value in numbered(10):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    assert (reader.position(), reader.begin(), reader.end()) == (0, 0, 10)
    assert values(read(reader, 3)) == [b"0", b"1", b"2"]
    assert reader.position() == 3
    assert values(read(reader, 7)) == numbered(10)[3:]
    assert reader.position() == reader.end() == 10


def test_poll_returns_no_more_than_was_asked_for(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    for value in numbered(10):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    assert len(reader.poll(4, DEADLINE)) == 4


def test_an_append_goes_to_the_given_partition_with_a_key_or_without(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, partitions=3)
    writer = world.writer(log)
    for partition in range(3):
        writer.append(topic, partition, b"plain %d" % partition)
        writer.append(topic, partition, b"keyed %d" % partition, key=b"the same key")
    writer.flush(DEADLINE)
    for partition in range(3):
        reader = world.reader(log, topic, partition)
        assert values(read(reader, 2)) == [b"plain %d" % partition, b"keyed %d" % partition]
        assert reader.end() == 2


def test_what_is_read_again_is_the_same(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    for value in numbered(20):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    first = read(reader, 20)
    reader.seek(5)
    assert reader.position() == 5
    assert read(reader, 15) == first[5:]
    reader.seek(0)
    assert read(reader, 20) == first


def test_two_readers_do_not_disturb_each_other(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    for value in numbered(10):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    one, two = world.reader(log, topic), world.reader(log, topic)
    assert values(read(one, 6)) == numbered(6)
    assert values(read(two, 10)) == numbered(10)
    assert one.position() == 6


def test_poll_waits_for_its_time_and_returns_nothing(world: Any) -> None:
    log = world.open()
    reader = world.reader(log, world.topic(log))
    before = time.monotonic()
    assert len(reader.poll(10, 0.3)) == 0
    assert 0.25 < time.monotonic() - before < 5.0
    before = time.monotonic()
    assert len(reader.poll(10, 0.0)) == 0
    assert time.monotonic() - before < 0.25


def test_a_waiting_poll_returns_as_soon_as_a_record_comes(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    reader = world.reader(log, topic)
    with ThreadPoolExecutor(1) as pool:
        before = time.monotonic()
        waiting = pool.submit(reader.poll, 10, DEADLINE)
        writer.append(topic, 0, b"late")
        assert values(waiting.result(DEADLINE)) == [b"late"]
    assert time.monotonic() - before < DEADLINE / 2


@pytest.mark.parametrize("size", [0, 100_000, MAX_MESSAGE_BYTES])
def test_a_message_of_any_allowed_size_comes_back_whole(world: Any, size: int) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for _ in range(3):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    assert values(read(world.reader(log, topic), 3)) == [value] * 3


def test_a_message_that_is_too_large_is_refused_and_the_others_go_on(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    with pytest.raises(UsageError, match="larger than"):
        writer.append(topic, 0, bytes(MAX_MESSAGE_BYTES + 1))
    writer.append(topic, 0, b"next")
    writer.flush(DEADLINE)
    assert values(read(world.reader(log, topic), 1)) == [b"next"]


def test_append_times_are_stamped_by_the_log_and_never_fall(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    before = now_ms()
    for value in numbered(50):
        writer.append(topic, 0, value)
        writer.flush(DEADLINE)
    times = [record.append_time_ms for record in read(world.reader(log, topic), 50)]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= now_ms()


def test_a_time_finds_the_first_record_appended_then_or_later(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    for value in numbered(30):
        writer.append(topic, 0, value)
        writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    records = read(reader, 30)
    for asked in {record.append_time_ms + d for record in records for d in (-1, 0, 1)}:
        later = [r.offset for r in records if r.append_time_ms >= asked]
        assert reader.offset_at(asked) == (later[0] if later else 30)


def test_every_time_finds_the_end_of_an_empty_partition(world: Any) -> None:
    log = world.open()
    reader = world.reader(log, world.topic(log))
    assert [reader.offset_at(asked) for asked in (-1, 0, now_ms())] == [0, 0, 0]


def test_an_early_time_finds_the_oldest_record_that_is_kept(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, retention_ms=1)
    writer = world.writer(log)
    for value in numbered(5):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    assert until(lambda: log.create([]) == [] and reader.begin() == 5)
    assert reader.offset_at(0) == reader.end()
    writer.append(topic, 0, b"new")
    writer.flush(DEADLINE)
    # It may be cut at once, too: either way the answer is what is kept.
    assert reader.offset_at(-5) in {5, 6}


def test_asking_for_a_time_moves_nothing(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    for value in numbered(6):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    assert values(read(reader, 2)) == numbered(2)
    reader.offset_at(0)
    reader.offset_at(now_ms() + 1_000_000)
    assert reader.position() == 2
    assert values(read(reader, 4)) == numbered(6)[2:]


def test_a_hint_moves_no_reader_and_may_be_repeated(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, partitions=2)
    writer = world.writer(log)
    for value in numbered(3):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    for position in (3, 3, 1):
        assert until(lambda position=position: hinted(log, {(topic, 0): position, (topic, 1): 0}))
    log.hint("leadline-law", {})
    assert reader.position() == 0
    assert values(read(reader, 3)) == numbered(3)


def hinted(log: Log, positions: dict[tuple[str, int], int]) -> bool:
    """One attempt; the first ones of a new cluster find no coordinator yet."""
    try:
        log.hint("leadline-law", positions)
    except TransientError:
        return False
    return True


def test_what_was_flushed_is_there_after_reopening(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = log.writer()
    writer.append(topic, 0, b"kept")
    writer.flush(DEADLINE)
    first = read(world.reader(log, topic), 1)
    writer.close()
    assert read(world.reader(world.open(), topic), 1) == first


def test_closing_a_writer_flushes_it(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = log.writer()
    for value in numbered(100):
        writer.append(topic, 0, value)
    writer.close()
    assert world.reader(log, topic).end() == 100
    with pytest.raises(UsageError, match="closed"):
        writer.append(topic, 0, b"")


def test_a_flush_of_nothing_returns_at_once(world: Any) -> None:
    before = time.monotonic()
    world.writer(world.open()).flush(DEADLINE)
    assert time.monotonic() - before < 1.0


def test_a_position_past_the_end_stops_with_a_remedy(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)
    writer.append(topic, 0, b"only")
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    reader.seek(7)
    with pytest.raises(StoppedError, match="7 is past the end 1") as error:
        read(reader, 1)
    assert error.value.remedy
    reader.seek(0)
    assert values(read(reader, 1)) == [b"only"]


def test_a_position_that_retention_has_cut_stops_with_a_remedy(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, retention_ms=1)
    writer = world.writer(log)
    reader = world.reader(log, topic)
    for value in numbered(5):
        writer.append(topic, 0, value)
    writer.flush(DEADLINE)

    def cut() -> bool:
        log.create([])
        return reader.begin() == 5

    assert until(cut)
    assert reader.end() == 5
    reader.seek(2)
    with pytest.raises(StoppedError, match="records 2 to 4 are not kept") as error:
        read(reader, 1)
    assert error.value.remedy


def test_retention_keeps_what_is_young_enough_and_offsets_go_on(world: Any) -> None:
    log = world.open()
    young = world.topic(log, retention_ms=3_600_000)
    old = world.topic(log, retention_ms=1)
    writer = world.writer(log)
    for topic in (young, old):
        writer.append(topic, 0, b"first")
    writer.flush(DEADLINE)
    kept, cut = world.reader(log, young), world.reader(log, old)
    assert until(lambda: log.create([]) == [] and cut.begin() == 1)
    assert (kept.begin(), kept.end()) == (0, 1)
    writer.append(old, 0, b"second")
    writer.flush(DEADLINE)
    assert cut.end() == 2


def test_a_topic_made_anew_has_another_id_and_stops_old_positions(own_world: Any) -> None:
    world = own_world
    log = world.open()
    spec = TopicSpec(world.topic(log), 1, -1)
    before = log.describe(spec.name)
    writer = log.writer()
    for value in numbered(5):
        writer.append(spec.name, 0, value)
    writer.close()
    world.remove(spec.name)
    again = world.open()
    assert again.create([spec]) == [spec.name]
    after = again.describe(spec.name)
    assert before is not None
    assert after is not None
    assert before.topic_id != after.topic_id
    reader = world.reader(again, spec.name)
    reader.seek(5)
    with pytest.raises(StoppedError):
        read(reader, 1)


def test_an_unknown_topic_or_partition_is_named(world: Any) -> None:
    log = world.open()
    topic = world.topic(log, partitions=2)
    writer = world.writer(log)
    for name, partition in (("nowhere", 0), (topic, 2), (topic, -1)):
        with pytest.raises(NotFoundError, match=f"'{name}' has no partition {partition}") as error:
            log.reader(name, partition)
        assert error.value.remedy
        with pytest.raises(NotFoundError, match=f"'{name}' has no partition {partition}"):
            writer.append(name, partition, b"")
    assert log.describe("nowhere") is None


def test_a_writer_may_be_used_by_several_threads(world: Any) -> None:
    log = world.open()
    topic = world.topic(log)
    writer = world.writer(log)

    def append(thread: int) -> None:
        for value in numbered(500, f"{thread}:"):
            writer.append(topic, 0, value)
        writer.flush(DEADLINE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    got = values(read(world.reader(log, topic), 2000))
    for thread in range(4):
        prefix = f"{thread}:"
        assert [v for v in got if v.startswith(prefix.encode())] == numbered(500, prefix)


def test_several_writers_share_a_partition(world: Any) -> None:
    logs = [world.open() for _ in range(3)]
    topic = world.topic(logs[0])

    def append(log: Any) -> None:
        writer = log.writer()
        for value in numbered(200):
            writer.append(topic, 0, value)
        writer.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, logs))
    got = read(world.reader(logs[0], topic), 600)
    assert [record.offset for record in got] == list(range(600))
    times = [record.append_time_ms for record in got]
    assert times == sorted(times)


def test_a_log_that_does_not_answer_is_a_transient_error_within_the_bound(own_world: Any) -> None:
    world = own_world
    log = world.open(
        append_timeout_seconds="0.5", answer_timeout_seconds="1", max_queued_bytes="1000"
    )
    topic = world.topic(log)
    writer = world.writer(log)
    writer.append(topic, 0, b"before")
    writer.flush(DEADLINE)
    world.freeze()
    sent = [b"before"]

    def within(seconds: float, call: Callable[[], object]) -> None:
        start = time.monotonic()
        with pytest.raises(TransientError):
            call()
        assert time.monotonic() - start < seconds + 1.5

    def fill() -> None:
        for value in numbered(10, "x" * 300):
            writer.append(topic, 0, value)
            sent.append(value)

    within(0.5, fill)
    within(0.2, lambda: writer.flush(0.2))
    within(0.5, lambda: log.ping(0.5))
    within(1.0, lambda: log.create([TopicSpec("another", 1, -1)]))
    world.thaw()
    writer.flush(DEADLINE)
    log.ping(DEADLINE)
    assert values(read(world.reader(log, topic), len(sent))) == sent


def test_records_given_up_are_reported_once(own_world: Any) -> None:
    world = own_world
    log = world.open(delivery_timeout_seconds="1", answer_timeout_seconds="1")
    topic = world.topic(log)
    writer = world.writer(log)
    writer.append(topic, 0, b"before")
    writer.flush(DEADLINE)
    world.freeze()
    writer.append(topic, 0, b"lost")
    writer.append(topic, 0, b"lost too")
    with pytest.raises(TransientError, match="2 records are not durable"):
        writer.flush(DEADLINE)
    assert writer.failed == 2
    writer.flush(DEADLINE)
    world.thaw()
    writer.append(topic, 0, b"after")
    writer.flush(DEADLINE)
    reader = world.reader(log, topic)
    got = values(read(reader, reader.end()))
    assert got[0] == b"before"
    assert b"after" in got  # and what was given up may have been written
