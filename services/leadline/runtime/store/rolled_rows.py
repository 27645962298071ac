"""Rows that say up to which minute a shard was rolled up, and before which it was reset."""

from __future__ import annotations

from dataclasses import asdict, fields

from leadline.runtime.store.resolution import Rolled
from leadline.runtime.store.session import Session

_NAMES = frozenset(field.name for field in fields(Rolled))
_RESET = "reset"
_SAVE = (
    "INSERT INTO rolled (shard, what, until) VALUES (?, ?, ?) "
    "ON CONFLICT (shard, what) DO UPDATE SET until = excluded.until"
)


def read_rolled(session: Session, shard: str) -> Rolled:
    """The bounds of a shard."""
    rows = session.rows("SELECT what, until FROM rolled WHERE shard = ?", [shard])
    return Rolled(**{what: until for what, until in rows if what in _NAMES})


def read_reset(session: Session, shard: str) -> int:
    """`ShardFacts.reset_minute`."""
    row = session.row("SELECT until FROM rolled WHERE shard = ? AND what = ?", [shard, _RESET])
    return int(row[0]) if row else 0


def save_reset(session: Session, shard: str, minute: int) -> None:
    """Writes `ShardFacts.reset_minute`."""
    session.run(_SAVE, [shard, _RESET, int(minute)])


def save_rolled(session: Session, shard: str, rolled: Rolled) -> None:
    """Writes the bounds of a shard."""
    session.run_many(_SAVE, [(shard, what, int(until)) for what, until in asdict(rolled).items()])
