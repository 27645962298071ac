"""What a shard's cells should be, from the log, against what is stored: compared, and put right.

Both sides are taken at the resolution at which the store holds them, from a minute on that the log
still covers. ADDED and RETRACTED are left out: they tell how the truth was reached, which nobody
can recompute; their difference is that of CONFUSION.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leadline.records.cells import HISTORY_KINDS, CellKind, Cells, empty_cells, merge, select
from leadline.runtime.store.resolution import Rolled, bucketed

SHOWN_MAX = 20
"""Cells that a comparison names one by one."""

_HISTORY = np.array(sorted(HISTORY_KINDS), np.uint8)


@dataclass(frozen=True, slots=True)
class CellDifference:
    """One cell that is not as it should be."""

    kind: int
    series: int
    minute: int
    index: int
    stored: int
    recomputed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        compared: recomputed cells that were compared, at the stored resolution.
        differing: stored - recomputed, of all cells where it is not 0.
        shown: the first of them, at most SHOWN_MAX.
    """

    compared: int
    differing: Cells
    shown: tuple[CellDifference, ...]


def compare(stored: Cells, recomputed: Cells, rolled: Rolled, from_minute: int) -> Comparison:
    """Every cell of both sides from a minute on.

    Args:
        stored: of one shard, as `Snapshot.cells` gives them.
        recomputed: from the log, by the minute.
        rolled: of the shard, from the same snapshot as `stored`.
        from_minute: a bucket counts when it begins at or after it.
    """
    found, wanted = (covered(each, rolled, from_minute) for each in (stored, recomputed))
    differing = minus(found, wanted)
    shown = select(differing, np.arange(len(differing)) < SHOWN_MAX)
    rows = zip(
        shown.kind.tolist(),
        shown.series.tolist(),
        shown.minute.tolist(),
        shown.index.tolist(),
        shown.count.tolist(),
        strict=True,
    )
    differences = []
    for kind, series, minute, index, difference in rows:
        should = _count(wanted, kind, series, minute, index)
        differences.append(CellDifference(kind, series, minute, index, should + difference, should))
    return Comparison(len(wanted), differing, tuple(differences))


def covered(cells: Cells, rolled: Rolled, from_minute: int) -> Cells:
    """The cells at the stored resolution whose bucket begins at or after a minute; normalised."""
    found = bucketed(merge([cells]), rolled)
    return select(found, is_covered(found, rolled, from_minute))


def is_covered(cells: Cells, rolled: Rolled, from_minute: int) -> npt.NDArray[np.bool_]:
    """Which cells of `bucketed` are of buckets that begin at or after a minute; never history."""
    found = cells.minute >= rolled.ceiling(CellKind.CONFUSION, from_minute)
    is_scores = cells.kind == np.uint8(CellKind.SCORES)
    found[is_scores] = cells.minute[is_scores] >= rolled.ceiling(CellKind.SCORES, from_minute)
    return found & ~np.isin(cells.kind, _HISTORY)


def minus(one: Cells, other: Cells) -> Cells:
    """The difference, normalised."""
    return merge([one, replace(other, count=-other.count)])


def history_of(change: Cells) -> Cells:
    """The ADDED and RETRACTED cells that go with a change of CONFUSION cells; both only grow."""
    pairs = select(change, change.kind == np.uint8(CellKind.CONFUSION))
    if not len(pairs):
        return empty_cells()
    total = merge([replace(pairs, minute=np.zeros_like(pairs.minute))])
    kinds = np.where(total.count > 0, CellKind.ADDED, CellKind.RETRACTED).astype(np.uint8)
    return merge([replace(total, kind=kinds, count=np.abs(total.count))])


def _count(cells: Cells, kind: int, series: int, minute: int, index: int) -> int:
    at = (
        (cells.kind == kind)
        & (cells.series == series)
        & (cells.minute == minute)
        & (cells.index == np.uint64(index))
    )
    return int(cells.count[at].sum())
