"""Cells by block: one kind and series in one hour. What compaction writes and snapshots read.

Blocks in the order of their keys, one behind another, are normalised cells: adding deltas to blocks
never sorts what it does not touch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from leadline.records.cells import Cells, concatenate, merge, select

BLOCK_MINUTES = 60

BlockKey = tuple[int, int, int]
"""(kind, series, first minute of the block)."""


def split(cells: Cells) -> dict[BlockKey, Cells]:
    """Normalised cells by block, in the order of the keys; views of the same memory."""
    if not len(cells):
        return {}
    start = cells.minute - cells.minute % np.uint32(BLOCK_MINUTES)
    new = np.ones(len(cells), np.bool_)
    new[1:] = (
        (cells.kind[1:] != cells.kind[:-1])
        | (cells.series[1:] != cells.series[:-1])
        | (start[1:] != start[:-1])
    )
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(cells))
    keys = zip(
        cells.kind[begins].tolist(),
        cells.series[begins].tolist(),
        start[begins].tolist(),
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
