"""Cells by block: one kind and series in one span of time. What compaction writes, snapshots read.

Blocks in the order of their keys, one behind another, are normalised cells: adding deltas to blocks
never sorts what it does not touch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from leadline.records.cells import Cells, concatenate, merge, select
from leadline.runtime.store.resolution import Rolled, block_starts, resolutions

BlockKey = tuple[int, int, int, int]
"""(kind, series, first minute of the block, resolution). No two blocks of one kind and series
overlap, so that this is the order of their cells too."""


def split(cells: Cells, rolled: Rolled) -> dict[BlockKey, Cells]:
    """Cells of `bucketed` by block, in the order of the keys; views of the same memory."""
    if not len(cells):
        return {}
    steps = resolutions(cells, rolled)
    start = block_starts(cells, steps)
    new = np.ones(len(cells), np.bool_)
    new[1:] = (
        (cells.kind[1:] != cells.kind[:-1])
        | (cells.series[1:] != cells.series[:-1])
        | (start[1:] != start[:-1])
        | (steps[1:] != steps[:-1])
    )
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(cells))
    keys = zip(
        cells.kind[begins].tolist(),
        cells.series[begins].tolist(),
        start[begins].tolist(),
        steps[begins].tolist(),
        strict=True,
    )
    return {
        key: _part(cells, slice(begin, end))
        for key, begin, end in zip(keys, begins.tolist(), ends.tolist(), strict=True)
    }


def add(blocks: Mapping[BlockKey, Cells], more: Mapping[BlockKey, Cells]) -> dict[BlockKey, Cells]:
    """The sum, block by block, in the order of the keys. Blocks may come out empty."""
    found = dict(blocks)
    for key, cells in more.items():
        found[key] = merge([found[key], cells]) if key in found else cells
    return dict(sorted(found.items()))


def joined(blocks: Mapping[BlockKey, Cells]) -> Cells:
    """The normalised cells of blocks that are in the order of their keys."""
    return concatenate(blocks.values())


def within(cells: Cells, from_minute: int, to_minute: int) -> Cells:
    """Only the minutes [from, to)."""
    if not len(cells) or (
        from_minute <= int(cells.minute.min()) and int(cells.minute.max()) < to_minute
    ):
        return cells
    return select(cells, (cells.minute >= from_minute) & (cells.minute < to_minute))


def _part(cells: Cells, part: slice) -> Cells:
    return Cells(
        cells.kind[part],
        cells.series[part],
        cells.minute[part],
        cells.index[part],
        cells.count[part],
    )
