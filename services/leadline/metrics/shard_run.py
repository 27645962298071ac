"""What a shard does from its start on: see `shard.py` for the words."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Any

from leadline.metrics.cache.cache import Cache, Held, Identity
from leadline.metrics.cache.history import History, goes_on_from, mark_of
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.shard import Delta, ShardCore
from leadline.metrics.core.store import PendingStore
from leadline.metrics.intake import Intake, Stretch, digest
from leadline.metrics.shard_facts import agree_on_rules, publish_facts
from leadline.metrics.sides import behind, cut_and_forget, feed, open_intake, topic_ids
from leadline.metrics.world import Stop, World
from leadline.records.errors import FencedError, StoppedError, TransientError
from leadline.records.rules import RulesHistory
from leadline.runtime.log.port import DEAD_LETTERS, Record
from leadline.runtime.log.topics import check_partitions
from leadline.runtime.store.port import Commit, LastRecord, ShardState
from leadline.wire.batches import encode_tick
from leadline.wire.dead_letters import encode_dead_letter

logger = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
"""Between two looks at the topics' ends: each asks the log."""
PARTITIONS_SECONDS = 30.0
"""Between two looks at the number of partitions."""


class RebuiltError(StoppedError):
    """Another epoch has begun: what was held belongs to the old one."""


