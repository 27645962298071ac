"""The reader: one consistent snapshot of the truth per answer, and the vector it holds at.

Every answer is a pure function of the snapshot and the scope; `core` computes it. Answers are kept
by (vector, scope): while nothing is counted, nobody pays twice. All methods block on the store and
are safe to call from several threads; they raise TransientError when the store does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

from leadline.metrics.answers import CrossingList, ModelRow, SliceList, Summary, Survey, Timeline
from leadline.metrics.core import scope as scopes
from leadline.metrics.core.scope import Ends, Last, Position, Scope, Window
from leadline.metrics.core.version_pairs import PairCounts
from leadline.metrics.findings import Judged
from leadline.metrics.moment import Cache, Moment, pick, positions, row, rows
from leadline.metrics.scored import ScoredCounts
from leadline.records.cases import Case
from leadline.records.errors import NotFoundError
from leadline.runtime.clock import Clock
from leadline.runtime.store.port import CaseQuery, TruthStore
from leadline.runtime.store.sum_cache import SumCache

CACHE_ENTRIES = 256
"""Answers kept; one of 1,000 classes holds about 0.5 MB, so at most about 128 MB."""
SUMS_BYTES = 128 * 1024 * 1024
"""Sums of stored cells kept from answer to answer."""


class Reader:
    """Answers questions out of a truth store.

    Args:
        store: where the truth is.
        clock: for windows that end now.
        cache_entries: answers kept at most.
        sums_bytes: of sums of stored cells, which outlive the vector: answers are computed from
            those that still hold; 0 keeps none.
        ends: the ends of the topics, when the reader can see the log; then `exact_until_ms` is
            exact, else it is a lower bound.
    """

    def __init__(
        self,
        store: TruthStore,
        clock: Clock,
        *,
        cache_entries: int = CACHE_ENTRIES,
        sums_bytes: int = SUMS_BYTES,
        ends: Callable[[], Ends | None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._cache = Cache(cache_entries)
        self._sums = SumCache(sums_bytes)
        self._ends = ends

    def vector(self) -> tuple[Position, ...]:
        """Where the counting stands, by shard name."""
        with self._store.snapshot() as snapshot:
            return positions(snapshot)

    def state(self) -> Hashable:
        """Equal to an earlier one as long as no answer can have changed: vector, models, minute."""
        with self._store.snapshot() as snapshot:
            revisions = tuple((spec.name, revision) for spec, revision in snapshot.models())
            minute = self._clock.now_us() // scopes.MINUTE_US
            return positions(snapshot), revisions, minute

    def status(self) -> tuple[tuple[Position, ...], int]:
        """The vector, and the append time in milliseconds up to which every record is counted."""
        vector = self.vector()
        return vector, self._exact_until_ms(vector)

    def version(self, model: str, version: str = "") -> str:
        """The version meant; raises NotFoundError when there is none."""
        with self._store.snapshot() as snapshot:
            return pick(row(snapshot, model), version)

    def summary(self, scope: Scope) -> Summary:
        """Headline and per-class figures; raises NotFoundError for an unknown version."""
        with self._open() as moment:
            return moment.summary(scope)

    def summaries(
        self, window: Window | Last | None, after: str, limit: int
    ) -> tuple[list[Summary], bool]:
        """Champions' figures of `limit` models named after `after`, and whether more are."""
        with self._open() as moment:
            rows = [row for row in moment.rows() if row.name > after and row.champion]
            found = [moment.summary(Scope(row.name, row.champion, window)) for row in rows[:limit]]
            return found, len(rows) > limit

    def timeline(self, scope: Scope, step_minutes: int = 0) -> Timeline:
        """Figures by steps of that many minutes; 0 chooses about 48 steps.

        Raises:
            NotFoundError: unknown version.
            UsageError: the window has more than `STEPS_MAX` such steps.
        """
        with self._open() as moment:
            return moment.timeline(scope, step_minutes)

    def slices(self, scope: Scope) -> SliceList:
        """The slices of a scope; raises NotFoundError for an unknown version."""
        with self._open() as moment:
            return moment.slices(scope)

    def crossings(self, scope: Scope, columns: tuple[str, ...]) -> CrossingList:
        """The combinations of values of some slice columns; raises NotFoundError as `slices`.

        Args:
            scope: what is asked about.
            columns: different ones, at least one.
        """
        with self._open() as moment:
            return moment.crossings(scope, columns)

    def scored(self, scope: Scope) -> tuple[Summary, ScoredCounts]:
        """The figures and the scores of the whole hours that a window touches.

        Raises NotFoundError for an unknown version.
        """
        with self._open() as moment:
            return moment.scored(scope)

    def pairs(self, scope: Scope, challenger: str) -> PairCounts:
        """What a version and another one of its model said of the same labelled inputs.

        Slices are those of whichever prediction came first. Raises NotFoundError for an unknown
        version.
        """
        with self._open() as moment:
            return moment.pairs(scope, challenger)

    def findings(self, scope: Scope) -> Judged:
        """What advice is given about, of one snapshot; raises NotFoundError as `summary`."""
        with self._open() as moment:
            return moment.findings(scope)

    def cases(self, page: CaseQuery, query: CaseQuery) -> tuple[list[Case], int]:
        """The cases of a page, and how many fit the whole query, of one snapshot."""
        with self._store.snapshot() as snapshot:
            return snapshot.cases(page), snapshot.count_cases(query)

    def case(self, model: str, version: str, case_id: bytes) -> tuple[Case, list[Case]]:
        """A case, and the same input's cases of the task's other versions.

        Raises:
            NotFoundError: it was not kept, or is trimmed.
        """
        with self._store.snapshot() as snapshot:
            case = snapshot.case(model, version, case_id)
            if case is None:
                raise NotFoundError(
                    f"No case {case_id.hex()} of version {version!r} of model {model!r} is kept.",
                    "ListCases names those that are kept.",
                )
            same = snapshot.case_versions(case.task, case_id)
            return case, [each for each in same if (each.model, each.version) != (model, version)]

    def model(self, name: str) -> ModelRow:
        """One model; raises NotFoundError when it is neither declared nor counted."""
        with self._store.snapshot() as snapshot:
            return row(snapshot, name)

    def models(self) -> list[ModelRow]:
        """Models that are declared or counted, by name."""
        with self._store.snapshot() as snapshot:
            return rows(snapshot)

    def survey(self, windows_minutes: Sequence[int], versions_max: int) -> Survey:
        """What an exporter shows, all out of one snapshot.

        Args:
            windows_minutes: lengths of the windows that end now.
            versions_max: at most so many versions, those seen last.
        """
        with self._open() as moment:
            return moment.survey(windows_minutes, versions_max)

    @contextmanager
    def _open(self) -> Iterator[Moment]:
        with self._store.snapshot() as snapshot:
            vector = positions(snapshot)
            until = self._exact_until_ms(vector)
            yield Moment(snapshot, vector, until, self._clock.now_us(), self._cache, self._sums)

    def _exact_until_ms(self, vector: tuple[Position, ...]) -> int:
        ends = self._ends() if self._ends else None
        return scopes.exact_until_ms(vector, ends, self._clock.now_us() // 1000)
