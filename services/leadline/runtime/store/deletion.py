"""Deleting a model or an id for ever: a tombstone first, then what is there."""

from __future__ import annotations

from leadline.records.errors import NotFoundError
from leadline.runtime.store import case_rows, tombstone_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.session import Session


def delete_model(session: Session, name: str, now_us: int) -> list[str]:
    """Deletes a model's blocks, cases and declaration; returns blob keys that no case needs.

    Cells of it that come later, or wait in deltas, vanish when they are folded.

    Raises:
        NotFoundError: it is neither declared nor was it ever counted.
    """
    known = session.row(
        "SELECT 1 FROM models WHERE name = ? UNION ALL "
        "SELECT 1 FROM series WHERE model = ? LIMIT 1",
        [name, name],
    )
    if known is None:
        raise NotFoundError(f"There is no model {name!r}.", "See `leadline models list`.")
    tombstone_rows.bury_model(session, name, now_us)
    for (shard,) in session.rows("SELECT shard FROM shards ORDER BY shard"):
        BlockRows(session, shard).lock()  # who folds deltas now has read no tombstone
        tombstone_rows.purge_blocks(session, shard)
    return purge(session)


def delete_id(session: Session, case_id: bytes, task: str, now_us: int) -> list[str]:
    """Deletes the cases of an id (of one task, or of all); returns blob keys that no case needs."""
    tombstone_rows.bury_id(session, case_id, task, now_us)
    return purge(session)


def purge(session: Session) -> list[str]:
    """Deletes cases of deleted models and ids; returns blob keys that no case needs."""
    return case_rows.unused(session, tombstone_rows.purge_cases(session))
