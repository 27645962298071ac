"""Rolls old blocks up: minutes to quarter-hours, hours and days, and deletes what is older still.

    lock the shard as a compactor does
    move the shard's bounds on                 from then on all readers answer at these bounds
    read the oldest blocks that are too fine   bounded in bytes
    add their sums to coarser blocks, delete them

All in one transaction. The bounds decide what every answer says, so blocks may be moved later, in
any portions (`resolution.py`): sums are the same before, between and after.
"""

from __future__ import annotations

from itertools import accumulate

from leadline.records.cells import CellKind, Cells, merge
from leadline.records.errors import TransientError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.fact_rows import read_rules
from leadline.runtime.store.resolution import (
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    RESOLUTIONS,
    Retention,
    Rolled,
    planned,
)
from leadline.runtime.store.rolled_rows import read_rolled, save_rolled
from leadline.runtime.store.session import Session

BODIES_BYTES_MAX = 2**18
"""Blocks of one run, compressed. On SQLite owners wait for as long as it takes, a quarter of a
second at most."""
ROWS_MAX = 2_000
"""Blocks of one run."""
MINUTE_MS = 60_000

SCORES = int(CellKind.SCORES)


class RollUp:
    """One run over one shard.

    Args:
        session: a transaction; `is_due` reads only.
    """

    def __init__(self, session: Session, shard: str, retention: Retention) -> None:
        self._session = session
        self._shard = shard
        self._retention = retention
        self._blocks = BlockRows(session, shard)
        self._codec = CellsCodec()

    def is_due(self) -> bool:
        """Whether `run` has anything to do."""
        rolled = read_rolled(self._session, self._shard)
        wanted = self._planned(rolled)
        return wanted != rolled or bool(self._oldest(wanted, 1))

    def run(self) -> int:
        """Moves a portion; returns how many blocks: 0 when none is left.

        Raises:
            TransientError: a block was moved meanwhile; the transaction must be rolled back.
        """
        self.lock()
        rolled = self.bounds()
        keys = self._oldest(rolled, ROWS_MAX)
        if keys:
            found = self.read(keys)
            self.delete(keys)
            self._blocks.add(merge(found.values()), rolled)
        return len(keys)

    def lock(self) -> None:
        """Waits until nobody else writes blocks of the shard."""
        self._blocks.lock()

    def read(self, keys: list[BlockKey]) -> dict[BlockKey, Cells]:
        """The blocks to be moved."""
        return self._blocks.stored(keys)

    def delete(self, keys: list[BlockKey]) -> None:
        """Deletes what was summed: exactly that."""
        deleted = self._blocks.delete(keys)
        if deleted != len(keys):
            raise TransientError(
                f"{len(keys)} blocks of shard {self._shard} were summed and {deleted} deleted: "
                "nothing was written."
            )

    def bounds(self) -> Rolled:
        """The shard's bounds, moved on to where they should be by now."""
        rolled = read_rolled(self._session, self._shard)
        wanted = self._planned(rolled)
        if wanted != rolled:
            save_rolled(self._session, self._shard, wanted)
        return wanted

    def _planned(self, rolled: Rolled) -> Rolled:
        state = shard_rows.read_shard(self._session, self._shard)
        if state is None:
            return rolled
        clocks = (state.predictions_clock_ms, state.labels_clock_ms)
        rules = read_rules(self._session, self._shard) if self._retention.days else []
        window = max((row.rules.label_window_ms for row in rules), default=0)
        return planned(
            rolled,
            self._retention,
            newest=max(clocks) // MINUTE_MS,
            oldest=min(clocks) // MINUTE_MS,
            window=-(-window // MINUTE_MS),
        )

    def _oldest(self, rolled: Rolled, rows_max: int) -> list[BlockKey]:
        """Blocks that are finer than they should be, or deleted: at least one if there is any."""
        found = []
        for resolution in RESOLUTIONS:
            until = _until(rolled, resolution)
            rows = self._session.rows(
                "SELECT kind, series, block_start, length(body) FROM blocks WHERE shard = ? "
                "AND resolution = ? AND block_start < ? "
                "AND CASE kind WHEN ? THEN block_start < ? ELSE block_start < ? END "
                "ORDER BY block_start LIMIT ?",
                [self._shard, resolution, max(until), SCORES, *until, rows_max],
            )
            found += [(kind, series, start, resolution, size) for kind, series, start, size in rows]
        sizes = accumulate(row[-1] for row in found)
        fitting = sum(1 for size in sizes if size <= BODIES_BYTES_MAX)
        return [row[:-1] for row in found[: min(max(fitting, 1), rows_max)]]


def _until(rolled: Rolled, resolution: int) -> tuple[int, int]:
    """Blocks of a resolution that begin before this are due: those of SCORES, and all others."""
    until = {MINUTE: rolled.quarter, QUARTER: rolled.hour, HOUR: rolled.day, DAY: 0}[resolution]
    scores = rolled.scores if resolution == MINUTE else 0
    return max(scores, rolled.deleted), max(until, rolled.deleted)
