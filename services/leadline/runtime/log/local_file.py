"""The file of an embedded log: its tables, its transactions, and SQLite's errors in our words.

The b-tree key of a record is its partition's number times 2**40 plus its offset: one table, and a
partition is one range of it.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadline.records.errors import StoppedError, TransientError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.checks import not_found
from leadline.runtime.log.port import TopicSpec
from leadline.runtime.log.topics import FOREVER

OFFSET_BITS = 40
_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
  name TEXT PRIMARY KEY, topic_id TEXT NOT NULL, partitions INTEGER NOT NULL,
  retention_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS partitions (
  number INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  first INTEGER NOT NULL, next INTEGER NOT NULL, time_ms INTEGER NOT NULL,
  UNIQUE (topic, partition)) STRICT;
CREATE TABLE IF NOT EXISTS records (
  place INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, value BLOB NOT NULL) STRICT;
"""
# One transaction of a compaction; appends wait for no longer than that.
_COMPACT_ROWS = 5_000
RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Bounds of an embedded log.

    Attributes:
        max_queued_bytes: what a writer holds before it is durable; beyond it append() waits.
        append_timeout_seconds: how long append() waits for room, and close() for its last flush.
        answer_timeout_seconds: how long any other call waits for the file's lock.
    """

    max_queued_bytes: int = 64 * 1024 * 1024
    append_timeout_seconds: float = 5.0
    answer_timeout_seconds: float = 5.0


class LocalFile:
    """One log's file. Its methods may be called from several threads.

    Attributes:
        path: where it is.
        clock: stamps the records.
        settings: the bounds.

    Raises:
        UsageError: the file cannot be used: wrong place, rights, format, or not a log.
        TransientError: it is locked.
    """

    def __init__(self, path: Path, clock: Clock, settings: LocalSettings) -> None:
        self.path = path
        self.clock = clock
        self.settings = settings
        self._lock = threading.Lock()  # one transaction at a time in this process: no busy sleeps
        self._numbers: dict[tuple[str, int], int] = {}
        with errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()

    def connect(self, timeout_seconds: float) -> sqlite3.Connection:
        """A connection that waits no longer than that for the file's lock."""
        db = sqlite3.connect(
            self.path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 2000")  # 16 MB
        db.execute("PRAGMA journal_size_limit = 67108864")
        return db

    def number(self, topic: str, partition: int) -> int:
        """The partition's number in the file.

        Raises:
            NotFoundError: no such topic or partition.
        """
        known = self._numbers.get((topic, partition))
        if known is not None:
            return known
        rows = self.read(
            "SELECT number FROM partitions WHERE topic = ? AND partition = ?", topic, partition
        )
        if not rows:
            raise not_found(topic, partition, str(self.path))
        return self._numbers.setdefault((topic, partition), int(rows[0][0]))

    def read(self, sql: str, *values: object) -> list[Any]:
        """All rows of a small query."""
        with self._lock, errors(self.path):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the file's own connection that holds the write lock."""
        with self._lock, errors(self.path), _writing(self._db):
            yield self._db

    def commit(self, db: sqlite3.Connection, batch: Sequence[tuple[int, bytes]]) -> None:
        """Appends (partition number, value) in one durable transaction, or nothing."""
        by_number: dict[int, list[bytes]] = {}
        for number, value in batch:
            by_number.setdefault(number, []).append(value)
        with self._lock, errors(self.path), _writing(db):
            now_ms = self.clock.now_us() // 1000
            for number, values in by_number.items():
                _append(db, number, values, now_ms)

    def compact(self) -> int:
        """Removes records older than their topic's retention; returns how many."""
        removed = 0
        now_ms = self.clock.now_us() // 1000
        for number, retention_ms in self.read(
            "SELECT p.number, t.retention_ms FROM partitions p JOIN topics t ON t.name = p.topic"
            " WHERE t.retention_ms <> ?",
            FOREVER,
        ):
            while count := self._expire(number, now_ms - retention_ms):
                removed += count
        if removed:
            self.read("PRAGMA incremental_vacuum")
        return removed

    def close(self) -> None:
        """Ends."""
        self._db.close()

    def _open(self) -> sqlite3.Connection:
        """Makes the file when it is missing; several processes may do so at once."""
        timeout = self.settings.answer_timeout_seconds
        deadline = self.clock.monotonic_seconds() + timeout
        while True:
            db = self.connect(timeout)
            try:
                _prepare(db, self.path)
            except BaseException as error:
                db.close()
                late = self.clock.monotonic_seconds() >= deadline
                if late or not (isinstance(error, sqlite3.OperationalError) and _is_busy(error)):
                    raise
                self.clock.sleep(RETRY_SECONDS)
            else:
                return db

    def _expire(self, number: int, before_ms: int) -> int:
        """Removes the oldest records with an earlier time, a bounded number; returns how many."""
        with self.transaction() as db:
            first, last = range_of(db, number)
            low = number << OFFSET_BITS
            end = min(last, first + _COMPACT_ROWS)
            kept = db.execute(
                "SELECT place FROM records WHERE place >= ? AND place < ? AND time_ms >= ?"
                " ORDER BY place LIMIT 1",
                (low + first, low + end, before_ms),
            ).fetchone()
            begin = int(kept[0]) - low if kept else end
            if begin > first:
                db.execute(
                    "DELETE FROM records WHERE place >= ? AND place < ?", (low + first, low + begin)
                )
                db.execute("UPDATE partitions SET first = ? WHERE number = ?", (begin, number))
            return begin - first


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Brings a file to the present format."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, _FORMAT):
        raise UsageError(
            f"the log {path} has format {found}, this version reads {_FORMAT}",
            "use the version of Leadline that wrote it, or another file for log_url",
        )
    if found == 0:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _refuse_foreign(db, path)
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL")
    if found == 0:
        with _writing(db):
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_FORMAT}")


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # not just made by somebody else
        raise UsageError(f"{path} holds another database", "use another file for log_url")


