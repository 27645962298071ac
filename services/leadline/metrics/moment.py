"""Answers out of one snapshot of the truth, at one wall time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from leadline.metrics.answers import (
    Basis,
    CrossingList,
    History,
    ModelRow,
    SliceList,
    Summary,
    Survey,
    Timeline,
)
from leadline.metrics.core import scope as scopes
from leadline.metrics.core import timeline as timelines
from leadline.metrics.core import view
from leadline.metrics.core.figures import Figures, Tally, confusion_of, delay_of, figures
from leadline.metrics.core.merging import absorbed, merged
from leadline.metrics.core.notices import MERGED, Facts, notices
from leadline.metrics.core.scope import EVERYTHING, Last, Position, Scope, Window
from leadline.metrics.core.version_pairs import PairCounts
from leadline.metrics.findings import Judged, findings_of
from leadline.metrics.scored import (
    HOUR_MINUTES,
    ScoredCounts,
    pairs_of_versions,
    scored_counts,
    whole_hours,
)
from leadline.records.cells import CellKind, Cells, Series, concatenate
from leadline.records.errors import NotFoundError, UsageError
from leadline.runtime.store.port import ShardState, Snapshot, VersionSeen
from leadline.runtime.store.sum_cache import OverTime, SumCache

STEPS_MAX = 2000
"""Steps of one timeline: more than any screen has pixels, and each costs some 50 us."""

T = TypeVar("T")


@dataclass(slots=True)
class Cache:
    """The answers asked for last, by key; the oldest leave first."""

    entries_max: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    entries: OrderedDict[Hashable, object] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The answer of that key, computed outside the lock when it is not there."""
        with self.lock:
            if key in self.entries:
                self.entries.move_to_end(key)
                return cast("T", self.entries[key])
        answer = compute()
        with self.lock:
            self.entries[key] = answer
            while len(self.entries) > self.entries_max:
                self.entries.popitem(last=False)
        return answer


