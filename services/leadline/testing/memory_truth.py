"""The truth in plain memory: a few dictionaries that keep the promises of `runtime/store/port.py`.

For tests that want thousands of truths a second. Cells are held as they were committed, with no
codec and no SQL; a snapshot is a copy, so that it stays what it was.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from leadline.records.cases import Case
from leadline.records.cells import CellKind, Cells, Series, empty_cells, merge
from leadline.records.errors import FencedError
from leadline.records.models import ModelSpec
from leadline.records.rules import ExceptionRow, RulesRow
from leadline.runtime.store.commit_check import check_commit
from leadline.runtime.store.port import (
    CaseQuery,
    Commit,
    ShardFacts,
    ShardState,
    Snapshot,
    VersionSeen,
)
from leadline.runtime.store.resetting import check_reset
from leadline.runtime.store.resolution import Rolled
from leadline.runtime.store.sum_cache import Fold, OverTime, SumCache

Rows = Counter[tuple[int, int, int, int]]
"""Counts by (kind, series number, minute, index)."""

CaseKey = tuple[str, str, bytes, int, str]
"""(model, version, id, clock, task) of a case."""

NO_SCORE = -1.0


def rows_of(cells: Cells) -> Rows:
    """Cells as a counter."""
    columns = (cells.kind, cells.series, cells.minute, cells.index)
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return Counter(dict(zip(keys, cells.count.tolist(), strict=True)))


def cells_of(rows: Rows) -> Cells:
    """A counter as normalised cells."""
    found = [(*key, count) for key, count in rows.items() if count]
    if not found:
        return empty_cells()
    kind, series, minute, index, count = zip(*found, strict=True)
    columns = Cells(
        np.array(kind, np.uint8),
        np.array(series, np.uint32),
        np.array(minute, np.uint32),
        np.array(index, np.uint64),
        np.array(count, np.int64),
    )
    return merge([columns])


@dataclass(slots=True)
class ShardRows:
    """All that is stored of one shard.

    Attributes:
        deltas: (p, l, cells) of each commit that is not folded yet, oldest first.
        blocks: the sum of all deltas that were folded.
        published: numbers of rules, and (side, offset) of exceptions, that were published.
    """

    state: ShardState
    series: dict[Series, int] = field(default_factory=dict)
    deltas: list[tuple[int, int, Rows]] = field(default_factory=list)
    blocks: Rows = field(default_factory=Counter)
    seen: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    rules: list[RulesRow] = field(default_factory=list)
    exceptions: list[ExceptionRow] = field(default_factory=list)
    published: set[object] = field(default_factory=set)
    reset_minute: int = 0

    def copy(self) -> ShardRows:
        """Another one, equal and independent."""
        return ShardRows(
            self.state,
            dict(self.series),
            list(self.deltas),
            Counter(self.blocks),
            dict(self.seen),
            list(self.rules),
            list(self.exceptions),
            set(self.published),
            self.reset_minute,
        )

    def total(self) -> Rows:
        """The sum of all cells; zeros may stand in it."""
        found = Counter(self.blocks)
        for _, _, rows in self.deltas:
            _add(found, rows)
        return found


@dataclass(slots=True)
class Everything:
    """All rows of a truth."""

    shards: dict[str, ShardRows] = field(default_factory=dict)
    cases: dict[CaseKey, Case] = field(default_factory=dict)
    models: dict[str, tuple[ModelSpec, int]] = field(default_factory=dict)

    def copy(self) -> Everything:
        """Another one, equal and independent."""
        shards = {name: rows.copy() for name, rows in self.shards.items()}
        return Everything(shards, dict(self.cases), dict(self.models))


class MemoryTruth:
    """A truth store that forgets everything at its end. Safe to use from several threads.

    Attributes:
        rows: all that is stored. A test may copy it and put it back, as one restores a database.
    """

    def __init__(self) -> None:
        self.rows = Everything()
        self._lock = threading.RLock()

    def migrate(self) -> int:
        """There is no schema."""
        return 0

    def shard(self, name: str) -> ShardState:
        """State of a shard; the zero state, inserted, when it is new."""
        with self._lock:
            if name not in self.rows.shards:
                self.rows.shards[name] = ShardRows(ShardState(name))
            return self.rows.shards[name].state

    def shard_series(self, name: str) -> dict[Series, int]:
        """Series numbers of a shard."""
        with self._lock:
            return dict(self.rows.shards[name].series) if name in self.rows.shards else {}

    def commit(self, commit: Commit) -> None:
        """One transaction: compare-and-set of the vector, the delta, new series, cases, facts.

        Raises:
            FencedError: `commit.before` does not hold any more; nothing was written.
            ValueError: the commit cannot be right.
        """
        check_commit(commit)
        with self._lock:
            self.fence(commit)
            shard = self.rows.shards[commit.before.shard]
            shard.state = commit.after
            self.add(shard, commit)

    def fence(self, commit: Commit) -> None:
        """Raises FencedError unless the vector still is what the commit began with."""
        self._compare(commit.before)

    def _compare(self, before: ShardState) -> None:
        shard = self.rows.shards.get(before.shard)
        if shard is None or _vector(shard.state) != _vector(before):
            raise FencedError(
                f"Shard {before.shard} is not at ({before.p}, {before.l}) "
                "any more: another owner has moved it on."
            )

    def add(self, shard: ShardRows, commit: Commit) -> None:
        """Everything of a commit but the vector."""
        after = commit.after
        if len(commit.delta):
            shard.deltas.append((after.p, after.l, rows_of(commit.delta)))
        shard.series.update(commit.new_series)
        for case in commit.cases:
            self.rows.cases[_case_key(case)] = case
        for one in commit.case_labels:
            key = (one.model, one.version, one.id, one.clock_ms, one.task)
            if key in self.rows.cases:
                self.rows.cases[key] = replace(self.rows.cases[key], label=one.label)
        for version, newest in commit.last_seen.items():
            minute = int(newest)
            first, last = shard.seen.get(version, (minute, minute))
            shard.seen[version] = (min(first, minute), max(last, minute))
        if commit.new_rules is not None:
            shard.rules.append(commit.new_rules)
        shard.exceptions += commit.exceptions
        shard.exceptions.sort(key=lambda one: (one.side, one.from_offset))

    def mark_stopped(self, shard: str, cause: str, remedy: str) -> None:
        """Notes for people why a shard does not count on; empty texts clear it."""
        with self._lock:
            if shard in self.rows.shards:
                rows = self.rows.shards[shard]
                rows.state = replace(rows.state, stopped=cause, remedy=remedy)

    def case_labels(self, keys: Sequence[tuple[str, str, bytes]]) -> list[Case]:
        """The stored cases of the given (model, version, id) keys, with all their generations."""
        with self._lock:
            return _by_key(self.rows, set(keys))

    def shard_rules(self, shard: str) -> list[RulesRow]:
        """The rules of a shard by number."""
        with self._lock:
            return list(self.rows.shards[shard].rules) if shard in self.rows.shards else []

    def shard_exceptions(self, shard: str) -> list[ExceptionRow]:
        """The exceptions of a shard by side and offset."""
        with self._lock:
            return list(self.rows.shards[shard].exceptions) if shard in self.rows.shards else []

    def unpublished(self, shard: str) -> list[RulesRow | ExceptionRow]:
        """Rows of a shard that the topic `rules` may not have yet, in the same order."""
        with self._lock:
            if shard not in self.rows.shards:
                return []
            rows = self.rows.shards[shard]
            every: list[RulesRow | ExceptionRow] = [*rows.rules, *rows.exceptions]
            return [row for row in every if _fact_key(row) not in rows.published]

    def mark_published(self, shard: str, rows: Sequence[RulesRow | ExceptionRow]) -> None:
        """Notes that the topic `rules` has these rows."""
        with self._lock:
            if shard in self.rows.shards:
                self.rows.shards[shard].published.update(_fact_key(row) for row in rows)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One consistent state."""
        with self._lock:
            found = self.rows.copy()
        yield MemorySnapshot(found)

    def save_model(self, spec: ModelSpec, expected_revision: int | None) -> int:
        """Writes a declaration if its revision is still the expected one (None: whatever it is).

        Raises:
            FencedError: the revision has moved on.
        """
        with self._lock:
            revision = self.rows.models[spec.name][1] if spec.name in self.rows.models else 0
            if expected_revision not in (None, revision):
                raise FencedError(
                    f"The declaration of model {spec.name!r} is not at revision "
                    f"{expected_revision} any more: read it again."
                )
            self.rows.models[spec.name] = (spec, revision + 1)
            return revision + 1

    def compact(self, shard: str, max_deltas: int) -> int:
        """Folds the oldest deltas of a shard into its blocks; returns how many."""
        with self._lock:
            if shard not in self.rows.shards:
                return 0
            rows = self.rows.shards[shard]
            taken = rows.deltas[:max_deltas]
            for _, _, delta in taken:
                _add(rows.blocks, delta)
            del rows.deltas[: len(taken)]
            return len(taken)

    def reset_shard(self, before: ShardState, after: ShardState) -> None:
        """Begins a shard's next epoch on other topics.

        Raises:
            FencedError: `before` does not hold any more; nothing was written.
            ValueError: it cannot be right.
        """
        check_reset(before, after)
        with self._lock:
            self._compare(before)
            shard = self.rows.shards[before.shard]
            shard.state = after
            shard.rules.clear()
            shard.exceptions.clear()
            shard.published.clear()
            minutes = [key[2] for key, count in shard.total().items() if count]
            shard.reset_minute = max([shard.reset_minute, *(minute + 1 for minute in minutes)])

    def trim_cases(self, model: str, version: str, keep: int) -> list[str]:
        """Deletes all but the newest `keep` cases; returns blob keys that nobody needs now."""
        with self._lock:
            every = CaseQuery(model, version, from_us=-(2**63), to_us=2**63, limit=2**62)
            cases = _find(self.rows, every)
            gone = cases[max(keep, 0) :]
            for case in gone:
                del self.rows.cases[_case_key(case)]
            used = {case.input_ref for case in self.rows.cases.values()}
            return sorted({case.input_ref for case in gone if case.input_ref} - used)

    def ping(self) -> None:
        """Always answers."""

    def close(self) -> None:
        """Ends."""


