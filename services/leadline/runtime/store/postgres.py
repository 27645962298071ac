"""PostgreSQL: the database of a cluster.

Connections run in autocommit mode; transactions are opened by their own statement, which names the
isolation. A connection that broke is dropped, with the idle ones, and opened again on the next use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from leadline.records.errors import LeadlineError, TransientError, UsageError
from leadline.runtime.store.session import Dialect, Pool, Session

CONNECTIONS = 8
"""A process's share of the server's connections (100 by default)."""
WAIT_SECONDS = 10.0
"""For a connection of the pool, and for row locks: longer than any compaction."""
CONNECT_SECONDS = 5
SCHEMA_LOCK_KEY = 0x6C65_6164_6C69_6E65
"""The advisory lock of migrators: "leadline" in ASCII."""

DIALECT = Dialect(
    name="postgres",
    types=(("BLOB", "BYTEA"), ("TEXT", 'TEXT COLLATE "C"')),
    placeholder="%s",
    for_update=" FOR UPDATE OF {table}",
    schema_lock=f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK_KEY})",
    update_in_with=True,
)

_SETTINGS = """
SET lock_timeout = '10s';
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '60s';
"""
"""Bounds, so that an owner that froze in a transaction does not hold its shard for ever."""

_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
)
"""What a server that answers says when `store_url` is wrong; such errors carry no code."""

PostgresConnection = psycopg.Connection[TupleRow]


class PostgresDatabase:
    """One PostgreSQL database, which must exist.

    Args:
        url: "postgresql://user:password@host:port/database", or any libpq URI.

    Raises:
        UsageError: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = _place(url)
        self._pool = Pool(self._connect, _disconnect, CONNECTIONS, WAIT_SECONDS)

    @property
    def dialect(self) -> Dialect:
        """How it speaks."""
        return DIALECT

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent state, however many commits happen meanwhile."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        with self._transaction(begin) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Statements see what others committed before them; a row in the way is waited for."""
        with self._transaction("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE") as session:
            yield session

    def ping(self) -> None:
        """Returns when the server answers."""
        with self.read() as session:
            session.rows("SELECT 1")

    def close(self) -> None:
        """Closes all connections that are not in use, the others when they come back."""
        self._pool.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        with self._mapped_errors():
            connection = self._begin(begin)
            try:
                with connection.cursor(binary=True) as cursor:
                    yield Session(cursor, DIALECT)
                connection.execute("COMMIT", prepare=False)
            except BaseException:
                self._give_back(connection)
                raise
            self._pool.give(connection)

    def _begin(self, begin: str) -> PostgresConnection:
        """A connection in a new transaction; one that broke while idle is replaced unseen."""
        connection = self._pool.take()
        try:
            connection.execute(begin, prepare=False)
        except psycopg.OperationalError:
            self._pool.drop(connection)
            self._pool.drop_idle()
        except BaseException:
            self._pool.drop(connection)
            raise
        else:
            return connection
        connection = self._pool.take()
        try:
            connection.execute(begin, prepare=False)
        except BaseException:
            self._pool.drop(connection)
            raise
        return connection

    def _give_back(self, connection: PostgresConnection) -> None:
        try:
            connection.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self._pool.drop(connection)
            self._pool.drop_idle()
        else:
            self._pool.give(connection)

    def _connect(self) -> PostgresConnection:
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="leadline",
            tcp_user_timeout=10_000,
            keepalives_idle=10,
        )
        try:
            connection.execute(_SETTINGS)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            mapped = self._mapped(error)
            if mapped is None:
                raise
            raise mapped from error

    def _mapped(self, error: psycopg.Error) -> LeadlineError | None:
        code, words = error.sqlstate, str(error).strip()
        if code is None and any(part in words for part in _REFUSED):
            return UsageError(
                f"PostgreSQL at {self._place} refused the connection: {words}",
                "Set store_url to postgresql://USER:PASSWORD@HOST:PORT/DATABASE of a database "
                "that exists, with the right password.",
            )
        if code == "42501":
            return UsageError(
                f"The user of the store at {self._place} lacks a right: {words}",
                "Grant the user of store_url all rights on its schema, or use the owner.",
            )
        if code == "42P01":
            return UsageError(
                f"The store at {self._place} has no tables yet.",
                "Start a service that owns shards with this store_url first: it makes them.",
            )
        if code == "25006":
            return TransientError(
                f"PostgreSQL at {self._place} is read-only (a standby?): store_url must lead to "
                "the primary."
            )
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return TransientError(
                f"PostgreSQL at {self._place} (store_url) did not answer: {words}"
            )
        return None


def _place(url: str) -> str:
    """Host, port and database of a URL: what may be shown, since it holds no password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise UsageError(
            "store_url is no PostgreSQL address that can be read.",
            "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE; characters such as '@' "
            "and '/' in the password are written %40 and %2F.",
        ) from error
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def _disconnect(connection: PostgresConnection) -> None:
    with suppress(psycopg.Error):
        connection.close()
