"""Counts a shard anew from its topics, with no truth but the facts beside the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadline.metrics.cache.cache import Cache, Held, Identity
from leadline.metrics.cache.files import CacheFiles
from leadline.metrics.core.coverage import Coverage
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.shard import ShardCore
from leadline.metrics.core.store import PendingStore
from leadline.metrics.intake import Intake
from leadline.metrics.sides import behind, cut_and_forget, feed, open_intake, topic_ids
from leadline.records.cells import HISTORY_KINDS, Cells, Series, empty_cells, merge, select
from leadline.records.errors import TransientError
from leadline.records.rules import RulesHistory
from leadline.runtime.log.port import Log, Stream
from leadline.runtime.store.port import ShardFacts
from leadline.runtime.store.resolution import Rolled, bucketed

EVENTS_PER_STEP = 50_000
"""Rows that are joined at once: bounds memory."""
HEAD_ROWS_MAX = 500_000
"""Rows of a side that wait outside segments."""
CELLS_WAITING_MIN = 1_000_000
"""Cells of steps that are kept before they are summed; as many as the sum has, when it has more."""
READ_SECONDS = 1.0
SILENT_READS_MAX = 60
"""Reads in a row that may find nothing though there is something."""

_HISTORY = np.array(sorted(HISTORY_KINDS), np.uint8)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recount is.

    Attributes:
        shard: "main/0".
        events: rows read so far.
        done, total: records of both topics.
    """

    shard: str
    events: int
    done: int
    total: int


Report = Callable[[Progress], None]


class CellSum:
    """A sum of many deltas, in memory for its distinct cells; ADDED and RETRACTED are left out.

    Args:
        rolled: at which resolution the truth stands: no finer is needed.
    """

    def __init__(self, rolled: Rolled) -> None:
        self._rolled = rolled
        self._total = empty_cells()
        self._parts: list[Cells] = []
        self._waiting = 0

    def add(self, cells: Cells) -> None:
        """Adds normalised cells."""
        self._parts.append(select(cells, ~np.isin(cells.kind, _HISTORY)))
        self._waiting += len(cells)
        if self._waiting > max(CELLS_WAITING_MIN, len(self._total)):
            self.total()

    def total(self) -> Cells:
        """The sum so far, normalised."""
        self._total = bucketed(merge([self._total, *self._parts]), self._rolled)
        self._parts, self._waiting = [], 0
        return self._total