class MemorySnapshot:
    """Answers from rows that nobody changes; keeps the promises of `port.Snapshot`."""

    def __init__(self, rows: Everything) -> None:
        self._rows = rows

    def shards(self) -> list[ShardState]:
        """All shards, by name."""
        return [rows.state for _, rows in sorted(self._rows.shards.items())]

    def series(self) -> list[tuple[str, int, Series]]:
        """(shard, number, series) of all series."""
        return [
            (shard, number, series)
            for shard, rows in sorted(self._rows.shards.items())
            for series, number in sorted(rows.series.items(), key=lambda item: item[1])
        ]

    def facts(self, shard: str) -> ShardFacts:
        """What the cells of a shard depend on; the zero state where there is none yet."""
        rows = self._rows.shards.get(shard) or ShardRows(ShardState(shard))
        return ShardFacts(rows.state, rows.series, rows.rules, rows.exceptions, rows.reset_minute)

    def rolled(self, shard: str) -> Rolled:  # noqa: ARG002
        """Nothing is ever rolled up."""
        return Rolled()

    def cells(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """Sums by shard: the given series numbers (None: all), kinds and minutes [from, to)."""
        wanted = {int(kind) for kind in kinds}
        found = {}
        for shard in sorted(self._rows.shards if numbers is None else numbers):
            of = None if numbers is None else {int(one) for one in numbers[shard]}
            rows = self._rows.shards.get(shard)
            total = rows.total() if rows is not None else Counter()
            found[shard] = cells_of(
                Counter(
                    {
                        key: count
                        for key, count in total.items()
                        if key[0] in wanted
                        and (of is None or key[1] in of)
                        and from_minute <= key[2] < to_minute
                    }
                )
            )
        return found

    def totals(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """As `cells`, summed over the minutes as well."""
        return self.folded(OverTime(), numbers, kinds, from_minute, to_minute)

    def folded(
        self,
        fold: Fold,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
        kept: SumCache | None = None,  # noqa: ARG002
    ) -> dict[str, Cells]:
        """The fold of what `cells` gives."""
        found = self.cells(numbers, kinds, from_minute, to_minute)
        return {shard: fold(cells) for shard, cells in found.items()}

    def versions(self) -> list[VersionSeen]:
        """Versions that were counted, by model, then the one seen last first."""
        spans: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for rows in self._rows.shards.values():
            for version, span in rows.seen.items():
                spans[version].append(span)
        found = [
            VersionSeen(*version, min(of)[0], max(last for _, last in of))
            for version, of in spans.items()
        ]
        return sorted(found, key=lambda one: (one.model, -one.last_minute, one.version))

    def cases(self, query: CaseQuery) -> list[Case]:
        """The cases that fit, ordered as asked, at most `limit` from `offset` on."""
        return _find(self._rows, query)[query.offset :][: query.limit]

    def count_cases(self, query: CaseQuery) -> int:
        """How many fit, without `limit` and `offset`."""
        return len(_find(self._rows, query))

    def case(self, model: str, version: str, case_id: bytes) -> Case | None:
        """One case: of several generations or tasks the newest."""
        found = _by_key(self._rows, {(model, version, case_id)})
        return found[-1] if found else None

    def case_versions(self, task: str, case_id: bytes) -> list[Case]:
        """The same input's cases of every version of the task: of each its newest generation."""
        newest = {
            (case.model, case.version): case
            for key, case in sorted(self._rows.cases.items(), key=lambda item: item[0])
            if case.task == task and case.id == case_id
        }
        return list(newest.values())

    def models(self) -> list[tuple[ModelSpec, int]]:
        """Declared models with their revision, by name."""
        return [found for _, found in sorted(self._rows.models.items())]

    def model(self, name: str) -> tuple[ModelSpec, int] | None:
        """One declared model with its revision."""
        return self._rows.models.get(name)


def _vector(state: ShardState) -> tuple[int, int, int, int]:
    return state.p, state.l, state.epoch, state.rules


def _add(total: Rows, rows: Rows) -> None:
    for key, count in rows.items():
        total[key] += count


def _fact_key(row: RulesRow | ExceptionRow) -> object:
    return row.number if isinstance(row, RulesRow) else (row.side, row.from_offset)


def _case_key(case: Case) -> CaseKey:
    return case.model, case.version, case.id, case.clock_ms, case.task


def _by_key(rows: Everything, keys: set[tuple[str, str, bytes]]) -> list[Case]:
    return [case for key, case in sorted(rows.cases.items()) if key[:3] in keys]


def _find(rows: Everything, query: CaseQuery) -> list[Case]:
    """All that fit, ordered as asked; equal ones by id, task and clock."""
    found = [case for case in rows.cases.values() if _fits(case, query)]
    found.sort(key=lambda case: (case.id, case.task, case.clock_ms))
    if query.by_score:
        found.sort(key=_score, reverse=True)
    else:
        found.sort(key=lambda case: case.event_time_us, reverse=True)
    return found


def _fits(case: Case, query: CaseQuery) -> bool:
    true = None if case.label is None else case.label.true_class
    return (
        (case.model, case.version) == (query.model, query.version)
        and (query.from_us <= 0 or query.from_us <= case.event_time_us)
        and (query.to_us >= 2**62 or case.event_time_us < query.to_us)
        and (query.true_class is None or true == query.true_class)
        and (query.predicted is None or case.predicted == query.predicted)
        and (not query.errors_only or true not in (None, case.predicted))
        and set(query.slices) <= set(case.slices)
    )


def _score(case: Case) -> float:
    scores = dict(zip(case.top_classes, case.top_scores, strict=False))
    return scores.get(case.predicted, NO_SCORE)
