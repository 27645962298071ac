"""One shard's counting, pure: records in, deltas out. Time and places are arguments.

`ShardCore` holds the pending store and what is needed to turn decoded batches into cells and cases.
Its state is a function of the records that it was fed, whatever the interleaving of the two sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from leadline.metrics.core.changed_pairs import fold_changed, fold_minutes
from leadline.metrics.core.fold import cells_of, clamp
from leadline.metrics.core.join import (
    NO_CASE,
    Changes,
    LabelArrivals,
    PendingStore,
    PredictionArrivals,
    WinningLabel,
    ranked_classes,
)
from leadline.metrics.core.numbering import Numbers, SeriesNumbers
from leadline.records.batches import I64, U32, LabelBatch, PredictionBatch
from leadline.records.cases import Case, CaseLabel
from leadline.records.cells import CellKind, Cells, Series, merge
from leadline.records.errors import Refusal
from leadline.records.ids import sample_hash, unpack_id

MINUTE_US = 60_000_000
MINUTE_MS = 60_000
TOP_SHOWN = 5
"""Classes with their scores that a case keeps for people."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands.

    Attributes:
        offset: in its partition.
        append_ms: set by the log.
    """

    offset: int
    append_ms: int


@dataclass(slots=True)
class Delta:
    """What was counted since the last `take`.

    Attributes:
        cells: normalised.
        new_series: series that got a number.
        cases: cases to insert or replace.
        last_seen: newest event minute by (model, version).
        refused: records and rows that went to the dead letters.
    """

    cells: Cells
    new_series: dict[Series, int]
    cases: list[Case]
    last_seen: dict[tuple[str, str], int]
    refused: int


@dataclass(slots=True)
class _Open:
    """The delta that is being collected."""

    parts: list[Cells] = field(default_factory=list)
    cases: dict[int, Case] = field(default_factory=dict)
    last_seen: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: int = 0


class ShardCore:
    """Counts one shard.

    Args:
        pending: an empty pending store.
        series: series numbers of the shard, as the truth has them.
        event_time_bound_us: event times are clamped to the append time +- this.
    """

    def __init__(
        self, pending: PendingStore, series: SeriesNumbers, event_time_bound_us: int
    ) -> None:
        self._pending = pending
        self._series = series
        self._bound_us = event_time_bound_us
        self._tasks = Numbers()
        self._versions = Numbers()
        self._sources = Numbers()
        self._cases: list[Case] = []
        self._open = _Open()

    def __len__(self) -> int:
        return len(self._pending)

    def predictions(self, batch: PredictionBatch, place: Place) -> None:
        """Counts a batch of predictions."""
        self._count_unobserved(batch, place)
        if not len(batch):
            return
        header = batch.header
        event_us, clamped = clamp(
            batch.event_time_us, place.append_ms, self._bound_us, imported=header.imported
        )
        arrivals = PredictionArrivals(
            task=self._tasks.number(header.task),
            version=self._versions.number((header.model, header.version)),
            ids=batch.ids,
            series=self._series.of_rows(batch),
            minute=(event_us // MINUTE_US).astype(np.uint32),
            event_ms=event_us // 1000,
            predicted=batch.predicted,
            ranked=ranked_classes(batch.scores, batch.top_classes, batch.predicted),
            case=self._new_cases(batch, event_us, place.append_ms),
        )
        changes = self._pending.add_predictions(arrivals)
        self._count_predictions(batch, arrivals, changes)
        self._count_changes(header.task, changes)
        self._count_clamped(arrivals.series[clamped], place, 0)

    def labels(self, batch: LabelBatch, place: Place) -> None:
        """Counts a batch of labels."""
        if not len(batch):
            return
        header = batch.header
        time_us, clamped = clamp(
            batch.label_time_us, place.append_ms, self._bound_us, imported=header.imported
        )
        arrivals = LabelArrivals(
            task=self._tasks.number(header.task),
            rank=header.source_rank,
            source=self._sources.number(header.source),
            offset=place.offset,
            ids=batch.ids,
            time_us=time_us,
            arrival_ms=time_us // 1000
            if header.imported
            else np.full(len(batch), place.append_ms, np.int64),
            true_class=batch.true_class,
        )
        self._count_changes(header.task, self._pending.add_labels(arrivals))
        if clamped.any():
            series = np.full(int(clamped.sum()), self._task_series(header.task), np.uint32)
            self._count_clamped(series, place, 1)

    def refuse(self, refusals: tuple[Refusal, ...], place: Place, topic: int) -> None:
        """Counts refused records and rows; topic is 0 for predictions, 1 for labels."""
        if not refusals:
            return
        reasons = np.array([refusal.reason for refusal in refusals], np.uint64)
        index = np.uint64(topic) << np.uint64(32) | reasons
        minute = place.append_ms // MINUTE_MS
        nobody = self._series.number(Series())
        self._open.parts.append(cells_of(CellKind.DEAD, nobody, minute, index, 1))
        self._open.refused += len(refusals)

    def take(self) -> Delta:
        """What was counted since the last call."""
        taken, self._open = self._open, _Open()
        return Delta(
            cells=merge(taken.parts),
            new_series=self._series.take_new(),
            cases=list(taken.cases.values()),
            last_seen=taken.last_seen,
            refused=taken.refused,
        )

    def _count_predictions(
        self, batch: PredictionBatch, arrivals: PredictionArrivals, changes: Changes
    ) -> None:
        fresh, again = ~changes.duplicate, changes.duplicate
        parts = self._open.parts
        parts.append(
            cells_of(
                CellKind.PREDICTED,
                arrivals.series[fresh],
                arrivals.minute[fresh],
                arrivals.predicted[fresh],
                1,
            )
        )
        if again.any():
            at = (arrivals.series[again], arrivals.minute[again])
            parts.append(cells_of(CellKind.DUPLICATE, *at, 0, 1))
        for row in np.flatnonzero(fresh & (arrivals.case != NO_CASE)):
            number = int(arrivals.case[row])
            self._open.cases.setdefault(number, self._cases[number])
        key = (batch.header.model, batch.header.version)
        newest = int(arrivals.minute.max())
        self._open.last_seen[key] = max(self._open.last_seen.get(key, 0), newest)

    def _count_changes(self, task: str, changes: Changes) -> None:
        parts = self._open.parts
        parts.extend(fold_changed(changes.pairs))
        if changes.unmatched or changes.superseded:
            series = self._task_series(task)
            parts.append(fold_minutes(CellKind.UNMATCHED, series, changes.unmatched))
            parts.append(fold_minutes(CellKind.SUPERSEDED, series, changes.superseded))
        for number, label in changes.relabelled:
            case = replace(self._cases[number], label=self._case_label(number, label))
            self._cases[number] = self._open.cases[number] = case

    def _case_label(self, number: int, label: WinningLabel | None) -> CaseLabel | None:
        if label is None:
            return None
        return CaseLabel(
            true_class=label.true_class,
            source=str(self._sources.name(label.source)),
            label_time_us=label.time_us,
            delay_ms=label.arrival_ms - self._cases[number].event_time_us // 1000,
            offset=label.offset,
        )

    def _count_clamped(self, series: U32, place: Place, side: int) -> None:
        if len(series):
            minute = place.append_ms // MINUTE_MS
            self._open.parts.append(cells_of(CellKind.CLAMPED, series, minute, side, 1))

    def _count_unobserved(self, batch: PredictionBatch, place: Place) -> None:
        if not batch.unobserved:
            return
        header = batch.header
        series = self._series.number(Series(header.model, header.version, header.task))
        reasons = [int(reason) for reason, _ in batch.unobserved]
        counts = [min(count, 2**62) for _, count in batch.unobserved]
        minute = place.append_ms // MINUTE_MS
        self._open.parts.append(cells_of(CellKind.UNOBSERVED, series, minute, reasons, counts))

    def _task_series(self, task: str) -> int:
        return self._series.number(Series(task=task))

    def _new_cases(self, batch: PredictionBatch, event_us: I64, clock_ms: int) -> I64:
        """Case number of each row, NO_CASE for rows that were not kept."""
        numbers = np.full(len(batch), NO_CASE, np.int64)
        if not batch.kept:
            return numbers
        hashes = sample_hash(batch.ids)
        for kept in batch.kept:
            numbers[kept.row] = len(self._cases)
            top_classes, top_scores = _shown(batch, kept.row)
            self._cases.append(
                Case(
                    id=unpack_id(*batch.ids[kept.row].tolist()),
                    model=batch.header.model,
                    version=batch.header.version,
                    task=batch.header.task,
                    clock_ms=clock_ms,
                    hash=int(hashes[kept.row]),
                    event_time_us=int(event_us[kept.row]),
                    predicted=int(batch.predicted[kept.row]),
                    top_classes=top_classes,
                    top_scores=top_scores,
                    keep_probability=kept.probability,
                    input_ref=kept.input_ref,
                    input_uri=kept.input_uri,
                    absence=kept.absence,
                    id_text=kept.id_text,
                    slices=tuple(
                        (column.name, column.values[int(column.codes[kept.row])])
                        for column in batch.slices
                    ),
                )
            )
        return numbers


def _shown(batch: PredictionBatch, row: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The best classes of a row with their scores, best first."""
    if batch.scores is not None:
        scores = batch.scores[row]
        order = np.argsort(-scores, kind="stable")[:TOP_SHOWN]
        return tuple(order.tolist()), tuple(scores[order].tolist())
    if batch.top_classes is not None:
        classes = tuple(batch.top_classes[row, :TOP_SHOWN].tolist())
        if batch.top_scores is None:
            return classes, ()
        return classes, tuple(batch.top_scores[row, :TOP_SHOWN].tolist())
    return (int(batch.predicted[row]),), ()
