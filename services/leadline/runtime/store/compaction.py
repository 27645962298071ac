"""Folds deltas into blocks, so that answers stay quick however long a shard has counted.

    lock the shard's row in `compactions`      a second compactor of the shard waits here
    read the oldest deltas, sum them up        owners go on appending others
    read the blocks in the way, locked         nobody else touches them, but nobody must
    write the sums, delete what was summed     readers see all of it or nothing

All in one transaction: a crash leaves the deltas where they were.
"""

from __future__ import annotations

from itertools import accumulate

from leadline.records.cells import Cells, merge
from leadline.records.errors import TransientError
from leadline.runtime.store import blocks
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.session import VALUES_MAX, Row, Session

BODIES_BYTES_MAX = 2**20
"""Deltas of one run, compressed: some million cells, summed in half a second. On SQLite owners wait
for as long, and then for the writing of the blocks."""

_SAVE = (
    "INSERT INTO blocks (shard, kind, series, block_start, body) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (shard, kind, series, block_start) DO UPDATE SET body = excluded.body"
)
_DELETE_BLOCK = "DELETE FROM blocks WHERE shard = ? AND kind = ? AND series = ? AND block_start = ?"


class Compaction:
    """One run over one shard within a write transaction."""

    def __init__(self, session: Session, shard: str) -> None:
        self._session = session
        self._shard = shard
        self._codec = CellsCodec()

    def run(self, max_deltas: int) -> int:
        """Folds at most `max_deltas` of the oldest deltas; returns how many: 0 when none is left.

        Raises:
            TransientError: a delta was deleted meanwhile; the transaction must be rolled back.
        """
        self.lock()
        rows = self.oldest(max_deltas)
        if rows:
            sums = blocks.split(merge(self._codec.decode(body) for _, _, body in rows))
            self._save(blocks.add(self._stored(list(sums)), sums))
            self.delete(rows)
        return len(rows)

    def lock(self) -> None:
        """Waits until no other compactor works on the shard."""
        self._session.run(
            "INSERT INTO compactions (shard, runs) VALUES (?, 1) "
            "ON CONFLICT (shard) DO UPDATE SET runs = compactions.runs + 1",
            [self._shard],
        )

    def oldest(self, max_deltas: int) -> list[Row]:
        """(p, l, body) of the oldest deltas, in order; at least one, at most BODIES_BYTES_MAX."""
        sizes = self._session.rows(
            "SELECT length(body) FROM deltas WHERE shard = ? ORDER BY p, l LIMIT ?",
            [self._shard, max_deltas],
        )
        sums = accumulate(size for (size,) in sizes)
        fitting = sum(1 for size in sums if size <= BODIES_BYTES_MAX)
        return self._session.rows(
            "SELECT p, l, body FROM deltas WHERE shard = ? ORDER BY p, l LIMIT ?",
            [self._shard, max(fitting, min(1, max_deltas))],
        )

    def delete(self, rows: list[Row]) -> None:
        """Deletes what was summed: exactly that."""
        last_p, last_l, _ = rows[-1]
        deleted = self._session.run(
            "DELETE FROM deltas WHERE shard = ? AND (p, l) <= (?, ?)",
            [self._shard, last_p, last_l],
        )
        if deleted != len(rows):
            raise TransientError(
                f"{len(rows)} deltas of shard {self._shard} were summed and {deleted} deleted: "
                "nothing was written."
            )

    def _stored(self, keys: list[BlockKey]) -> dict[BlockKey, Cells]:
        """Stored blocks of these keys, locked."""
        found = {}
        for begin in range(0, len(keys), VALUES_MAX):
            part = keys[begin : begin + VALUES_MAX]
            marks = ", ".join("(?, ?, ?)" for _ in part)
            rows = self._session.rows(
                # A join, since SQLite searches no index for a list of rows.
                "SELECT kind, series, block_start, body "
                f"FROM (VALUES {marks}) AS wanted CROSS JOIN blocks WHERE shard = ? AND "
                "kind = column1 AND series = column2 AND block_start = column3"
                + self._session.dialect.for_update.format(table="blocks"),
                [*(value for key in part for value in key), self._shard],
            )
            for kind, series, start, body in rows:
                found[kind, series, start] = self._codec.decode(body)
        return found

    def _save(self, sums: dict[BlockKey, Cells]) -> None:
        """Writes blocks; those whose counts have cancelled out are deleted."""
        kept = [
            (self._shard, *key, self._codec.encode(cells))
            for key, cells in sums.items()
            if len(cells)
        ]
        gone = [(self._shard, *key) for key, cells in sums.items() if not len(cells)]
        if kept:
            self._session.run_many(_SAVE, kept)
        if gone:
            self._session.run_many(_DELETE_BLOCK, gone)
