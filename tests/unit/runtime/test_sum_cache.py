"""What is kept: bounded in bytes, the oldest leave first, and nobody can write into it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from leadline.records.cells import CellKind, count
from leadline.runtime.store.sum_cache import ENTRY_BYTES, SumCache

CELL_BYTES = 1 + 4 + 4 + 8 + 8


def cells(rows):
    return count(CellKind.PREDICTED, 0, np.arange(rows, dtype=np.uint32), 0, np.ones(rows, int))


def size(rows):
    return ENTRY_BYTES + rows * CELL_BYTES


class Asked:
    """A cache that notes what it had to compute."""

    def __init__(self, bytes_max):
        self.cache = SumCache(bytes_max)
        self.computed = []

    def get(self, key, rows=10):
        def compute():
            self.computed.append(key)
            return cells(rows)

        assert len(self.cache.get(key, compute)) == rows


def test_an_entry_is_computed_once():
    asked = Asked(1 << 20)
    for key in "abab":
        asked.get(key)
    assert asked.computed == ["a", "b"]
    assert asked.cache.size_bytes == 2 * size(10)


def test_the_one_asked_for_longest_ago_leaves():
    asked = Asked(2 * size(10))
    for key in "abacab":
        asked.get(key)
    assert asked.computed == ["a", "b", "c", "b"]
    assert asked.cache.size_bytes == 2 * size(10)


def test_a_large_entry_takes_the_place_of_several():
    asked = Asked(size(100))
    for key in "ab":
        asked.get(key)
    asked.get("c", 100)
    assert asked.cache.size_bytes == size(100)
    asked.get("d", 101)
    asked.get("c", 100)
    assert asked.computed == ["a", "b", "c", "d"]


@pytest.mark.parametrize("bound", [0, size(10) - 1])
def test_what_does_not_fit_is_not_kept(bound):
    asked = Asked(bound)
    asked.get("a")
    asked.get("a")
    assert asked.computed == ["a", "a"]
    assert asked.cache.size_bytes == 0


def test_what_is_kept_cannot_be_written():
    found = SumCache(1 << 20).get("a", lambda: cells(3))
    for column in (found.kind, found.series, found.minute, found.index, found.count):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def test_threads_may_ask_at_once():
    cache = SumCache(5 * size(20))

    def ask(seed):
        for key in np.random.default_rng(seed).integers(0, 20, 500).tolist():
            assert len(cache.get(key, lambda key=key: cells(key + 1))) == key + 1
            assert cache.size_bytes <= 5 * size(20)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    left = sum(size(len(each)) for each in cache._entries.values())
    assert cache.size_bytes == left <= 5 * size(20)