class ShardRun:
    """Counts one shard. For one thread; after a StoppedError it must be closed."""

    def __init__(self, world: World, partition: int, stop: Stop) -> None:
        self._world, self._stop = world, stop
        self._settings, self._health = world.settings, world.health
        self._name, self._partition = world.stream.shard(partition), partition
        self._predictions = open_intake(world.log, world.stream, partition, 0)
        self._labels = open_intake(world.log, world.stream, partition, 1)
        self._files = world.files(self._name)
        self._cache = Cache(self._files)
        self._state = ShardState(self._name)
        self._held = Held(0, 0, Clocks(0, 0), [])
        self._rules = RulesHistory(())
        self._core: ShardCore
        self._published = False
        self._fenced = False
        self._dead: list[bytes] = []
        self._refused: Counter[str] = Counter()  # by reason, since the last commit
        self._looked = self._asked = self._ticked = world.clock.monotonic_seconds()

    def close(self) -> None:
        """Ends; the cache stays."""
        self._predictions.close()
        self._labels.close()
        self._files.close()

    def recover(self) -> None:
        """Reads the vector, and what waits at it: from the cache, and from the topics."""
        state, rules = agree_on_rules(self._world, self._name)
        state = self._with_topics(state)
        self._predictions.check(state.p, state.predictions_last)
        self._labels.check(state.l, state.labels_last)
        self._state, self._rules = state, rules
        store = PendingStore()
        identity = Identity(self._name, state.epoch, state.topic_ids)
        series = self._read_facts()
        held = self._cache.load(identity, store, state.p, state.l, self._history(series))
        self._core = ShardCore(store, series, rules.rows, held.groups)
        self._held = self._beginning(held)
        self._back()
        self._catch_up()
        logger.info("shard %s: counting from (%d, %d)", self._name, state.p, state.l)

    def round(self) -> bool:
        """Reads what there is, counts it and commits; waits a moment where there is nothing.

        Returns whether nothing stands in the way: something was counted, or both sides are empty.
        """
        try:
            if self._fenced:
                self._follow()
            if self._behind():
                self._catch_up()
                if self._behind():  # told to stop on the way: nothing may be counted from here
                    return False
            counted = self._count()
        except FencedError:
            self._health.fenced.labels(self._name).inc()
            logger.info("shard %s: another owner moved on; catching up", self._name)
            self._fenced = True
            self._back()
            return True
        except BaseException:
            self._back()
            raise
        return counted or (self._predictions.drained and self._labels.drained)

    def _count(self) -> bool:
        """One micro-batch; whether there was any."""
        last: dict[int, Record] = {}
        held_back = self._gather(last)
        if last:
            self._commit(last)
        elif held_back is not None:
            raise held_back
        self._look()
        return bool(last)

    # ------------------------------------------------------------------ where it stands

    def _behind(self) -> bool:
        return (self._held.p, self._held.l) != (self._state.p, self._state.l)

    def _back(self) -> None:
        """Takes back what was read and fed since the last step that was kept."""
        self._core.undo()
        held = self._held
        self._predictions.resume(held.p, held.clocks.predictions_ms)
        self._labels.resume(held.l, held.clocks.labels_ms)
        self._dead.clear()
        self._refused.clear()

    def _read_facts(self) -> SeriesNumbers:
        """Series and exceptions, as the truth has them."""
        store = self._world.store
        series = SeriesNumbers(store.shard_series(self._name))
        exceptions = store.shard_exceptions(self._name)
        for intake in (self._predictions, self._labels):
            intake.set_exceptions(exceptions)
        return series

    def _history(self, series: SeriesNumbers) -> History:
        """What waiting rows rest on beside the log."""
        exceptions = (*self._predictions.exceptions, *self._labels.exceptions)
        return History(self._rules.rows, series.known, exceptions)

    def _follow(self) -> None:
        """Takes over the state of the owner that moved on.

        Raises:
            RebuiltError: what is held rests on other facts than the truth's of now: the shard was
                rebuilt, or restored from a backup and counted on from there.
        """
        vector = (self._held.p, self._held.l)
        mark = mark_of(self._history(self._core.series), vector)
        state, rules = agree_on_rules(self._world, self._name)
        state = self._with_topics(state)
        series = self._read_facts()
        ahead = vector[0] > state.p or vector[1] > state.l
        same = state.epoch == self._state.epoch and not ahead
        self._state, self._rules, self._fenced = state, rules, False
        if not (same and goes_on_from(self._history(series), mark, vector)):
            raise RebuiltError(f"Shard {self._name} has another past now.", "It is read anew.")
        self._core.set_series(series)
        self._core.set_rules(rules.rows)

    def _with_topics(self, state: ShardState) -> ShardState:
        world = self._world
        return replace(state, topic_ids=topic_ids(world.log, world.stream, state.topic_ids))

    def _beginning(self, held: Held) -> Held:
        """From where to read: the cache's place, or as far back as windows and the epoch reach."""
        table, state, first = self._core.table, self._state, self._rules.rows[0]
        clocks = Clocks(state.predictions_clock_ms, state.labels_clock_ms)
        label_ms = int(table.label_window_ms.max())
        p = self._predictions.start_of(
            clocks.both_ms - table.keep_predictions_ms - label_ms, state.p
        )
        l = self._labels.start_of(clocks.both_ms - table.keep_labels_ms, state.l)
        p, l = max(p, first.from_p), max(l, first.from_l)
        return Held(
            max(p, held.p),
            max(l, held.l),
            Clocks(
                held.clocks.predictions_ms if held.p >= p else 0,
                held.clocks.labels_ms if held.l >= l else 0,
            ),
            held.groups,
        )

    def _catch_up(self) -> None:
        """Reads up to the truth's vector without counting."""
        state = self._state
        for intake, end in ((self._predictions, state.p), (self._labels, state.l)):
            while intake.position() < end and not self._stop.is_set():
                records = intake.read(self._settings.events_per_commit_max, 1.0, end=end)
                for stretch in intake.stretches(records, self._rules, None, 0):
                    self._feed(intake, stretch, counting=False)
                self._keep_step(self._clocks())
        if self._stop.is_set():
            return
        self._predictions.clock_ms = state.predictions_clock_ms
        self._labels.clock_ms = state.labels_clock_ms
        self._predictions.seek(state.p)
        self._labels.seek(state.l)
        self._held = Held(state.p, state.l, self._clocks(), self._held.groups)
        self._published = False

    def _keep_step(self, after: Clocks) -> None:
        """Joins what was read and keeps it, uncounted."""
        self._core.take(self._held.clocks, after, counting=False)
        self._core.keep()
        self._hold(after)

    def _hold(self, clocks: Clocks) -> None:
        """What was read is held now; segments are cut and forgotten."""
        groups: Any = list(self._core.groups.names)
        position = (self._predictions.position(), self._labels.position())
        self._held = held = Held(*position, clocks, groups, self._history(self._core.series))
        cut_and_forget(self._core, self._cache, held, self._settings.pending_head_rows_max)

    def _clocks(self) -> Clocks:
        return Clocks(self._predictions.clock_ms, self._labels.clock_ms)

    # ------------------------------------------------------------------ reading

    def _gather(self, last: dict[int, Record]) -> StoppedError | None:
        """Reads until the commit is full, nothing more is there at once, or its time is over.

        Returns why a record is held back; those before it are read.
        """
        settings, rows = self._settings, 0
        skew_ms = int(settings.clock_skew_seconds * 1000)
        monotonic, began = self._world.clock.monotonic_seconds, None
        while rows < settings.events_per_commit_max:
            read = 0
            for intake in self._due():
                wait = 0.0 if last else settings.idle_wait_seconds
                records = intake.read(settings.events_per_commit_max - rows, wait)
                # After reading: an owner that was held up must not call what came meanwhile early.
                now_ms = self._world.clock.now_us() // 1000
                for stretch in intake.stretches(records, self._rules, now_ms + skew_ms, now_ms):
                    rows += self._feed(intake, stretch, counting=True)
                    if stretch.records:
                        last[intake.number] = stretch.records[-1]
                    if stretch.held_back is not None:
                        intake.seek(stretch.held_back)
                        return stretch.decoded.stopped
                read += len(records)
            now = monotonic()
            began = now if began is None else began
            if not read or now - began >= settings.gather_seconds:
                break
        return None

    def _due(self) -> list[Intake[Any]]:
        """Whom to read: while both have lag, the one whose clock is behind."""
        both = [self._predictions, self._labels]
        if any(intake.drained for intake in both):
            return both
        return [behind(both)]

    def _feed(self, intake: Intake[Any], stretch: Stretch[Any], *, counting: bool) -> int:
        """Hands decoded records to the core; returns their rows."""
        decoded = stretch.decoded
        rows = feed(self._core, intake, stretch)
        for at, refusal in decoded.refusals if counting else ():
            self._dead.append(_letter(intake, stretch.records[at], refusal))
            self._refused[refusal.reason.name.lower()] += 1
        if decoded.stopped is not None and not counting:
            raise decoded.stopped
        return rows

    # ------------------------------------------------------------------ committing

    def _commit(self, last: dict[int, Record]) -> None:
        """Dead letters first, then the truth; the same commit is tried until it is decided."""
        clocks = self._clocks()
        delta = self._core.take(self._held.clocks, clocks)
        exceptions = [*self._predictions.new_exceptions, *self._labels.new_exceptions]
        commit = Commit(
            before=self._state,
            after=self._after(last, delta),
            delta=delta.cells,
            new_series=delta.new_series,
            cases=delta.cases,
            case_labels=delta.case_labels,
            last_seen=delta.last_seen,
            exceptions=exceptions,
        )
        while not self._write(commit):
            if self._stop.wait(self._settings.retry_seconds):
                self._back()
                return
        self._state = commit.after
        self._core.commit()
        self._predictions.keep()
        self._labels.keep()
        self._hold(clocks)
        self._published = self._published and not exceptions
        self._report_commit(delta)

    def _write(self, commit: Commit) -> bool:
        """One attempt; whether it is decided. FencedError tells that it is decided otherwise."""
        try:
            self._write_dead_letters()
            with self._health.commits.labels(self._name).time():
                self._world.store.commit(commit)
        except FencedError:
            raise
        except TransientError as error:
            self._health.failures.labels(self._name).inc()
            logger.warning("shard %s: %s; trying again", self._name, error)
            return False
        return True

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

    # ------------------------------------------------------------------ now and then

    def _look(self) -> None:
        """Ticks, facts to publish, lag, and the number of partitions: each in its own time."""
        now = self._world.clock.monotonic_seconds()
        if not self._published:
            self._published = publish_facts(self._world, self._name)
        if now >= self._looked + LOOK_SECONDS:
            self._looked = now
            self._report_lag()
            self._tick(now)
        if now >= self._asked + PARTITIONS_SECONDS:
            self._asked = now
            ids = self._state.topic_ids
            problem = check_partitions(self._world.log, self._world.stream, ids)
            if problem is not None:
                raise problem

    def _tick(self, now: float) -> None:
        """Moves the clock of a silent side on, while anything waits for it."""
        tick_seconds = self._settings.tick_seconds
        if not tick_seconds or now < self._ticked + tick_seconds:
            return
        self._ticked = now
        wall_ms = self._world.clock.now_us() // 1000
        for intake in (self._predictions, self._labels):
            silent_ms = wall_ms - intake.clock_ms
            if intake.drained and silent_ms > tick_seconds * 1000 and len(self._core):
                self._world.writer.append(intake.topic, self._partition, encode_tick())

    def _report_commit(self, delta: Delta) -> None:
        health, name = self._health, self._name
        for side, rows in zip(("predictions", "labels"), delta.rows, strict=True):
            health.rows.labels(name, side).inc(rows)
        for reason, count in self._refused.items():
            health.dead_letters.labels(name, reason).inc(count)
        self._refused.clear()
        health.position.labels(name, "predictions").set(self._state.p)
        health.position.labels(name, "labels").set(self._state.l)
        health.pending.labels(name).set(len(self._core.store.predictions))

    def _report_lag(self) -> None:
        health, name = self._health, self._name
        for intake, side in ((self._predictions, "predictions"), (self._labels, "labels")):
            health.lag.labels(name, side).set(intake.lag())
            health.recreated.labels(name, side).set(intake.recreated)


def _letter(intake: Intake[Any], record: Record, refusal: Any) -> bytes:  # noqa: ANN401
    return encode_dead_letter(
        topic=intake.topic,
        partition=intake.partition,
        offset=record.offset,
        append_time_ms=record.append_time_ms,
        value=record.value,
        refusal=refusal,
    )


def _evidence(record: Record | None, former: LastRecord) -> LastRecord:
    if record is None:
        return former
    return LastRecord(record.offset, record.append_time_ms, digest(record))
