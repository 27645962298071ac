"""The soak's comparison: it finds every wrong cell, and the id behind it."""

from collections import Counter

import numpy as np
import pytest
from independent import RETRACTED
from oracle_full import LabelRecord, LabelRow, PredictionRecord, PredictionRow, Rule
from soak.verdict import (
    Facts,
    compare,
    history_of,
    history_problems,
    suspects,
    translated,
    withhold,
)

from leadline.records.cells import CellKind, Cells

NOW_MS = 1_800_000_000_000
SERIES = ("m", "1", "m", ())


def identity(number):
    return number.to_bytes(16, "big")


@pytest.fixture
def facts():
    """Forty predictions; three of four have a label, every tenth label is a retraction."""
    predictions, labels = [], []
    for number in range(40):
        at = NOW_MS + number * 7_000
        row = PredictionRow(identity(number), at * 1000, number % 3, (0.2, 0.3, 0.5))
        predictions.append(PredictionRecord(number, at, "m", "1", "m", (row,)))
        if number % 4:
            true = RETRACTED if number % 10 == 0 else number % 2
            label = LabelRow(identity(number), at * 1000, true)
            labels.append(LabelRecord(len(labels), at + 500, "m", "s", 0, (label,)))
    return Facts(predictions, labels, [Rule()])


def test_equal_truths_do_not_differ(facts):
    assert compare(facts.truth(), facts.truth()) == []
    assert compare({}, {}) == []


def test_every_cell_that_differs_is_told(facts):
    wanted = facts.truth()
    for key in wanted:
        found = dict(wanted)
        found[key] += 1
        (one,) = compare(found, wanted)
        assert (one.key, one.found, one.wanted) == (key, wanted[key] + 1, wanted[key])
        del found[key]
        assert [one.key for one in compare(found, wanted)] == [key]


def test_kinds_may_be_left_out(facts):
    wanted = facts.truth()
    found = {key: count for key, count in wanted.items() if key[0] != "RANK"}
    assert compare(found, wanted, {"PREDICTED", "CONFUSION"}) == []
    assert {one.key[0] for one in compare(found, wanted)} == {"RANK"}


def test_a_withheld_label_is_found_out_and_its_id_suspected(facts):
    """The control of the soak itself."""
    without, key = withhold(facts)
    differences = compare(facts.truth(), without.truth())
    assert differences
    assert key in [(task, id_bytes) for task, id_bytes, _ in suspects(differences, facts)]


def test_no_label_to_withhold_is_an_error(facts):
    with pytest.raises(ValueError, match="no label"):
        withhold(Facts(facts.predictions, [], facts.rules))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 17, 39])
def test_an_id_that_was_counted_twice_is_suspected(facts, number):
    wanted = facts.truth()
    alone = Facts([r for r in facts.predictions if r.offset == number], [], facts.rules).truth()
    found = dict(Counter(wanted) + Counter(alone))
    names = [id_bytes for _, id_bytes, _ in suspects(compare(found, wanted), facts)]
    assert identity(number) in names
    assert any(
        f"prediction {number}/0" in line for line in history_of(facts, "m", identity(number))
    )


def test_history_kinds_must_add_up_to_the_matrix():
    cells = {
        ("CONFUSION", SERIES, 5, 7): 2,
        ("CONFUSION", SERIES, 6, 7): 1,
        ("ADDED", SERIES, 0, 7): 5,
        ("RETRACTED", SERIES, 0, 7): 2,
    }
    assert history_problems(cells) == {}
    cells["ADDED", SERIES, 0, 7] = 6
    assert history_problems(cells) == {(SERIES, 7): 1}
    assert compare(cells, {("CONFUSION", SERIES, 5, 7): 2, ("CONFUSION", SERIES, 6, 7): 1}) == []


def test_cells_of_the_store_get_names():
    series = {0: SERIES, 3: ("m", "2", "m", ())}
    names = {int(kind): kind.name for kind in CellKind}
    cells = Cells(
        np.array([CellKind.CONFUSION, CellKind.PAIR], np.uint8),
        np.array([0, 0], np.uint32),
        np.array([9, 9], np.uint32),
        np.array([4 << 32 | 2, 4 << 32 | 3 << 2 | 1], np.uint64),
        np.array([5, 6], np.int64),
    )
    assert translated(cells, series, names) == {
        ("CONFUSION", SERIES, 9, 4 << 32 | 2): 5,
        ("PAIR", SERIES, 9, (4, series[3], False, True)): 6,
    }
