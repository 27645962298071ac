"""Questions over cells: versions, slices, windows, shards, steps."""

import numpy as np
import pytest

from leadline.metrics.core import scope, timeline, view
from leadline.metrics.core.figures import Rate
from leadline.metrics.core.scope import EVERYTHING, Last, Position, Window
from leadline.records.cells import CellKind, Cells, Series, merge

PHONE, KIOSK = (("device", "phone"),), (("device", "kiosk"),)
PHONE_DE = (("device", "phone"), ("country", "de"))
SERIES = [
    ("main/0", 0, Series("digits", "1", "digits", PHONE)),
    ("main/0", 1, Series("digits", "1", "digits", KIOSK)),
    ("main/1", 0, Series("digits", "1", "digits", PHONE_DE)),
    ("main/1", 1, Series("digits", "2", "digits", PHONE)),
    ("main/0", 2, Series("digits", "1", "digits")),
    ("main/1", 2, Series(task="digits")),
    ("main/1", 3, Series(task="other")),
]


def cells(*rows: tuple[CellKind, int, int, int, int]) -> Cells:
    columns = zip(*rows, strict=True)
    types = (np.uint8, np.uint32, np.uint32, np.uint64, np.int64)
    return merge([Cells(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))])


def pair(true: int, predicted: int) -> int:
    return true << 32 | predicted


SHARDS = {
    "main/0": cells(
        (CellKind.PREDICTED, 0, 100, 1, 4),
        (CellKind.CONFUSION, 0, 100, pair(1, 1), 3),
        (CellKind.CONFUSION, 0, 100, pair(2, 1), 1),
        (CellKind.PREDICTED, 1, 101, 2, 2),
        (CellKind.CONFUSION, 1, 101, pair(2, 2), 1),
        (CellKind.UNOBSERVED, 2, 101, 1, 7),
        (CellKind.SUPERSEDED, 0, 100, 0, 3),
        (CellKind.SUPERSEDED, 1, 101, 0, 5),
        (CellKind.DEFAULTED, 1, 101, 0, 1),
        (CellKind.CLAMPED, 0, 100, 0, 1),
        (CellKind.CLAMPED, 1, 100, 0, 2),
    ),
    "main/1": cells(
        (CellKind.PREDICTED, 0, 115, 1, 10),
        (CellKind.CONFUSION, 0, 115, pair(1, 1), 5),
        (CellKind.UNMATCHED, 2, 100, 0, 9),
        (CellKind.CLAMPED, 2, 100, 1, 4),
    ),
}


def test_slice_conditions_must_all_hold():
    """A crossing is one series; a condition alone takes every series that has it."""
    both = scope.of_version(SERIES, "digits", "1", PHONE_DE)
    assert both == {"main/1": {0}}
    assert scope.of_version(SERIES, "digits", "1", PHONE) == {"main/0": {0}, "main/1": {0}}
    assert scope.of_version(SERIES, "digits", "1") == {"main/0": {0, 1, 2}, "main/1": {0}}
    assert scope.of_version(SERIES, "digits", "9") == {}


def test_tasks_have_series_of_their_own():
    assert scope.tasks_of(SERIES, "digits", "1") == {"digits"}
    assert scope.of_tasks(SERIES, frozenset({"digits"})) == {"main/1": {2}}


def test_shards_merge():
    counts = view.count(SHARDS, scope.of_version(SERIES, "digits", "1"))
    assert counts.predicted.index.tolist() == [1, 2]
    assert counts.predicted.count.tolist() == [14, 2]
    assert counts.confusion.total == 10
    assert (counts.unmatched, counts.clamped, counts.unobserved) == (9, 7, ((1, 7),))
    assert (counts.superseded, counts.defaulted) == (8, 1)
    assert counts.observed == Window(100, 116)


