"""Pairs of versions against a dictionary."""

from collections import Counter

import numpy as np
import pytest

from leadline.metrics.core.version_pairs import version_pairs
from leadline.records.cells import CellKind, count, merge

FIRST = (
    {"main/0": frozenset({0, 2}), "main/1": frozenset({6})},
    {"main/0": frozenset({0}), "main/1": frozenset({5})},
)
SECOND = (
    {"main/0": frozenset({1}), "main/1": frozenset({3, 4})},
    {"main/0": frozenset({1}), "main/1": frozenset({3})},
)
"""By shard: the series that are asked about, and those without slices."""


def cells_of(rows):
    return merge(
        count(CellKind.PAIR, series, minute, true << 32 | other << 2 | one << 1 | two, n)
        for series, minute, true, other, one, two, n in rows
    )


def as_dict(found):
    columns = (found.both_right, found.only_first, found.only_second, found.neither)
    rows = zip(found.true_class.tolist(), *(column.tolist() for column in columns), strict=True)
    return {true: tuple(counts) for true, *counts in rows}


@pytest.mark.parametrize("seed", range(20))
def test_pairs_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    wanted, shards = Counter(), {}
    for shard, (plain_first, plain_second) in {"main/0": (0, 1), "main/1": (5, 3)}.items():
        rows = []
        for _ in range(60):
            series, other = int(rng.integers(0, 8)), int(rng.integers(0, 8))
            true, one, two = int(rng.integers(0, 4)), *map(int, rng.integers(0, 2, 2))
            n = int(rng.integers(1, 4))
            rows.append((series, int(rng.integers(0, 3)), true, other, one, two, n))
            if series in FIRST[0][shard] and other == plain_second:
                wanted[true, one, two] += n
            elif series in SECOND[0][shard] and other == plain_first:
                wanted[true, two, one] += n
        shards[shard] = cells_of(rows)
    found = as_dict(version_pairs(shards, FIRST, SECOND))
    trues = {true for true, _, _ in wanted}
    assert found == {
        true: tuple(wanted[true, one, two] for one, two in ((1, 1), (1, 0), (0, 1), (0, 0)))
        for true in trues
    }
    assert version_pairs(shards, FIRST, SECOND).total == sum(wanted.values())


def test_without_cells_there_are_no_pairs():
    found = version_pairs({}, FIRST, SECOND)
    assert as_dict(found) == {}
    assert found.total == 0
