"""What both databases look like from above: sessions, transactions, and a bounded pool.

SQL is written once, with `?` for values and without '?' or '%' in its own texts. What differs
between the databases stands in `Dialect`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from leadline.records.errors import TransientError

Row = tuple[Any, ...]
Connection = TypeVar("Connection")

VALUES_MAX = 200
"""Values or keys listed in one statement: far below the limits of both databases."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the SQL of the two databases differs.

    Attributes:
        name: "sqlite" or "postgres".
        types: column type in a migration -> column type here.
        placeholder: of a value.
        for_update: ends a SELECT whose rows of {table} stay locked; empty where writers are alone.
        schema_lock: statement that makes a second migrator wait; empty where writers are alone.
        update_in_with: whether WITH may hold an UPDATE.
    """

    name: str
    types: tuple[tuple[str, str], ...]
    placeholder: str
    for_update: str
    schema_lock: str
    update_in_with: bool


class Cursor(Protocol):
    """What a Session needs of sqlite3 and psycopg."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement touched."""

    def execute(self, sql: str, values: Sequence[object], /) -> object:
        """Runs one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> object:
        """Runs one statement for each row of values."""

    def fetchall(self) -> list[Any]:
        """The rows of the last statement."""

    def close(self) -> None:
        """Ends."""


class Session:
    """One open transaction; ends with the block that opened it.

    Values are int, float, str, bytes or None; numpy's scalars must be converted before (sqlite3
    would store them as bytes).
    """

    def __init__(self, cursor: Cursor, dialect: Dialect) -> None:
        self.dialect = dialect
        self._cursor = cursor

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Runs one statement; returns how many rows it touched."""
        self._cursor.execute(self._text(sql), values)
        return self._cursor.rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """Runs one statement for each row of values, in order; returns how many it touched."""
        self._cursor.executemany(self._text(sql), rows)
        return self._cursor.rowcount

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement."""
        self._cursor.execute(self._text(sql), values)
        return self._cursor.fetchall()

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of one statement, if any."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def _text(self, sql: str) -> str:
        return sql.replace("?", self.dialect.placeholder)


class Database(Protocol):
    """One database. Safe to use from several threads; each transaction is for one thread.

    Raises (all methods, and statements within their transactions):
        TransientError: it does not answer, is locked or full; the transaction left nothing.
        UsageError: the setting `store_url` leads nowhere, or rights are missing.
    """

    @property
    def dialect(self) -> Dialect:
        """How it speaks."""

    def read(self) -> AbstractContextManager[Session]:
        """One consistent state, read only: all statements see the same commits."""

    def write(self) -> AbstractContextManager[Session]:
        """Commits at the end of the block; an exception rolls everything back."""

    def ping(self) -> None:
        """Returns when the database answers."""

    def close(self) -> None:
        """Ends; transactions that are open may finish."""


class Pool(Generic[Connection]):
    """At most `size` connections; the one used last is used next, and who waits longest is first.

    Without that order a thread that asks again at once (a compactor) would starve the others.

    Args:
        connect: opens one; runs outside the lock.
        disconnect: closes one; must not raise.
        size: bound on open connections.
        wait_seconds: how long `take` waits for one to be given back.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        disconnect: Callable[[Connection], None],
        size: int,
        wait_seconds: float,
    ) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._free = size
        self._waiting: deque[threading.Event] = deque()
        self._idle: list[Connection] = []
        self._closed = False

    def take(self) -> Connection:
        """A connection for the caller alone, to be ended by `give` or `drop`.

        Raises:
            TransientError: all were in use for `wait_seconds`, or the pool is closed.
        """
        self._acquire()
        try:
            return self._idle_connection() or self._connect()
        except BaseException:
            self._release()
            raise

    def give(self, connection: Connection) -> None:
        """Takes a healthy connection back."""
        with self._lock:
            keep = not self._closed
            if keep:
                self._idle.append(connection)
        if not keep:
            self._disconnect(connection)
        self._release()

    def drop(self, connection: Connection) -> None:
        """Closes a broken connection; another takes its place on the next use."""
        self._disconnect(connection)
        self._release()

    def drop_idle(self) -> None:
        """Closes all connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            self._disconnect(connection)

    def close(self) -> None:
        """Closes idle connections now and those in use when they come back."""
        with self._lock:
            self._closed = True
        self.drop_idle()

    def _idle_connection(self) -> Connection | None:
        with self._lock:
            if self._closed:
                raise TransientError("The store is closed.")
            return self._idle.pop() if self._idle else None

    def _acquire(self) -> None:
        """Waits for the right to one connection."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(self._wait_seconds):
            return
        with self._lock:
            if turn.is_set():  # handed over at the last moment
                return
            self._waiting.remove(turn)
        raise TransientError(
            f"The store was busy for {self._wait_seconds:g} s: all connections are in use."
        )

    def _release(self) -> None:
        """Hands the right to the one who waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