@contextmanager
def _writing(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock; rolled back when anything is raised."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _append(db: sqlite3.Connection, number: int, values: list[bytes], now_ms: int) -> None:
    """Gives the values their places and their time."""
    start, time_ms = db.execute(
        "SELECT next, time_ms FROM partitions WHERE number = ?", (number,)
    ).fetchone()
    time_ms = max(time_ms, now_ms)
    low = (number << OFFSET_BITS) + start
    db.executemany(
        "INSERT INTO records (place, time_ms, value) VALUES (?, ?, ?)",
        ((low + i, time_ms, value) for i, value in enumerate(values)),
    )
    db.execute(
        "UPDATE partitions SET next = ?, time_ms = ? WHERE number = ?",
        (start + len(values), time_ms, number),
    )


def create_topic(db: sqlite3.Connection, spec: TopicSpec) -> bool:
    """Makes the topic; False when it exists."""
    made = db.execute(
        "INSERT INTO topics (name, topic_id, partitions, retention_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (spec.name, str(uuid.uuid4()), spec.partitions, spec.retention_ms),
    ).rowcount
    if made == 1:
        db.executemany(
            "INSERT INTO partitions (topic, partition, first, next, time_ms)"
            " VALUES (?, ?, 0, 0, 0)",
            ((spec.name, partition) for partition in range(spec.partitions)),
        )
    return made == 1


def range_of(db: sqlite3.Connection, number: int) -> tuple[int, int]:
    """Oldest offset kept, and one past the newest."""
    first, last = db.execute(
        "SELECT first, next FROM partitions WHERE number = ?", (number,)
    ).fetchone()
    return first, last


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that SQLite did not raise."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """Maps what SQLite and the file system raise."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        mapped = _mapped(error, path)
        if mapped is None:
            raise
        raise mapped from error
    except OSError as error:
        raise UsageError(
            f"the log {path} cannot be used: {error}", "check the path in log_url and its rights"
        ) from error


def _mapped(error: sqlite3.DatabaseError, path: Path) -> TransientError | UsageError | None:
    """Our error for SQLite's; None for a bug of ours."""
    code = _code(error)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return TransientError(f"the log {path} is locked by another process")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_INTERRUPT}:
        return TransientError(f"the log {path} cannot be written now: {error}")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return UsageError(
            f"the log {path} cannot be used: {error}", "check the path in log_url and its rights"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return UsageError(f"{path} is not a log of Leadline", "use another file for log_url")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoppedError(f"the log {path} is damaged: {error}", "restore it from a copy")
    return None
