"""The pending store in memory: dictionaries for the keys, growing columns for the payload."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.join import (
    NO_CASE,
    Changes,
    LabelArrivals,
    Pairs,
    PredictionArrivals,
    WinningLabel,
)
from leadline.records.batches import I64, RETRACTED
from leadline.records.cells import RANKS_MAX
from leadline.records.ids import U64

MINUTE_US = 60_000_000


@dataclass(slots=True)
class _Entry:
    """What waits for one (id, task).

    Attributes:
        winner: the label that counts, or would.
        waiting: minutes of all labels, while no prediction has arrived; else None.
        versions: payload row by version number.
    """

    winner: WinningLabel | None = None
    waiting: list[int] | None = None
    versions: dict[int, int] = field(default_factory=dict)


class _Tally:
    """Collects the changes of one arrival; the pairs as (sign, payload row, class, arrival)."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int, int, int]] = []
        self.unmatched: list[tuple[int, int]] = []
        self.superseded: list[tuple[int, int]] = []
        self.relabelled: list[tuple[int, WinningLabel | None]] = []

    def pair(self, sign: int, row: int, label: WinningLabel) -> None:
        if label.true_class != RETRACTED:
            self.pairs.append((sign, row, label.true_class, label.arrival_ms))


class MemoryPending:
    """Holds every prediction and label that it was given."""

    def __init__(self) -> None:
        self._tasks: dict[int, dict[bytes, _Entry]] = {}
        self._payload = _Payload()
        self._cases: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._payload)

    def add_predictions(self, arrivals: PredictionArrivals) -> Changes:
        """Takes predictions in log order."""
        entries = self._tasks.setdefault(arrivals.task, {})
        first = self._payload.append(arrivals)
        for at in np.flatnonzero(arrivals.case != NO_CASE).tolist():
            self._cases[first + at] = int(arrivals.case[at])
        duplicate = np.zeros(len(arrivals.ids), np.bool_)
        tally = _Tally()
        for at, key in enumerate(_keys(arrivals.ids)):
            entry = entries.get(key)
            if entry is None:
                entry = entries[key] = _Entry()
            elif arrivals.version in entry.versions:
                duplicate[at] = True
                continue
            entry.versions[arrivals.version] = first + at
            if entry.winner is not None:
                self._meets(tally, entry, first + at, entry.winner)
        return self._changes(tally, duplicate)

    def add_labels(self, arrivals: LabelArrivals) -> Changes:
        """Takes labels in log order."""
        entries = self._tasks.setdefault(arrivals.task, {})
        tally = _Tally()
        rows = zip(
            _keys(arrivals.ids),
            arrivals.time_us.tolist(),
            arrivals.true_class.tolist(),
            arrivals.arrival_ms.tolist(),
            strict=True,
        )
        for key, time_us, true_class, arrival_ms in rows:
            label = WinningLabel(
                arrivals.rank,
                time_us,
                true_class,
                arrivals.source,
                arrivals.offset,
                arrival_ms,
            )
            entry = entries.get(key)
            if entry is None:
                entry = entries[key] = _Entry()
            self._decide(tally, entry, label)
        return self._changes(tally, np.zeros(0, np.bool_))

    def _meets(self, tally: _Tally, entry: _Entry, row: int, winner: WinningLabel) -> None:
        """A prediction meets the labels of its id."""
        if entry.waiting:
            tally.unmatched.extend((minute, -1) for minute in entry.waiting)
            losers = entry.waiting
            losers.remove(winner.time_us // MINUTE_US)
            tally.superseded.extend((minute, 1) for minute in losers)
            entry.waiting = None
        tally.pair(1, row, winner)
        self._relabel(tally, row, winner)

    def _decide(self, tally: _Tally, entry: _Entry, label: WinningLabel) -> None:
        """A label meets the predictions and the other labels of its id."""
        minute = label.time_us // MINUTE_US
        former = entry.winner
        wins = former is None or label.beats(former)
        if wins:
            entry.winner = label
        if not entry.versions:
            entry.waiting = [*(entry.waiting or ()), minute]
            tally.unmatched.append((minute, 1))
            return
        if not wins:
            tally.superseded.append((minute, 1))
            return
        if former is not None:
            tally.superseded.append((former.time_us // MINUTE_US, 1))
        for row in entry.versions.values():
            if former is not None:
                tally.pair(-1, row, former)
            tally.pair(1, row, label)
            self._relabel(tally, row, label)

    def _relabel(self, tally: _Tally, row: int, label: WinningLabel) -> None:
        case = self._cases.get(row)
        if case is not None:
            counted = None if label.true_class == RETRACTED else label
            tally.relabelled.append((case, counted))

    def _changes(self, tally: _Tally, duplicate: npt.NDArray[np.bool_]) -> Changes:
        return Changes(
            self._payload.pairs(tally.pairs),
            duplicate,
            tally.unmatched,
            tally.superseded,
            tally.relabelled,
        )


def _keys(ids: U64) -> list[bytes]:
    """The ids as byte strings: equal if and only if the ids are."""
    keys: list[bytes] = np.ascontiguousarray(ids).view("V16").ravel().tolist()
    return keys


_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "series": (np.uint32, ()),
    "minute": (np.uint32, ()),
    "event_ms": (np.int64, ()),
    "predicted": (np.uint32, ()),
    "ranked": (np.uint32, (RANKS_MAX,)),
}


class _Payload:
    """What is kept of each prediction, in columns that double when they are full."""

    def __init__(self) -> None:
        self._size = 0
        self._columns = {
            name: np.empty((1024, *shape), dtype) for name, (dtype, shape) in _COLUMNS.items()
        }

    def __len__(self) -> int:
        return self._size

    def append(self, arrivals: PredictionArrivals) -> int:
        """Adds the rows; returns the number of the first."""
        first, end = self._size, self._size + len(arrivals.ids)
        for name, column in self._columns.items():
            wide = column
            if end > len(column):
                wide = np.empty((max(end, 2 * len(column)), *column.shape[1:]), column.dtype)
                wide[:first] = column[:first]
                self._columns[name] = wide
            wide[first:end] = getattr(arrivals, name)
        self._size = end
        return first

    def pairs(self, found: list[tuple[int, int, int, int]]) -> Pairs:
        """The columns of (sign, payload row, true class, arrival) tuples."""
        sign, row, true_class, arrival_ms = _columns_of(found)
        return Pairs(
            sign=sign,
            series=self._columns["series"][row],
            minute=self._columns["minute"][row],
            predicted=self._columns["predicted"][row],
            ranked=self._columns["ranked"][row],
            true_class=true_class.astype(np.uint32),
            delay_ms=arrival_ms - self._columns["event_ms"][row],
        )


def _columns_of(found: list[tuple[int, int, int, int]]) -> tuple[I64, I64, I64, I64]:
    table = np.array(found, np.int64).reshape(-1, 4)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]
