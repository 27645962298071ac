"""What the truth store promises: compare-and-set of the vector plus one delta, and snapshot reads.

`truth.py` keeps these promises over SQLite and PostgreSQL. All methods raise TransientError when
the database does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from leadline.records.cases import Case, CaseRelabel
from leadline.records.cells import CellKind, Cells, Series
from leadline.records.models import ModelSpec
from leadline.records.rules import ExceptionRow, RulesRow
from leadline.runtime.store.resolution import Retention, Rolled
from leadline.runtime.store.sum_cache import Fold, SumCache


@dataclass(frozen=True, slots=True)
class LastRecord:
    """Evidence of what was read last on one side, to notice a cut or re-created topic.

    Attributes:
        offset: -1 when nothing was read yet.
        append_time_ms: -1 when nothing was read yet.
        digest: first 8 bytes (big-endian) of the SHA-256 of the record's value, as a signed number.
    """

    offset: int = -1
    append_time_ms: int = -1
    digest: int = 0


@dataclass(frozen=True, slots=True)
class ShardState:
    """The vector of one shard and what belongs to it.

    Attributes:
        shard: "main/0".
        p, l: next offset of predictions and of labels.
        epoch: changes only when the shard is rebuilt or reset.
        rules: how many rows its rules have; 0 before the first.
        predictions_clock_ms, labels_clock_ms: log clocks, the running maximum of append times.
        predictions_last, labels_last: evidence of the last record of each side.
        topic_ids: of predictions and labels; empty while unknown.
        dead_letters: records and rows refused so far.
        committed_us: wall time of the commit, for people only.
        stopped, remedy: cause and remedy; empty while the shard counts.
    """

    shard: str
    p: int = 0
    l: int = 0
    epoch: int = 0
    rules: int = 0
    predictions_clock_ms: int = 0
    labels_clock_ms: int = 0
    predictions_last: LastRecord = field(default_factory=LastRecord)
    labels_last: LastRecord = field(default_factory=LastRecord)
    topic_ids: tuple[str, str] = ("", "")
    dead_letters: int = 0
    committed_us: int = 0
    stopped: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """One micro-batch.

    Attributes:
        before: the state that must still hold (compared: shard, p, l, epoch, rules).
        after: the state to write.
        delta: what the batch adds; may subtract.
        new_series: numbers given to series in this batch; numbers count up from 0 within a shard.
        cases: cases to insert; one that is there already is replaced.
        last_seen: for each (model, version) its newest event minute in this batch.
        case_labels: labels that change, after `cases`, in their order; those of cases that were
            deleted touch nothing.
        new_rules: the next row of the shard's rules. It begins at the vector that holds, so such a
            commit adds no delta and does not move the vector; `after.rules` is one more.
        exceptions: of records that this batch reads.
    """

    before: ShardState
    after: ShardState
    delta: Cells
    new_series: Mapping[Series, int]
    cases: Sequence[Case] = ()
    last_seen: Mapping[tuple[str, str], int] = field(default_factory=dict)
    case_labels: Sequence[CaseRelabel] = ()
    new_rules: RulesRow | None = None
    exceptions: Sequence[ExceptionRow] = ()


@dataclass(frozen=True, slots=True)
class Replacement:
    """Cells of a shard that were counted anew from its log.

    Attributes:
        before: the state that must still hold (compared as in a Commit).
        after: the state to write: of the next epoch; its vector may be any.
        cells: by the minute, all kinds but ADDED and RETRACTED.
        from_minute: buckets that begin at or after it are replaced, older ones stay; 0 for all.
        new_series: numbers given to series on the way.
    """

    before: ShardState
    after: ShardState
    cells: Cells
    from_minute: int
    new_series: Mapping[Series, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """All that the cells of a shard depend on beside its records.

    Attributes:
        state: the vector.
        series: numbers, those of deleted models too.
        rules: by number; none before the first.
        exceptions: by side and offset.
        reset_minute: since this minute all cells are of this epoch's topics; before it they may
            hold also what topics of before the last reset told. 0 without a reset.
        deleted_models: their cells are not shown, and deleted when they are found.
    """

    state: ShardState
    series: Mapping[Series, int]
    rules: Sequence[RulesRow]
    exceptions: Sequence[ExceptionRow]
    reset_minute: int = 0
    deleted_models: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """A version that was counted; times in minutes since 1970-01-01 UTC, of events."""

    model: str
    version: str
    first_minute: int
    last_minute: int


@dataclass(frozen=True, slots=True)
class CaseQuery:
    """Which cases are wanted; None or empty leaves a condition out.

    Attributes:
        from_us, to_us: event time, [from, to).
        slices: (column, value) pairs that must all hold.
        by_score: by the predicted class's score, high first; else by event time, newest first.
    """

    model: str
    version: str
    from_us: int = 0
    to_us: int = 2**62
    true_class: int | None = None
    predicted: int | None = None
    errors_only: bool = False
    slices: tuple[tuple[str, str], ...] = ()
    by_score: bool = False
    limit: int = 36
    offset: int = 0


class Snapshot(Protocol):
    """One consistent state of the truth. Short-lived; for one thread."""

    def shards(self) -> list[ShardState]:
        """All shards, by name."""

    def series(self) -> list[tuple[str, int, Series]]:
        """(shard, number, series) of all series but those of deleted models."""

    def facts(self, shard: str) -> ShardFacts:
        """What the cells of a shard depend on; the zero state where there is none yet.

        Raises:
            StoppedError: its rules were written by a newer version.
        """

    def rolled(self, shard: str) -> Rolled:
        """At which resolution the cells of a shard stand, and since when there are any."""

    def cells(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """Sums by shard: the given series numbers (None: all), kinds and minutes [from, to).

        A cell has the first minute of its bucket (`rolled`) and is found by that: a question is cut
        at `rolled(shard).ceiling(kind, minute)` of its bounds, so questions that follow one another
        add up. ADDED and RETRACTED live at minute 0: a later `from_minute` leaves them out.
        """

    def totals(
        self,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
    ) -> dict[str, Cells]:
        """As `cells`, summed over the minutes as well: every cell stands at minute 0."""

    def folded(
        self,
        fold: Fold,
        numbers: Mapping[str, Collection[int]] | None,
        kinds: Collection[CellKind],
        from_minute: int = 0,
        to_minute: int = 2**32,
        kept: SumCache | None = None,
    ) -> dict[str, Cells]:
        """The fold of what `cells` gives, normalised.

        `kept` may save most of the work, and changes no answer. It is the caller's, for any number
        of snapshots of any stores.
        """

    def versions(self) -> list[VersionSeen]:
        """Versions that were counted, by model, then the one seen last first."""

    def cases(self, query: CaseQuery) -> list[Case]:
        """The cases that fit, ordered as asked, at most `limit` from `offset` on."""

    def count_cases(self, query: CaseQuery) -> int:
        """How many fit, without `limit` and `offset`."""

    def case(self, model: str, version: str, case_id: bytes) -> Case | None:
        """One case: of several generations or tasks the newest."""

    def case_versions(self, task: str, case_id: bytes) -> list[Case]:
        """The same input's cases of every version of the task: of each its newest generation."""

    def models(self) -> list[tuple[ModelSpec, int]]:
        """Declared models with their revision, by name."""

    def model(self, name: str) -> tuple[ModelSpec, int] | None:
        """One declared model with its revision."""


