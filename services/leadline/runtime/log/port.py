"""The log port: partitioned, append-only topics with log-append time.

Words, as everywhere: an *offset* names a record, a *position* is always the next record to read.
Offsets grow and may have gaps. `append_time_ms` is set by the log, never by the producer.

Reading is by partition and by position, with no group and no commit on the counting path: the truth
store holds the positions. All methods raise TransientError when the log does not answer in time and
UsageError for a mistake that a person can mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

PREDICTIONS = "predictions"
LABELS = "labels"
DEAD_LETTERS = "dead-letters"
CASES = "cases"
POLICIES = "policies"
RULES = "rules"


@dataclass(frozen=True, slots=True)
class Stream:
    """One pair of topics with its own partitions and retention.

    Attributes:
        name: "main" by default. The topics of "main" have their plain names; those of another
            stream are prefixed: "fraud.predictions".
        partitions: the same for both topics.
    """

    name: str = "main"
    partitions: int = 1

    def topic(self, base: str) -> str:
        """Full name of one of the stream's topics."""
        return base if self.name == "main" else f"{self.name}.{base}"

    def shard(self, partition: int) -> str:
        """Name of a shard: "main/0"."""
        return f"{self.name}/{partition}"

    def hint_group(self) -> str:
        """Name of the group under which lag tools find the positions: "leadline-main"."""
        return f"leadline-{self.name}"


class Record(NamedTuple):
    """One record as it was read.

    Attributes:
        offset: its place in the partition.
        append_time_ms: set by the log, milliseconds since 1970-01-01 UTC; -1 when the log did not
            stamp this record, whatever the topic's setting is by now.
        value: the bytes; empty for a tombstone.
    """

    offset: int
    append_time_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as Leadline needs it.

    Attributes:
        retention_ms: -1 keeps forever. Never a bound by size: that would cut what still waits.
    """

    name: str
    partitions: int
    retention_ms: int
    replication_factor: int = 1


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is.

    Attributes:
        topic_id: changes when the topic is re-created.
        problems: settings that would make figures wrong, each with its remedy, in words.
        retention_ms: -1 keeps for ever; None when the log does not tell.
    """

    name: str
    partitions: int
    topic_id: str
    problems: tuple[str, ...] = ()
    retention_ms: int | None = None


class LogWriter(Protocol):
    """Appends. Safe to use from several threads."""

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queues one record; raises TransientError rather than block beyond its bound."""

    def flush(self, timeout_seconds: float) -> None:
        """Returns when all that was queued is durable; raises TransientError when it is not."""

    def close(self) -> None:
        """Flushes within the writer's bound and ends."""


class LogReader(Protocol):
    """Reads one partition of one topic from a position on. For one thread."""

    @property
    def recreated(self) -> int:
        """How often it was made anew because it had lag and did not move; 0 where none can be."""

    def seek(self, position: int) -> None:
        """The next record to read."""

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Records from the position on, in order; none when the time has passed without any.

        Raises:
            StoppedError: the position is not in the partition any more (cut or re-created).
        """

    def position(self) -> int:
        """Offset of the next record to read."""

    def begin(self) -> int:
        """Offset of the oldest record kept."""

    def end(self) -> int:
        """One past the newest record."""

    def offset_at(self, append_time_ms: int) -> int:
        """Offset of the first record kept that was appended at that time or later.

        The end when there is none; the oldest record's when all are as late as that. Milliseconds
        since 1970-01-01 UTC; what is negative means 0. Records that the log did not stamp are
        found by the time that their producer set. Moves nothing; asks the log.
        """

    def close(self) -> None:
        """Ends."""


class Log(Protocol):
    """A connection to a log."""

    def writer(self) -> LogWriter:
        """A new writer."""

    def reader(self, topic: str, partition: int) -> LogReader:
        """A new reader, at the partition's oldest record."""

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Creates those that are missing and returns their names; leaves the others as they are."""

    def describe(self, topic: str) -> TopicState | None:
        """The topic as it is; None when it does not exist."""

    def ping(self, timeout_seconds: float) -> None:
        """Returns when the log answers; raises TransientError when it does not."""

    def hint(self, group: str, positions: Mapping[tuple[str, int], int]) -> None:
        """Tells lag tools how far a group has read; nothing of Leadline ever reads it back.

        One request for all of them, and one attempt: meant for every few seconds, and for a
        thread that counts nothing. A log without such tools does nothing.

        Args:
            group: consumer group that nobody joins: "leadline-main" (`hint_group`).
            positions: (topic, partition) to the offset of the next record to read.

        Raises:
            TransientError: the log does not answer.
            UsageError: it refuses: rights are missing, or a consumer has joined the group.
        """

    def close(self) -> None:
        """Ends; readers and writers are closed by their owners first."""
