"""Deleted models and ids. What comes later of them is not shown, and deleted when it is found.

A tombstone stays for ever: a record that is still in the log, or read again, must not bring back
what was deleted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.records.cells import Cells, select
from leadline.runtime.store.session import VALUES_MAX, Session

_DEAD_MODEL = "model IN (SELECT model FROM deleted_models)"
_DEAD_ID = (
    "EXISTS (SELECT 1 FROM deleted_ids WHERE deleted_ids.id = cases.id "
    "AND (deleted_ids.task = '' OR deleted_ids.task = cases.task))"
)
LIVE_CASE = f"NOT ({_DEAD_MODEL} OR {_DEAD_ID})"
"""Condition on a row of `cases`; cheap to leave out while there are no tombstones."""


def dead_models(session: Session) -> frozenset[str]:
    """Names of deleted models."""
    return frozenset(model for (model,) in session.rows("SELECT model FROM deleted_models"))


def dead_numbers(session: Session, shard: str) -> npt.NDArray[np.uint32]:
    """Numbers of the series of deleted models."""
    if not dead_models(session):
        return np.empty(0, np.uint32)
    rows = session.rows(
        f"SELECT number FROM series WHERE shard = ? AND {_DEAD_MODEL} ORDER BY number",
        [shard],
    )
    return np.array([number for (number,) in rows], np.uint32)


def without(cells: Cells, dead: npt.NDArray[np.uint32]) -> Cells:
    """The cells of all other series."""
    if not len(dead) or not len(cells):
        return cells
    return select(cells, ~np.isin(cells.series, dead))


def bury_model(session: Session, model: str, now_us: int) -> None:
    """Writes a model's tombstone and deletes its declaration."""
    session.run(
        "INSERT INTO deleted_models (model, deleted_us) VALUES (?, ?) "
        "ON CONFLICT (model) DO NOTHING",
        [model, int(now_us)],
    )
    session.run("DELETE FROM models WHERE name = ?", [model])


def bury_id(session: Session, case_id: bytes, task: str, now_us: int) -> None:
    """Writes an id's tombstone; an empty task stands for all."""
    session.run(
        "INSERT INTO deleted_ids (id, task, deleted_us) VALUES (?, ?, ?) "
        "ON CONFLICT (id, task) DO NOTHING",
        [case_id, task, int(now_us)],
    )


def purge_blocks(session: Session, shard: str) -> None:
    """Deletes the blocks of deleted models; to be called under the shard's lock."""
    dead = dead_numbers(session, shard).tolist()
    for begin in range(0, len(dead), VALUES_MAX):
        part = dead[begin : begin + VALUES_MAX]
        marks = ", ".join("?" for _ in part)
        session.run(f"DELETE FROM blocks WHERE shard = ? AND series IN ({marks})", [shard, *part])


def purge_cases(session: Session) -> set[str]:
    """Deletes cases of deleted models and ids, and when those models were seen.

    Returns the blob keys of these cases.
    """
    if not any_dead(session):
        return set()
    session.run(f"DELETE FROM last_seen WHERE {_DEAD_MODEL}")
    rows = session.rows(f"DELETE FROM cases WHERE {_DEAD_MODEL} RETURNING input_ref")
    rows += session.rows(
        "DELETE FROM cases WHERE id IN (SELECT id FROM deleted_ids) "
        f"AND {_DEAD_ID} RETURNING input_ref"
    )
    return {ref for (ref,) in rows if ref}


def any_dead(session: Session) -> bool:
    """Whether there is any tombstone."""
    found = session.row("SELECT 1 FROM deleted_models UNION ALL SELECT 1 FROM deleted_ids LIMIT 1")
    return found is not None