class TruthStore(Protocol):
    """The truth. Safe to use from several threads."""

    def migrate(self) -> int:
        """Brings the schema to this version's; returns its number. Refuses a newer schema."""

    def shard(self, name: str) -> ShardState:
        """State of a shard; the zero state, inserted, when it is new."""

    def shard_series(self, name: str) -> dict[Series, int]:
        """Series numbers of a shard."""

    def commit(self, commit: Commit) -> None:
        """One transaction: compare-and-set of the vector, the delta, new series, cases.

        Raises:
            FencedError: `commit.before` does not hold any more; nothing was written.
        """

    def mark_stopped(self, shard: str, cause: str, remedy: str) -> None:
        """Notes for people why a shard does not count on; empty texts clear it."""

    def case_labels(self, keys: Sequence[tuple[str, str, bytes]]) -> list[Case]:
        """The stored cases of the given (model, version, id) keys, with all their generations."""

    def shard_rules(self, shard: str) -> list[RulesRow]:
        """The rules of a shard by number.

        Raises:
            StoppedError: they were written by a newer version.
        """

    def shard_exceptions(self, shard: str) -> list[ExceptionRow]:
        """The exceptions of a shard by side and offset."""

    def unpublished(self, shard: str) -> list[RulesRow | ExceptionRow]:
        """Rows of a shard that the topic `rules` may not have yet, in the same order."""

    def mark_published(self, shard: str, rows: Sequence[RulesRow | ExceptionRow]) -> None:
        """Notes that the topic `rules` has these rows."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One consistent state: REPEATABLE READ, read only."""

    def save_model(self, spec: ModelSpec, expected_revision: int | None) -> int:
        """Writes a declaration if its revision is still the expected one (None: whatever it is).

        Revision 0 is that of a model that is not declared yet. Returns the new revision.

        Raises:
            FencedError: the revision has moved on.
            UsageError: a model of that name was deleted.
        """

    def compact(self, shard: str, max_deltas: int) -> int:
        """Folds the oldest deltas of a shard into blocks, in one transaction; returns how many.

        Concurrent with owners, readers and other compactors. A run is bounded in bytes too: repeat
        it until it returns 0.
        """

    def trim_cases(self, model: str, version: str, keep: int) -> list[str]:
        """Deletes all but the newest `keep` cases; returns blob keys that nobody needs now."""

    def ping(self) -> None:
        """Returns when the database answers."""

    def close(self) -> None:
        """Ends."""


