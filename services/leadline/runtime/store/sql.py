"""Opens the database that the setting `store_url` names."""

from __future__ import annotations

from pathlib import Path

from leadline.records.errors import UsageError
from leadline.runtime.store.postgres import PostgresDatabase
from leadline.runtime.store.session import Database
from leadline.runtime.store.sqlite import SqliteDatabase

FORMS = "Set store_url to sqlite:PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE."


def open_database(url: str) -> Database:
    """The database of "sqlite:PATH" or "postgresql://..."; connects on first use.

    Raises:
        UsageError: the URL has another form.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        return PostgresDatabase(url)
    if scheme != "sqlite":
        raise UsageError(f"store_url begins with {scheme!r}, which is no database.", FORMS)
    path = rest.removeprefix("//")
    if not path or path.startswith(":memory:"):
        raise UsageError("store_url names no file, and a store in memory cannot be shared.", FORMS)
    return SqliteDatabase(Path(path))
