"""One consistent state of the truth: blocks plus the deltas that are not folded yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import product

import numpy as np

from leadline.records.cases import Case
from leadline.records.cells import CellKind, Cells, Series, empty_cells, merge, select
from leadline.records.models import ModelSpec
from leadline.runtime.store import blocks, case_rows, model_rows, shard_rows, tombstone_rows
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.port import CaseQuery, ShardState, VersionSeen
from leadline.runtime.store.resolution import BLOCK_MINUTES, DAY, Rolled, bucketed
from leadline.runtime.store.rolled_rows import read_rolled
from leadline.runtime.store.session import VALUES_MAX, Session


class SqlSnapshot:
    """Answers from one read transaction; keeps the promises of `port.Snapshot`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._codec = CellsCodec()

    def shards(self) -> list[ShardState]:
        """All shards, by name."""
        return shard_rows.read_shards(self._session)

    def series(self) -> list[tuple[str, int, Series]]:
        """(shard, number, series) of all series but those of deleted models."""
        found = shard_rows.read_series(self._session)
        dead = tombstone_rows.dead_models(self._session)
        return [row for row in found if row[2].model not in dead] if dead else found

    def rolled(self, shard: str) -> Rolled:
        """At which resolution the cells of a shard stand, and since when there are any."""
        return read_rolled(self._session, shard)

    def cells(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """Sums by shard: only the given series numbers (None: all), kinds and minutes [from, to).

        Has an entry for each shard that was asked for, normalised. A cell of `rolled` times has the
        first minute of its bucket, and is found by that: a question is cut at the first bounds of
        buckets at or after its own (`rolled(shard).ceiling`), so questions that follow one
        another add up. ADDED and RETRACTED live at minute 0, so they are found from minute 0 on
        only. Deleted models have no cells.
        """
        wanted: dict[str, list[int] | None]
        if numbers is None:
            rows = self._session.rows("SELECT shard FROM shards ORDER BY shard")
            wanted = {shard: None for (shard,) in rows}
        else:
            wanted = {
                shard: sorted({int(one) for one in numbers[shard]}) for shard in sorted(numbers)
            }
        minutes = (max(0, int(from_minute)), min(2**32, int(to_minute)))
        kinds_wanted = sorted({int(kind) for kind in kinds})
        return {
            shard: self._shard_cells(shard, of, kinds_wanted, minutes)
            for shard, of in wanted.items()
        }

    def versions(self) -> list[VersionSeen]:
        """Versions that were counted, by model, then the one seen last first."""
        rows = self._session.rows(
            "SELECT model, version, min(first_minute), max(last_minute) FROM last_seen "
            "WHERE model NOT IN (SELECT model FROM deleted_models) "
            "GROUP BY model, version ORDER BY model, 4 DESC, version"
        )
        return [VersionSeen(*row) for row in rows]

    def cases(self, query: CaseQuery) -> list[Case]:
        """The cases that fit, ordered as asked (equal ones by id), at most `limit`."""
        return case_rows.find_cases(self._session, query)

    def count_cases(self, query: CaseQuery) -> int:
        """How many fit, without `limit` and `offset`."""
        return case_rows.count_cases(self._session, query)

    def case(self, model: str, version: str, case_id: bytes) -> Case | None:
        """One case: of several generations or tasks the newest."""
        found = case_rows.cases_by_key(self._session, [(model, version, case_id)])
        return found[-1] if found else None

    def case_versions(self, task: str, case_id: bytes) -> list[Case]:
        """The same input's cases of every version of the task: of each its newest generation."""
        return case_rows.cases_of_input(self._session, task, case_id)

    def models(self) -> list[tuple[ModelSpec, int]]:
        """Declared models with their revision, by name."""
        return model_rows.read_models(self._session)

    def model(self, name: str) -> tuple[ModelSpec, int] | None:
        """One declared model with its revision."""
        return model_rows.read_model(self._session, name)

    def _shard_cells(
        self, shard: str, numbers: list[int] | None, kinds: list[int], minutes: tuple[int, int]
    ) -> Cells:
        if not kinds:
            return empty_cells()
        rolled = read_rolled(self._session, shard)
        dead = tombstone_rows.dead_numbers(self._session, shard)
        found: dict[BlockKey, Cells] = {}
        # A cell that was not moved yet may lie a bucket behind the minute that it counts for.
        reach = (minutes[0], max(minutes[1], min(minutes[1] + DAY, rolled.newest)))
        late = []
        for key, body in self._block_rows(shard, numbers, kinds, reach):
            if rolled.is_due(key[0], key[3], key[2]):
                late.append(self._codec.decode(body))
            elif key[2] < minutes[1]:
                found[key] = blocks.within(self._codec.decode(body), *minutes)
        late += self._tail(shard, numbers, kinds, reach)
        rest = blocks.within(bucketed(merge(late), rolled), *minutes)
        return tombstone_rows.without(
            blocks.joined(blocks.add(found, blocks.split(rest, rolled))), dead
        )

    def _block_rows(
        self, shard: str, numbers: list[int] | None, kinds: list[int], minutes: tuple[int, int]
    ) -> Iterator[tuple[BlockKey, bytes]]:
        """Blocks that may hold something wanted."""
        for part, (resolution, span) in product(_parts(numbers), BLOCK_MINUTES.items()):
            sql = (
                "SELECT kind, series, block_start, body FROM blocks WHERE shard = ? AND kind IN "
                f"({_marks(kinds)}) AND resolution = ? AND block_start > ? AND block_start < ?"
            )
            values = [shard, *kinds, resolution, minutes[0] - span, minutes[1]]
            if part is not None:
                sql += f" AND series IN ({_marks(part)})"
                values += part
            for kind, series, start, body in self._session.rows(sql, values):
                yield (kind, series, start, resolution), body

    def _tail(
        self, shard: str, numbers: list[int] | None, kinds: list[int], minutes: tuple[int, int]
    ) -> Iterator[Cells]:
        """What is wanted of the deltas that are not folded yet."""
        wanted = np.zeros(256, np.bool_)
        wanted[kinds] = True
        of = None if numbers is None else np.array(numbers, np.uint32)
        for (body,) in self._session.rows("SELECT body FROM deltas WHERE shard = ?", [shard]):
            cells = self._codec.decode(body)
            mask = wanted[cells.kind] & (cells.minute >= minutes[0]) & (cells.minute < minutes[1])
            if of is not None:
                mask &= np.isin(cells.series, of)
            yield select(cells, mask)


def _parts(numbers: list[int] | None) -> list[list[int] | None]:
    """Series numbers in parts that fit into one statement; [None] stands for all."""
    if numbers is None:
        return [None]
    return [numbers[at : at + VALUES_MAX] for at in range(0, len(numbers), VALUES_MAX)]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" for _ in values)
