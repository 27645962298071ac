"""Begins a shard's next epoch on topics that are not those of before.

lock the shard as a compactor does
compare-and-set the vector, epoch + 1      owners that still count are fenced from here on
delete its rules and exceptions            the next owner writes rule 0 at the new vector
note the minute behind all stored cells    from there on the new topics alone tell
"""

from __future__ import annotations

import numpy as np

from leadline.records.cells import HISTORY_KINDS
from leadline.records.errors import FencedError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.port import LastRecord, ShardState
from leadline.runtime.store.resolution import ALL_TIME, BLOCK_MINUTES, DAY, HOUR, QUARTER
from leadline.runtime.store.rolled_rows import read_reset, read_rolled, save_reset
from leadline.runtime.store.session import Session


def check_reset(before: ShardState, after: ShardState) -> None:
    """Returns when the reset can be right.

    Raises:
        ValueError: it cannot.
    """
    if before.shard != after.shard:
        raise ValueError("A reset stays within one shard.")
    if after.epoch != before.epoch + 1:
        raise ValueError("A reset begins the next epoch.")
    if after.rules or after.predictions_clock_ms or after.labels_clock_ms:
        raise ValueError("A reset begins without rules and clocks.")
    if (after.predictions_last, after.labels_last) != (LastRecord(), LastRecord()):
        raise ValueError("A reset begins without evidence of a record.")


def reset_shard(session: Session, before: ShardState, after: ShardState) -> None:
    """Does it.

    Raises:
        FencedError: the vector has moved on; the transaction must be rolled back.
    """
    shard = before.shard
    BlockRows(session, shard).lock()
    if session.run(shard_rows.MOVE_SHARD, shard_rows.move_values(before, after)) != 1:
        raise FencedError(
            f"Shard {shard} is not at ({before.p}, {before.l}) of epoch {before.epoch} any more: "
            "an owner has moved it on."
        )
    session.run("DELETE FROM rules WHERE shard = ?", [shard])
    session.run("DELETE FROM exceptions WHERE shard = ?", [shard])
    save_reset(session, shard, max(read_reset(session, shard), _end_of_cells(session, shard)))


def _end_of_cells(session: Session, shard: str) -> int:
    """The first minute behind all stored cells; at most a block later."""
    rolled = read_rolled(session, shard)
    until = {
        QUARTER: rolled.quarter,
        HOUR: rolled.hour,
        DAY: max(rolled.day, rolled.summed, rolled.scores),
    }
    ends = [
        min(start + BLOCK_MINUTES[resolution], until.get(resolution, 2**32))
        for resolution, start in session.rows(
            "SELECT resolution, max(block_start) FROM blocks WHERE shard = ? GROUP BY resolution",
            [shard],
        )
        if resolution != ALL_TIME
    ]
    for (body,) in session.rows("SELECT body FROM deltas WHERE shard = ?", [shard]):
        cells = CellsCodec().decode(body)
        minutes = cells.minute[~np.isin(cells.kind, sorted(HISTORY_KINDS))]
        if len(minutes):
            ends.append(int(minutes.max()) + 1)
    return max(ends, default=0)
