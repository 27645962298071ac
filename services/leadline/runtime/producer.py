"""Writes events to the log from a thread of its own, behind a bounded queue.

The caller's side never waits and never raises; the thread waits for the log in the caller's stead.

    offer ──> queue (bounded) ──> round: group, split, encode ──> append, flush ──> written
      │ full                        │ cannot be encoded              │ fails: new writer, again,
      └────────────┬────────────────┴────────────────────────────────┘ then given up
                   └──> counted by reason, and reported in the next record of that model version

| the log is        | what happens                                                             |
|-------------------|--------------------------------------------------------------------------|
| well              | rounds of up to `batch_rows_max` rows, one in flight                     |
| slow              | rounds grow, then the queue fills, then offers are dropped (QUEUE_FULL)  |
| not to be opened  | rows wait in the queue                                                   |
| gone              | a round is tried `attempts_max` times, then dropped (LOG_FAILED)         |
| back              | the next round goes through, and reports what was dropped                |

A round that failed halfway is written again in full: rows may be in the log twice, which is counted
once downstream, by identity. A report of unobserved requests may then be counted twice; it is a
measure of loss, not a part of the truth's figures.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from leadline.records.batches import (
    LabelBatch,
    PredictionBatch,
    PredictionHeader,
    UnobservedReason,
)
from leadline.records.errors import LeadlineError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.delivery import Connection, Delivery
from leadline.runtime.log.port import Log, Stream
from leadline.runtime.rounds import (
    AnyBatch,
    Message,
    group,
    memory_bytes,
    messages_of,
    report_of,
    with_report,
)

# Model versions whose losses are kept apart; more would let one caller fill the memory with names.
_VERSIONS_MAX = 1_000
# One round's share of the queue's bytes: encoding holds it in memory a second time.
_ROUND_BYTES = 8 * 1024 * 1024
# The same cause is logged once in this time.
_QUIET_SECONDS = 60.0
_CONNECT_PAUSE_SECONDS = 1.0
# How long after a round the thread looks for more by itself, before it sleeps until it is woken.
_BUSY_SECONDS = 1.0
_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class ProducerLimits:
    """Bounds of a producer.

    Attributes:
        queued_rows_max: rows that wait or are being written; beyond it offers are dropped.
        queued_bytes_max: the same in bytes, of numbers and objects together.
        linger_seconds: how long a row waits for company; the price is that much freshness.
        batch_rows_max: rows of one round and of one record.
        write_timeout_seconds: how long one attempt waits until the log says a round is durable.
        attempts_max: attempts for one round; then it is dropped and counted.
        retry_seconds: pause before the second attempt; doubled for each further one.
        report_seconds: losses of a version without traffic are reported after that time.
    """

    queued_rows_max: int = 100_000
    queued_bytes_max: int = 64 * 1024 * 1024
    linger_seconds: float = 0.02
    batch_rows_max: int = 10_000
    write_timeout_seconds: float = 10.0
    attempts_max: int = 3
    retry_seconds: float = 0.2
    report_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class ProducerStats:
    """What a producer has done so far.

    Attributes:
        queued_rows: waiting or being written.
        queued_bytes: the same in bytes.
        written_rows: durable in the log.
        dropped_rows: predictions and labels that were dropped, by reason.
        dropped_labels: the labels among them; no record can report those.
        failures: attempts that failed.
        last_error: of the last failed attempt; empty after a good one.
    """

    queued_rows: int = 0
    queued_bytes: int = 0
    written_rows: int = 0
    dropped_rows: dict[UnobservedReason, int] = field(default_factory=dict)
    dropped_labels: int = 0
    failures: int = 0
    last_error: str = ""


@dataclass(slots=True)
class _Loss:
    """What is to be reported for one model version."""

    header: PredictionHeader
    since: float
    tally: dict[UnobservedReason, int] = field(default_factory=dict)


_Version = tuple[str, str]
_Queued = tuple[AnyBatch, int]


class Producer:
    """A bounded queue in front of a log, emptied by one thread, which opens the log itself.

    Safe to use from several threads. It does not survive a fork: make it in the process that uses
    it (in a forked child nothing writes, so offers fill the queue and are then dropped and
    counted). `leadline.client.Log` makes itself anew in a child.

    Args:
        connect: opens the log; may block and raise LeadlineError; called again until it succeeds.
        limits: bounds.
        clock: paces reports.
        gather: called by the thread before each round; may offer what its owner has buffered. Its
            owner calls `nudge` when there is something to gather.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        limits: ProducerLimits,
        clock: Clock,
        gather: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._gather = gather
        self._delivery = Delivery(
            connect,
            attempts_max=limits.attempts_max,
            timeout_seconds=limits.write_timeout_seconds,
            retry_seconds=limits.retry_seconds,
            pause=self._pause,
            failed=self._note_failure,
        )
        self._changed = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._losses: dict[_Version, _Loss] = {}
        self._queued_rows = self._queued_bytes = 0
        self._added = self._done = 0  # batches
        self._written = self._failures = self._dropped_labels = 0
        self._dropped: dict[UnobservedReason, int] = {}
        self._last_error = ""
        self._said: dict[str, float] = {}
        self._nudged = self._asleep = self._closing = self._abandoned = False
        self._busy_until = -math.inf
        self._flushes = self._reporting = 0
        self._thread = threading.Thread(target=self._run, name="leadline-producer", daemon=True)

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def offer_predictions(self, batch: PredictionBatch) -> bool:
        """Queues a batch, which must not be changed afterwards; never blocks, never raises.

        Returns:
            False: it was dropped, counted, and will be reported.
        """
        return self._offer(batch)

    def offer_labels(self, batch: LabelBatch) -> bool:
        """As `offer_predictions`; dropped labels are counted in `stats` alone."""
        return self._offer(batch)

    def note_unobserved(
        self, header: PredictionHeader, reason: UnobservedReason, count: int = 1
    ) -> None:
        """Reports requests that were answered and not logged, in that version's next record."""
        with self._changed:
            self._add_loss(header, reason, count)
            self._changed.notify_all()

    def nudge(self) -> None:
        """Tells the thread that `gather` will find something; takes a lock only while it sleeps."""
        self._nudged = True
        if self._asleep:  # else it looks by itself within linger_seconds
            with self._changed:
                self._changed.notify_all()

    def stats(self) -> ProducerStats:
        """The counts of this moment."""
        with self._changed:
            return ProducerStats(
                self._queued_rows,
                self._queued_bytes,
                self._written,
                dict(self._dropped),
                self._dropped_labels,
                self._failures,
                self._last_error,
            )

    def flush(self, timeout_seconds: float) -> bool:
        """Whether all that was offered before became durable within that time."""
        with self._changed:
            target, lost = self._added, sum(self._dropped.values())
            self._flushes += 1
            self._changed.notify_all()
            finished = self._changed.wait_for(
                lambda: self._done >= target and not self._losses and not self._reporting,
                timeout_seconds,
            )
            self._flushes -= 1
            return finished and sum(self._dropped.values()) == lost

    def close(self, timeout_seconds: float) -> None:
        """Writes what is queued for at most that long, then ends; the rest is dropped and counted.

        The log itself is left open. A thread that is stuck in a stalled log is left behind; it ends
        by itself within the log's own bounds, and never keeps the process alive.
        """
        deadline = self._clock.monotonic_seconds() + timeout_seconds
        if self._thread.is_alive():
            self.flush(timeout_seconds)
        with self._changed:
            self._closing = self._abandoned = True
            for batch, _ in self._queue:
                self._count_dropped(batch, UnobservedReason.LOG_FAILED)
            self._finish(self._queue)
            self._queue.clear()
        if self._thread.is_alive():
            self._thread.join(max(0.05, deadline - self._clock.monotonic_seconds()))

    def _offer(self, batch: AnyBatch) -> bool:
        limits = self._limits
        try:
            size = memory_bytes(batch)
        except Exception as error:  # not a batch: its sender has a bug, and shall live
            self._note_failure(error)
            return False
        with self._changed:
            if self._closing:
                self._count_dropped(batch, UnobservedReason.LOG_FAILED)
                return False
            rows = self._queued_rows + len(batch)
            if rows > limits.queued_rows_max or self._queued_bytes + size > limits.queued_bytes_max:
                self._count_dropped(batch, UnobservedReason.QUEUE_FULL)
                return False
            if self._asleep or rows >= limits.batch_rows_max > self._queued_rows:
                self._changed.notify_all()
            self._queue.append((batch, size))
            self._queued_rows = rows
            self._queued_bytes += size
            self._added += 1
            return True

    # What follows is the thread's.

    def _run(self) -> None:
        while self._await_work():
            try:
                self._turn()
            except LeadlineError as error:  # the log cannot be opened
                self._note_failure(error)
                self._pause(_CONNECT_PAUSE_SECONDS)
            except Exception as error:  # a bug is told, and writing goes on
                self._note_failure(error)
                self._pause(self._limits.retry_seconds)
        self._delivery.close()

    def _await_work(self) -> bool:
        """Waits for a round's worth of work; False at the end."""
        lingered = False
        with self._changed:
            while not self._abandoned:
                if self._queue or self._nudged:
                    if not lingered:
                        self._changed.wait_for(self._is_urgent, self._limits.linger_seconds)
                    return True
                if self._due_losses():
                    return True
                lingered = self._rest()
            return False

    def _rest(self) -> bool:
        """Waits with the lock given back; whether that was a linger.

        After a round the thread looks again every `linger_seconds` for a while: waking it would
        cost a caller more than all else of a call. Then it sleeps until it is woken. `_asleep` is
        written before `_nudged` is read, and `nudge` does the reverse, so no nudge is missed.
        """
        if self._clock.monotonic_seconds() < self._busy_until:
            self._changed.wait(max(self._limits.linger_seconds, _LOOK_SECONDS))
            return True
        self._asleep = True
        if not self._nudged:
            self._changed.wait(self._limits.report_seconds if self._losses else None)
        self._asleep = False
        return False

    def _is_urgent(self) -> bool:
        return (
            self._abandoned or self._flushes > 0 or self._queued_rows >= self._limits.batch_rows_max
        )

    def _turn(self) -> None:
        """One round: gather, take, write, count."""
        self._nudged = False
        if self._gather is not None:
            self._gather()
        stream = self._delivery.stream()
        taken, losses = self._take()
        if taken:
            self._busy_until = self._clock.monotonic_seconds() + _BUSY_SECONDS
        try:
            failed = self._write([batch for batch, _ in taken], losses, stream)
        except BaseException:
            with self._changed:
                for batch, _ in taken:
                    self._count_dropped(batch, UnobservedReason.LOG_FAILED)
            raise
        finally:
            with self._changed:
                self._reporting = 0
                self._finish(taken)
        if failed:
            self._pause(self._limits.retry_seconds)

    def _take(self) -> tuple[list[_Queued], dict[_Version, _Loss]]:
        """Batches of one round, and the losses that it reports."""
        taken: list[_Queued] = []
        rows = size = 0
        with self._changed:
            while self._queue and rows < self._limits.batch_rows_max and size < _ROUND_BYTES:
                batch, batch_size = self._queue.popleft()
                taken.append((batch, batch_size))
                rows, size = rows + len(batch), size + batch_size
            due = self._due_losses() | {
                _version(batch.header) for batch, _ in taken if isinstance(batch, PredictionBatch)
            }
            losses = {key: self._losses.pop(key) for key in due if key in self._losses}
            self._reporting = len(losses)
        return taken, losses

    def _write(
        self, batches: list[AnyBatch], losses: dict[_Version, _Loss], stream: Stream
    ) -> bool:
        """Writes and counts; whether something was given up."""
        messages = self._encoded(_reporting(_grouped(batches), losses), stream)
        failed = self._delivery.write(messages) if messages else []
        with self._changed:
            self._written += sum(message.rows for message in messages)
            for message in failed:
                self._written -= message.rows
                self._count_failed(message)
            if not failed:
                self._last_error = ""
        return bool(failed)

    def _encoded(self, batches: Iterable[AnyBatch], stream: Stream) -> list[Message]:
        messages: list[Message] = []
        for batch in batches:
            try:
                messages += list(messages_of(batch, stream, self._limits.batch_rows_max))
            except Exception as error:  # one caller's batch, the others go on
                self._note_failure(error)
                with self._changed:
                    self._count_dropped(batch, UnobservedReason.LOG_FAILED)
        return messages

    def _pause(self, seconds: float) -> bool:
        """Waits that long; False as soon as the producer is closed."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._abandoned, seconds)

    def _note_failure(self, error: Exception) -> None:
        """Counts it, and says it once a minute for each kind of error."""
        kind = type(error).__name__
        now = self._clock.monotonic_seconds()
        with self._changed:
            self._failures += 1
            self._last_error = f"{kind}: {error}"
            quiet = now < self._said.get(kind, now)
            if not quiet:
                self._said[kind] = now + _QUIET_SECONDS
        if quiet:
            return
        logger = logging.getLogger("leadline.producer")
        if isinstance(error, LeadlineError):
            remedy = error.remedy if isinstance(error, UsageError) else ""
            logger.warning("events are not written: %s%s", error, f" ({remedy})" if remedy else "")
        else:
            logger.error("events are not written, by an unexpected error", exc_info=error)

    # What follows is called with the lock held.

    def _finish(self, taken: Iterable[_Queued]) -> None:
        """Frees the room of batches that were written or dropped."""
        for batch, size in taken:
            self._queued_rows -= len(batch)
            self._queued_bytes -= size
            self._done += 1
        self._changed.notify_all()

    def _count_dropped(self, batch: AnyBatch, reason: UnobservedReason) -> None:
        if len(batch):
            self._dropped[reason] = self._dropped.get(reason, 0) + len(batch)
        if isinstance(batch, LabelBatch):
            self._dropped_labels += len(batch)
            return
        for other, count in ((reason, len(batch)), *batch.unobserved):
            self._add_loss(batch.header, other, count)

    def _count_failed(self, message: Message) -> None:
        reason = UnobservedReason.LOG_FAILED
        if message.rows:
            self._dropped[reason] = self._dropped.get(reason, 0) + message.rows
        if message.header is None:
            self._dropped_labels += message.rows
            return
        for other, count in ((reason, message.rows), *message.unobserved):
            self._add_loss(message.header, other, count)

    def _add_loss(self, header: PredictionHeader, reason: UnobservedReason, count: int) -> None:
        if count <= 0:
            return
        loss = self._losses.get(_version(header))
        if loss is None:
            if len(self._losses) >= _VERSIONS_MAX:
                return
            loss = _Loss(header, self._clock.monotonic_seconds())
            self._losses[_version(header)] = loss
        loss.tally[reason] = loss.tally.get(reason, 0) + count

    def _due_losses(self) -> set[_Version]:
        if self._flushes:
            return set(self._losses)
        before = self._clock.monotonic_seconds() - self._limits.report_seconds
        return {key for key, loss in self._losses.items() if loss.since <= before}


class EventProducer(Producer):
    """A `Producer` into a log that is open already.

    Args:
        log: where to; closed by its owner, after this.
        stream: whose topics, with their partition count.
        limits: bounds.
        clock: paces reports.
    """

    def __init__(self, log: Log, stream: Stream, limits: ProducerLimits, clock: Clock) -> None:
        super().__init__(lambda: Connection(log, stream), limits, clock)


def _version(header: PredictionHeader) -> _Version:
    return header.model, header.version


def _grouped(batches: list[AnyBatch]) -> list[AnyBatch]:
    """Grouped where that is possible; a malformed batch is found when it is encoded alone."""
    try:
        return group(batches)
    except Exception:  # see above
        return batches


def _reporting(batches: list[AnyBatch], losses: dict[_Version, _Loss]) -> list[AnyBatch]:
    """The batches, which also report the losses; those of other versions go alone."""
    left = dict(losses)
    found: list[AnyBatch] = []
    for batch in batches:
        if isinstance(batch, PredictionBatch):
            loss = left.pop(_version(batch.header), None)
            found.append(with_report(batch, loss.tally) if loss else batch)
        else:
            found.append(batch)
    return found + [report_of(loss.header, loss.tally) for loss in left.values()]
