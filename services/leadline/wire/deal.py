"""Deals the good rows of a block out: a batch for each header, in the order of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leadline.records.batches import I64, KeptRow
from leadline.wire.blocks import RADIX_MAX, Block, Numbered, Source, Table, refused, suspects

Hand = tuple[Any, I64, int]
"""A batch, the record of each of its rows, and the first record."""


def deal(
    block: Block, partition: int, partitions: int, end: int
) -> tuple[list[Hand], list[Numbered]]:
    """The good rows of the records before `end`, and what is refused of the block's rows."""
    table = Table(block.sources, *block.places(), block.columns(), block.shape[1])
    good = table.record < end
    refusals: list[Numbered] = []
    found = np.flatnonzero(suspects(table, partition, partitions))
    if len(found):
        refusals, bad = refused(table, found, partition, partitions)
        good[bad] = False
    group_of, groups = _groups(block.sources)
    order = _order(table, group_of, len(groups), good)
    dealt = table if order is None else table.take(order)
    sizes = np.bincount(group_of[dealt.source], minlength=len(groups))
    bounds = [0, *np.cumsum(sizes).tolist()]
    kept = _kept(block.kept, order, len(table.record), bounds)
    hands: list[Hand] = []
    for group, source in enumerate(groups):
        start, stop = bounds[group], bounds[group + 1]
        if start == stop and not source.unobserved:
            continue
        part = dealt if len(groups) == 1 else dealt.cut(start, stop)
        first = int(part.record[0]) if stop > start else source.record
        hands.append((part.batch(kept.get(group, ()), source=source), part.record, first))
    return hands, refusals


def _groups(sources: Sequence[Source]) -> tuple[I64, list[Source]]:
    """For each source its group, and for each group a source."""
    numbers: dict[object, int] = {}
    group_of = [numbers.setdefault(source.group, len(numbers)) for source in sources]
    examples: list[Source] = []
    for source, group in zip(sources, group_of, strict=True):
        if group == len(examples):
            examples.append(source)
    return np.array(group_of, np.int64), examples


def _order(table: Table, group_of: I64, groups: int, good: Any) -> I64 | None:  # noqa: ANN401
    """The good rows by group and then by record; None when that is all of them as they are."""
    record = table.record
    in_order = bool((record[1:] >= record[:-1]).all())
    all_good = bool(good.all())
    if in_order and groups == 1:
        return None if all_good else np.flatnonzero(good)
    order = np.arange(len(record)) if in_order else np.argsort(record, kind="stable")
    if not all_good:
        order = order[good[order]]
    if groups == 1:
        return order
    group = group_of[table.source[order]]
    if groups < RADIX_MAX:
        group = group.astype(np.uint16)
    return order[np.argsort(group, kind="stable")]


def _kept(
    kept: Sequence[tuple[int, KeptRow]], order: I64 | None, size: int, bounds: Sequence[int]
) -> dict[int, list[KeptRow]]:
    """Kept rows by group, each with its row in the group; those of refused rows are left out."""
    found: dict[int, list[KeptRow]] = {}
    if not kept:
        return found
    place = np.full(size, -1)
    place[slice(None) if order is None else order] = np.arange(
        size if order is None else len(order)
    )
    places = place[[row for row, _ in kept]]
    groups = np.searchsorted(bounds, places, "right") - 1
    for (_, row), at, group in zip(kept, places.tolist(), groups.tolist(), strict=True):
        if at >= 0:
            found.setdefault(group, []).append(replace(row, row=at - bounds[group]))
    return found
