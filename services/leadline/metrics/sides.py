"""The two sides of a shard: what whoever counts it does with them, an owner or a recount."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from leadline.metrics.cache.cache import Cache, Held
from leadline.metrics.core.shard import ShardCore
from leadline.metrics.intake import BEGIN_ANEW, Intake, Stretch
from leadline.records.errors import StoppedError
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, Stream
from leadline.wire.many import Heads, decode_many_labels, decode_many_predictions

BOTH_HEADS = 1.5
"""Rows of both heads together, in lengths of a full one."""


def open_intake(log: Log, stream: Stream, partition: int, number: int) -> Intake[Any]:
    """One side of a shard, at its oldest record; 0 is predictions, 1 labels."""
    topic = stream.topic((PREDICTIONS, LABELS)[number])
    many: Any = (decode_many_predictions, decode_many_labels)[number]
    decode = partial(many, heads=Heads())
    return Intake(
        topic,
        log.reader(topic, partition),
        decode,
        partition=partition,
        partitions=stream.partitions,
        number=number,
    )


def topic_ids(log: Log, stream: Stream, known: tuple[str, str] = ("", "")) -> tuple[str, str]:
    """Ids of both topics.

    Raises:
        StoppedError: a topic does not exist, or is another one than was known.
    """
    ids = []
    for base, former in zip((PREDICTIONS, LABELS), known, strict=True):
        topic = stream.topic(base)
        found = log.describe(topic)
        if found is None:
            raise StoppedError(
                f"Topic {topic!r} does not exist.", "Create it with `leadline topics create`."
            )
        if former and found.topic_id != former:
            raise StoppedError(
                f"Topic {topic!r} was re-created: its id was {former} and is {found.topic_id}.",
                BEGIN_ANEW,
            )
        ids.append(found.topic_id)
    return ids[0], ids[1]


def behind(intakes: Sequence[Intake[Any]]) -> Intake[Any]:
    """The side whose clock is behind: what waits for the other stays bounded when it is read."""
    return min(intakes, key=lambda intake: intake.clock_ms)


def feed(core: ShardCore, intake: Intake[Any], stretch: Stretch[Any]) -> int:
    """Hands decoded records and refusals to the core; returns the rows that were decoded."""
    decoded, places = stretch.decoded, stretch.places
    collect = core.labels if intake.number else core.predictions
    collect([(part.batch, part.record) for part in decoded.rows], places)
    if intake.number == 0:
        for part in decoded.rows:
            if part.batch.unobserved:
                core.unobserved(part.batch, int(places.append_ms[part.first]))
    for at, refusal in decoded.refusals:
        core.refuse([refusal], int(places.append_ms[at]), intake.number)
    return sum(len(part.record) for part in decoded.rows)


def cut_and_forget(core: ShardCore, cache: Cache, held: Held, head_rows_max: int) -> None:
    """Keeps what waits small: long heads become segments, and what is past its time is gone.

    One head a call, since a cut holds up the figures: the longer one when it is full, or when both
    are three quarters full on average. So sides of equal traffic are cut by turns.
    """
    store = core.store
    rows = len(store.predictions.rows), len(store.labels.rows)
    if max(rows) >= head_rows_max or sum(rows) >= BOTH_HEADS * head_rows_max:
        cache.cut(store, int(rows[1] > rows[0]), held)
    gone = core.forget(held.clocks)
    if gone:
        cache.drop(store, held, gone)
