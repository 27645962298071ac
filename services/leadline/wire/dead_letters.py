"""Dead letters: a refused record or row by reference, with its reason and a truncated copy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leadline.records.errors import Refusal, UsageError
from leadline.v1 import events_pb2

COPY_BYTES = 4096
"""Enough to see what it was; the whole record stays in its topic."""
_REFERENCE = re.compile(r"([A-Za-z0-9._-]+)/(\d+)@(\d+)(?::(\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """What was refused; as text "labels/0@7", and "labels/0@7:3" for a row.

    Attributes:
        topic: full name.
        partition, offset: the record.
        row: row in its batch, -1 for the whole record.
    """

    topic: str
    partition: int
    offset: int
    row: int = -1

    def __str__(self) -> str:
        row = "" if self.row < 0 else f":{self.row}"
        return f"{self.topic}/{self.partition}@{self.offset}{row}"

    @property
    def record(self) -> Reference:
        """The whole record that a row stands in."""
        return Reference(self.topic, self.partition, self.offset)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """A reference from its text.

        Raises:
            UsageError: it is none.
        """
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{text!r} is no reference to a dead letter",
                "write it as `leadline dead-letters list` does: labels/0@7, and labels/0@7:3 for a "
                "row",
            )
        topic, partition, offset, row = found.groups()
        return cls(topic, int(partition), int(offset), -1 if row is None else int(row))


def encode_dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    append_time_ms: int,
    value: bytes,
    refusal: Refusal,
) -> bytes:
    """The message of one dead letter."""
    return events_pb2.DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        row=refusal.row,
        reason=int(refusal.reason),  # type: ignore[arg-type]
        detail=refusal.detail,
        copy=value[:COPY_BYTES],
        size=len(value),
        append_time_ms=append_time_ms,
    ).SerializeToString()


def encode_replayed(reference: Reference, replayed_time_ms: int) -> bytes:
    """The note that what a reference names was sent again, for the same topic.

    Args:
        reference: as in the dead letter.
        replayed_time_ms: milliseconds since 1970-01-01 UTC, > 0.
    """
    return events_pb2.DeadLetter(
        topic=reference.topic,
        partition=reference.partition,
        offset=reference.offset,
        row=reference.row,
        replayed_time_ms=replayed_time_ms,
    ).SerializeToString()


def decode_dead_letter(value: bytes) -> events_pb2.DeadLetter:
    """The dead letter, or the note of a replay, in a record of the topic `dead-letters`."""
    return events_pb2.DeadLetter.FromString(value)


def reference_of(letter: events_pb2.DeadLetter) -> Reference:
    """What a dead letter is about."""
    return Reference(letter.topic, letter.partition, letter.offset, letter.row)
