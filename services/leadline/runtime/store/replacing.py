"""Replaces the cells of a shard by recomputed ones, and moves it to another epoch.

    lock the shard as a compactor does
    compare-and-set the vector, epoch + 1      owners that still count are fenced from here on
    read what is stored, fold all deltas       what is older than the bound is kept
    add recomputed - stored                    ADDED and RETRACTED grow by what changed

All in one transaction: readers see the shard before or after, never between.
"""

from __future__ import annotations

import numpy as np

from leadline.records.cells import HISTORY_KINDS, CellKind, Cells, merge
from leadline.records.errors import FencedError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.port import Replacement
from leadline.runtime.store.rebuild import covered, history_of, minus
from leadline.runtime.store.rolled_rows import read_rolled
from leadline.runtime.store.session import Session
from leadline.runtime.store.snapshot import SqlSnapshot

COUNTED = frozenset(CellKind) - HISTORY_KINDS


def check_replacement(wanted: Replacement) -> None:
    """Returns when the replacement can be right.

    Raises:
        ValueError: it cannot.
    """
    before, after = wanted.before, wanted.after
    if before.shard != after.shard or before.rules != after.rules:
        raise ValueError("A replacement stays within one shard and its rules.")
    if after.epoch != before.epoch + 1:
        raise ValueError("A replacement begins the next epoch.")
    if np.isin(wanted.cells.kind, sorted(HISTORY_KINDS)).any():
        raise ValueError("ADDED and RETRACTED are not recomputed.")


class Replacing:
    """One replacement within a write transaction."""

    def __init__(self, session: Session, wanted: Replacement) -> None:
        self._session = session
        self._wanted = wanted
        self._shard = wanted.before.shard
        self._blocks = BlockRows(session, self._shard)
        self._codec = CellsCodec()

    def run(self) -> None:
        """Does it.

        Raises:
            FencedError: the vector has moved on; the transaction must be rolled back.
        """
        self._blocks.lock()
        self._move()
        rolled = read_rolled(self._session, self._shard)
        stored = SqlSnapshot(self._session).cells(None, COUNTED)[self._shard]
        bound = self._wanted.from_minute
        change = minus(covered(self._wanted.cells, rolled, bound), covered(stored, rolled, bound))
        # Everything adds up: what is to go is taken back, in blocks and in sums of days alike.
        self._blocks.add(merge([*self._take_deltas(), change, history_of(change)]), rolled)

    def _move(self) -> None:
        before, after = self._wanted.before, self._wanted.after
        moved = self._session.run(shard_rows.MOVE_SHARD, shard_rows.move_values(before, after))
        if moved != 1:
            raise FencedError(
                f"Shard {self._shard} is not at ({before.p}, {before.l}) of epoch {before.epoch} "
                "any more: an owner has moved it on."
            )

    def _take_deltas(self) -> list[Cells]:
        rows = self._session.rows("SELECT body FROM deltas WHERE shard = ?", [self._shard])
        self._session.run("DELETE FROM deltas WHERE shard = ?", [self._shard])
        return [self._codec.decode(body) for (body,) in rows]
