"""Dead letters: a refused record or row by reference, with its reason and a truncated copy."""

from __future__ import annotations

from leadline.records.errors import Refusal
from leadline.v1 import events_pb2

COPY_BYTES = 4096
"""Enough to see what it was; the whole record stays in its topic."""


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


def decode_dead_letter(value: bytes) -> events_pb2.DeadLetter:
    """The dead letter in a record of the topic `dead-letters`."""
    return events_pb2.DeadLetter.FromString(value)
