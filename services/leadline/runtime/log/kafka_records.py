"""Records of a fetch, taken out of Kafka's record batches without what nobody asks for.

For each record the client makes two objects with its key, headers, times, sizes and checksums: for
messages of one row that is most of what reading costs. Here a batch is checked and unpacked as
the client does it, and a record is what the port promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import errors as k
from kafka.consumer.fetcher import Fetcher

from leadline.runtime.log.port import Record

_CURRENT_FORMAT = 2
_HEADER_BYTES_MIN = 1
"""Of a record behind its value: the number of its headers."""


def read_records(fetcher: Any) -> None:  # noqa: ANN401 (the client has no types)
    """Lets a client's fetcher give out Records; it must read uncommitted ones."""
    fetcher.PartitionRecords = _PartitionRecords


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition."""

    def _unpack_records(self, tp: Any, records: Any, *_: object) -> Iterator[Record]:  # noqa: ANN401
        while (batch := records.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                raise k.CorruptRecordError(f"{tp}: the checksum of offset {batch.base_offset}")
            if batch.magic != _CURRENT_FORMAT:
                raise k.CorruptRecordError(f"{tp}: records of format {batch.magic}")
            self.leader_epoch = batch.leader_epoch
            self.bytes_read += batch.size_in_bytes
            if not batch.is_control_batch:
                for record in records_of(batch):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            # The last record may be gone by compaction: its place is passed all the same.
            self.next_fetch_offset = batch.next_offset
        self.drain()


def records_of(batch: Any) -> list[Record]:  # noqa: ANN401 (the client has no types)
    """The records of a batch of format 2 that was checked.

    Raises:
        CorruptRecordError: its parts do not fit into one another.
    """
    iter(batch)  # decompresses
    buffer, at = batch._buffer, batch._pos
    base, time_ms = batch.base_offset, batch.max_timestamp if batch.timestamp_type else -1
    found: list[Record] = []
    try:
        with memoryview(buffer) as view:
            for _ in range(batch.records_count):
                length, at = _varint(buffer, at)
                end = at + length
                at += 1  # attributes
                while buffer[at] > 0x7F:  # time
                    at += 1
                delta, at = _varint(buffer, at + 1)
                size, at = _varint(buffer, at)
                if size > 0:  # key
                    at += size
                size, at = _varint(buffer, at)
                size = max(size, 0)
                if not at + size + _HEADER_BYTES_MIN <= end <= len(buffer):
                    raise k.CorruptRecordError(f"a record of {length} bytes at {base + delta}")
                found.append(Record(base + delta, time_ms, view[at : at + size].tobytes()))
                at = end
    except IndexError as error:
        raise k.CorruptRecordError(f"a batch at offset {base} is cut off") from error
    if at != len(buffer):
        raise k.CorruptRecordError(f"{len(buffer) - at} bytes too many at offset {base}")
    return found


def _varint(buffer: bytearray, at: int) -> tuple[int, int]:
    """A signed number of any length, and where it ends."""
    byte = buffer[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = buffer[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