class Recount:
    """Counts one shard from the beginning of its topics, or of its epoch. For one thread.

    Args:
        log: is read.
        stream, partition: the shard.
        facts: as the truth has them; with at least one row of rules.
        rolled: at which resolution the truth stands.
        files: for what waits; empty.
        report: told after each step.

    Raises:
        StoppedError: the topics do not hold what was counted.
    """

    def __init__(
        self,
        log: Log,
        stream: Stream,
        partition: int,
        facts: ShardFacts,
        rolled: Rolled,
        *,
        files: CacheFiles,
        report: Report = lambda _: None,
    ) -> None:
        self._name, self._facts, self._report = stream.shard(partition), facts, report
        ids = topic_ids(log, stream, facts.state.topic_ids)
        self._intakes: list[Intake[Any]] = []
        try:
            self._intakes += [open_intake(log, stream, partition, side) for side in (0, 1)]
            self._begin(ids, files)
        except BaseException:
            self.close()
            raise
        self._cells = CellSum(rolled)
        self._events = 0
        self.new_series: dict[Series, int] = {}

    def close(self) -> None:
        """Ends."""
        for intake in self._intakes:
            intake.close()

    def _begin(self, ids: tuple[str, str], files: CacheFiles) -> None:
        facts, state = self._facts, self._facts.state
        first = facts.rules[0]
        self._intakes[0].check(state.p, state.predictions_last)
        self._intakes[1].check(state.l, state.labels_last)
        epoch = (first.from_p, first.from_l)
        kept = [intake.bounds()[0] for intake in self._intakes]
        begin = [max(pair) for pair in zip(kept, epoch, strict=True)]
        for intake, position in zip(self._intakes, begin, strict=True):
            intake.resume(position, 0)
        self._first = begin[0] + begin[1]
        lost = (kept[0] > epoch[0], kept[1] > epoch[1])
        self._coverage = Coverage((begin[0], begin[1]), lost)
        store = PendingStore()
        self._cache = Cache(files)
        self._cache.load(Identity(self._name, state.epoch, ids), store, 0, 0)
        self._core = ShardCore(store, SeriesNumbers(facts.series), facts.rules)

    def advance(self, facts: ShardFacts) -> None:
        """Counts up to the vector of newer facts.

        Raises:
            TransientError: the log does not answer, or the truth was changed by somebody else than
                an owner: begin anew.
            StoppedError: the topics do not hold what was counted.
        """
        self._take_over(facts)
        ends = (facts.state.p, facts.state.l)
        while due := [each for each in self._intakes if each.position() < ends[each.number]]:
            self._step(behind(due), ends)

    def cells(self) -> Cells:
        """What was counted, without deleted models; at the truth's resolution or finer."""
        dead = [
            number
            for number, series in enumerate(self.series)
            if series.model in self._facts.deleted_models
        ]
        total = self._cells.total()
        return select(total, ~np.isin(total.series, dead)) if dead else total

    @property
    def series(self) -> tuple[Series, ...]:
        """All series, by number."""
        return self._core.series.known

    def from_minute(self) -> int:
        """The first minute whose cells must be those of the truth; it may move on by `advance`."""
        facts, state = self._facts, self._facts.state
        clocks = (state.predictions_clock_ms, state.labels_clock_ms)
        covered = self._coverage.from_minute(facts.rules, facts.exceptions, clocks)
        return max(covered, facts.reset_minute)

    def _take_over(self, facts: ShardFacts) -> None:
        """Rules, exceptions and series that owners have added."""
        known, state = self._facts, facts.state
        grown = len(facts.series) > len(known.series)
        moved_back = state.p < known.state.p or state.l < known.state.l
        if state.epoch != known.state.epoch or moved_back or (grown and self.new_series):
            raise TransientError(f"The truth of shard {self._name} was changed meanwhile.")
        if grown:
            self._core.set_series(SeriesNumbers(facts.series))
        self._core.set_rules(facts.rules)
        self._rules = RulesHistory(facts.rules)
        for intake in self._intakes:
            intake.set_exceptions(facts.exceptions)
        self._facts = facts

    def _step(self, intake: Intake[Any], ends: tuple[int, int]) -> None:
        """Reads a portion of one side, and joins it."""
        before = self._clocks()
        read, silent = 0, 0
        while read < EVENTS_PER_STEP and intake.position() < ends[intake.number]:
            wanted = EVENTS_PER_STEP - read
            records = intake.read(wanted, READ_SECONDS, end=ends[intake.number])
            silent = 0 if records else silent + 1
            if silent > SILENT_READS_MAX:
                raise TransientError(
                    f"Topic {intake.topic!r} gives no record at offset {intake.position()}."
                )
            for stretch in intake.stretches(records, self._rules, None, 0):
                rows = feed(self._core, intake, stretch)
                self._coverage.see(intake.number, stretch.places)
                if stretch.decoded.stopped is not None:
                    raise stretch.decoded.stopped
                read += max(rows, len(stretch.records))
                self._events += rows
        self._join(before)
        self._tell(ends)

    def _join(self, before: Clocks) -> None:
        after = self._clocks()
        delta = self._core.take(before, after)
        self._core.commit()
        self._cells.add(delta.cells)
        self.new_series |= delta.new_series
        groups: Any = list(self._core.groups.names)
        position = (self._intakes[0].position(), self._intakes[1].position())
        cut_and_forget(self._core, self._cache, Held(*position, after, groups), HEAD_ROWS_MAX)

    def _clocks(self) -> Clocks:
        return Clocks(*(intake.clock_ms for intake in self._intakes))

    def _tell(self, ends: tuple[int, int]) -> None:
        done = sum(intake.position() for intake in self._intakes) - self._first
        self._report(Progress(self._name, self._events, done, max(sum(ends) - self._first, done)))
