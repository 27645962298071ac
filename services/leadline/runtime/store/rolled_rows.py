"""Rows that say up to which minute a shard was rolled up."""

from __future__ import annotations

from dataclasses import asdict, fields

from leadline.runtime.store.resolution import Rolled
from leadline.runtime.store.session import Session

_NAMES = frozenset(field.name for field in fields(Rolled))


def read_rolled(session: Session, shard: str) -> Rolled:
    """The bounds of a shard."""
    rows = session.rows("SELECT what, until FROM rolled WHERE shard = ?", [shard])
    return Rolled(**{what: until for what, until in rows if what in _NAMES})


def save_rolled(session: Session, shard: str, rolled: Rolled) -> None:
    """Writes the bounds of a shard."""
    session.run_many(
        "INSERT INTO rolled (shard, what, until) VALUES (?, ?, ?) "
        "ON CONFLICT (shard, what) DO UPDATE SET until = excluded.until",
        [(shard, what, int(until)) for what, until in asdict(rolled).items()],
    )
