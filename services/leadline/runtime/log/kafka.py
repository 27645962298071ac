"""The log in Apache Kafka.

One consumer per reader and partition, never paused: a reader that is ahead is simply not polled.
One producer per writer, idempotent and acknowledged by all replicas in sync.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka import TopicPartition
from kafka import errors as k

from leadline.records.errors import LeadlineError, StoppedError, TransientError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.checks import check_size, check_spec, not_found, out_of_range
from leadline.runtime.log.kafka_client import Connector, KafkaSettings, check_client
from leadline.runtime.log.kafka_errors import errors, mapped
from leadline.runtime.log.kafka_records import read_records
from leadline.runtime.log.kafka_topics import commit_hint, create_missing, describe
from leadline.runtime.log.port import Record, TopicSpec, TopicState
from leadline.runtime.log.topics import MAX_MESSAGE_BYTES

_RETRY_SECONDS = 0.05
# What one message may weigh on the wire, with its key and envelope.
_REQUEST_BYTES = MAX_MESSAGE_BYTES + 1024 * 1024

_Answer = TypeVar("_Answer")


class KafkaLog:
    """A cluster. Its methods may be called from several threads; it connects when first used.

    Args:
        bootstrap: "host:port" of some brokers.
        clock: measures waits and stalls.
        settings: bounds, tuning and security.

    Raises:
        UsageError: the client is too old or too slow, or a setting is wrong.
    """

    def __init__(
        self, bootstrap: Sequence[str], clock: Clock, settings: KafkaSettings | None = None
    ) -> None:
        check_client()
        self._clock = clock
        self._settings = settings or KafkaSettings()
        self._connector = Connector(tuple(bootstrap), self._settings)
        self._lock = threading.Lock()
        self._admin: Any = None
        self._partitions: dict[str, int] = {}

    def writer(self) -> KafkaWriter:
        """A new writer, with connections of its own; it connects at the first append."""
        return KafkaWriter(self._connector, self._clock, self._settings, self.check_partition)

    def reader(self, topic: str, partition: int) -> KafkaReader:
        """A new reader, at the partition's oldest record; blocks until it is connected.

        Raises:
            NotFoundError: no such topic or partition.
            TransientError: the cluster does not answer.
        """
        self.check_partition(topic, partition)
        return KafkaReader(self._connector, self._clock, self._settings, topic, partition)

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Creates those that are missing and returns their names; leaves the others as they are.

        Raises:
            UsageError: the cluster refuses a name, a number or a right.
            TransientError: it does not answer.
        """
        for spec in topics:
            check_spec(spec)
        return self._ask("creating topics", lambda admin: create_missing(admin, topics))

    def describe(self, topic: str) -> TopicState | None:
        """The topic as it is, with its problems; None when it does not exist."""
        return self._ask(f"looking up topic {topic!r}", lambda admin: describe(admin, topic))

    def ping(self, timeout_seconds: float) -> None:
        """Connects anew and asks for the cluster's brokers.

        Raises:
            TransientError: no broker answers within that time.
            UsageError: they refuse this service.
        """
        _close(self._connector.admin(timeout_seconds))

    def hint(self, group: str, positions: Mapping[tuple[str, int], int]) -> None:
        """Commits the positions for a group that nobody joins, for lag tools; one attempt.

        Raises:
            TransientError: the cluster does not answer.
            UsageError: it refuses, or a consumer has joined the group.
        """
        self._ask(
            f"noting positions of group {group!r}",
            lambda admin: commit_hint(admin, group, positions),
            attempts_seconds=0.0,
        )

    def close(self) -> None:
        """Ends; readers and writers are closed by their owners first."""
        with self._lock:
            admin, self._admin = self._admin, None
        if admin is not None:
            _close(admin)

    def check_partition(self, topic: str, partition: int) -> None:
        """Returns when the partition exists; asks the cluster once a topic.

        Raises:
            NotFoundError: no such topic or partition.
            TransientError: the cluster does not answer.
        """
        if not 0 <= partition < self._partitions.get(topic, 0):
            state = self.describe(topic)
            if state is not None:
                self._partitions[topic] = state.partitions
            if state is None or not 0 <= partition < state.partitions:
                raise not_found(topic, partition, str(self._connector))

    def _ask(
        self,
        doing: str,
        question: Callable[[Any], _Answer],
        attempts_seconds: float | None = None,
    ) -> _Answer:
        """Asks the cluster, again after retriable answers until the time is over."""
        if attempts_seconds is None:
            attempts_seconds = self._settings.answer_timeout_seconds
        deadline = self._clock.monotonic_seconds() + attempts_seconds
        with self._lock:
            while True:
                try:
                    with errors(f"{doing} in {self._connector}"):
                        if self._admin is None:
                            self._admin = self._connector.admin(
                                self._settings.answer_timeout_seconds
                            )
                        return question(self._admin)
                except TransientError:
                    if self._clock.monotonic_seconds() >= deadline:
                        raise
                    self._clock.sleep(_RETRY_SECONDS)