class Moment:
    """One snapshot at one wall time; lives as long as the snapshot.

    Args:
        snapshot: answers come out of it.
        vector, exact_until_ms: where it holds.
        now_us: the wall time.
        cache: answers of before.
        sums: sums of stored cells of before.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        vector: tuple[Position, ...],
        exact_until_ms: int,
        now_us: int,
        cache: Cache,
        sums: SumCache,
    ) -> None:
        self._snapshot = snapshot
        self._vector = vector
        self._exact_until_ms = exact_until_ms
        self._now_us = now_us
        self._cache = cache
        self._sums = sums
        self._rows: list[ModelRow] | None = None
        self._series: list[tuple[str, int, Series]] | None = None

    def rows(self) -> list[ModelRow]:
        """Models that are declared or counted, by name."""
        if self._rows is None:
            self._rows = rows(self._snapshot)
        return self._rows

    def summary(self, scope: Scope) -> Summary:
        """See `Reader.summary`."""
        row, scope = self._resolved(scope)
        everything = scope.window == EVERYTHING  # then the minutes say where predictions lie
        return self._kept(
            "summary",
            row,
            scope,
            lambda: self._summary(row, scope, self._cells(scope, by_minute=everything)),
        )

    def timeline(self, scope: Scope, step_minutes: int) -> Timeline:
        """See `Reader.timeline`."""
        basis = self.summary(scope).basis
        row, scope = self._resolved(scope)
        window = basis.window or Window(0, 0)
        step = step_minutes or scopes.step_minutes(window)
        if window.minutes > step * STEPS_MAX:
            raise UsageError(
                f"A step of {step} minutes cuts this window into more than {STEPS_MAX} steps.",
                f"Ask for a step of at least {-(-window.minutes // STEPS_MAX)} minutes.",
            )
        return self._kept(
            f"timeline {step}", row, scope, lambda: self._timeline(scope, basis, window, step)
        )

    def slices(self, scope: Scope) -> SliceList:
        """See `Reader.slices`."""
        basis = self.summary(scope).basis
        row, scope = self._resolved(scope)
        return self._kept("slices", row, scope, lambda: self._slices(scope, basis))

    def crossings(self, scope: Scope, columns: tuple[str, ...]) -> CrossingList:
        """See `Reader.crossings`."""
        basis = self.summary(scope).basis
        row, scope = self._resolved(scope)
        return self._kept(
            ("crossings", columns),
            row,
            scope,
            lambda: CrossingList(
                basis, view.crossing_listing(*self._slice_cells(scope), columns=columns)
            ),
        )

    def scored(self, scope: Scope) -> tuple[Summary, ScoredCounts]:
        """See `Reader.scored`."""
        row, scope = self._resolved(scope)
        scope, counts = self._scored(row, scope)
        return self.summary(scope), counts

    def pairs(self, scope: Scope, challenger: str) -> PairCounts:
        """See `Reader.pairs`."""
        row, scope = self._resolved(scope)
        window = cast("Window", scope.window)
        versions = [
            self._with_plain(scope.model, version, scope.slices)
            for version in (scope.version, pick(row, challenger))
        ]
        return self._kept(
            f"pairs {challenger}",
            row,
            scope,
            lambda: pairs_of_versions(self._snapshot, versions[0], versions[1], window),
        )

    def findings(self, scope: Scope) -> Judged:
        """See `Reader.findings`."""
        summary = self.summary(scope)
        _, hourly = self.scored(scope)
        timeline = self.timeline(scope, 0)
        return findings_of(summary, hourly, timeline, self.slices(scope), self._now_us)

    def _with_plain(
        self, model: str, version: str, slices: scopes.Slices
    ) -> tuple[scopes.Numbers, scopes.Numbers]:
        """Series numbers of a version, and of it without slices, by which pairs name it."""
        series = self._all_series()
        plain = [each for each in series if not each[2].slices]
        return (
            scopes.of_version(series, model, version, slices),
            scopes.of_version(plain, model, version),
        )

    def survey(self, windows_minutes: Sequence[int], versions_max: int) -> Survey:
        """See `Reader.survey`."""
        rows = {row.name: row for row in self.rows()}
        seen = [version for row in rows.values() for version in row.versions]
        seen = sorted(seen, key=lambda each: (-each.last_minute, each.model, each.version))
        seen = sorted(seen[:versions_max], key=lambda each: (each.model, each.version))
        widest = scopes.resolve(Last(max(windows_minutes)), self._now_us)
        summaries: list[tuple[int, Summary]] = []
        scores: list[ScoredCounts | None] = []
        for each in seen:
            cells = self._cells(Scope(each.model, each.version, widest), by_minute=True)
            row = rows[each.model]
            for minutes in windows_minutes:
                window = scopes.resolve(Last(minutes), self._now_us)
                scope = Scope(each.model, each.version, window)
                summaries.append((minutes, self._summary(row, scope, view.within(cells, window))))
                scores.append(self._scored(row, scope)[1] if minutes >= HOUR_MINUTES else None)
        return Survey(
            self._vector,
            self._exact_until_ms,
            self._histories([(each.model, each.version) for each in seen]),
            tuple(summaries),
            tuple(scores),
        )

    def _scored(self, row: ModelRow, scope: Scope) -> tuple[Scope, ScoredCounts]:
        """The scope widened to whole hours, and what is counted of scores there."""
        series = self._all_series()
        numbers = scopes.of_version(series, scope.model, scope.version, scope.slices)
        hours = whole_hours(self._snapshot, numbers, cast("Window", scope.window))
        scope = replace(scope, window=hours)
        return scope, self._kept(
            "scored", row, scope, lambda: scored_counts(self._snapshot, numbers, hours)
        )

    def _summary(self, row: ModelRow, scope: Scope, cells: dict[str, Cells]) -> Summary:
        series = self._all_series()
        scoped = scopes.of_version(series, scope.model, scope.version, scope.slices)
        counts = view.count(cells, scoped)
        declared = len(row.spec.classes) if row.spec else 0
        found = figures(
            counts.predicted,
            confusion_of(counts.confusion),
            counts.ranks,
            counts.delays,
            declared,
        )
        gone = absorbed(scope.merges)
        if gone:
            own = tuple(each for each in found.classes if each.number not in gone)
            found = replace(found, classes=own)
        facts = Facts(
            model=row.name,
            counts=counts,
            predictions=found.predictions,
            labelled=found.accuracy.trials,
            declared=row.spec is not None,
            id_from=row.spec.id_from if row.spec else "",
            vector=self._vector,
        )
        seen = [each.last_minute for each in row.versions if each.version == scope.version]
        return Summary(
            model=row.name,
            version=scope.version,
            spec=row.spec,
            basis=self._basis(row, scope, counts, found),
            figures=found,
            counts=counts,
            notices=(*notices(facts), *([MERGED] if scope.merges else [])),
            last_prediction_minute=seen[0] if seen else None,
            last_label_ms=max((each.labels_clock_ms for each in self._vector), default=0),
            merges=scope.merges,
        )

    def _basis(self, row: ModelRow, scope: Scope, counts: view.Counts, found: Figures) -> Basis:
        asked = cast("Window", scope.window)
        return Basis(
            vector=self._vector,
            exact_until_ms=self._exact_until_ms,
            window=counts.observed if asked == EVERYTHING else asked,
            predictions=found.predictions,
            labelled=found.accuracy.trials,
            log_rate=row.spec.log_rate if row.spec else 1.0,
        )

    def _timeline(self, scope: Scope, basis: Basis, window: Window, step: int) -> Timeline:
        numbers = scopes.of_version(self._all_series(), scope.model, scope.version, scope.slices)
        cells = self._snapshot.folded(
            timelines.Margins(step, scope.merges),
            numbers,
            timelines.TIMELINE_KINDS,
            window.from_minute,
            window.to_minute,
            self._sums,
        )
        delays = view.sums(concatenate(cells.values()), CellKind.DELAY)
        late = delay_of(delays).p95_seconds
        settled = None if late is None else self._now_us - int(late * 1_000_000)
        return Timeline(basis, step, timelines.timeline(cells, window, step), settled)

    def _slices(self, scope: Scope, basis: Basis) -> SliceList:
        return SliceList(basis, view.slice_listing(*self._slice_cells(scope)))

    def _slice_cells(self, scope: Scope) -> tuple[dict[str, Cells], list[tuple[str, int, Series]]]:
        """Cells of `SLICE_KINDS` of the scope, and its series."""
        series = self._all_series()
        numbers = scopes.of_version(series, scope.model, scope.version, scope.slices)
        window = cast("Window", scope.window)
        cells = self._snapshot.cells(
            numbers, view.SLICE_KINDS, window.from_minute, window.to_minute
        )
        scoped = [each for each in series if each[1] in numbers.get(each[0], ())]
        return {shard: merged(each, scope.merges) for shard, each in cells.items()}, scoped

    def _cells(self, scope: Scope, *, by_minute: bool) -> dict[str, Cells]:
        """Cells of the scope, of its version without slices, and of its tasks, in its window.

        Summed over the window unless they are wanted by the minute: a month is much quicker so.
        """
        series = self._all_series()
        window = cast("Window", scope.window)
        numbers = scopes.union(
            scopes.of_version(series, scope.model, scope.version, scope.slices),
            scopes.of_version(
                [each for each in series if not each[2].slices], scope.model, scope.version
            ),
            scopes.of_tasks(series, scopes.tasks_of(series, scope.model, scope.version)),
        )
        kinds = (*view.SCOPED_KINDS, *view.BESIDE_KINDS)
        minutes = (window.from_minute, window.to_minute)
        if by_minute:
            found = self._snapshot.cells(numbers, kinds, *minutes)
        else:
            found = self._snapshot.folded(OverTime(), numbers, kinds, *minutes, self._sums)
        return {shard: merged(each, scope.merges) for shard, each in found.items()}

    def _histories(self, versions: Sequence[tuple[str, str]]) -> tuple[History, ...]:
        series = self._all_series()
        numbers = {each: scopes.of_version(series, *each) for each in versions}
        kinds = (CellKind.ADDED, CellKind.RETRACTED)
        cells = self._snapshot.cells(scopes.union(*numbers.values()), kinds)
        return tuple(
            History(model, version, *_grown(view.of_series(cells, numbers[model, version])))
            for model, version in versions
        )

    def _resolved(self, scope: Scope) -> tuple[ModelRow, Scope]:
        rows = {row.name: row for row in self.rows()}
        if scope.model not in rows:
            raise _no_model(scope.model)
        row = rows[scope.model]
        window = scopes.resolve(scope.window, self._now_us)
        return row, replace(scope, version=pick(row, scope.version), window=window)

    def _kept(self, what: Hashable, row: ModelRow, scope: Scope, compute: Callable[[], T]) -> T:
        return self._cache.get((what, self._vector, self._exact_until_ms, row, scope), compute)

    def _all_series(self) -> list[tuple[str, int, Series]]:
        if self._series is None:
            self._series = self._snapshot.series()
        return self._series


def _grown(shards: dict[str, Cells]) -> tuple[Tally, Tally]:
    cells = concatenate(shards.values())
    return view.sums(cells, CellKind.ADDED), view.sums(cells, CellKind.RETRACTED)


def positions(snapshot: Snapshot) -> tuple[Position, ...]:
    """The vector of a snapshot, by shard name."""
    return tuple(_position(state) for state in snapshot.shards())


def _position(state: ShardState) -> Position:
    return Position(
        shard=state.shard,
        p=state.p,
        l=state.l,
        epoch=state.epoch,
        predictions_clock_ms=state.predictions_clock_ms,
        labels_clock_ms=state.labels_clock_ms,
        committed_us=state.committed_us,
        dead_letters=state.dead_letters,
        stopped=state.stopped,
        remedy=state.remedy,
    )


def rows(snapshot: Snapshot) -> list[ModelRow]:
    """Models that are declared or counted, by name."""
    declared = {spec.name: (spec, revision) for spec, revision in snapshot.models()}
    seen: dict[str, list[VersionSeen]] = {}
    for each in snapshot.versions():
        seen.setdefault(each.model, []).append(each)
    found = []
    for name in sorted(declared.keys() | seen.keys()):
        spec, revision = declared.get(name, (None, 0))
        found.append(ModelRow(name, spec, revision, tuple(seen.get(name, ()))))
    return found


def row(snapshot: Snapshot, name: str) -> ModelRow:
    """One model; raises NotFoundError when it is neither declared nor counted."""
    for each in rows(snapshot):
        if each.name == name:
            return each
    raise _no_model(name)


def _no_model(name: str) -> NotFoundError:
    return NotFoundError(
        f"No model {name!r} is declared, and none was counted.",
        "ListModels names the models; check that predictions are logged under this name.",
    )


def pick(row: ModelRow, version: str) -> str:
    """The version meant: the champion when empty.

    Raises:
        NotFoundError: it was never counted.
    """
    meant = version or row.champion
    counted = {each.version for each in row.versions}
    if meant and (meant == row.champion or meant in counted):
        return meant
    known = ", ".join(each.version for each in row.versions[:8])
    what = f"version {version!r}" if version else "version yet"
    raise NotFoundError(
        f"Model {row.name!r} has no {what}; counted: {known or 'none'}.",
        "GetModel lists the versions that were counted.",
    )
