"""One consistent state of the truth: blocks plus the deltas that are not folded yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from leadline.records.cases import Case
from leadline.records.cells import (
    CellKind,
    Cells,
    Series,
    concatenate,
    empty_cells,
    merge,
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
from leadline.runtime.store.folded import Folding, Stored
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
from leadline.runtime.store.sum_cache import Fold, OverTime, SumCache


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
        minutes = _bounded(from_minute, to_minute)
        return {
            wanted.shard: concatenate(self._parts(wanted, minutes))
            for wanted in self._wanted(numbers, kinds)
        }

    def totals(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """As `cells`, summed over the minutes as well: every cell stands at minute 0."""
        return self.folded(OverTime(), numbers, kinds, from_minute, to_minute)

    def folded(
        self,
        fold: Fold,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
        kept: SumCache | None = None,
    ) -> dict[str, Cells]:
        """The fold of what `cells` would give, normalised.

        Where the fold is one of whole days, those that lie within the question are read as sums of
        days: a question over weeks decodes a small part of what `cells` does.
        """
        minutes = _bounded(from_minute, to_minute)
        sums = kept or SumCache(0)
        return {
            wanted.shard: self._shard_folded(wanted, minutes, fold, sums)
            for wanted in self._wanted(numbers, kinds)
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

    def _wanted(
        self, numbers: Mapping[str, Collection[int]] | None, kinds: Collection[CellKind]
    ) -> list[Wanted]:
        """What is asked for, by shard."""
        of: dict[str, list[int] | None]
        if numbers is None:
            rows = self._session.rows("SELECT shard FROM shards ORDER BY shard")
            of = {shard: None for (shard,) in rows}
        else:
            of = {shard: sorted({int(one) for one in numbers[shard]}) for shard in sorted(numbers)}
        wanted = sorted({int(kind) for kind in kinds})
        return [Wanted(shard, some, wanted) for shard, some in of.items()]

    def _parts(self, wanted: Wanted, minutes: tuple[int, int]) -> list[Cells]:
        """The cells of some minutes in parts that are normalised one behind another."""
        if not wanted.kinds:
            return []
        rolled = read_rolled(self._session, wanted.shard)
        dead = tombstone_rows.dead_numbers(self._session, wanted.shard)
        found: dict[BlockKey, Cells] = {}
        late = []
        for block in self._stored(wanted, minutes, rolled):
            if block.is_due:
                late.append(self._codec.decode(block.body, block.begin, block.end))
            else:
                between = (max(block.begin, minutes[0]), min(block.end, minutes[1]))
                found[block.key] = self._codec.decode(block.body, *between)
        late.append(self._tail(wanted, self._decoded))
        rest = blocks.within(bucketed(merge(late), rolled), *minutes)
        sums = blocks.add(found, blocks.split(rest, rolled)).values()
        gone = set(dead.tolist())
        parts = [part for part in sums if len(part) and int(part.series[0]) not in gone]
        # Blocks of one kind and series do not overlap in time.
        return sorted(parts, key=lambda part: (part.kind[0], part.series[0], part.minute[0]))

    def _shard_folded(
        self, wanted: Wanted, minutes: tuple[int, int], fold: Fold, kept: SumCache
    ) -> Cells:
        if not wanted.kinds:
            return empty_cells()
        folding = Folding(fold, kept)
        rolled = read_rolled(self._session, wanted.shard)
        dead = tombstone_rows.dead_numbers(self._session, wanted.shard)
        gone = set(dead.tolist())
        tail = merge([tombstone_rows.without(self._tail(wanted, folding.deltas), dead)])
        for between, bounds in _sections(minutes, rolled, whole_days=fold.whole_days):
            stored = self._stored(wanted, between, bounds)
            live = (block for block in stored if block.key[1] not in gone)
            folding.add(live, tail, between, bounds)
        return folding.sums()

    def _stored(self, wanted: Wanted, minutes: tuple[int, int], rolled: Rolled) -> Iterator[Stored]:
        """The blocks that may hold cells of some minutes at these bounds."""
        # A cell that was not moved yet may lie a bucket behind the minute that it counts for.
        reach = (minutes[0], max(minutes[1], min(minutes[1] + DAY, rolled.newest)))
        for key, body in self._block_rows(wanted, reach, rolled):
            kind, _, start, resolution = key
            begin, end = 0, 2**32
            if kind not in UNSUMMED_KINDS:  # days are read as sums, and nothing of them twice
                begin, end = (0, rolled.day) if resolution == DAY else (rolled.day, 2**32)
            yield Stored(key, body, begin, end, rolled.is_due(kind, resolution, start))

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

    def _decoded(self, bodies: Sequence[bytes]) -> Cells:
        return concatenate(map(self._codec.decode, bodies))

    def _tail(self, wanted: Wanted, decode: Callable[[Sequence[bytes]], Cells]) -> Cells:
        """What is wanted of the deltas that are not folded yet: of any minutes, not normalised."""
        sql = "SELECT body FROM deltas WHERE shard = ? ORDER BY p, l"
        cells = decode([body for (body,) in self._session.rows(sql, [wanted.shard])])
        is_kind = np.zeros(256, np.bool_)
        is_kind[wanted.kinds] = True
        mask = is_kind[cells.kind]
        if wanted.numbers is not None:
            mask &= np.isin(cells.series, np.array(wanted.numbers, np.uint32))
        return select(cells, mask)


def _bounded(from_minute: int, to_minute: int) -> tuple[int, int]:
    return max(0, int(from_minute)), min(2**32, int(to_minute))


def _sections(
    minutes: tuple[int, int], rolled: Rolled, *, whole_days: bool
) -> list[tuple[tuple[int, int], Rolled]]:
    """Minutes that are read at the same bounds: days that have sums as such, if they may be."""
    begin, end = minutes
    first, last = -(-begin // DAY) * DAY, min(end // DAY * DAY, rolled.summed)
    if not whole_days or max(first, rolled.day) >= last:
        return [(minutes, rolled)]
    found = [((first, end), rolled.by_days(last))]
    return [*found, ((begin, first), rolled)] if begin < first else found


def _portions(numbers: list[int] | None) -> list[list[int] | None]:
    """Series numbers in parts that fit into one statement; [None] stands for all."""
    if numbers is None:
        return [None]
    return [numbers[at : at + VALUES_MAX] for at in range(0, len(numbers), VALUES_MAX)]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" for _ in values)
