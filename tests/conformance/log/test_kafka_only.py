"""What only Kafka can get wrong: settings, clients, crashes."""

import inspect
import itertools
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from leadline.records.errors import StoppedError, TransientError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log import kafka_client
from leadline.runtime.log.kafka import KafkaLog, KafkaReader
from leadline.runtime.log.kafka_client import KafkaSettings, check_client
from leadline.runtime.log.kafka_errors import errors, kind_of, mapped
from leadline.runtime.log.port import Record, Stream, TopicSpec
from leadline.runtime.log.topics import check_partitions, ensure_topics
from leadline.testing.clock import ManualClock
from leadline.testing.servers.kafka import Kafka

DEADLINE = 20.0
NOBODY = "127.0.0.1:1"


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def log(kafka: Kafka, ends: ExitStack) -> KafkaLog:
    log = KafkaLog([kafka.bootstrap], SystemClock())
    ends.callback(log.close)
    return log


def fill(log: KafkaLog, topic: str, count: int) -> None:
    writer = log.writer()
    for i in range(count):
        writer.append(topic, 0, b"%d" % i)
    writer.close()


def read(reader: KafkaReader, count: int) -> list[Record]:
    found: list[Record] = []
    end = time.monotonic() + DEADLINE
    while len(found) < count and time.monotonic() < end:
        found += reader.poll(count - len(found), 1.0)
    return found


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"message_timestamp_type": "CreateTime"}, "message.timestamp.type=LogAppendTime"),
        ({"cleanup_policy": "compact"}, "cleanup.policy=delete"),
        ({"cleanup_policy": "compact,delete"}, "cleanup.policy=delete"),
        ({"retention_bytes": "1000000"}, "retention.bytes=-1"),
        ({"unclean_leader_election_enable": "true"}, "unclean.leader.election.enable=false"),
    ],
)
def test_a_setting_that_makes_figures_wrong_is_told_with_its_remedy(
    log: KafkaLog, new_topic: Callable[..., str], settings: dict[str, str], word: str
) -> None:
    topic = new_topic(**settings)
    log._ask("waiting", lambda admin: admin.wait_for_topics([topic]))
    state = log.describe(topic)
    assert state is not None
    assert len(state.problems) == 1
    assert word in state.problems[0]


def test_a_time_that_the_producer_set_is_no_append_time(
    log: KafkaLog, new_topic: Callable[..., str], ends: ExitStack
) -> None:
    topic = new_topic(message_timestamp_type="CreateTime")
    log._ask("waiting", lambda admin: admin.wait_for_topics([topic]))
    fill(log, topic, 3)
    reader = log.reader(topic, 0)
    ends.callback(reader.close)
    assert [record.append_time_ms for record in read(reader, 3)] == [-1, -1, -1]


def test_a_time_is_judged_by_each_record_when_the_topic_is_switched(
    kafka: Kafka, log: KafkaLog, new_topic: Callable[..., str], ends: ExitStack
) -> None:
    """Either way: what a topic's setting is by now says nothing about a record of before."""
    topic = new_topic(message_timestamp_type="CreateTime")
    log._ask("waiting", lambda admin: admin.wait_for_topics([topic]))
    fill(log, topic, 2)
    stamped = [False, False]
    for setting in ("LogAppendTime", "CreateTime", "LogAppendTime"):
        switch(kafka, topic, setting)
        new = setting == "LogAppendTime"
        late = switched(log, topic, len(stamped), stamped=new)
        stamped += [not new] * late + [new]
    reader = log.reader(topic, 0)
    ends.callback(reader.close)
    times = [record.append_time_ms for record in read(reader, len(stamped))]
    assert [at >= 0 for at in times] == stamped
    assert {at for at in times if at < 0} == {-1}


def switch(kafka: Kafka, topic: str, setting: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"message.timestamp.type": setting})
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.alter_configs([resource])


def switched(log: KafkaLog, topic: str, start: int, *, stamped: bool) -> int:
    """Appends until a record shows the new setting; returns how many before it did not."""
    with closing(log.reader(topic, 0)) as reader:
        reader.seek(start)
        end = time.monotonic() + DEADLINE
        for late in itertools.count():
            fill(log, topic, 1)
            if (read(reader, 1)[0].append_time_ms >= 0) == stamped:
                return late
            assert time.monotonic() < end
    raise AssertionError


