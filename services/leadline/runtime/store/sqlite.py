"""SQLite: the embedded database of one machine.

Write-ahead log and synchronous FULL: a commit that returned survives a power cut, and readers see
one state while a writer works. Writers of one process queue for its one writing connection; those
of other processes wait in SQLite itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leadline.records.errors import LeadlineError, TransientError, UsageError
from leadline.runtime.store.session import Dialect, Pool, Session

BUSY_SECONDS = 10.0
"""Longer than any compaction; a writer that waits longer tries again from above."""
READERS = 8
"""Readers at once; each keeps a connection with its page cache (2 MB)."""
PAUSE_SECONDS = 0.005
"""Between two tries to enter WAL mode."""
OLDEST = (3, 35, 0)
"""The first SQLite with RETURNING."""

DIALECT = Dialect(
    name="sqlite",
    types=(),
    placeholder="?",
    for_update="",
    schema_lock="",
    update_in_with=False,
)

_USAGE = {
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_AUTH: "access is denied",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
}
_TRANSIENT = {
    sqlite3.SQLITE_BUSY: "another process held it locked for too long",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_FULL: "the disk is full; free some space, then it goes on by itself",
    sqlite3.SQLITE_IOERR: "reading or writing failed",
    sqlite3.SQLITE_NOMEM: "memory is exhausted",
    sqlite3.SQLITE_PROTOCOL: "its lock could not be taken",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}


class SqliteDatabase:
    """One SQLite file, made if missing (with its folder).

    Args:
        path: the file.
        busy_seconds: how long a writer waits for another one.

    Raises:
        UsageError: this Python's SQLite is too old.
    """

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise UsageError(
                f"This Python has SQLite {sqlite3.sqlite_version}; the store needs 3.35.",
                "Use a newer Python, or set store_url to a PostgreSQL database.",
            )
        self._path = path
        self._busy_seconds = busy_seconds
        self._readers = Pool(self._connect_reader, _disconnect, READERS, busy_seconds)
        self._writer = Pool(self._connect, _disconnect, 1, busy_seconds)

    @property
    def dialect(self) -> Dialect:
        """How it speaks."""
        return DIALECT

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent state; keep it short, since the log cannot be cut while it lasts."""
        with self._transaction(self._readers, "BEGIN") as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """The only writer of the file while it lasts."""
        with self._transaction(self._writer, "BEGIN IMMEDIATE") as session:
            yield session

    def ping(self) -> None:
        """Returns when the file can be read."""
        with self.read() as session:
            session.rows("SELECT count(*) FROM sqlite_master")

    def close(self) -> None:
        """Closes all connections that are not in use, the others when they come back."""
        self._readers.close()
        self._writer.close()

    @contextmanager
    def _transaction(self, pool: Pool[sqlite3.Connection], begin: str) -> Iterator[Session]:
        with self._mapped_errors():
            connection = pool.take()
            try:
                connection.execute(begin)
                yield Session(connection.cursor(), DIALECT)
                connection.execute("COMMIT")
            except BaseException:
                _give_back(pool, connection)
                raise
            pool.give(connection)

    def _connect(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder of the store {self._path} cannot be made: {error.strerror}.",
                "Set store_url to sqlite:PATH in a folder that may be written.",
            ) from error
        connection = sqlite3.connect(
            self._path,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            _enter_wal(connection, self._busy_seconds)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            mapped = self._mapped(error)
            if mapped is None:
                raise
            raise mapped from error

    def _mapped(self, error: sqlite3.Error) -> LeadlineError | None:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        if code in _TRANSIENT:
            return TransientError(f"The store {self._path} did not answer: {_TRANSIENT[code]}.")
        if code in _USAGE:
            return UsageError(
                f"The store {self._path} cannot be used: {_USAGE[code]} ({error}).",
                "Set store_url to sqlite:PATH of a file that may be read and written.",
            )
        if str(error).startswith("no such table"):
            return UsageError(
                f"The store {self._path} has no tables yet.",
                "Start a service that owns shards with this store_url first: it makes them.",
            )
        return None


def _give_back(pool: Pool[sqlite3.Connection], connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pool.drop(connection)
    else:
        pool.give(connection)


def _disconnect(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.close()


def _enter_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Puts the file into WAL mode, where it stays; blocks up to `busy_seconds`.

    SQLite's own busy timeout does not cover this change: while another connection makes it, this
    one is refused at once. So it is tried again.

    Raises:
        sqlite3.Error: the file stays locked, or cannot be written.
    """
    give_up = time.monotonic() + busy_seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return
