"""Cells of the pairs that `join.Changes` tells of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.fold import cells_of
from leadline.metrics.core.join import Pairs
from leadline.records.batches import U32
from leadline.records.cells import (
    RANK_NONE,
    CellKind,
    Cells,
    delay_bin,
    empty_cells,
    pair_index,
)
from leadline.records.ids import U64


def fold_changed(pairs: Pairs) -> list[Cells]:
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
