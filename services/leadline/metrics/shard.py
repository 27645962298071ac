"""One shard: reads both topics, counts, and commits the vector with its delta.

recover   read the vector from the truth; replay the topics up to it without counting
round     read what there is; count; write dead letters; commit
fenced    another owner moved on: recover from its vector
stopped   counting on would be wrong: say why in the truth, look again later
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.pending import MemoryPending
from leadline.metrics.core.shard import Delta, Place, ShardCore
from leadline.metrics.intake import Decode, Intake, digest
from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.records.errors import FencedError, StoppedError, TransientError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import (
    DEAD_LETTERS,
    LABELS,
    PREDICTIONS,
    Log,
    LogWriter,
    Record,
    Stream,
)
from leadline.runtime.store.port import Commit, LastRecord, ShardState, TruthStore
from leadline.wire.batches import decode_labels, decode_predictions
from leadline.wire.dead_letters import encode_dead_letter

logger = logging.getLogger(__name__)
MICROSECONDS = 1_000_000
LAG_SECONDS = 2.0
"""Between two looks at the topics' ends: each asks the log."""


@dataclass(frozen=True, slots=True)
class World:
    """What every shard of an owner shares.

    Attributes:
        writer: for dead letters.
    """

    stream: Stream
    log: Log
    writer: LogWriter
    store: TruthStore
    settings: OwnerSettings
    clock: Clock
    health: OwnerHealth


class Shard:
    """Counts one partition pair until it is told to stop. For one thread."""

    def __init__(self, world: World, partition: int) -> None:
        self.name = world.stream.shard(partition)
        self._world, self._partition = world, partition
        self._health = world.health

    def run(self, stop: Event) -> None:
        """Counts until `stop` is set; comes back from everything but a bug."""
        while not stop.is_set():
            try:
                self._count(stop)
            except FencedError:
                self._health.fenced.labels(self.name).inc()
                logger.info("shard %s: another owner moved on; catching up", self.name)
            except TransientError as error:
                self._health.failures.labels(self.name).inc()
                logger.warning("shard %s: %s; trying again", self.name, error)
                stop.wait(self._world.settings.retry_seconds)
            except UsageError as error:  # StoppedError and all else that a person can mend
                self._stopped(error)
                stop.wait(self._world.settings.stopped_retry_seconds)

    def _count(self, stop: Event) -> None:
        run = _Run(self._world, self._partition, stop)
        try:
            run.recover()
            while not stop.is_set() and not run.round():
                pass
            if not stop.is_set():
                self._clear_stop()
            while not stop.is_set():
                run.round()
        finally:
            run.close()

    def _stopped(self, error: UsageError) -> None:
        logger.error("shard %s stopped: %s %s", self.name, error, error.remedy)
        self._health.stopped.labels(self.name).set(1)
        try:
            self._world.store.mark_stopped(self.name, str(error), error.remedy)
        except TransientError as failure:
            logger.warning("shard %s: could not note the stop: %s", self.name, failure)

    def _clear_stop(self) -> None:
        self._health.stopped.labels(self.name).set(0)
        if self._world.store.shard(self.name).stopped:
            self._world.store.mark_stopped(self.name, "", "")