class KafkaWriter:
    """Appends to a cluster. Safe to use from several threads.

    A record that was given up is reported by the next flush(), once: threads that must each know
    take a writer each. It may have been written all the same, when only the answer was lost.

    Attributes:
        failed: records that were given up so far, reported or not.
    """

    def __init__(
        self,
        connector: Connector,
        clock: Clock,
        settings: KafkaSettings,
        check_partition: Callable[[str, int], None],
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._settings = settings
        self._check_partition = check_partition
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._producer: Any = None
        self._flying: deque[tuple[Any, int, Any]] = deque()  # (future, bytes, producer)
        self._queued_bytes = 0
        self._closed = False
        self._unreported = 0
        self._error: LeadlineError | None = None
        self.failed = 0

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queues one record.

        Raises:
            TransientError: no room within `append_timeout_seconds`, or no answer when the topic
                is used for the first time.
            NotFoundError: no such topic or partition.
            UsageError: the value is larger than a message may be, or the writer is closed.
        """
        check_size(value, min(MAX_MESSAGE_BYTES, self._settings.max_queued_bytes))
        self._check_partition(topic, partition)
        producer = self._connected()
        size = len(value) + (0 if key is None else len(key))
        self._reserve(size)
        try:
            with errors(f"appending to {topic}/{partition} in {self._connector}"):
                future = producer.send(topic, value=value, key=key, partition=partition)
        except BaseException:
            with self._lock:
                self._queued_bytes -= size
            raise
        with self._lock:
            self._flying.append((future, size, producer))

    def flush(self, timeout_seconds: float) -> None:
        """Returns when all that was appended before is durable; blocks for at most that long.

        Raises:
            TransientError: it is not yet, or some records were given up since the last flush.
            UsageError: the cluster refused some records.
        """
        deadline = self._clock.monotonic_seconds() + timeout_seconds
        with self._lock:
            waiting = list(self._flying)
            producer = self._producer
        if producer is not None and waiting:
            with suppress(k.KafkaTimeoutError):  # what is not done is found below
                producer.flush(timeout_seconds)
        late = sum(not self._done(future, deadline) for future, *_ in waiting)
        self._harvest()
        self._report()
        if late:
            raise TransientError(
                f"{late} of {len(waiting)} records are not durable in {self._connector} "
                f"after {timeout_seconds:g} s"
            )

    def close(self) -> None:
        """Flushes for at most `append_timeout_seconds`, then ends.

        Raises:
            TransientError: not everything became durable; the rest is lost.
            UsageError: the cluster refused some records.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self.flush(self._settings.append_timeout_seconds)
        finally:
            if self._producer is not None:
                _end_producer(self._producer)

    def _connected(self) -> Any:  # noqa: ANN401 (the client has no types)
        """The producer; a new one at first, and after an error that ended the old one."""
        with self._connecting:
            if self._closed:
                raise UsageError("the log's writer is closed")
            if self._producer is None:
                self._producer = self._connector.producer(_REQUEST_BYTES)
            return self._producer

    def _reserve(self, size: int) -> None:
        """Waits for room."""
        deadline = self._clock.monotonic_seconds() + self._settings.append_timeout_seconds
        while True:
            self._harvest()
            with self._lock:
                if self._queued_bytes + size <= self._settings.max_queued_bytes:
                    self._queued_bytes += size
                    return
                oldest = self._flying[0][0] if self._flying else None
            if self._clock.monotonic_seconds() >= deadline:
                raise TransientError(
                    f"{self._queued_bytes} bytes wait for {self._connector}: it does not answer, "
                    "or not fast enough"
                )
            if oldest is None:
                self._clock.sleep(_RETRY_SECONDS)
            else:
                self._done(oldest, deadline)

    def _done(self, future: Any, deadline: float) -> bool:  # noqa: ANN401
        """Waits for one record's end, good or bad; False when it is not reached by the deadline."""
        left = deadline - self._clock.monotonic_seconds()
        if not future.is_done and left > 0:
            with suppress(k.KafkaError):
                future.get(left)
        return bool(future.is_done)

    def _harvest(self) -> None:
        """Takes out what has ended, from the oldest on."""
        with self._lock:
            while self._flying and self._flying[0][0].is_done:
                future, size, producer = self._flying.popleft()
                self._queued_bytes -= size
                if future.exception is not None:
                    self._note(future.exception, producer)

    def _note(self, error: BaseException, producer: Any) -> None:  # noqa: ANN401
        self.failed += 1
        self._unreported += 1
        self._error = mapped(error, f"appending to {self._connector}") or TransientError(
            repr(error)
        )
        if self._producer is producer and producer._transaction_manager.has_fatal_error():
            self._producer = None  # the next append() makes a new one
            _end_producer(producer)

    def _report(self) -> None:
        """Raises what was given up since the last report."""
        with self._lock:
            count, error = self._unreported, self._error
            self._unreported, self._error = 0, None
        if error is not None:
            text = f"{count} records are not durable: {error}"
            if isinstance(error, UsageError):
                raise type(error)(text, error.remedy) from error
            raise type(error)(text) from error


class KafkaReader:
    """Reads one partition of a cluster. For one thread.

    Attributes:
        recreated: how often its consumer was made anew because it had stalled.
    """

    def __init__(
        self,
        connector: Connector,
        clock: Clock,
        settings: KafkaSettings,
        topic: str,
        partition: int,
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._settings = settings
        self._partition = TopicPartition(topic, partition)
        self._name = f"{topic}/{partition}"
        self._timeout_ms = round(settings.answer_timeout_seconds * 1000)
        self._moved_at = self._asked_at = clock.monotonic_seconds()
        self._position = 0
        self.recreated = 0
        self._consumer = self._assigned()
        try:
            self.seek(self.begin())
        except BaseException:
            self.close()
            raise

    def seek(self, position: int) -> None:
        """The next record to read; checked by the next poll."""
        self._position = position
        self._moved_at = self._clock.monotonic_seconds()
        self._consumer.seek(self._partition, position)

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Records from the position on, in order; none when the time has passed without any.

        After `stall_seconds` of polls without a record it also asks for the partition's end, which
        may take `answer_timeout_seconds` more. Time in which nobody polled does not count.

        Raises:
            StoppedError: the position is not in the partition.
            TransientError: the cluster does not answer.
        """
        began = self._clock.monotonic_seconds()
        if began - self._asked_at > self._settings.stall_seconds:
            self._moved_at = began  # a reader that is ahead is not polled, and has not stalled
        try:
            with errors(f"reading {self._name}"):
                answer = self._consumer.poll(
                    timeout_ms=round(timeout_seconds * 1000), max_records=max_records
                )
        except StoppedError as error:
            raise self._lost(error) from error
        finally:
            self._asked_at = self._clock.monotonic_seconds()
        found = answer.get(self._partition)
        if not found:
            self._watch()
            return ()
        self._position = found[-1].offset + 1
        self._moved_at = self._clock.monotonic_seconds()
        return found  # type: ignore[no-any-return]

    def position(self) -> int:
        """Offset of the next record to read."""
        return self._position

    def begin(self) -> int:
        """Offset of the oldest record kept; asks the cluster."""
        return self._bound(self._consumer.beginning_offsets)

    def end(self) -> int:
        """One past the newest record; asks the cluster."""
        return self._bound(self._consumer.end_offsets)

    def offset_at(self, append_time_ms: int) -> int:
        """Offset of the first record kept that was appended then or later, else end(); asks."""
        with errors(f"looking up {self._name}"):
            found = self._consumer.offsets_for_times(
                {self._partition: max(0, append_time_ms)}, timeout_ms=self._timeout_ms
            )[self._partition]
        return self.end() if found is None else int(found.offset)

    def close(self) -> None:
        """Ends."""
        _end_consumer(self._consumer)

    def _assigned(self) -> Any:  # noqa: ANN401 (the client has no types)
        consumer = self._connector.consumer()
        read_records(consumer._fetcher)
        consumer.assign([self._partition])
        return consumer

    def _bound(self, ask: Callable[..., dict[TopicPartition, int]]) -> int:
        with errors(f"looking up {self._name}"):
            return int(ask([self._partition], timeout_ms=self._timeout_ms)[self._partition])

    def _lost(self, error: StoppedError) -> StoppedError:
        """The same error with where the partition is now, when it tells."""
        begin, end = self.begin(), self.end()
        if begin <= self._position <= end:
            return error
        return out_of_range(self._name, self._position, begin, end)

    def _watch(self) -> None:
        """Makes the consumer anew when there is something to read and it does not come."""
        now = self._clock.monotonic_seconds()
        if now - self._moved_at < self._settings.stall_seconds:
            return
        self._moved_at = now
        end = self.end()
        with errors(f"looking up {self._name}"):
            reached = self._consumer.position(self._partition, timeout_ms=self._timeout_ms)
        if reached is not None and reached > self._position:
            self._position = reached  # markers of transactions: places without a record
        elif end > self._position:
            fresh = self._assigned()
            _end_consumer(self._consumer)
            self._consumer = fresh
            self.recreated += 1
            self.seek(self._position)


def _end_consumer(consumer: Any) -> None:  # noqa: ANN401 (the client has no types)
    with suppress(k.KafkaError):
        consumer.close(autocommit=False, timeout_ms=1000)


def _end_producer(producer: Any) -> None:  # noqa: ANN401 (the client has no types)
    """Ends a producer at once; the client's own close() gives up when something is still queued."""
    try:
        producer.close(timeout=0)
    except k.KafkaError:
        producer._sender.force_close()
        producer._sender.join(1.0)
        with suppress(k.KafkaError):
            producer.close(timeout=0)


def _close(client: Any) -> None:  # noqa: ANN401 (the client has no types)
    with suppress(k.KafkaError):
        client.close()
