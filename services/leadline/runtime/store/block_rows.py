"""Rows of blocks: read, written, moved. What compaction, roll-up and rebuild have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from leadline.records.cells import Cells, select
from leadline.runtime.store import blocks, tombstone_rows
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.resolution import Rolled, bucketed, is_summed
from leadline.runtime.store.session import VALUES_MAX, Session

_SAVE = (
    "INSERT INTO blocks (shard, kind, series, block_start, resolution, body) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (shard, kind, series, resolution, block_start) "
    "DO UPDATE SET body = excluded.body"
)
_DELETE = (
    "DELETE FROM blocks WHERE shard = ? AND kind = ? AND series = ? AND block_start = ? "
    "AND resolution = ?"
)


class BlockRows:
    """The blocks of one shard within a write transaction that holds the shard's lock."""

    def __init__(self, session: Session, shard: str) -> None:
        self._session = session
        self._shard = shard
        self._codec = CellsCodec()

    def lock(self) -> None:
        """Waits until nobody else writes blocks of the shard, and keeps others away."""
        self._session.run(
            "INSERT INTO compactions (shard, runs) VALUES (?, 1) "
            "ON CONFLICT (shard) DO UPDATE SET runs = compactions.runs + 1",
            [self._shard],
        )

    def add(self, cells: Cells, rolled: Rolled) -> None:
        """Adds normalised cells to the blocks at the resolution that holds, and to sums of days.

        Those of deleted times and of deleted models vanish.
        """
        dead = tombstone_rows.dead_numbers(self._session, self._shard)
        placed = bucketed(tombstone_rows.without(cells, dead), rolled)
        days = rolled.by_days(rolled.summed)
        beside = is_summed(placed) & (placed.minute >= rolled.day)
        beside &= placed.minute < rolled.summed
        sums = blocks.split(bucketed(select(placed, beside), days), days)
        self._add(blocks.add(blocks.split(placed, rolled), sums))

    def move(self, cells: Cells, rolled: Rolled) -> None:
        """Adds normalised cells that are in their days' sums already, if they should be."""
        self._add(blocks.split(bucketed(cells, rolled), rolled))

    def _add(self, sums: dict[BlockKey, Cells]) -> None:
        self.save(blocks.add(self.stored(list(sums)), sums))

    def stored(self, keys: Collection[BlockKey]) -> dict[BlockKey, Cells]:
        """Stored blocks of these keys, locked."""
        wanted, found = list(keys), {}
        for begin in range(0, len(wanted), VALUES_MAX):
            part = wanted[begin : begin + VALUES_MAX]
            marks = ", ".join("(?, ?, ?, ?)" for _ in part)
            rows = self._session.rows(
                # A join, since SQLite searches no index for a list of rows.
                "SELECT kind, series, block_start, resolution, body "
                f"FROM (VALUES {marks}) AS wanted CROSS JOIN blocks WHERE shard = ? AND "
                "kind = column1 AND series = column2 AND block_start = column3 "
                "AND resolution = column4"
                + self._session.dialect.for_update.format(table="blocks"),
                [*(value for key in part for value in key), self._shard],
            )
            for kind, series, start, resolution, body in rows:
                found[kind, series, start, resolution] = self._codec.decode(body)
        return found

    def save(self, sums: dict[BlockKey, Cells]) -> None:
        """Writes blocks; those whose counts have cancelled out are deleted."""
        kept = [
            (self._shard, *key, self._codec.encode(cells))
            for key, cells in sums.items()
            if len(cells)
        ]
        if kept:
            self._session.run_many(_SAVE, kept)
        self.delete(key for key, cells in sums.items() if not len(cells))

    def delete(self, keys: Iterable[BlockKey]) -> int:
        """Deletes blocks; returns how many there were."""
        gone = [(self._shard, *key) for key in keys]
        return self._session.run_many(_DELETE, gone) if gone else 0
