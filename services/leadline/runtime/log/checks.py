"""What both logs refuse, in the same words."""

from __future__ import annotations

import re

from leadline.records.errors import NotFoundError, StoppedError, UsageError
from leadline.runtime.log.port import TopicSpec


def check_size(value: bytes, limit: int) -> None:
    """Refuses a message that a log would not take.

    Raises:
        UsageError: naming both sizes.
    """
    if len(value) > limit:
        raise UsageError(
            f"a message of {len(value)} bytes is larger than {limit}", "write smaller batches"
        )


def not_found(topic: str, partition: int, log: str) -> NotFoundError:
    """The error for a partition that does not exist."""
    return NotFoundError(
        f"topic {topic!r} has no partition {partition} in the log {log}",
        "create the topic, or correct the name of the stream",
    )


def out_of_range(partition: str, position: int, begin: int, end: int) -> StoppedError:
    """The error for a position outside a partition, with the likely cause."""
    if position < begin:
        return StoppedError(
            f"{partition}: records {position} to {begin - 1} are not kept any more",
            "raise the topic's retention, then `leadline rebuild --reset`",
        )
    return StoppedError(
        f"{partition}: position {position} is past the end {end}: the log was cut or made anew",
        "restore the log, or `leadline rebuild --reset`",
    )


def check_spec(spec: TopicSpec) -> None:
    """Kafka's own rules, so that what works here works there."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", spec.name) or spec.name in {".", ".."}:
        raise UsageError(
            f"{spec.name!r} is not a topic's name", "use letters, digits, '.', '_' and '-'"
        )
    if spec.partitions < 1:
        raise UsageError(f"topic {spec.name!r} needs at least one partition, not {spec.partitions}")
