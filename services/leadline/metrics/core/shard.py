"""One shard's counting, pure: records in, deltas out. Time and places are arguments.

`ShardCore` holds the pending store and what is needed to turn decoded batches into cells and cases.
What it has counted is a function of the records that it was fed, however they were interleaved.

    predictions, labels, refuse    collect a step
    take                           joins the step and says what it changes
    commit, or undo                keeps it, or makes as if it had never been fed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from leadline.metrics.core.arrivals import (
    OpenLabels,
    OpenPredictions,
    Places,
    clamp,
    form_of,
)
from leadline.metrics.core.case_changes import cases_of_batch, new_cases, relabels
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.match import Facts, Outcome, step
from leadline.metrics.core.numbering import Numbers, SeriesNumbers
from leadline.metrics.core.outcome_cells import cells_of_outcome, strata_rows
from leadline.metrics.core.rows import BAND_SHIFT, NewPredictions, Rows
from leadline.metrics.core.rule_table import RuleTable
from leadline.metrics.core.segment import Segment
from leadline.metrics.core.store import PendingStore
from leadline.records.batches import I64, U32, LabelBatch, PredictionBatch
from leadline.records.cases import Case, CaseRelabel
from leadline.records.cells import CellKind, Cells, Series, count, merge, stratum_index
from leadline.records.errors import Refusal
from leadline.records.rules import RulesRow

MINUTE_MS = 60_000
HOUR_MS, HOUR_MINUTES = 3_600_000, 60
MINUTE_US = 60_000_000


@dataclass(slots=True)
class Delta:
    """What one step changes.

    Attributes:
        cells: normalised.
        new_series: series that got a number.
        cases: cases to insert.
        case_labels: labels of cases that change.
        last_seen: newest event minute by (model, version).
        refused: records and rows that went to the dead letters.
        rows: predictions and labels.
    """

    cells: Cells
    new_series: dict[Series, int]
    cases: list[Case]
    case_labels: list[CaseRelabel]
    last_seen: dict[tuple[str, str], int]
    refused: int
    rows: tuple[int, int]


@dataclass(slots=True)
class _Open:
    """The step that is being collected."""

    predictions: OpenPredictions = field(default_factory=OpenPredictions)
    labels: OpenLabels = field(default_factory=OpenLabels)
    parts: list[Cells] = field(default_factory=list)
    cases: list[tuple[int, Case]] = field(default_factory=list)
    last_seen: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: int = 0
    added: int = 0  # predictions so far


class ShardCore:
    """Counts one shard.

    Args:
        store: what waits; empty, or as a cache had it.
        series: series numbers of the shard, as the truth has them.
        rules: all rules of the shard by number, at least one.
        groups: (task, source rank, source) of labels by the number that rows in the store have.
    """

    def __init__(
        self,
        store: PendingStore,
        series: SeriesNumbers,
        rules: Sequence[RulesRow],
        groups: Sequence[object] = (),
    ) -> None:
        self.store = store
        self.series = series
        self.groups = Numbers(groups)
        self._rules: tuple[RulesRow, ...] = ()
        self._table = RuleTable(tuple(rules))
        self.set_rules(rules)
        self._open = _Open()
        self._no_groups()

    def _no_groups(self) -> None:
        """The columns of groups name tasks by number: they end with the series' numbers."""
        none = np.empty(0, np.int64)
        self._groups = (none, none)

    def __len__(self) -> int:
        """Predictions and labels that are held."""
        return len(self.store.predictions) + len(self.store.labels)

    @property
    def table(self) -> RuleTable:
        """The rules as arrays."""
        return self._table

    def set_rules(self, rules: Sequence[RulesRow]) -> None:
        """All rules of the shard, when another owner or this one has added some."""
        self._rules = tuple(rules)
        self._table = RuleTable(self._rules)

    def set_series(self, series: SeriesNumbers) -> None:
        """The series as the truth has them now, when another owner has added some."""
        self.series = series
        self._no_groups()

    def predictions(self, groups: Sequence[tuple[PredictionBatch, I64]], places: Places) -> None:
        """Collects batches of predictions, each with the record of every row.

        The records of a call are numbered from 0 and lie behind those of the calls before.
        """
        rules = self._rules[places.rule].rules
        orders = [record << 32 | np.arange(len(record)) for _, record in groups]
        numbered = self.series.of_rows(
            [(batch, order) for (batch, _), order in zip(groups, orders, strict=True)],
            rules.slices_per_version_max,
        )
        for (batch, record), series in zip(groups, numbered, strict=True):
            if not len(batch):
                continue
            append_ms = places.append_ms[record]
            event_us, clamped = clamp(
                batch.event_time_us,
                append_ms,
                rules.event_time_bound_ms,
                imported=batch.header.imported,
            )
            form = self.store.form(form_of(batch))
            for row, case in cases_of_batch(batch, places.clock_ms[record], event_us):
                self._open.cases.append((self._open.added + row, case))
            self._open.predictions.add(batch, record, places, series, event_us, form)
            self._open.added += len(batch)
            self._see(batch, event_us)
            if clamped.any():
                self._count_clamped(series[clamped], append_ms[clamped], 0)
        self._open.predictions.records += len(places.offset)

    def unobserved(self, batch: PredictionBatch, append_ms: int) -> None:
        """Counts requests that were answered and not logged, as a batch tells."""
        header = batch.header
        series = self.series.number(Series(header.model, header.version, header.task))
        for reason, number in batch.unobserved:
            part = count(
                CellKind.UNOBSERVED, series, append_ms // MINUTE_MS, int(reason), min(number, 2**62)
            )
            self._open.parts.append(part)

    def labels(self, groups: Sequence[tuple[LabelBatch, I64]], places: Places) -> None:
        """Collects batches of labels, each with the record of every row; as `predictions`."""
        rules = self._rules[places.rule].rules
        for batch, record in groups:
            if not len(batch):
                continue
            header = batch.header
            append_ms = places.append_ms[record]
            time_us, clamped = clamp(
                batch.label_time_us,
                append_ms,
                rules.event_time_bound_ms,
                imported=header.imported,
            )
            task = self.series.number(Series(task=header.task))
            group = self.groups.number((header.task, header.source_rank, header.source))
            self._open.labels.add(batch, record, places, group, time_us)
            if clamped.any():
                series = np.full(int(clamped.sum()), task, np.uint32)
                self._count_clamped(series, append_ms[clamped], 1)
        self._open.labels.records += len(places.offset)

    def refuse(self, refusals: Sequence[Refusal], append_ms: int, side: int) -> None:
        """Counts refused records and rows; side is 0 for predictions, 1 for labels."""
        nobody = self.series.number(Series())
        for refusal in refusals:
            index = side << 32 | int(refusal.reason)
            part = count(CellKind.DEAD, nobody, append_ms // MINUTE_MS, index, 1)
            self._open.parts.append(part)
        self._open.refused += len(refusals)

    def take(self, before: Clocks, after: Clocks, *, counting: bool = True) -> Delta:
        """Joins the step that was collected.

        Args:
            before: the log clocks of both sides at its beginning.
            after: and at its end.
            counting: False where the truth has it already: the delta means nothing then.
        """
        opened, self._open = self._open, _Open()
        predictions, order = opened.predictions.take()
        labels = opened.labels.take()
        facts = self._facts()
        outcome = step(self.store, predictions, labels, facts, (before, after), again=not counting)
        parts = [
            *opened.parts,
            *self._count_predictions(predictions, outcome),
            *cells_of_outcome(self.store, self.series, self._table, outcome),
        ]
        return Delta(
            cells=merge(parts),
            new_series=self.series.new(),
            cases=new_cases(opened.cases, order, outcome.duplicate),
            case_labels=list(relabels(outcome.relabelled, self.series, self.groups, facts)),
            last_seen=opened.last_seen,
            refused=opened.refused,
            rows=(len(predictions.rows), len(labels.rows)),
        )

    def commit(self) -> None:
        """The last step stands in the truth."""
        self.series.commit()
        self.store.mark_undo()

    def keep(self) -> None:
        """The last step stood in the truth before; what got a number in it did not, and loses it.

        Such are versions of pairs that come and go between two steps of the owner that counted.
        """
        self.series.undo()
        self.store.mark_undo()

    def undo(self) -> None:
        """Forgets the last step, and what was collected since."""
        self._open = _Open()
        self.series.undo()
        self._no_groups()
        self.store.undo()

    def forget(self, clocks: Clocks) -> list[Segment]:
        """Forgets rows that cannot matter any more; returns the segments that left the store."""
        gone: list[Segment] = []
        for side, keep_ms in (
            (self.store.predictions, self._table.keep_predictions_ms),
            (self.store.labels, self._table.keep_labels_ms),
        ):
            needed_ms = clocks.both_ms - keep_ms
            gone += side.forget(needed_ms)
            rows = side.rows.values
            if len(rows) and int(rows[-1]["clock_ms"]) < needed_ms:
                self.store.clear(side)
        return gone

    def _facts(self) -> Facts:
        tasks = self.series.tasks
        task_of_group, rank_of_group = self._group_columns()
        return Facts(
            rules=self._table,
            task_of_series=self.series.task_of(),
            version_of_series=self.series.version_of(),
            task_of_group=task_of_group,
            rank_of_group=rank_of_group,
            default=self._table.default(tasks.names),  # type: ignore[arg-type]
        )

    def _group_columns(self) -> tuple[I64, I64]:
        """Task and source rank of each group of labels; grows as groups come."""
        tasks, names = self.series.tasks, self.groups.names[len(self._groups[0]) :]
        if names:
            task = [tasks.number(one[0]) for one in names]  # type: ignore[index]
            rank = [one[1] for one in names]  # type: ignore[index]
            self._groups = (
                np.concatenate([self._groups[0], np.array(task, np.int64)]),
                np.concatenate([self._groups[1], np.array(rank, np.int64)]),
            )
        return self._groups

    def _see(self, batch: PredictionBatch, event_us: I64) -> None:
        key = (batch.header.model, batch.header.version)
        newest = int(event_us.max()) // MINUTE_US
        self._open.last_seen[key] = max(self._open.last_seen.get(key, 0), newest)

    def _count_predictions(self, new: NewPredictions, outcome: Outcome) -> list[Cells]:
        if not len(new.rows):
            return []
        series = np.ascontiguousarray(new.rows["series"])
        minute = (new.rows["event_ms"] // MINUTE_MS).astype(np.uint32)
        predicted = new.rows["predicted"].astype(np.uint64)
        counted = [
            count(CellKind.PREDICTED, series, minute, predicted),
            *self._count_strata(new.rows, 1),
        ]
        again = np.flatnonzero(outcome.duplicate)
        if len(again):  # few: they are taken off
            series, minute = series[again], minute[again]
            counted += [
                count(CellKind.PREDICTED, series, minute, predicted[again], -1),
                count(CellKind.DUPLICATE, series, minute, 0),
                *self._count_strata(new.rows.take(again), -1),
            ]
        return counted

    def _count_strata(self, rows: Rows, weight: int) -> list[Cells]:
        """STRATUM cells of generations."""
        at = strata_rows(rows, self._table)
        rows = rows if at is None else rows.take(at)
        if not len(rows):
            return []
        minute = (rows["event_ms"] // HOUR_MS * HOUR_MINUTES).astype(np.uint32)
        index = stratum_index(rows["predicted"], rows["flags"] >> np.uint8(BAND_SHIFT))
        series = np.ascontiguousarray(rows["series"])
        return [count(CellKind.STRATUM, series, minute, index, weight)]

    def _count_clamped(self, series: U32, append_ms: I64, side: int) -> None:
        minute = (append_ms // MINUTE_MS).astype(np.uint32)
        self._open.parts.append(count(CellKind.CLAMPED, series, minute, side))
