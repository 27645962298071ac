"""Rolls old blocks up: minutes to quarter-hours, hours and days, and deletes what is older still.

    lock the shard as a compactor does
    sum up days that have ended                as many as fit into a bound of bytes, at least one
    move the shard's bounds on                 from then on all readers answer at these bounds
    read the oldest blocks that are too fine   bounded in bytes
    add their sums to coarser blocks, delete them

All in one transaction. The bounds decide what every answer says, so blocks may be moved later, in
any portions (`resolution.py`): sums are the same before, between and after.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from leadline.records.cells import CellKind, Cells, merge
from leadline.records.errors import TransientError
from leadline.runtime.store import shard_rows
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.blocks import BlockKey, within
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.fact_rows import read_rules
from leadline.runtime.store.resolution import (
    BLOCK_MINUTES,
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    RESOLUTIONS,
    UNSUMMED_KINDS,
    Retention,
    Rolled,
    planned,
    summed_by,
)
from leadline.runtime.store.rolled_rows import read_rolled, save_rolled
from leadline.runtime.store.session import Session

BODIES_BYTES_MAX = 2**18
"""Blocks of one run, compressed. On SQLite owners wait for as long as it takes, a quarter of a
second at most."""
DAYS_BYTES_MAX = 2**20
"""Blocks of days that are summed up at once, compressed; a single day may have more."""
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
        behind = rolled.summed < summed_by(self._clocks()[0])
        return behind or wanted != rolled or bool(self._oldest(wanted, 1))

    def run(self) -> int:
        """Moves a portion; returns how many blocks: 0 when none is left.

        Raises:
            TransientError: a block was moved meanwhile; the transaction must be rolled back.
        """
        self.lock()
        summed = self._sum_days()
        if summed:
            return summed
        rolled = self.bounds()
        keys = self._oldest(rolled, ROWS_MAX)
        if keys:
            found = self.read(keys)
            self.delete(keys)
            # What becomes days is in their sums already.
            left = {key: cells for key, cells in found.items() if not _is_day(key, rolled)}
            self._blocks.move(merge(left.values()), rolled)
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

    def _sum_days(self) -> int:
        """Sums up the next days; returns how many blocks they took: 0 when no day is missing."""
        rolled = read_rolled(self._session, self._shard)
        until = summed_by(self._clocks()[0])
        if rolled.summed >= until:
            return 0
        begin, end, keys = self._days(rolled.summed, until)
        new = replace(rolled, summed=end)
        save_rolled(self._session, self._shard, new)
        cells = merge(self._blocks.stored(keys).values())
        self._blocks.move(within(cells, begin, end), new.by_days(end))
        return len(keys)

    def _days(self, begin: int, until: int) -> tuple[int, int, list[BlockKey]]:
        """The next days that fit, [begin, end), with the blocks that reach into them."""
        rows = self._session.rows(
            "SELECT kind, series, block_start, resolution, length(body) FROM blocks "
            "WHERE shard = ? AND resolution IN (?, ?, ?) AND block_start > ? AND block_start < ? "
            "AND kind NOT IN (?, ?, ?) ORDER BY block_start",
            [
                self._shard,
                *RESOLUTIONS[:-1],
                begin - BLOCK_MINUTES[HOUR],
                until,
                *map(int, sorted(UNSUMMED_KINDS)),
            ],
        )
        found = [row for row in rows if row[2] + BLOCK_MINUTES[row[3]] > begin]
        size, end, first = 0, until, None
        for _, _, start, _, length in found:
            day = max(start, begin) // DAY * DAY
            first = day if first is None else first
            if size + length > DAYS_BYTES_MAX and day > first:
                end = day
                break
            size += length
        return begin, end, [row[:4] for row in found if row[2] < end]

    def _clocks(self) -> tuple[int, int]:
        """The later and the earlier of the two log clocks, in minutes."""
        state = shard_rows.read_shard(self._session, self._shard)
        if state is None:
            return 0, 0
        clocks = (state.predictions_clock_ms, state.labels_clock_ms)
        return max(clocks) // MINUTE_MS, min(clocks) // MINUTE_MS

    def _planned(self, rolled: Rolled) -> Rolled:
        newest, oldest = self._clocks()
        rules = read_rules(self._session, self._shard) if self._retention.days else []
        window = max((row.rules.label_window_ms for row in rules), default=0)
        return planned(
            rolled,
            self._retention,
            newest=newest,
            oldest=oldest,
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


def _is_day(key: BlockKey, rolled: Rolled) -> bool:
    """Whether the cells of a block stand as days."""
    kind, _, start, _ = key
    return kind not in UNSUMMED_KINDS and start < rolled.day


def _until(rolled: Rolled, resolution: int) -> tuple[int, int]:
    """Blocks of a resolution that begin before this are due: those of SCORES, and all others."""
    until = {MINUTE: rolled.quarter, QUARTER: rolled.hour, HOUR: rolled.day, DAY: 0}[resolution]
    scores = rolled.scores if resolution == MINUTE else 0
    return max(scores, rolled.deleted), max(until, rolled.deleted)
