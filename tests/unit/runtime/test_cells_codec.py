"""Cells as bytes: every column comes back exactly, and damage is noticed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from leadline.records.cells import CellKind, Cells, empty_cells, merge, pair_index
from leadline.records.errors import StoppedError
from leadline.runtime.store.cells_codec import CellsCodec

TYPES = {
    "kind": np.uint8,
    "series": np.uint32,
    "minute": np.uint32,
    "index": np.uint64,
    "count": np.int64,
}


@st.composite
def any_cells(draw) -> Cells:
    """Cells in any order, with repetition; each column anything its type can hold."""
    length = draw(st.integers(0, 40))
    return Cells(**{name: draw(of_numpy.arrays(dtype, length)) for name, dtype in TYPES.items()})


def same(one: Cells, other: Cells) -> bool:
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype == dtype
        and np.array_equal(getattr(one, name), getattr(other, name))
        for name, dtype in TYPES.items()
    )


def extremes(*counts: int) -> Cells:
    ends = [0, 2**64 - 1, 0, 2**64 - 1][: len(counts)]
    return Cells(
        *(np.array(ends, np.uint64).astype(dtype) for dtype in list(TYPES.values())[:4]),
        np.array(counts, np.int64),
    )


@given(cells=any_cells())
@example(cells=empty_cells())
@example(cells=extremes(-(2**63), 2**63 - 1, 0, -1))
@example(cells=extremes(1))
def test_cells_come_back(cells):
    assert same(CellsCodec().decode(CellsCodec().encode(cells)), cells)


@given(cells=any_cells())
def test_normalised_cells_stay_so(cells):
    normal = merge([dataclasses.replace(cells, count=cells.count >> 8)])
    assert same(merge([CellsCodec().decode(CellsCodec().encode(normal))]), normal)


@given(parts=st.lists(any_cells(), max_size=5))
def test_a_codec_remembers_nothing(parts):
    codec = CellsCodec()
    for cells in parts:
        assert codec.encode(cells) == CellsCodec().encode(cells)
        assert same(codec.decode(codec.encode(cells)), cells)


@settings(max_examples=300)
@given(cells=any_cells(), chance=st.randoms(use_true_random=False))
def test_a_changed_bit_is_noticed(cells, chance):
    body = bytearray(CellsCodec().encode(cells))
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    with pytest.raises(StoppedError) as raised:
        CellsCodec().decode(bytes(body))
    assert raised.value.remedy


@given(cells=any_cells(), data=st.data())
def test_a_cut_body_is_noticed(cells, data):
    body = CellsCodec().encode(cells)
    with pytest.raises(StoppedError):
        CellsCodec().decode(body[: data.draw(st.integers(0, len(body) - 1))])


def test_a_newer_format_asks_for_an_upgrade():
    body = CellsCodec().encode(empty_cells())
    with pytest.raises(StoppedError, match="format 3") as raised:
        CellsCodec().decode(b"\x03" + body[1:])
    assert "Upgrade" in raised.value.remedy


def late_labels(events: int, minutes: int) -> Cells:
    """What labels add: 10 classes, 20 series, their predictions in the last `minutes` minutes."""
    chance = np.random.default_rng(4)
    true = chance.integers(0, 10, events).astype(np.uint32)
    predicted = np.where(chance.random(events) < 0.9, true, chance.integers(0, 10, events))
    series = chance.integers(0, 20, events).astype(np.uint32)
    minute = (29_000_000 - chance.integers(0, minutes, events)).astype(np.uint32)
    index = {
        CellKind.CONFUSION: pair_index(true, predicted.astype(np.uint32)),
        CellKind.RANK: pair_index(true, (predicted != true).astype(np.uint32)),
        CellKind.DELAY: chance.integers(100, 160, events).astype(np.uint64),
    }
    ones = np.ones(events, np.int64)
    return merge(
        [
            Cells(np.full(events, kind, np.uint8), series, minute, column, ones)
            for kind, column in index.items()
        ]
    )


@pytest.mark.parametrize(("minutes", "bytes_max"), [(1, 7_000), (60, 40_000), (43_200, 90_000)])
def test_a_delta_of_ten_thousand_labels_is_small(minutes, bytes_max):
    assert len(CellsCodec().encode(late_labels(10_000, minutes))) < bytes_max


@pytest.mark.parametrize("ordered", [True, False])
def test_only_some_minutes_are_decoded(ordered):
    """What comes back is what a mask leaves, whatever the order and however large the counts."""
    rng = np.random.default_rng(1)
    size = 3_000
    found = Cells(
        np.full(size, 2, np.uint8),
        rng.integers(0, 2, size).astype(np.uint32),
        rng.integers(100, 160, size).astype(np.uint32),
        rng.integers(0, 2**34, size).astype(np.uint64),
        np.where(rng.random(size) < 0.03, 10**6, rng.integers(-5, 9, size)),
    )
    found = merge([found]) if ordered else found
    codec = CellsCodec()
    body = codec.encode(found)
    for begin, end in [(0, 2**32), (0, 100), (100, 101), (110, 130), (159, 400), (130, 110)]:
        mask = (found.minute >= begin) & (found.minute < end)
        part = codec.decode(body, begin, end)
        for column in ("kind", "series", "minute", "index", "count"):
            assert np.array_equal(getattr(part, column), getattr(found, column)[mask]), column
