"""Folds deltas into blocks, so that answers stay quick however long a shard has counted.

    lock the shard's row in `compactions`      a second compactor of the shard waits here
    read the oldest deltas, sum them up        owners go on appending others
    read the blocks in the way, locked         nobody else touches them, but nobody must
    write the sums, delete what was summed     readers see all of it or nothing

All in one transaction: a crash leaves the deltas where they were.
"""

from __future__ import annotations

from itertools import accumulate

from leadline.records.cells import merge
from leadline.records.errors import TransientError
from leadline.runtime.store.block_rows import BlockRows
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.rolled_rows import read_rolled
from leadline.runtime.store.session import Row, Session

BODIES_BYTES_MAX = 2**20
"""Deltas of one run, compressed: some million cells, summed in half a second. On SQLite owners wait
for as long, and then for the writing of the blocks."""


class Compaction:
    """One run over one shard within a write transaction."""

    def __init__(self, session: Session, shard: str) -> None:
        self._session = session
        self._shard = shard
        self._codec = CellsCodec()
        self._blocks = BlockRows(session, shard)

    def run(self, max_deltas: int) -> int:
        """Folds at most `max_deltas` of the oldest deltas; returns how many: 0 when none is left.

        Raises:
            TransientError: a delta was deleted meanwhile; the transaction must be rolled back.
        """
        self.lock()
        rows = self.oldest(max_deltas)
        if rows:
            sums = merge(self._codec.decode(body) for _, _, body in rows)
            self._blocks.add(sums, read_rolled(self._session, self._shard))
            self.delete(rows)
        return len(rows)

    def lock(self) -> None:
        """Waits until no other compactor works on the shard."""
        self._blocks.lock()

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
