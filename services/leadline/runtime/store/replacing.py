"""Replaces the cells of a shard by recomputed ones, and moves it to another epoch.

    lock the shard as a compactor does
    compare-and-set the vector, epoch + 1      owners that still count are fenced from here on
    read all deltas, and the blocks in reach   what is older than the bound is kept
    write the sum of that and the recomputed   ADDED and RETRACTED grow by what changed

All in one transaction: readers see the shard before or after, never between.
"""

from __future__ import annotations

import numpy as np

from leadline.records.cells import HISTORY_KINDS, Cells, concatenate, merge, select
from leadline.records.errors import FencedError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.port import Replacement
from leadline.runtime.store.rebuild import covered, history_of, is_covered, minus
from leadline.runtime.store.resolution import BLOCK_MINUTES, RESOLUTIONS, bucketed
from leadline.runtime.store.rolled_rows import read_rolled
from leadline.runtime.store.session import Session


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
        stored = self._take_deltas() + self._take_blocks()
        found = bucketed(merge(stored), rolled)
        gone = is_covered(found, rolled, self._wanted.from_minute)
        new = covered(self._wanted.cells, rolled, self._wanted.from_minute)
        history = history_of(minus(new, select(found, gone)))
        self._blocks.add(merge([select(found, ~gone), new, history]), rolled)

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

    def _take_blocks(self) -> list[Cells]:
        """Removes and returns the blocks that reach behind the bound."""
        found: list[Cells] = []
        keys: list[BlockKey] = []
        for resolution in RESOLUTIONS:
            after = self._wanted.from_minute - BLOCK_MINUTES[resolution]
            rows = self._session.rows(
                "SELECT kind, series, block_start, body FROM blocks WHERE shard = ? "
                "AND resolution = ? AND block_start > ?",
                [self._shard, resolution, after],
            )
            found += [self._codec.decode(body) for *_, body in rows]
            keys += [(kind, series, start, resolution) for kind, series, start, _ in rows]
        self._blocks.delete(keys)
        return [concatenate(found)]
