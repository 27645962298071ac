"""A shard's truth against its log: proved equal cell by cell, replaced, or begun anew.

Owners may count on meanwhile. The recount follows the vector; at the end one snapshot gives the
cells together with their vector, and the last records up to it are counted before they are
compared. A replacement is fenced by the vector, so it is tried again where an owner was quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from leadline.metrics.cache.files import CacheFiles
from leadline.metrics.intake import Intake
from leadline.metrics.recount import Recount, Report
from leadline.metrics.sides import open_intake, topic_ids
from leadline.records.cells import HISTORY_KINDS, CellKind, Series
from leadline.records.errors import FencedError, StoppedError, TransientError, UsageError
from leadline.runtime.log.port import Log, Stream
from leadline.runtime.store.port import LastRecord, Replacement, ShardFacts, ShardState, TruthKeeper
from leadline.runtime.store.rebuild import Comparison, compare, covered

COUNTED = frozenset(CellKind) - HISTORY_KINDS
ATTEMPTS_MAX = 200
"""Replacements that may come second to an owner's commit; each goes on from the one before."""
COMPACTED_AT_ONCE = 1_000
"""Deltas that are folded in one transaction before a replacement."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a comparison has found.

    Attributes:
        shard: "main/0".
        state: the vector at which it was made.
        comparison: equal where nothing differs.
        from_minute: buckets that begin before it were not compared; 0: everything was.
        minutes: first minute that was compared, and one past the last; (0, 0) for none.
        series: of the shard, by number.
    """

    shard: str
    state: ShardState
    comparison: Comparison
    from_minute: int
    minutes: tuple[int, int]
    series: tuple[Series, ...]

    @property
    def is_equal(self) -> bool:
        """Whether no cell differs."""
        return len(self.comparison.differing) == 0


class ShardRebuild:
    """The recount of one shard beside its truth. For one thread; to be closed.

    Args:
        log, store: the world; closed by the caller.
        stream, partition: the shard.
        files: for what waits; empty.
        report: told of the recount's progress.

    Raises:
        UsageError: nothing was counted yet.
        StoppedError: the topics do not hold what was counted.
    """

    def __init__(
        self,
        log: Log,
        store: TruthKeeper,
        stream: Stream,
        partition: int,
        *,
        files: CacheFiles,
        report: Report = lambda _: None,
    ) -> None:
        self.name, self._store = stream.shard(partition), store
        with store.snapshot() as snapshot:
            facts, rolled = snapshot.facts(self.name), snapshot.rolled(self.name)
        if not facts.rules:
            raise UsageError(
                f"Nothing of shard {self.name} was counted yet.", "Let an owner count it first."
            )
        self._recount = Recount(log, stream, partition, facts, rolled, files=files, report=report)
        self._facts = facts

    def close(self) -> None:
        """Ends."""
        self._recount.close()

    def compare(self) -> Finding:
        """Counts up to the vector, and compares every cell that the topics cover."""
        recount, name = self._recount, self.name
        recount.advance(self._facts)
        with self._store.snapshot() as snapshot:
            facts, rolled = snapshot.facts(name), snapshot.rolled(name)
            from_minute = recount.from_minute()
            numbers = range(len(facts.series) + len(recount.new_series))
            stored = snapshot.cells({name: numbers}, COUNTED, from_minute)[name]
        recount.advance(facts)
        self._facts = facts
        from_minute = max(from_minute, recount.from_minute())
        recomputed = covered(recount.cells(), rolled, from_minute)
        minutes = (0, 0)
        if len(recomputed):
            minutes = (int(recomputed.minute.min()), int(recomputed.minute.max()) + 1)
        found = compare(stored, recomputed, rolled, from_minute)
        return Finding(name, facts.state, found, from_minute, minutes, recount.series)

    def replace(self, now_us: int) -> ShardState:
        """Writes what was recounted in the place of what is stored, in the next epoch.

        Owners of the old epoch are fenced and read anew by themselves.

        Returns:
            The new state.

        Raises:
            TransientError: owners were quicker each time.
        """
        self._compact()
        for _ in range(ATTEMPTS_MAX):
            facts = self._look()
            self._recount.advance(facts)
            after = replace(
                facts.state,
                epoch=facts.state.epoch + 1,
                committed_us=now_us,
                stopped="",
                remedy="",
            )
            wanted = Replacement(
                facts.state,
                after,
                self._recount.cells(),
                self._recount.from_minute(),
                self._recount.new_series,
            )
            try:
                self._store.replace_cells(wanted)
            except FencedError:
                continue
            return after
        raise TransientError(
            f"The owner of shard {self.name} was quicker {ATTEMPTS_MAX} times: stop it, and run "
            "this again."
        )

    def _compact(self) -> None:
        """A replacement reads all deltas at once: few of them are left."""
        while self._store.compact(self.name, COMPACTED_AT_ONCE):
            pass

    def _look(self) -> ShardFacts:
        with self._store.snapshot() as snapshot:
            return snapshot.facts(self.name)


def reset_shard(
    log: Log, store: TruthKeeper, stream: Stream, partition: int, now_us: Callable[[], int]
) -> tuple[ShardState, ShardState]:
    """Lets a shard count on from topics that do not hold any more what was counted.

    A topic that was re-created is counted from its beginning. One that is still the same goes on
    where it was counted to, or at its beginning or end where that lies behind or before. All cells
    stay. What waited is forgotten: labels that come for predictions of before are unmatched.

    Returns:
        The states before and after.

    Raises:
        UsageError: both topics hold what was counted.
        StoppedError: a topic is missing.
        TransientError: the log or the store does not answer, or an owner moved on meanwhile.
    """
    name = stream.shard(partition)
    with store.snapshot() as snapshot:
        before = snapshot.facts(name).state
    ids = topic_ids(log, stream)
    places = ((before.p, before.predictions_last), (before.l, before.labels_last))
    begins, is_new = [], []
    for side, (position, last) in enumerate(places):
        intake = open_intake(log, stream, partition, side)
        try:
            known = before.topic_ids[side]
            recreated = bool(known) and known != ids[side]
            is_new.append(recreated or not _holds(intake, position, last))
            begin, end = intake.bounds()
            anew = recreated or (not known and is_new[-1])
            begins.append(begin if anew else min(max(position, begin), end))
        finally:
            intake.close()
    if not any(is_new):
        raise UsageError(
            f"Both topics hold what was counted of shard {name}: there is nothing to reset.",
            "Without --reset its cells are compared with the log; --replace mends them.",
        )
    after = ShardState(
        name,
        begins[0],
        begins[1],
        before.epoch + 1,
        topic_ids=ids,
        dead_letters=before.dead_letters,
        committed_us=now_us(),
    )
    store.reset_shard(before, after)
    return before, after


def _holds(intake: Intake[object], position: int, last: LastRecord) -> bool:
    """Whether a topic still holds what was counted."""
    try:
        intake.check(position, last)
    except StoppedError:
        return False
    return True