def test_a_slice_counts_its_own_and_what_knows_no_slice():
    counts = view.count(SHARDS, scope.of_version(SERIES, "digits", "1", KIOSK))
    assert counts.predicted.total == 2
    assert (counts.superseded, counts.defaulted) == (5, 1)
    assert (counts.unmatched, counts.clamped, counts.unobserved) == (9, 6, ((1, 7),))


def test_a_window_ends_before_its_end():
    part = view.within(SHARDS, Window(101, 115))
    assert view.count(part, scope.of_version(SERIES, "digits", "1")).predicted.total == 2
    assert view.within(SHARDS, EVERYTHING) == SHARDS


def test_no_cells_are_no_counts():
    counts = view.count({}, {})
    assert (counts.predicted.total, counts.observed, counts.unobserved) == (0, None, ())


def steps_of(numbers, window, step):
    cells = view.within(view.of_series(SHARDS, numbers), window)
    folded = {shard: timeline.Margins(step)(found) for shard, found in cells.items()}
    return timeline.timeline(folded, window, step)


def test_the_timeline_has_every_step():
    numbers = scope.of_version(SERIES, "digits", "1")
    steps = steps_of(numbers, Window(99, 119), 10)
    assert [step.from_minute for step in steps] == [90, 100, 110]
    assert [step.predictions for step in steps] == [0, 6, 10]
    assert [step.accuracy for step in steps] == [Rate(0, 0), Rate(4, 5), Rate(5, 5)]
    assert steps[0].macro_f1 is None
    assert steps[1].macro_f1 == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_steps_sum_to_the_whole():
    numbers = scope.of_version(SERIES, "digits", "1")
    for step in (1, 3, 7, 60):
        steps = steps_of(numbers, Window(100, 116), step)
        assert sum(each.predictions for each in steps) == 16
        assert sum(each.accuracy.trials for each in steps) == 10


def test_slices_are_listed_the_commonest_first():
    numbers = scope.of_version(SERIES, "digits", "1")
    scoped = [each for each in SERIES if each[1] in numbers.get(each[0], ())]
    listed = view.slice_listing(view.of_series(SHARDS, numbers), scoped)
    assert [(each.column, each.value, each.predictions, each.accuracy) for each in listed] == [
        ("device", "phone", 14, Rate(8, 9)),
        ("country", "de", 10, Rate(5, 5)),
        ("device", "kiosk", 2, Rate(1, 1)),
    ]


def test_a_window_that_ends_now_holds_the_running_minute():
    now_us = 1000 * scope.MINUTE_US + 59_000_000
    assert scope.resolve(Last(60), now_us) == Window(941, 1001)
    assert scope.resolve(Window(1, 2), now_us) == Window(1, 2)
    assert scope.resolve(None, now_us) == EVERYTHING


@pytest.mark.parametrize("minutes", [1, 5, 60, 1440, 10_080, 525_600, 5_256_000])
def test_about_48_steps_are_chosen(minutes):
    step = scope.step_minutes(Window(0, minutes))
    assert step >= 1
    assert minutes / step <= 48


def test_the_champion_is_declared_or_seen_last():
    assert scope.champion("", ["2", "1"]) == "2"
    assert scope.champion("1", ["2", "1"]) == "1"
    assert scope.champion("", []) == ""


def position(predictions_ms: int, labels_ms: int, p: int = 5, l: int = 5) -> Position:
    return Position("main/0", p, l, 0, predictions_ms, labels_ms)


def test_exact_until_is_the_oldest_side_that_has_lag():
    vector = [position(100, 40)]
    assert scope.exact_until_ms(vector, {"main/0": (5, 5)}) == 100
    assert scope.exact_until_ms(vector, {"main/0": (6, 5)}) == 100
    assert scope.exact_until_ms(vector, {"main/0": (6, 6)}) == 40


def test_exact_until_without_the_ends_is_a_lower_bound():
    assert scope.exact_until_ms([position(100, 40)]) == 40
    assert scope.exact_until_ms([position(100, 0)]) == 100
    assert scope.exact_until_ms([]) == 0
