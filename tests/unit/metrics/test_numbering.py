"""Series numbers: in the order of the log, bounded by version, the same after a restart."""

import numpy as np
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
        self.numbers, self.places = {}, {}

    def of_rows(self, batch):
        return [self._of_row(batch, row) for row in range(len(batch))]

    def _of_row(self, batch, row):
        header = batch.header
        slices = tuple((column.name, column.values[column.codes[row]]) for column in batch.slices)
        places = self.places.setdefault((header.model, header.version), [])
        if slices and slices not in places:
            if len(places) < BOUND:
                places.append(slices)
            else:
                slices = tuple((name, OTHER) for name, _ in slices)
        series = Series(header.model, header.version, header.task, slices)
        return self.numbers.setdefault(series, len(self.numbers))


def numbered(numbers, batch, bound=BOUND):
    (found,) = numbers.of_rows([(batch, np.arange(len(batch)))], bound)
    return found


@given(st.lists(batches(), max_size=8))
def test_rows_have_the_numbers_of_the_slow_reference(stream):
    slow, numbers = Slow(), SeriesNumbers({})
    for batch in stream:
        found = numbered(numbers, batch)
        assert found.dtype == np.uint32
        assert found.tolist() == slow.of_rows(batch)
    assert numbers.new() == slow.numbers


@given(st.lists(batches(), max_size=8), st.integers(0, 8))
def test_a_restart_gives_the_same_numbers(stream, at):
    whole, before = SeriesNumbers({}), SeriesNumbers({})
    expected = [numbered(whole, batch).tolist() for batch in stream]
    found = [numbered(before, batch).tolist() for batch in stream[:at]]
    known = before.new()
    after = SeriesNumbers(known)
    found += [numbered(after, batch).tolist() for batch in stream[at:]]
    assert found == expected
    assert known | after.new() == whole.new()
    assert not known.keys() & after.new().keys()


@given(st.lists(batches(), max_size=4), st.lists(batches(), max_size=4))
def test_a_replay_gives_no_new_numbers(counted, later):
    """A recovery reads old batches again, with all that was ever numbered known."""
    first = SeriesNumbers({})
    for batch in (*counted, *later):
        numbered(first, batch)
    replay = SeriesNumbers(first.new())
    for batch in counted:
        numbered(replay, batch)
    assert replay.new() == {}


@given(st.lists(batches(), max_size=6), st.lists(batches(), max_size=6))
def test_what_was_not_committed_is_taken_back(kept, undone):
    numbers, other = SeriesNumbers({}), SeriesNumbers({})
    for batch in kept:
        assert numbered(numbers, batch).tolist() == numbered(other, batch).tolist()
    numbers.commit()
    for batch in undone:
        numbered(numbers, batch)
    numbers.undo()
    assert numbers.new() == {}
    for batch in undone:
        assert numbered(numbers, batch).tolist() == numbered(other, batch).tolist()


def test_a_bound_that_changes_decides_by_the_place_of_a_tuple():
    header = PredictionHeader("m", "1", "t")
    numbers = SeriesNumbers({})

    def slices_of(value, bound):
        device = SliceColumn("device", (value,), np.zeros(1, np.uint32))
        zero = np.zeros(1, np.int64)
        batch = PredictionBatch(
            header, pack_ids([bytes(16)]), zero, zero.astype(np.uint32), slices=(device,)
        )
        return numbers[int(numbered(numbers, batch, bound)[0])].slices[0][1]

    assert [slices_of(value, 1) for value in "xyx"] == ["x", OTHER, "x"]
    assert [slices_of(value, 2) for value in "yzy"] == ["y", OTHER, "y"]
    assert [slices_of(value, 1) for value in "xy"] == ["x", OTHER]


def test_new_series_are_those_since_the_last_commit():
    numbers = SeriesNumbers({Series("m", "1", "t"): 0})
    assert numbers.number(Series("m", "1", "t")) == 0
    assert numbers.new() == {}
    assert numbers.number(Series(task="t")) == 1
    assert numbers.new() == {Series(task="t"): 1}
    numbers.commit()
    assert numbers.new() == {}
    assert (numbers[0].version, numbers[1].task) == ("1", "t")
    assert numbers.task_of().tolist() == [0, 0]
    assert numbers.version_of().tolist() == [0, 1]


def test_names_keep_their_number():
    numbers = Numbers()
    names = ["t", ("m", "1"), ("m", "2"), ""]
    assert [numbers.number(name) for name in (*names, *names)] == [0, 1, 2, 3] * 2
    assert list(numbers.names) == names
    assert len(numbers) == 4