class _Run:
    """From one recovery to the next: the state that a recovery rebuilds."""

    def __init__(self, world: World, partition: int, stop: Event) -> None:
        self._world, self._stop = world, stop
        self._settings, self._health = world.settings, world.health
        self._name = world.stream.shard(partition)
        self._predictions = _intake(world, partition, PREDICTIONS, decode_predictions, 0)
        self._labels = _intake(world, partition, LABELS, decode_labels, 1)
        self._state = ShardState(self._name)
        self._core = self._empty_core()
        self._dead: list[bytes] = []
        self._refused: Counter[str] = Counter()  # by reason, since the last commit
        self._rows = [0, 0]
        self._lag_due = 0.0

    def close(self) -> None:
        self._predictions.close()
        self._labels.close()

    def recover(self) -> None:
        """Reads the vector and rebuilds the pending store by replaying the topics up to it."""
        state = self._world.store.shard(self._name)
        topic_ids = self._topic_ids(state)
        self._core = self._empty_core()
        self._predictions.clock_ms = state.predictions_clock_ms
        self._labels.clock_ms = state.labels_clock_ms
        p = self._predictions.start(state.p, state.predictions_last)
        l = self._labels.start(state.l, state.labels_last)
        self._state = replace(state, topic_ids=topic_ids)
        self._replay(self._predictions, p, state.predictions_last)
        self._replay(self._labels, l, state.labels_last)
        self._core.take()
        self._dead.clear()
        self._refused.clear()
        self._rows = [0, 0]
        logger.info("shard %s: counting from (%d, %d)", self._name, p, l)

    def round(self) -> bool:
        """Reads what there is, counts it and commits; waits a moment where there is nothing.

        Returns whether nothing stands in the way: something was counted, or both sides are empty.
        """
        last: dict[int, Record] = {}
        self._gather(last)
        self._report_lag()
        if last:
            self._commit(last)
            return True
        return self._predictions.drained and self._labels.drained

    def _empty_core(self) -> ShardCore:
        known = self._world.store.shard_series(self._name)
        series = SeriesNumbers(known, self._settings.slices_per_version_max)
        bound_us = int(self._settings.event_time_bound_seconds * MICROSECONDS)
        return ShardCore(MemoryPending(), series, bound_us)

    def _topic_ids(self, state: ShardState) -> tuple[str, str]:
        ids = []
        for topic, known in zip(
            (self._predictions.topic, self._labels.topic), state.topic_ids, strict=True
        ):
            found = self._world.log.describe(topic)
            if found is None:
                raise StoppedError(
                    f"Topic {topic!r} does not exist.", "Create it with `leadline topics create`."
                )
            if known and found.topic_id != known:
                raise StoppedError(
                    f"Topic {topic!r} was re-created: its id was {known} and is {found.topic_id}.",
                    "Restore the topic from its mirror, or rebuild the shard.",
                )
            ids.append(found.topic_id)
        return ids[0], ids[1]

    def _replay(self, intake: Intake[Any], end: int, last: LastRecord) -> None:
        """Feeds the records before `end` to the core; what it counts is dropped."""
        while intake.position() < end and not self._stop.is_set():
            for record in intake.read(self._settings.records_per_poll_max, 1.0):
                if record.offset >= end:
                    break
                intake.check(record, last)
                self._feed(intake, record)
            self._core.take()
            self._dead.clear()
        intake.seek(end)

    def _gather(self, last: dict[int, Record]) -> None:
        """Reads until the commit is full or nothing more is there at once."""
        settings = self._settings
        self._rows = [0, 0]
        wait = settings.idle_wait_seconds
        while sum(self._rows) < settings.events_per_commit_max:
            read = 0
            for intake in self._due():
                records = intake.read(settings.records_per_poll_max, 0.0 if last else wait)
                for record in records:
                    self._feed(intake, record)
                    last[intake.number] = record
                read += len(records)
            if not read:
                return

    def _due(self) -> list[Intake[Any]]:
        """Whom to read: while both have lag, the one whose clock is behind."""
        both: list[Intake[Any]] = [self._predictions, self._labels]
        if any(intake.drained for intake in both):
            return both
        return [min(both, key=lambda intake: intake.clock_ms)]

    def _feed(self, intake: Intake[Any], record: Record) -> None:
        """Counts one record."""
        decoded = intake.decoded(record)
        place = Place(record.offset, record.append_time_ms)
        if decoded.batch is not None:
            if intake.number == 0:
                self._core.predictions(decoded.batch, place)
            else:
                self._core.labels(decoded.batch, place)
            self._rows[intake.number] += len(decoded.batch)
        self._core.refuse(decoded.refusals, place, intake.number)
        for refusal in decoded.refusals:
            self._dead.append(
                encode_dead_letter(
                    topic=intake.topic,
                    partition=intake.partition,
                    offset=record.offset,
                    append_time_ms=record.append_time_ms,
                    value=record.value,
                    refusal=refusal,
                )
            )
            self._refused[refusal.reason.name.lower()] += 1

    def _commit(self, last: dict[int, Record]) -> None:
        """Dead letters first, then the truth; the same commit is tried until it is decided."""
        delta = self._core.take()
        commit = Commit(
            before=self._state,
            after=self._after(last, delta),
            delta=delta.cells,
            new_series=delta.new_series,
            cases=delta.cases,
            last_seen=delta.last_seen,
        )
        while True:
            try:
                self._write_dead_letters()
                with self._health.commits.labels(self._name).time():
                    self._world.store.commit(commit)
                break
            except FencedError:
                raise
            except TransientError as error:
                self._health.failures.labels(self._name).inc()
                logger.warning("shard %s: %s; trying again", self._name, error)
                if self._stop.wait(self._settings.retry_seconds):
                    return
        self._state = commit.after
        self._report_commit()

    def _after(self, last: dict[int, Record], delta: Delta) -> ShardState:
        state = self._state
        return replace(
            state,
            p=self._predictions.position(),
            l=self._labels.position(),
            predictions_clock_ms=self._predictions.clock_ms,
            labels_clock_ms=self._labels.clock_ms,
            predictions_last=_evidence(last.get(0), state.predictions_last),
            labels_last=_evidence(last.get(1), state.labels_last),
            dead_letters=state.dead_letters + delta.refused,
            committed_us=self._world.clock.now_us(),
            stopped="",
            remedy="",
        )

    def _write_dead_letters(self) -> None:
        if not self._dead:
            return
        topic = self._world.stream.topic(DEAD_LETTERS)
        for letter in self._dead:
            self._world.writer.append(topic, 0, letter)
        self._world.writer.flush(self._settings.dead_letter_flush_seconds)
        self._dead.clear()

    def _report_commit(self) -> None:
        health, name = self._health, self._name
        for side, rows in zip(("predictions", "labels"), self._rows, strict=True):
            health.rows.labels(name, side).inc(rows)
        for reason, count in self._refused.items():
            health.dead_letters.labels(name, reason).inc(count)
        self._refused.clear()
        health.position.labels(name, "predictions").set(self._state.p)
        health.position.labels(name, "labels").set(self._state.l)
        health.pending.labels(name).set(len(self._core))

    def _report_lag(self) -> None:
        now = self._world.clock.monotonic_seconds()
        if now < self._lag_due:
            return
        self._lag_due = now + LAG_SECONDS
        health, name = self._health, self._name
        health.lag.labels(name, "predictions").set(self._predictions.lag())
        health.lag.labels(name, "labels").set(self._labels.lag())


def _intake(
    world: World, partition: int, base: str, decode: Decode[Any], number: int
) -> Intake[Any]:
    topic = world.stream.topic(base)
    return Intake(
        topic,
        world.log.reader(topic, partition),
        decode,
        partition=partition,
        partitions=world.stream.partitions,
        number=number,
    )


def _evidence(record: Record | None, former: LastRecord) -> LastRecord:
    if record is None:
        return former
    return LastRecord(record.offset, record.append_time_ms, digest(record))
