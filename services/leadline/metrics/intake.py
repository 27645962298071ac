"""One side of a shard: reads a topic's partition, and knows where and when its records stand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np

from leadline.metrics.core.arrivals import Places
from leadline.records.batches import I64
from leadline.records.errors import StoppedError, TransientError
from leadline.records.rules import ExceptionRow, RulesHistory
from leadline.runtime.log.port import LogReader, Record
from leadline.runtime.store.port import LastRecord
from leadline.wire.many import DecodedMany

Batch = TypeVar("Batch")
DecodeMany = Callable[[Sequence[bytes], int, int], DecodedMany[Batch]]
RECORDS_AT_ONCE = (1, 10_000)
"""Least and most records of one read; between, as many as the rows that are still wanted."""
BEGIN_ANEW = (
    "Restore the topic from its mirror, or count on from what it holds now: `leadline rebuild "
    "--reset`."
)
"""Remedy where a topic does not hold any more what was counted."""
EVIDENCE_SECONDS = 10.0
"""How long the log may take to show the record that was counted last."""


@dataclass(frozen=True, slots=True)
class Stretch(Generic[Batch]):
    """Decoded records that live by one rule.

    Attributes:
        records: as they were read.
        places: where they stand.
        decoded: what they hold.
        held_back: offset of a record behind them that asks for a newer reader; None without one.
    """

    records: Sequence[Record]
    places: Places
    decoded: DecodedMany[Batch]
    held_back: int | None = None


class Intake(Generic[Batch]):
    """Reads one topic's partition in order.

    Args:
        topic: full name, for messages.
        reader: of the partition.
        decode: bytes to batches.
        partition, partitions: of the topic.
        number: 0 for predictions, 1 for labels.

    Attributes:
        clock_ms: log clock of the last record read.
        drained: whether the last read found nothing.
        new_exceptions: of the records read since `resume` or `keep`.
    """

    def __init__(
        self,
        topic: str,
        reader: LogReader,
        decode: DecodeMany[Batch],
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
        self.new_exceptions: list[ExceptionRow] = []
        self._reader = reader
        self._decode = decode
        self._partitions = partitions
        self._exceptions: list[ExceptionRow] = []
        self._rows_a_record = 1.0

    def check(self, position: int, last: LastRecord) -> None:
        """Compares the partition with what was counted.

        Raises:
            StoppedError: the topic was cut, re-created or filled again.
        """
        begin, end = self._reader.begin(), self._reader.end()
        where = f"Topic {self.topic!r}, partition {self.partition}"
        remedy = BEGIN_ANEW
        if end < position:
            raise StoppedError(
                f"{where} ends at offset {end}, but offset {position} was counted: it was cut or "
                "re-created.",
                remedy,
            )
        if position < begin and last.offset >= 0:
            raise StoppedError(
                f"{where} begins at offset {begin}, but only offset {position} was counted: "
                "records were lost to retention.",
                f"{remedy} Raise its retention.",
            )
        if begin <= last.offset:
            self._reader.seek(last.offset)
            found = self._reader.poll(1, EVIDENCE_SECONDS)
            if not found:
                raise TransientError(f"{where}: offset {last.offset} cannot be read.")
            if found[0].offset != last.offset or digest(found[0]) != last.digest:
                raise StoppedError(
                    f"{where} holds another record at offset {last.offset} than the one that was "
                    "counted: it was re-created.",
                    remedy,
                )

    def resume(self, position: int, clock_ms: int) -> None:
        """Goes on from a position, as if nothing behind it had been read."""
        self._reader.seek(position)
        self.clock_ms = clock_ms
        self.drained = False
        self.new_exceptions = []

    def set_exceptions(self, exceptions: Sequence[ExceptionRow]) -> None:
        """All exceptions of the shard, as the truth has them."""
        self._exceptions = [one for one in exceptions if one.side == self.number]

    @property
    def exceptions(self) -> tuple[ExceptionRow, ...]:
        """Those that are known, of this side."""
        return tuple(self._exceptions)

    def keep(self) -> None:
        """The exceptions of what was read are facts now."""
        self._exceptions += self.new_exceptions
        self.new_exceptions = []

    def read(
        self, rows: int, timeout_seconds: float, *, end: int | None = None
    ) -> Sequence[Record]:
        """About as many records as hold so many rows; `drained` then says whether there were none.

        Args:
            rows: how many are wanted.
            timeout_seconds: to wait for the first.
            end: only records below this offset.
        """
        least, most = RECORDS_AT_ONCE
        wanted = min(max(int(rows / self._rows_a_record), least), most)
        records = self._reader.poll(wanted, timeout_seconds)
        self.drained = not records
        if end is not None and records and records[-1].offset >= end:
            records = [record for record in records if record.offset < end]
            self._reader.seek(end)
        return records

    def stretches(
        self, records: Sequence[Record], rules: RulesHistory, trust_ms: int | None, now_ms: int
    ) -> Iterator[Stretch[Batch]]:
        """The records decoded, in stretches of one rule; moves the log clock.

        Args:
            records: as `read` gave them.
            rules: all rules of the shard.
            trust_ms: append times beyond it become exceptions; None trusts all but the known ones.
            now_ms: what the append time of new exceptions is taken to be.
        """
        if not records:
            return
        offset = np.array([record.offset for record in records], np.int64)
        append_ms = np.array([record.append_time_ms for record in records], np.int64)
        append_ms, clock_ms = self._times(offset, append_ms, trust_ms, now_ms)
        rule = rules.numbers(self.number, offset)
        edges = [0, *(np.flatnonzero(np.diff(rule)) + 1).tolist(), len(records)]
        rows = 0
        for begin, end in pairwise(edges):
            own = slice(begin, end)
            values = [record.value for record in records[own]]
            decoded = self._decode(values, self.partition, self._partitions)
            rows += sum(len(part.record) for part in decoded.rows)
            done = slice(begin, begin + decoded.records)
            if decoded.records:
                self.clock_ms = int(clock_ms[done][-1])
            places = Places(offset[done], append_ms[done], clock_ms[done], int(rule[begin]))
            if decoded.stopped is not None:
                held_back = int(offset[begin + decoded.records])
                self._forget_exceptions(held_back)
                yield Stretch(records[done], places, decoded, held_back)
                return
            yield Stretch(records[done], places, decoded)
        self._rows_a_record = max(0.5 * self._rows_a_record + 0.5 * rows / len(records), 1.0)

    def _times(
        self, offset: I64, append_ms: I64, trust_ms: int | None, now_ms: int
    ) -> tuple[I64, I64]:
        """(append time as it counts, log clock) of each record."""
        known = np.zeros(len(offset), np.bool_)
        counts = append_ms.copy()
        for one in self._exceptions:
            mine = (one.from_offset <= offset) & (offset < one.to_offset)
            known |= mine
            counts[mine] = one.append_ms
        if trust_ms is not None:
            new = ~known & ((append_ms > trust_ms) | (append_ms < 0))
            counts[new] = now_ms
            known |= new
            self.new_exceptions += _exceptions(self.number, offset, new, now_ms)
        believed = np.where(known, 0, append_ms)
        believed[:1] = np.maximum(believed[:1], self.clock_ms)
        return counts, np.maximum.accumulate(believed)

    def _forget_exceptions(self, end: int) -> None:
        """Of records that are not counted yet."""
        self.new_exceptions = [
            ExceptionRow(one.side, one.from_offset, min(one.to_offset, end), one.append_ms)
            for one in self.new_exceptions
            if one.from_offset < end
        ]

    def start_of(self, append_ms: int, latest: int) -> int:
        """First kept offset whose append time is at or after a time, at most `latest`.

        From the first record on where the time is not positive: also records without a time.
        """
        begin = self._reader.begin()
        return min(
            begin if append_ms <= 0 else max(self._reader.offset_at(append_ms), begin), latest
        )

    def bounds(self) -> tuple[int, int]:
        """Offset of the oldest record kept, and one past the newest."""
        return self._reader.begin(), self._reader.end()

    def seek(self, position: int) -> None:
        """The next record to read."""
        self._reader.seek(position)

    def position(self) -> int:
        """Offset of the next record to read."""
        return self._reader.position()

    def lag(self) -> int:
        """Records up to the topic's end."""
        return max(self._reader.end() - self._reader.position(), 0)

    @property
    def recreated(self) -> int:
        """How often the reader was made anew because it had stalled."""
        return self._reader.recreated

    def close(self) -> None:
        """Ends."""
        self._reader.close()


def digest(record: Record) -> int:
    """First 8 bytes of the SHA-256 of a record's value, as a signed big-endian number."""
    return int.from_bytes(hashlib.sha256(record.value).digest()[:8], "big", signed=True)


def _exceptions(side: int, offset: I64, chosen: np.ndarray, now_ms: int) -> list[ExceptionRow]:
    """A row for each stretch of neighbours."""
    at = np.flatnonzero(chosen)
    if not len(at):
        return []
    parts = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    return [
        ExceptionRow(side, int(offset[part[0]]), int(offset[part[-1]]) + 1, now_ms)
        for part in parts
    ]
