"""One side of a shard: reads a topic's partition, decodes, and knows where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from leadline.records.batches import Decoded
from leadline.records.errors import StoppedError
from leadline.runtime.log.port import LogReader, Record
from leadline.runtime.store.port import LastRecord

Batch = TypeVar("Batch")
Decode = Callable[[bytes, int, int], Decoded[Batch]]


class Intake(Generic[Batch]):
    """Reads one topic's partition in order.

    Args:
        topic: full name, for messages.
        reader: of the partition.
        decode: bytes to batch.
        partition, partitions: of the topic.
        number: 0 for predictions, 1 for labels.
    """

    def __init__(
        self,
        topic: str,
        reader: LogReader,
        decode: Decode[Batch],
        *,
        partition: int,
        partitions: int,
        number: int,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.number = number
        self.clock_ms = 0
        self.drained = False
        self._reader = reader
        self._decode = decode
        self._partitions = partitions

    def start(self, position: int, last: LastRecord) -> int:
        """Goes to the oldest record kept; returns the position from which on is counted.

        Raises:
            StoppedError: what was counted before is not in the topic any more.
        """
        begin, end = self._reader.begin(), self._reader.end()
        if last.offset < 0 and position == 0:
            position = begin
        if end < position:
            raise StoppedError(
                f"Topic {self.topic!r}, partition {self.partition} ends at offset {end}, but "
                f"offset {position} was counted: it was cut or re-created.",
                "Restore the topic from its mirror, or rebuild the shard.",
            )
        if position < begin:
            raise StoppedError(
                f"Topic {self.topic!r}, partition {self.partition} begins at offset {begin}, but "
                f"only offset {position} was counted: records were lost to retention.",
                "Restore the topic from its mirror, raise its retention, or rebuild the shard.",
            )
        self._reader.seek(begin)
        return position

    def read(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """The next records; `drained` then says whether there were none."""
        records = self._reader.poll(max_records, timeout_seconds)
        self.drained = not records
        return records

    def decoded(self, record: Record) -> Decoded[Batch]:
        """The batch in a record; moves the log clock.

        Raises:
            StoppedError: the record must not be passed over.
        """
        if record.append_time_ms < 0:
            raise StoppedError(
                f"Topic {self.topic!r} does not stamp the append time.",
                "Set message.timestamp.type=LogAppendTime on the topic.",
            )
        self.clock_ms = max(self.clock_ms, record.append_time_ms)
        return self._decode(record.value, self.partition, self._partitions)

    def check(self, record: Record, last: LastRecord) -> None:
        """Compares a record with the evidence of the one that was counted last.

        Raises:
            StoppedError: it is another record: the topic was re-created and filled again.
        """
        if record.offset == last.offset and digest(record) != last.digest:
            raise StoppedError(
                f"Topic {self.topic!r}, partition {self.partition} holds another record at offset "
                f"{record.offset} than the one that was counted: it was re-created.",
                "Restore the topic from its mirror, or rebuild the shard.",
            )

    def seek(self, position: int) -> None:
        """The next record to read."""
        self._reader.seek(position)

    def position(self) -> int:
        """Offset of the next record to read."""
        return self._reader.position()

    def lag(self) -> int:
        """Records up to the topic's end."""
        return max(self._reader.end() - self._reader.position(), 0)

    def close(self) -> None:
        """Ends."""
        self._reader.close()


def digest(record: Record) -> int:
    """First 8 bytes of the SHA-256 of a record's value, as a signed big-endian number."""
    return int.from_bytes(hashlib.sha256(record.value).digest()[:8], "big", signed=True)