class TruthKeeper(TruthStore, Protocol):
    """The truth with what keeps it small, correct and free of what was deleted."""

    def roll_up(self, shard: str, retention: Retention) -> int:
        """Makes old cells coarser, and deletes those older still; returns how many blocks it moved.

        Moves the bounds of `Snapshot.rolled` on by the shard's log clocks; what is moved is
        bounded, in one transaction, so repeat it until it returns 0. Sums do not change.
        Concurrent with owners, readers and compactors.
        """

    def delete_model(self, name: str, now_us: int) -> list[str]:
        """Deletes a model's cells, cases and declaration, for ever: its name is not used again.

        What of it is still in the log is counted into nothing. Returns blob keys that nobody needs
        now.

        Raises:
            NotFoundError: it is neither declared nor was it ever counted.
        """

    def delete_id(self, case_id: bytes, task: str, now_us: int) -> list[str]:
        """Deletes an id's cases, for ever; an empty task stands for all. Counts stay.

        Returns blob keys that nobody needs now.
        """

    def replace_cells(self, wanted: Replacement) -> None:
        """Puts recomputed cells in the place of the stored ones, in one transaction.

        Cases, rules and exceptions stay as they are. ADDED and RETRACTED grow by what CONFUSION
        changed, so counters do not fall. Owners of the old epoch are fenced. `rebuild.compare`
        tells before what would change. Reads all deltas at once: compact first.

        Raises:
            FencedError: `wanted.before` does not hold any more; nothing was written.
            ValueError: the replacement cannot be right.
        """

    def reset_shard(self, before: ShardState, after: ShardState) -> None:
        """Begins a shard's next epoch on other topics, in one transaction.

        Cells, series and cases stay. Its rules and exceptions go, since their offsets belong to the
        topics of before; `ShardFacts.reset_minute` moves behind all cells that there are.

        Args:
            before: the state that must still hold (compared as in a Commit).
            after: where to count on: of the next epoch, without rules, clocks and evidence.

        Raises:
            FencedError: `before` does not hold any more; nothing was written.
            ValueError: it cannot be right.
        """

    def purge_deleted(self) -> list[str]:
        """Deletes cases that came after their model or id was deleted; returns blob keys."""
