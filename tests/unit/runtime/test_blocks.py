"""Cells by block: nothing is lost, and blocks in order are normalised cells."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.cells import Cells, merge
from leadline.runtime.store import blocks
from leadline.runtime.store.resolution import Rolled

MINUTES = Rolled()

rows = st.dictionaries(
    st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 250), st.integers(0, 3)),
    st.integers(-2, 2),
    max_size=30,
)


def cells(found: dict[tuple[int, int, int, int], int]) -> Cells:
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    types = (np.uint8, np.uint32, np.uint32, np.uint64)
    keys = (np.array(column, dtype) for column, dtype in zip(columns, types, strict=True))
    return merge([Cells(*keys, np.array(list(found.values()), np.int64))])


def same(one: Cells, other: Cells) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Cells.__slots__)


@given(found=rows)
def test_blocks_hold_one_kind_and_series_within_one_hour(found):
    for (kind, series, start, step), part in blocks.split(cells(found), MINUTES).items():
        assert (start % 60, step) == (0, 1)
        assert set(part.kind.tolist()) == {kind}
        assert set(part.series.tolist()) == {series}
        assert {minute // 60 for minute in part.minute.tolist()} == {start // 60}


@given(found=rows)
def test_split_cells_joined_are_the_same(found):
    assert same(blocks.joined(blocks.split(cells(found), MINUTES)), cells(found))


@given(one=rows, other=rows)
def test_adding_block_by_block_is_adding(one, other):
    added = blocks.add(blocks.split(cells(one), MINUTES), blocks.split(cells(other), MINUTES))
    assert same(blocks.joined(added), merge([cells(one), cells(other)]))


@given(found=rows, begin=st.integers(0, 260), end=st.integers(0, 260))
def test_within_keeps_the_minutes_asked_for(found, begin, end):
    kept = {key: count for key, count in found.items() if begin <= key[2] < end}
    assert same(blocks.within(cells(found), begin, end), cells(kept))
