"""Questions over cells: cells go in, counts by version, slice, window and step come out.

Cells arrive by shard, since series numbers are given per shard; sums over shards, series and
minutes are taken here and nowhere earlier. Every function accepts cells of more series, kinds and
minutes than it asks for, so that one read of the store can answer several questions alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import (
    NO_TALLY,
    Rate,
    Tally,
    tally,
)
from leadline.metrics.core.scope import EVERYTHING, Numbers, Window
from leadline.records.cells import CellKind, Cells, Series, concatenate, select, split_index

Shards = Mapping[str, Cells]

SCOPED_KINDS = (
    CellKind.PREDICTED,
    CellKind.CONFUSION,
    CellKind.RANK,
    CellKind.DELAY,
    CellKind.DUPLICATE,
    CellKind.SUPERSEDED,
    CellKind.DEFAULTED,
)
"""Kinds that are counted by version and slices."""
BESIDE_KINDS = (
    CellKind.CLAMPED,
    CellKind.UNOBSERVED,
    CellKind.UNMATCHED,
)
"""Kinds that are counted by version or task as a whole; they know no slices."""
SLICE_KINDS = (CellKind.PREDICTED, CellKind.CONFUSION)
CROSSINGS_MAX = 1_000
"""Combinations of slice values in one answer: more rows are not read by anyone."""


@dataclass(frozen=True, slots=True)
class Counts:
    """All counts of one scope.

    Attributes:
        predicted, confusion, ranks, delays: by the index of their cell kinds.
        clamped: predictions of the scope and labels of its task whose event time was absurd.
        unmatched: labels of the task whose prediction has not arrived.
        superseded: labels of predictions of the scope that another one outranked.
        defaulted: labelled predictions of the scope whose label is the task's default.
        unobserved: (reason, count) of requests that were answered and not logged, by reason.
        observed: event minutes of the first and past the last prediction; None without one.
    """

    predicted: Tally = NO_TALLY
    confusion: Tally = NO_TALLY
    ranks: Tally = NO_TALLY
    delays: Tally = NO_TALLY
    duplicates: int = 0
    clamped: int = 0
    unmatched: int = 0
    superseded: int = 0
    defaulted: int = 0
    unobserved: tuple[tuple[int, int], ...] = ()
    observed: Window | None = None


def within(shards: Shards, window: Window) -> dict[str, Cells]:
    """The cells of a window."""
    if window == EVERYTHING:
        return dict(shards)
    return {
        shard: select(
            cells, (cells.minute >= window.from_minute) & (cells.minute < window.to_minute)
        )
        for shard, cells in shards.items()
    }


def of_series(shards: Shards, numbers: Numbers) -> dict[str, Cells]:
    """The cells of some series."""
    return {
        shard: select(cells, np.isin(cells.series, sorted(numbers[shard])))
        for shard, cells in shards.items()
        if shard in numbers
    }


def count(shards: Shards, scoped: Numbers) -> Counts:
    """The counts of a scope.

    Args:
        shards: cells of the scope's series, of the version without slices, and of its tasks.
        scoped: the series of the scope itself; of the others only what knows no slices is counted.
    """
    everything = concatenate(shards.values())
    own = concatenate(of_series(shards, scoped).values())
    predicted_minutes = own.minute[own.kind == CellKind.PREDICTED]
    return Counts(
        predicted=sums(own, CellKind.PREDICTED),
        confusion=sums(own, CellKind.CONFUSION),
        ranks=sums(own, CellKind.RANK),
        delays=sums(own, CellKind.DELAY),
        duplicates=sums(own, CellKind.DUPLICATE).total,
        clamped=_clamped(own, 0) + _clamped(everything, 1),
        unmatched=sums(everything, CellKind.UNMATCHED).total,
        superseded=sums(own, CellKind.SUPERSEDED).total,
        defaulted=sums(own, CellKind.DEFAULTED).total,
        unobserved=_pairs(sums(everything, CellKind.UNOBSERVED)),
        observed=_spread(predicted_minutes),
    )


def sums(cells: Cells, kind: CellKind) -> Tally:
    """The sums of one kind by index, over all series and minutes."""
    mask = cells.kind == kind
    return tally(cells.index[mask], cells.count[mask])


def _clamped(cells: Cells, side: int) -> int:
    mask = (cells.kind == CellKind.CLAMPED) & (cells.index == side)
    return int(cells.count[mask].sum())


def _pairs(found: Tally) -> tuple[tuple[int, int], ...]:
    return tuple(zip(found.index.tolist(), found.count.tolist(), strict=True))


def _spread(minutes: npt.NDArray[np.uint32]) -> Window | None:
    if not len(minutes):
        return None
    return Window(int(minutes.min()), int(minutes.max()) + 1)


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """One value of a slice column; predictions labelled or not, accuracy over the labelled ones."""

    column: str
    value: str
    predictions: int
    accuracy: Rate


def slice_listing(
    shards: Shards, series: Iterable[tuple[str, int, Series]]
) -> tuple[SliceCounts, ...]:
    """Every (column, value) of the given series, the commonest first, then by column and value.

    Args:
        shards: cells of the series, of `SLICE_KINDS`.
        series: (shard, number, series) of the scope.
    """
    totals: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    by_series = {shard: _by_series(cells) for shard, cells in shards.items()}
    for shard, number, each in series:
        found = by_series.get(shard, {}).get(number)
        if found is None:
            continue
        for pair in each.slices:
            totals[pair] = totals.get(pair, np.zeros(3, np.int64)) + found
    listed = [
        SliceCounts(column, value, int(found[0]), Rate(int(found[2]), int(found[1])))
        for (column, value), found in totals.items()
    ]
    return tuple(sorted(listed, key=lambda each: (-each.predictions, each.column, each.value)))


@dataclass(frozen=True, slots=True)
class CrossingCounts:
    """One combination: (column, value) pairs in the order asked; the rest as `SliceCounts`."""

    values: tuple[tuple[str, str], ...]
    predictions: int
    accuracy: Rate


@dataclass(frozen=True, slots=True)
class Crossings:
    """The combinations of some columns.

    Attributes:
        rows: the commonest first, then by value; at most `CROSSINGS_MAX`.
        left_out: combinations beyond them.
        left_out_predictions: of those.
        without_columns: predictions that lack one of the columns.
    """

    rows: tuple[CrossingCounts, ...]
    left_out: int
    left_out_predictions: int
    without_columns: int


def crossing_listing(
    shards: Shards,
    series: Iterable[tuple[str, int, Series]],
    columns: tuple[str, ...],
    most: int = CROSSINGS_MAX,
) -> Crossings:
    """Every combination of values of some columns.

    Args:
        shards: cells of the series, of `SLICE_KINDS`.
        series: (shard, number, series) of the scope.
        columns: different ones, at least one.
        most: rows at most.
    """
    totals: dict[tuple[tuple[str, str], ...], npt.NDArray[np.int64]] = {}
    by_series = {shard: _by_series(cells) for shard, cells in shards.items()}
    without = 0
    for shard, number, each in series:
        found = by_series.get(shard, {}).get(number)
        if found is None:
            continue
        values = dict(each.slices)
        if not all(column in values for column in columns):
            without += int(found[0])
            continue
        key = tuple((column, values[column]) for column in columns)
        totals[key] = totals.get(key, np.zeros(3, np.int64)) + found
    order = sorted(totals, key=lambda key: (-int(totals[key][0]), key))
    rows = (
        CrossingCounts(key, int(sums[0]), Rate(int(sums[2]), int(sums[1])))
        for key, sums in ((key, totals[key]) for key in order[:most])
    )
    rest = order[most:]
    return Crossings(tuple(rows), len(rest), sum(int(totals[key][0]) for key in rest), without)


def _by_series(cells: Cells) -> dict[int, npt.NDArray[np.int64]]:
    """(predictions, labelled, right) of each series number."""
    numbers, at = np.unique(cells.series, return_inverse=True)
    predicted = cells.kind == CellKind.PREDICTED
    labelled = cells.kind == CellKind.CONFUSION
    true, answered = split_index(cells.index)
    right = labelled & (true == answered)
    table = np.zeros((len(numbers), 3), np.int64)
    for column, mask in enumerate((predicted, labelled, right)):
        np.add.at(table[:, column], at[mask], cells.count[mask])
    return dict(zip(numbers.tolist(), table, strict=True))
