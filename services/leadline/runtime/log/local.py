"""The embedded log: every topic in one SQLite file, for one machine and no server.

Several processes and threads may use one file at once. A record's place and time are given inside
the transaction that appends it, so offsets have no gaps and times never fall within a partition.
A commit is one synchronous write (WAL, FULL); a writer's thread commits what was queued during the
previous commit together, which is what makes single appends fast.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from leadline.records.errors import TransientError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.checks import check_size, check_spec, out_of_range
from leadline.runtime.log.local_file import (
    OFFSET_BITS,
    RETRY_SECONDS,
    LocalFile,
    LocalSettings,
    create_topic,
    errors,
    range_of,
)
from leadline.runtime.log.port import Record, TopicSpec, TopicState
from leadline.runtime.log.topics import MAX_MESSAGE_BYTES

# What one poll returns at most, however many records were asked for: they are held in memory.
_POLL_BYTES = 32 * 1024 * 1024
# The wait between two looks at an empty partition: fresh when busy, 50 looks a second when idle.
_SHORTEST_WAIT_SECONDS = 0.0005
_LONGEST_WAIT_SECONDS = 0.02
_COMPACT_EVERY_SECONDS = 3600.0


class LocalLog:
    """A log in one file. Its methods may be called from several threads.

    Args:
        path: of the file; it and its folder are made when missing.
        clock: stamps the records and paces waiting readers.
        settings: bounds.

    Raises:
        UsageError: the file cannot be used: wrong place, rights, format, or not a log.
        TransientError: it is locked.
    """

    def __init__(
        self, path: str | Path, clock: Clock, settings: LocalSettings | None = None
    ) -> None:
        self._file = LocalFile(Path(path), clock, settings or LocalSettings())

    def writer(self) -> LocalWriter:
        """A new writer, with a thread of its own."""
        return LocalWriter(self._file)

    def reader(self, topic: str, partition: int) -> LocalReader:
        """A new reader, at the partition's oldest record.

        Raises:
            NotFoundError: no such topic or partition.
        """
        return LocalReader(self._file, self._file.number(topic, partition), f"{topic}/{partition}")

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Creates those that are missing, removes expired records; returns the names created.

        Raises:
            UsageError: a name or a number of partitions that no log accepts.
        """
        for spec in topics:
            check_spec(spec)
        with self._file.transaction() as db:
            made = [spec.name for spec in topics if create_topic(db, spec)]
        self.compact()
        return made

    def describe(self, topic: str) -> TopicState | None:
        """The topic as it is; None when it does not exist."""
        rows = self._file.read(
            "SELECT partitions, topic_id, retention_ms FROM topics WHERE name = ?", topic
        )
        if not rows:
            return None
        partitions, topic_id, retention_ms = rows[0]
        return TopicState(topic, partitions, topic_id, retention_ms=retention_ms)

    def compact(self) -> int:
        """Removes records older than their topic's retention; returns how many.

        Called by create() and once an hour by every writer. The offsets of other records stay.
        """
        return self._file.compact()

    def ping(self, timeout_seconds: float) -> None:
        """Takes and frees the file's write lock.

        Raises:
            TransientError: it is held by somebody else for longer than that.
        """
        with errors(self._file.path), closing(self._file.connect(timeout_seconds)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")

    def hint(self, group: str, positions: Mapping[tuple[str, int], int]) -> None:
        """Does nothing: no lag tool reads this file, and the positions stand in the truth."""

    def close(self) -> None:
        """Ends; readers and writers are closed by their owners first."""
        self._file.close()


class LocalWriter:
    """Appends to a LocalLog by a thread of its own. Safe to use from several threads.

    While the file is locked or the disk full, what is queued stays queued and is tried again.
    """

    def __init__(self, file: LocalFile) -> None:
        self._file = file
        self._settings = file.settings
        self._changed = threading.Condition()
        self._queue: list[tuple[int, bytes]] = []
        self._queued_bytes = 0
        self._added = 0
        self._durable = 0
        self._closing = False
        self._abandoned = False
        self._cause = ""
        self._thread = threading.Thread(target=self._run, name="leadline-log", daemon=True)
        self._thread.start()

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queues one record; the key has no use in this log.

        Raises:
            TransientError: there was no room within `append_timeout_seconds`.
            NotFoundError: no such topic or partition.
            UsageError: the value is larger than a message may be, or the writer is closed.
        """
        del key
        check_size(value, min(MAX_MESSAGE_BYTES, self._settings.max_queued_bytes))
        number = self._file.number(topic, partition)
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closing or self._has_room(len(value)),
                self._settings.append_timeout_seconds,
            )
            if self._closing:
                raise UsageError("the log's writer is closed")
            if not room:
                raise TransientError(f"the log's queue is full: {self._why()}")
            self._queue.append((number, value))
            self._queued_bytes += len(value)
            self._added += 1
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> None:
        """Returns when all that was appended before is durable; blocks for at most that long.

        Raises:
            TransientError: it is not; the records stay queued.
        """
        with self._changed:
            added = self._added
            if not self._changed.wait_for(lambda: self._durable >= added, timeout_seconds):
                raise TransientError(f"{added - self._durable} records not durable: {self._why()}")

    def close(self) -> None:
        """Flushes for at most `append_timeout_seconds`, then ends.

        Raises:
            TransientError: not everything became durable; the rest is lost.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        try:
            self.flush(self._settings.append_timeout_seconds)
        finally:
            with self._changed:
                self._abandoned = True
                self._changed.notify_all()
            self._thread.join(self._settings.answer_timeout_seconds)

    def _has_room(self, size: int) -> bool:
        return self._queued_bytes + size <= self._settings.max_queued_bytes

    def _why(self) -> str:
        return self._cause or "the disk is slower than the appends"

    def _run(self) -> None:
        """Commits what is queued until the end."""
        db: sqlite3.Connection | None = None
        compact_at = self._file.clock.monotonic_seconds() + _COMPACT_EVERY_SECONDS
        while batch := self._next_batch():
            try:
                if db is None:
                    with errors(self._file.path):
                        db = self._file.connect(RETRY_SECONDS)
                self._file.commit(db, batch)
            except (TransientError, UsageError) as error:
                self._failed(str(error))
                continue
            self._committed(batch)
            if self._file.clock.monotonic_seconds() >= compact_at:
                compact_at += _COMPACT_EVERY_SECONDS
                with suppress(TransientError):  # the next hour will do
                    self._file.compact()
        if db is not None:
            db.close()

    def _next_batch(self) -> list[tuple[int, bytes]]:
        """All that is queued, as soon as something is; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._abandoned)
            return [] if self._abandoned else self._queue.copy()

    def _committed(self, batch: list[tuple[int, bytes]]) -> None:
        with self._changed:
            del self._queue[: len(batch)]
            self._queued_bytes -= sum(len(value) for _, value in batch)
            self._durable += len(batch)
            self._cause = ""
            self._changed.notify_all()

    def _failed(self, cause: str) -> None:
        with self._changed:
            self._cause = cause
            self._changed.wait_for(lambda: self._abandoned, RETRY_SECONDS)


class LocalReader:
    """Reads one partition of a LocalLog. For one thread."""

    def __init__(self, file: LocalFile, number: int, name: str) -> None:
        self._file = file
        self._number = number
        self._name = name
        self._low = number << OFFSET_BITS
        with errors(file.path):
            self._db = file.connect(file.settings.answer_timeout_seconds)
        self._position = self.begin()

    def seek(self, position: int) -> None:
        """The next record to read; checked by the next poll."""
        self._position = position

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Records from the position on, at most 32 MiB; none when the time has passed without any.

        Raises:
            StoppedError: the position is not in the partition.
            TransientError: the file cannot be read now.
        """
        clock = self._file.clock
        deadline = clock.monotonic_seconds() + timeout_seconds
        wait = _SHORTEST_WAIT_SECONDS
        while not (records := self._take(max_records)):
            left = deadline - clock.monotonic_seconds()
            if left <= 0:
                break
            clock.sleep(min(wait, left))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        return records

    def position(self) -> int:
        """Offset of the next record to read."""
        return self._position

    @property
    def recreated(self) -> int:
        """0: a read of a file does not stall."""
        return 0

    def begin(self) -> int:
        """Offset of the oldest record kept."""
        return self._bounds()[0]

    def end(self) -> int:
        """One past the newest record."""
        return self._bounds()[1]

    def offset_at(self, append_time_ms: int) -> int:
        """Offset of the first record kept that was appended then or later; end() if none."""
        first, last = self._bounds()
        while first < last:
            middle = (first + last) // 2
            with errors(self._file.path):
                row = self._db.execute(
                    "SELECT time_ms FROM records WHERE place = ?", (self._low + middle,)
                ).fetchone()
            if row is None or row[0] < append_time_ms:  # None: expired since
                first = middle + 1
            else:
                last = middle
        return first

    def close(self) -> None:
        """Ends."""
        self._db.close()

    def _bounds(self) -> tuple[int, int]:
        with errors(self._file.path):
            return range_of(self._db, self._number)

    def _take(self, max_records: int) -> list[Record]:
        records: list[Record] = []
        size = 0
        with (
            errors(self._file.path),
            closing(
                self._db.execute(
                    "SELECT place, time_ms, value FROM records"
                    " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
                    (self._low + self._position, self._low + (1 << OFFSET_BITS), max_records),
                )
            ) as cursor,
        ):
            for place, time_ms, value in cursor:
                records.append(Record(place - self._low, time_ms, value))
                size += len(value)
                if size >= _POLL_BYTES:
                    break
        if not records or records[0].offset != self._position:
            self._check_position()
            return []
        self._position = records[-1].offset + 1
        return records

    def _check_position(self) -> None:
        first, last = self._bounds()
        if not first <= self._position <= last:
            raise out_of_range(self._name, self._position, first, last)
