"""One consistent state of the truth: blocks plus the deltas that are not folded yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from leadline.records.cases import Case
from leadline.records.cells import (
    CellKind,
    Cells,
    Series,
    concatenate,
    merge,
    over_time,
    select,
)
from leadline.records.models import ModelSpec
from leadline.runtime.store import (
    blocks,
    case_rows,
    fact_rows,
    model_rows,
    shard_rows,
    tombstone_rows,
)
from leadline.runtime.store.blocks import BlockKey
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.port import CaseQuery, ShardFacts, ShardState, VersionSeen
from leadline.runtime.store.resolution import (
    BLOCK_MINUTES,
    DAY,
    UNSUMMED_KINDS,
    Rolled,
    bucketed,
)
from leadline.runtime.store.rolled_rows import read_reset, read_rolled
from leadline.runtime.store.session import VALUES_MAX, Session


class Wanted(NamedTuple):
    """Whose cells are asked for; None stands for all series."""

    shard: str
    numbers: list[int] | None
    kinds: list[int]


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

    def facts(self, shard: str) -> ShardFacts:
        """What the cells of a shard depend on; the zero state where there is none yet."""
        session = self._session
        return ShardFacts(
            state=shard_rows.read_shard(session, shard) or ShardState(shard),
            series={series: number for _, number, series in shard_rows.read_series(session, shard)},
            rules=fact_rows.read_rules(session, shard),
            exceptions=fact_rows.read_exceptions(session, shard),
            reset_minute=read_reset(session, shard),
            deleted_models=tombstone_rows.dead_models(session),
        )

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
        found = self._parts(numbers, kinds, (from_minute, to_minute), whole_days=False)
        return {shard: concatenate(parts) for shard, parts in found.items()}

    def totals(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """As `cells`, summed over the minutes as well: every cell stands at minute 0.

        Days that lie within the question are read as sums of days: a question over weeks decodes
        a small part of what `cells` does.
        """
        found = self._parts(numbers, kinds, (from_minute, to_minute), whole_days=True)
        return {shard: over_time(parts) for shard, parts in found.items()}

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

    def _parts(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        minutes: tuple[int, int],
        *,
        whole_days: bool,
    ) -> dict[str, list[Cells]]:
        """What is asked for, by shard, in parts that are normalised one behind another."""
        of: dict[str, list[int] | None]
        if numbers is None:
            rows = self._session.rows("SELECT shard FROM shards ORDER BY shard")
            of = {shard: None for (shard,) in rows}
        else:
            of = {shard: sorted({int(one) for one in numbers[shard]}) for shard in sorted(numbers)}
        between = (max(0, int(minutes[0])), min(2**32, int(minutes[1])))
        wanted = sorted({int(kind) for kind in kinds})
        return {
            shard: self._shard_parts(Wanted(shard, some, wanted), between, whole_days=whole_days)
            for shard, some in of.items()
        }

    def _shard_parts(
        self, wanted: Wanted, minutes: tuple[int, int], *, whole_days: bool
    ) -> list[Cells]:
        if not wanted.kinds:
            return []
        rolled = read_rolled(self._session, wanted.shard)
        dead = set(tombstone_rows.dead_numbers(self._session, wanted.shard).tolist())
        begin, end = minutes
        first, last = -(-begin // DAY) * DAY, min(end // DAY * DAY, rolled.summed)
        if whole_days and max(first, rolled.day) < last:
            parts = self._blocks(wanted, (first, end), rolled.by_days(last))
            if begin < first:
                parts += self._blocks(wanted, (begin, first), rolled)
        else:
            parts = self._blocks(wanted, minutes, rolled)
        parts = [part for part in parts if len(part) and int(part.series[0]) not in dead]
        # Blocks of one kind and series do not overlap in time.
        return sorted(parts, key=lambda part: (part.kind[0], part.series[0], part.minute[0]))

    def _blocks(self, wanted: Wanted, minutes: tuple[int, int], rolled: Rolled) -> list[Cells]:
        """The cells of some minutes, block by block, at these bounds."""
        # A cell that was not moved yet may lie a bucket behind the minute that it counts for.
        reach = (minutes[0], max(minutes[1], min(minutes[1] + DAY, rolled.newest)))
        found: dict[BlockKey, Cells] = {}
        late = []
        for key, body in self._block_rows(wanted, reach, rolled):
            kind, _, start, resolution = key
            begin, end = 0, 2**32
            if kind not in UNSUMMED_KINDS:  # days are read as sums, and nothing of them twice
                begin, end = (0, rolled.day) if resolution == DAY else (rolled.day, 2**32)
            if rolled.is_due(kind, resolution, start):
                late.append(self._codec.decode(body, begin, end))
            else:
                between = (max(begin, minutes[0]), min(end, minutes[1]))
                found[key] = self._codec.decode(body, *between)
        late += self._tail(wanted, reach)
        rest = blocks.within(bucketed(merge(late), rolled), *minutes)
        return list(blocks.add(found, blocks.split(rest, rolled)).values())

    def _block_rows(
        self, wanted: Wanted, minutes: tuple[int, int], rolled: Rolled
    ) -> Iterator[tuple[BlockKey, bytes]]:
        """Blocks that may hold something wanted."""
        summed = [kind for kind in wanted.kinds if kind not in UNSUMMED_KINDS]
        others = [kind for kind in wanted.kinds if kind in UNSUMMED_KINDS]
        for kinds, part, (resolution, span) in product(
            (summed, others), _portions(wanted.numbers), BLOCK_MINUTES.items()
        ):
            begin, end = minutes
            if kinds is summed and resolution == DAY:
                end = min(end, rolled.day)
            elif kinds is summed:
                begin = max(begin, rolled.day)
            if not kinds or begin >= end:
                continue
            sql = (
                "SELECT kind, series, block_start, body FROM blocks WHERE shard = ? AND kind IN "
                f"({_marks(kinds)}) AND resolution = ? AND block_start > ? AND block_start < ?"
            )
            values = [wanted.shard, *kinds, resolution, begin - span, end]
            if part is not None:
                sql += f" AND series IN ({_marks(part)})"
                values += part
            for kind, series, start, body in self._session.rows(sql, values):
                yield (kind, series, start, resolution), body

    def _tail(self, wanted: Wanted, minutes: tuple[int, int]) -> Iterator[Cells]:
        """What is wanted of the deltas that are not folded yet."""
        is_kind = np.zeros(256, np.bool_)
        is_kind[wanted.kinds] = True
        of = None if wanted.numbers is None else np.array(wanted.numbers, np.uint32)
        rows = self._session.rows("SELECT body FROM deltas WHERE shard = ?", [wanted.shard])
        for (body,) in rows:
            cells = self._codec.decode(body)
            mask = is_kind[cells.kind] & (cells.minute >= minutes[0]) & (cells.minute < minutes[1])
            if of is not None:
                mask &= np.isin(cells.series, of)
            yield select(cells, mask)


def _portions(numbers: list[int] | None) -> list[list[int] | None]:
    """Series numbers in parts that fit into one statement; [None] stands for all."""
    if numbers is None:
        return [None]
    return [numbers[at : at + VALUES_MAX] for at in range(0, len(numbers), VALUES_MAX)]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" for _ in values)