def test_lag_tools_see_the_hint(kafka: Kafka, log: KafkaLog) -> None:
    """As kafka-consumer-groups.sh reckons: the end less what the group has committed."""
    topic = f"hinted-{secrets.token_hex(4)}"
    log.create([TopicSpec(topic, 2, -1)])
    fill(log, topic, 10)
    group = f"leadline-{topic}"
    places = [TopicPartition(topic, partition) for partition in range(2)]
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        for position in (4, 7):
            hint(log, group, {(topic, 0): position, (topic, 1): 0})
            committed = admin.list_group_offsets(group)
            committed = committed.get(group, committed)
            ends_ = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
            lags = [ends_[place].offset - committed[place].offset for place in places]
            assert lags == [10 - position, 0]
        (told,) = admin.describe_groups([group]).values()
    assert told["members"] == []


def hint(log: KafkaLog, group: str, positions: dict[tuple[str, int], int]) -> None:
    """Tries again: the first hint of a new cluster finds no coordinator yet."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return log.hint(group, positions)
        except TransientError:
            if time.monotonic() > end:
                raise


def test_a_group_that_somebody_has_joined_takes_no_hint(kafka: Kafka, log: KafkaLog) -> None:
    topic = f"joined-{secrets.token_hex(4)}"
    log.create([TopicSpec(topic, 1, -1)])
    hint(log, "taken", {(topic, 0): 0})
    with closing(
        KafkaConsumer(topic, bootstrap_servers=kafka.bootstrap, group_id="taken")
    ) as consumer:
        end = time.monotonic() + DEADLINE
        while not consumer.assignment() and time.monotonic() < end:
            consumer.poll(timeout_ms=100)
        with pytest.raises(UsageError, match="has joined the group 'taken'"):
            hint(log, "taken", {(topic, 0): 1})


def test_a_hint_to_a_dead_cluster_gives_up_at_once(own_kafka: Kafka, ends: ExitStack) -> None:
    settings = KafkaSettings(answer_timeout_seconds=1)
    log = KafkaLog([own_kafka.bootstrap], SystemClock(), settings)
    ends.callback(log.close)
    log.create([TopicSpec("frozen", 1, -1)])
    hint(log, "leadline-frozen", {("frozen", 0): 0})
    own_kafka.pause()
    ends.callback(own_kafka.resume)
    before = time.monotonic()
    with pytest.raises(TransientError):
        log.hint("leadline-frozen", {("frozen", 0): 0})
    assert time.monotonic() - before < DEADLINE


def test_partitions_added_while_running_are_told(kafka: Kafka, log: KafkaLog) -> None:
    stream = Stream(f"grows-{secrets.token_hex(4)}", 2)
    ensure_topics(log, stream)
    assert check_partitions(log, stream) is None
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_partitions({stream.topic("labels"): 3})
    end = time.monotonic() + DEADLINE
    while (found := check_partitions(log, stream)) is None and time.monotonic() < end:
        pass
    assert found is not None
    assert f"Topic '{stream.name}.labels' has 3 partitions" in str(found)


def stalled_reader(
    kafka: Kafka, ends: ExitStack, clock: ManualClock, stall_seconds: float
) -> tuple[KafkaLog, str, KafkaReader]:
    """A reader of four records that has read two when its client stalls, in its own way."""
    log = KafkaLog([kafka.bootstrap], clock, KafkaSettings(stall_seconds=stall_seconds))
    ends.callback(log.close)
    topic = f"stalls-{secrets.token_hex(4)}"
    log.create([TopicSpec(topic, 1, -1)])
    fill(log, topic, 4)
    reader = log.reader(topic, 0)
    ends.callback(reader.close)
    assert len(read(reader, 2)) == 2
    reader._consumer.pause(TopicPartition(topic, 0))
    return log, topic, reader


def test_a_stalled_reader_is_made_anew_and_goes_on(kafka: Kafka, ends: ExitStack) -> None:
    clock = ManualClock()
    _, _, reader = stalled_reader(kafka, ends, clock, 30)
    clock.advance(29)
    assert list(reader.poll(10, 0.1)) == []
    assert reader.recreated == 0
    clock.advance(1)
    assert list(reader.poll(10, 0.1)) == []
    assert reader.recreated == 1
    assert [record.offset for record in read(reader, 2)] == [2, 3]


def test_without_the_watchdog_a_stalled_reader_would_stay_so(kafka: Kafka, ends: ExitStack) -> None:
    """The control: the fault is one that the client does not mend by itself."""
    clock = ManualClock()
    _, _, reader = stalled_reader(kafka, ends, clock, float("inf"))
    for _ in range(20):
        clock.advance(29)
        assert list(reader.poll(10, 0.1)) == []
    assert reader.recreated == 0
    assert reader.end() - reader.position() == 2


def test_a_reader_that_nobody_polled_has_not_stalled(kafka: Kafka, ends: ExitStack) -> None:
    clock = ManualClock()
    _, _, reader = stalled_reader(kafka, ends, clock, 30)
    for _ in range(3):
        clock.advance(31)  # the other topic was read in the meantime
        assert list(reader.poll(10, 0.0)) == []
    assert reader.recreated == 0
    clock.advance(30)
    assert list(reader.poll(10, 0.0)) == []
    assert reader.recreated == 1


def test_a_reader_that_stalls_again_is_made_anew_again(kafka: Kafka, ends: ExitStack) -> None:
    clock = ManualClock()
    log, topic, reader = stalled_reader(kafka, ends, clock, 30)
    for times in (1, 2):
        clock.advance(30)
        reader.poll(10, 0.1)
        assert reader.recreated == times
        assert len(read(reader, 2)) == 2
        fill(log, topic, 2)
        reader._consumer.pause(TopicPartition(topic, 0))
    clock.advance(30)
    reader.poll(10, 0.1)
    assert [record.value for record in read(reader, 2)] == [b"0", b"1"]
    assert reader.position() == reader.end() == 8


def test_a_reader_at_the_end_does_not_count_as_stalled(kafka: Kafka, ends: ExitStack) -> None:
    clock = ManualClock()
    log = KafkaLog([kafka.bootstrap], clock)
    ends.callback(log.close)
    log.create([TopicSpec("quiet", 1, -1)])
    reader = log.reader("quiet", 0)
    ends.callback(reader.close)
    for _ in range(9):
        clock.advance(15)
        assert list(reader.poll(10, 0.05)) == []
    assert reader.recreated == 0


def test_a_reader_of_a_dead_cluster_says_so_when_it_would_be_stalled(
    own_kafka: Kafka, ends: ExitStack
) -> None:
    clock = ManualClock()
    settings = KafkaSettings(answer_timeout_seconds=1)
    log = KafkaLog([own_kafka.bootstrap], clock, settings)
    ends.callback(log.close)
    log.create([TopicSpec("frozen", 1, -1)])
    reader = log.reader("frozen", 0)
    ends.callback(reader.close)
    own_kafka.pause()
    ends.callback(own_kafka.resume)
    clock.advance(30)
    with pytest.raises(TransientError):
        reader.poll(10, 0.1)


def test_appends_during_a_crash_arrive_once_and_in_order(own_kafka: Kafka, ends: ExitStack) -> None:
    log = KafkaLog([own_kafka.bootstrap], SystemClock())
    ends.callback(log.close)
    log.create([TopicSpec("crash", 1, -1)])
    writer, reader = log.writer(), log.reader("crash", 0)
    ends.callback(writer.close)
    ends.callback(reader.close)
    for i in range(100):
        writer.append("crash", 0, b"%d" % i)
    writer.flush(DEADLINE)
    own_kafka.kill()
    for i in range(100, 200):
        writer.append("crash", 0, b"%d" % i)
    with pytest.raises(TransientError, match="100 of 100 records are not durable"):
        writer.flush(0.2)
    own_kafka.start()
    writer.flush(60)
    assert [record.value for record in read(reader, 200)] == [b"%d" % i for i in range(200)]
    assert reader.end() == 200


def test_what_cannot_connect_leaves_no_thread_behind(ends: ExitStack) -> None:
    log = KafkaLog([NOBODY], SystemClock(), KafkaSettings(answer_timeout_seconds=0.3))
    ends.callback(log.close)
    before = set(threading.enumerate())
    with pytest.raises(TransientError, match=f"kafka://{NOBODY}"):
        log.ping(0.3)
    for make in (log._connector.consumer, lambda: log._connector.producer(1000)):
        with pytest.raises(TransientError, match=f"kafka://{NOBODY}"):
            make()
    with pytest.raises(TransientError):
        log.describe("anything")
    assert set(threading.enumerate()) <= before


def test_closing_everything_ends_every_thread(kafka: Kafka) -> None:
    before = set(threading.enumerate())
    log = KafkaLog([kafka.bootstrap], SystemClock())
    log.create([TopicSpec("threads", 1, -1)])
    fill(log, "threads", 1)
    reader = log.reader("threads", 0)
    assert len(read(reader, 1)) == 1
    reader.close()
    log.close()
    end = time.monotonic() + DEADLINE
    while not set(threading.enumerate()) <= before and time.monotonic() < end:
        pass
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("security", "word"),
    [
        ({"security_protocol": "SASL_SLL"}, "is none of"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "plain"}, "is none of"),
        ({"sasl_plain_password": "x"}, "no effect under PLAINTEXT"),
        ({"security_protocol": "SSL", "sasl_mechanism": "PLAIN"}, "no effect under SSL"),
        ({"security_protocol": "SSL", "ssl_cafile": "/nowhere.pem"}, "no file /nowhere.pem"),
        ({"password": "x"}, "not known"),
    ],
)
def test_a_security_setting_that_the_client_would_pass_over_is_refused(
    security: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        KafkaSettings(security=security)


def test_security_settings_reach_the_client_and_no_text(kafka: Kafka) -> None:
    secret = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "leadline",
        "sasl_plain_password": "hunter2",
    }
    settings = KafkaSettings(security=secret)
    assert "hunter2" not in repr(settings)
    log = KafkaLog([kafka.bootstrap], SystemClock(), settings)
    with pytest.raises(UsageError, match="IllegalSaslState") as error:  # no SASL on this listener
        log.ping(2.0)
    assert "hunter2" not in str(error.value)


def test_without_crc32c_the_client_is_refused() -> None:
    code = (
        "import sys; sys.modules['crc32c'] = None\n"
        "from leadline.runtime.clock import SystemClock\n"
        "from leadline.runtime.log.open import open_log\n"
        "from leadline.records.errors import UsageError\n"
        "try:\n"
        "    open_log('kafka://127.0.0.1:1', SystemClock())\n"
        "except UsageError as error:\n"
        "    print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "install 'kafka-python[crc32c]'"


def test_a_client_with_known_faults_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_client()
    monkeypatch.setattr(kafka_client.kafka, "__version__", "3.0.11")
    with pytest.raises(UsageError, match=r"3\.0\.11"):
        check_client()


ABSTRACT = {kafka_errors.KafkaError, kafka_errors.BrokerResponseError}
CLASSES = [
    kind
    for _, kind in inspect.getmembers(kafka_errors, inspect.isclass)
    if issubclass(kind, kafka_errors.KafkaError) and kind not in ABSTRACT
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_is_one_of_ours(kind: type[Exception]) -> None:
    found = kind_of(kind)
    assert found is not None
    ours, remedy = found
    assert ours in {TransientError, UsageError, StoppedError}
    assert bool(remedy) == issubclass(ours, UsageError)


def test_an_error_code_that_the_client_does_not_know_is_transient() -> None:
    assert isinstance(mapped(kafka_errors.for_code(9999)("new"), "reading"), TransientError)


def test_a_bug_of_ours_is_not_mapped() -> None:
    assert mapped(ZeroDivisionError(), "reading") is None
    with pytest.raises(ZeroDivisionError), errors("reading"):
        _ = 1 / 0


def test_lost_records_stop_and_a_lost_connection_does_not() -> None:
    stopped = pytest.raises(StoppedError, match="reading main/0: OffsetOutOfRangeError")
    with stopped, errors("reading main/0"):
        raise kafka_errors.OffsetOutOfRangeError({"x": 1})
    with pytest.raises(TransientError), errors("reading"):
        raise ConnectionResetError
