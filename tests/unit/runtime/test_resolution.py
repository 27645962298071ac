"""Where old cells stand: against the obvious form, cell by cell."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.records.cells import HISTORY_KINDS, CellKind, Cells, empty_cells, merge
from leadline.runtime.store import blocks
from leadline.runtime.store.resolution import (
    BLOCK_MINUTES,
    DAY,
    DAY_STEP,
    DELETED_STEP,
    HOUR,
    HOUR_STEP,
    QUARTER,
    QUARTER_STEP,
    SCORES_STEP,
    Retention,
    Rolled,
    bucketed,
    planned,
    summed_by,
)

KINDS = [CellKind.CONFUSION, CellKind.SCORES, CellKind.ADDED]


@st.composite
def rolled_bounds(draw):
    deleted = draw(st.integers(0, 2)) * DELETED_STEP
    day = draw(st.integers(0, 3)) * DAY_STEP + -(-deleted // DAY_STEP) * DAY_STEP
    hour = day + draw(st.integers(0, 4)) * HOUR_STEP
    quarter = hour + draw(st.integers(0, 5)) * QUARTER_STEP
    scores = deleted + draw(st.integers(0, 40)) * SCORES_STEP
    return Rolled(quarter, hour, day, scores, deleted)


def obvious_step(rolled, kind, minute):
    if kind == CellKind.SCORES:
        return DAY if minute < rolled.scores else HOUR
    for step, until in ((DAY, rolled.day), (HOUR, rolled.hour), (QUARTER, rolled.quarter)):
        if minute < until:
            return step
    return 1


def obvious(rows, rolled):
    found = Counter()
    for (kind, series, minute, index), count in rows.items():
        if kind in HISTORY_KINDS:
            found[kind, series, minute, index] += count
        elif minute >= rolled.deleted:
            step = obvious_step(rolled, kind, minute)
            found[kind, series, minute // step * step, index] += count
    return {key: count for key, count in found.items() if count}


@st.composite
def placed_rows(draw, rolled):
    near = [rolled.quarter, rolled.hour, rolled.day, rolled.scores, rolled.deleted]
    rows = {}
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(KINDS))
        minute = draw(st.sampled_from(near)) + draw(st.integers(-2000, 2000))
        minute = max(minute, 0)
        if kind == CellKind.SCORES:
            minute -= minute % HOUR
        if kind == CellKind.ADDED:
            minute = 0
        key = (int(kind), draw(st.integers(0, 2)), minute, draw(st.integers(0, 2)))
        rows[key] = draw(st.sampled_from([-1, 1, 2]))
    return rows


def cells(rows):
    if not rows:
        return empty_cells()
    types = (np.uint8, np.uint32, np.uint32, np.uint64)
    columns = zip(zip(*rows, strict=True), types, strict=True)
    keys = (np.array(column, dtype) for column, dtype in columns)
    return merge([Cells(*keys, np.array(list(rows.values()), np.int64))])


def rows_of(found):
    columns = (found.kind, found.series, found.minute, found.index)
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(keys, found.count.tolist(), strict=True))


@settings(deadline=None)
@given(st.data(), rolled_bounds())
def test_cells_take_the_minute_of_their_bucket(data, rolled):
    rows = data.draw(placed_rows(rolled))
    once = bucketed(cells(rows), rolled)
    assert rows_of(once) == obvious(rows, rolled)
    assert rows_of(bucketed(once, rolled)) == rows_of(once)


@settings(deadline=None)
@given(st.data(), rolled_bounds())
def test_blocks_are_of_one_resolution_and_in_the_order_of_their_cells(data, rolled):
    found = bucketed(cells(data.draw(placed_rows(rolled))), rolled)
    parts = blocks.split(found, rolled)
    assert list(parts) == sorted(parts)
    assert rows_of(blocks.joined(parts)) == rows_of(found)
    for (kind, _, start, step), part in parts.items():
        span = BLOCK_MINUTES[step]
        assert start % span == 0
        assert all(start <= minute < start + span for minute in part.minute.tolist())
        assert not rolled.is_due(kind, step, start)
        for minute in part.minute.tolist():
            assert kind in HISTORY_KINDS or minute % max(step, 1) == 0


@given(rolled_bounds(), st.sampled_from(KINDS[:2]), st.integers(0, 100 * DAY))
def test_the_ceiling_is_the_next_bucket_that_a_question_begins_with(rolled, kind, minute):
    found = rolled.ceiling(kind, minute)
    step = obvious_step(rolled, kind, minute)
    expected = next(m for m in range(minute, minute + DAY + 1) if m % step == 0)
    assert found == max(expected, rolled.deleted)
    assert found >= rolled.deleted and rolled.ceiling(kind, found) == found


NOW = 40_000 * DAY + 777
SUMMED = Rolled(summed=summed_by(NOW))


def test_bounds_follow_the_clock():
    found = planned(SUMMED, Retention(days=400 * DAY), NOW, NOW - 5, 0)
    for until, keep, step in [
        (found.quarter, 2 * DAY, QUARTER_STEP),
        (found.hour, 14 * DAY, HOUR_STEP),
        (found.day, 90 * DAY, DAY_STEP),
        (found.scores, 2 * DAY, SCORES_STEP),
        (found.deleted, 400 * DAY, DELETED_STEP),
    ]:
        assert until % step == 0
        assert NOW - keep - step - 5 < until <= NOW - keep


@given(
    st.lists(
        st.tuples(
            st.builds(Retention, *[st.integers(0, 200 * DAY)] * 5),
            st.integers(0, 300 * DAY),
            st.integers(0, 300 * DAY),
            st.integers(0, 100 * DAY),
        ),
        max_size=5,
    )
)
def test_bounds_never_fall_and_stay_in_their_order(steps):
    """Whatever is set, in whatever order, whatever the clocks say."""
    rolled = Rolled(summed=DAY * 50)
    for retention, one, other, window in steps:
        before, rolled = (
            rolled,
            planned(rolled, retention, max(one, other), min(one, other), window),
        )
        names = Rolled.__slots__
        assert all(getattr(rolled, name) >= getattr(before, name) for name in names)
        assert rolled.deleted <= rolled.day <= rolled.hour <= rolled.quarter
        assert rolled.day <= rolled.summed == DAY * 50
        assert rolled.deleted <= rolled.scores
        steps_of = (QUARTER_STEP, HOUR_STEP, DAY_STEP, SCORES_STEP, DELETED_STEP)
        assert all(
            getattr(rolled, name) % step == 0 for name, step in zip(names, steps_of, strict=False)
        )


def test_nothing_is_deleted_within_the_label_window_or_without_both_clocks():
    keep = Retention(days=200 * DAY)
    assert planned(SUMMED, keep, NOW, NOW, 0).deleted > NOW - 200 * DAY - DELETED_STEP
    assert planned(SUMMED, keep, NOW, NOW, 300 * DAY).deleted <= NOW - 300 * DAY
    assert planned(SUMMED, keep, NOW, 0, 0).deleted == 0
    assert planned(SUMMED, Retention(), NOW, NOW, 0).deleted == 0


def test_the_steps_hold_whole_blocks_of_what_they_make_coarser():
    assert QUARTER_STEP % BLOCK_MINUTES[1] == SCORES_STEP % BLOCK_MINUTES[1] == 0
    assert HOUR_STEP % BLOCK_MINUTES[QUARTER] == 0
    assert DAY_STEP % BLOCK_MINUTES[HOUR] == 0
    assert DELETED_STEP % BLOCK_MINUTES[DAY] == 0
    assert all(span % step == 0 for step, span in BLOCK_MINUTES.items() if step)


@pytest.mark.parametrize("rolled", [Rolled(), Rolled(quarter=QUARTER_STEP)])
def test_no_cells_stay_none(rolled):
    assert len(bucketed(empty_cells(), rolled)) == 0
    assert blocks.split(empty_cells(), rolled) == {}


def test_days_are_summed_when_they_have_ended_for_some_hours():
    assert summed_by(0) == summed_by(DAY + 6 * HOUR - 1) == 0
    assert summed_by(DAY + 6 * HOUR) == summed_by(2 * DAY) == DAY


def test_hours_become_days_only_when_there_are_sums_of_them():
    keep = Retention(hours=9 * DAY)
    assert planned(Rolled(summed=NOW - 50 * DAY), keep, NOW, NOW, 0).day <= NOW - 50 * DAY
    assert planned(Rolled(), keep, NOW, NOW, 0).day == 0
