"""Brings a database's tables to what this version of the code needs.

Each file `migrations/NNNN_name.sql` is one step. All steps that are missing run in one transaction,
behind a lock, so any number of processes may start at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from leadline.records.errors import UsageError
from leadline.runtime.store.session import Database, Dialect, Session

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_ONLY = re.compile(r"^-- only: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step.

    Attributes:
        version: the schema's number after it.
        text: statements for both databases.
    """

    version: int
    text: str


def migrations() -> list[Migration]:
    """The steps of this version of the code, in order."""
    folder = files("leadline.runtime.store").joinpath("migrations")
    found = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(database: Database, steps: list[Migration]) -> int:
    """Runs the steps that are missing; returns the schema's number.

    Raises:
        UsageError: the schema is newer than `steps`; nothing was changed.
    """
    wanted = steps[-1].version
    with database.read() as session:
        found = schema_version(session)
    if found < wanted:
        with database.write() as session:
            found = _upgrade(session, steps)
    if found > wanted:
        raise UsageError(
            f"The store has schema {found}; this version of Leadline knows schema {wanted}.",
            "Upgrade Leadline, or set store_url to another database.",
        )
    return found


def schema_version(session: Session) -> int:
    """The schema's number; 0 before the first step."""
    if not _has_version(session):
        return 0
    found = session.row("SELECT max(version) FROM schema_version")
    return int(found[0] or 0) if found else 0


def statements(text: str, dialect: Dialect) -> list[str]:
    """The statements of a step in a dialect."""
    found = []
    for part in text.split(";\n"):
        only = _ONLY.search(part)
        statement = _COMMENT.sub("", part).strip()
        if statement and (only is None or only[1] == dialect.name):
            for general, special in dialect.types:
                statement = re.sub(rf"\b{general}\b", special, statement)
            found.append(statement)
    return found


def _upgrade(session: Session, steps: list[Migration]) -> int:
    if session.dialect.schema_lock:
        session.rows(session.dialect.schema_lock)
    if not _has_version(session):
        session.run("CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY)")
    found = schema_version(session)
    for step in steps:
        if step.version > found:
            for statement in statements(step.text, session.dialect):
                session.run(statement)
            session.run("INSERT INTO schema_version (version) VALUES (?)", [step.version])
    return max(found, steps[-1].version)


def _has_version(session: Session) -> bool:
    if session.dialect.name == "sqlite":
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
    else:
        # Not to_regclass: its cache does not see what was made while a migrator waited its turn.
        sql = (
            "SELECT 1 FROM pg_tables WHERE tablename = 'schema_version' "
            "AND schemaname = current_schema()"
        )
    return session.row(sql) is not None
