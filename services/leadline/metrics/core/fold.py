"""From what changed to cells: the additive integers that are committed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.join import Pairs
from leadline.records.batches import I64, U32
from leadline.records.cells import (
    RANK_NONE,
    CellKind,
    Cells,
    delay_bin,
    empty_cells,
    pair_index,
)
from leadline.records.ids import U64


def cells_of(
    kind: CellKind,
    series: npt.ArrayLike,
    minute: npt.ArrayLike,
    index: npt.ArrayLike,
    count: npt.ArrayLike,
) -> Cells:
    """Cells of one kind; scalars stand for every row. Not normalised."""
    columns = np.broadcast_arrays(
        np.asarray(series, np.uint32),
        np.asarray(minute, np.uint32),
        np.asarray(index, np.uint64),
        np.asarray(count, np.int64),
    )
    series_, minute_, index_, count_ = (np.atleast_1d(column) for column in columns)
    return Cells(np.full(len(count_), kind, np.uint8), series_, minute_, index_, count_)


def fold_pairs(pairs: Pairs) -> list[Cells]:
    """Cells of pairs that come and go: confusion, rank, delay, and what only grows."""
    if not len(pairs.sign):
        return []
    confusion = pair_index(pairs.true_class, pairs.predicted)
    rank = pair_index(pairs.true_class, rank_of(pairs.ranked, pairs.true_class))
    at = (pairs.series, pairs.minute)
    added = pairs.sign > 0
    return [
        cells_of(CellKind.CONFUSION, *at, confusion, pairs.sign),
        cells_of(CellKind.RANK, *at, rank, pairs.sign),
        cells_of(CellKind.DELAY, *at, delay_bin(pairs.delay_ms), pairs.sign),
        _history(CellKind.ADDED, pairs.series, confusion, added),
        _history(CellKind.RETRACTED, pairs.series, confusion, ~added),
    ]


def _history(kind: CellKind, series: U32, index: U64, mask: npt.NDArray[np.bool_]) -> Cells:
    if not mask.any():
        return empty_cells()
    return cells_of(kind, series[mask], 0, index[mask], 1)


def rank_of(ranked: U32, true_class: U32) -> U32:
    """Rank of each row's true class, 0 is best; RANK_NONE when it is not among `ranked`."""
    hit = ranked == true_class[:, None]
    rank = np.where(hit.any(axis=1), hit.argmax(axis=1), RANK_NONE)
    return rank.astype(np.uint32)


def fold_minutes(kind: CellKind, series: int, changes: list[tuple[int, int]]) -> Cells:
    """Cells of (minute, +1 or -1) changes of one series."""
    if not changes:
        return empty_cells()
    table = np.array(changes, np.int64)
    return cells_of(kind, series, table[:, 0], 0, table[:, 1])


def clamp(
    time_us: I64, append_ms: int, bound_us: int, *, imported: bool
) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Times brought within the append time +- the bound, and which of them were changed.

    Imports are history: they are bounded only against the future (and against 1970).
    """
    append_us = append_ms * 1000
    low = 0 if imported else max(append_us - bound_us, 0)
    clamped = np.clip(time_us, low, append_us + bound_us)
    return clamped, clamped != time_us
