"""Series numbers: in the order of the log, bounded by version, the same after a restart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.metrics.core.numbering import OTHER, Numbers, SeriesNumbers
from leadline.records.batches import PredictionBatch, PredictionHeader, SliceColumn
from leadline.records.cells import Series
from leadline.records.ids import pack_ids

BOUND = 4
VALUES = ("a", "b", "c", "")


@st.composite
def batches(draw):
    """Batches of two versions with none, one or two slice columns; the dictionary repeats."""
    n = draw(st.integers(1, 6))
    names = draw(st.sampled_from([(), ("device",), ("device", "site"), ("site", "device")]))
    codes = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    return PredictionBatch(
        PredictionHeader("m", draw(st.sampled_from("12")), "t"),
        pack_ids([bytes(16)] * n),
        np.zeros(n, np.int64),
        np.zeros(n, np.uint32),
        slices=tuple(
            SliceColumn(name, (*VALUES, "a"), np.array(draw(codes), np.uint32)) for name in names
        ),
    )


class Slow:
    """Numbers row by row, as the rule is written."""

    def __init__(self):
        self.numbers = {}

    def of_rows(self, batch):
        return [self._of_row(batch, row) for row in range(len(batch))]

    def _of_row(self, batch, row):
        header = batch.header
        slices = tuple((column.name, column.values[column.codes[row]]) for column in batch.slices)
        wanted = Series(header.model, header.version, header.task, slices)
        if slices and wanted not in self.numbers:
            mine = [one for one in self.numbers if one.slices and one.version == header.version]
            if len(mine) >= BOUND:
                rest = tuple((name, OTHER) for name, _ in slices)
                wanted = Series(header.model, header.version, header.task, rest)
        return self.numbers.setdefault(wanted, len(self.numbers))


@given(st.lists(batches(), max_size=8))
def test_rows_have_the_numbers_of_the_slow_reference(stream):
    slow, numbers = Slow(), SeriesNumbers({}, BOUND)
    for batch in stream:
        found = numbers.of_rows(batch)
        assert found.dtype == np.uint32
        assert found.tolist() == slow.of_rows(batch)
    assert numbers.take_new() == slow.numbers


@given(st.lists(batches(), max_size=8), st.integers(0, 8))
def test_a_restart_gives_the_same_numbers(stream, at):
    whole, before = SeriesNumbers({}, BOUND), SeriesNumbers({}, BOUND)
    expected = [whole.of_rows(batch).tolist() for batch in stream]
    found = [before.of_rows(batch).tolist() for batch in stream[:at]]
    known = before.take_new()
    after = SeriesNumbers(known, BOUND)
    found += [after.of_rows(batch).tolist() for batch in stream[at:]]
    assert found == expected
    assert known | after.take_new() == whole.take_new()
    assert not known.keys() & after.take_new().keys()


@given(st.lists(batches(), max_size=4), st.lists(batches(), max_size=4))
def test_a_replay_gives_no_new_numbers(counted, later):
    """A recovery reads old batches again, with all that was ever numbered known."""
    first = SeriesNumbers({}, BOUND)
    for batch in (*counted, *later):
        first.of_rows(batch)
    replay = SeriesNumbers(first.take_new(), BOUND)
    for batch in counted:
        replay.of_rows(batch)
    assert replay.take_new() == {}


def test_new_series_are_told_once():
    numbers = SeriesNumbers({Series("m", "1", "t"): 0}, BOUND)
    assert numbers.number(Series("m", "1", "t")) == 0
    assert numbers.take_new() == {}
    assert numbers.number(Series(task="t")) == 1
    assert numbers.take_new() == {Series(task="t"): 1}
    assert numbers.take_new() == {}


def test_names_keep_their_number():
    numbers = Numbers()
    names = ["t", ("m", "1"), ("m", "2"), ""]
    assert [numbers.number(name) for name in (*names, *names)] == [0, 1, 2, 3] * 2
    assert [numbers.name(number) for number in range(4)] == names
    with pytest.raises(IndexError):
        numbers.name(4)
