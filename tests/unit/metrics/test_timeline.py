"""Figures by step against counts by hand; margins add up part by part."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from leadline.metrics.core.figures import Rate
from leadline.metrics.core.scope import Window
from leadline.metrics.core.timeline import DAY, TIMELINE_KINDS, Margins, timeline
from leadline.records.cells import CellKind, Cells, empty_cells, merge

LAST_CLASS = 2**32 - 1


def drawn(seed, size=2_000, classes=7, first=1_000_000, minutes=3 * DAY):
    rng = np.random.default_rng(seed)
    kind = rng.choice(np.array([*TIMELINE_KINDS, CellKind.RANK], np.uint8), size)
    numbers = np.append(np.arange(classes - 1), LAST_CLASS).astype(np.uint64)
    true, said = rng.choice(numbers, size), rng.choice(numbers, size)
    pair = true << np.uint64(32) | said
    index = np.where(kind == CellKind.CONFUSION, pair, said % np.uint64(50))
    minute = (first + rng.integers(0, minutes, size)).astype(np.uint32)
    series = rng.integers(0, 3, size).astype(np.uint32)
    return merge([Cells(kind, series, minute, index, rng.integers(1, 5, size))])


def by_hand(cells, window, step):
    """Steps counted one cell at a time: (from, predictions, right, labelled, macro F1)."""
    predictions, pairs = Counter(), defaultdict(Counter)
    columns = (cells.kind, cells.minute, cells.index, cells.count)
    for kind, minute, index, count in zip(*(each.tolist() for each in columns), strict=True):
        at = minute // step * step
        if kind == CellKind.PREDICTED:
            predictions[at] += count
        elif kind == CellKind.CONFUSION:
            pairs[at][index >> 32, index & 0xFFFF_FFFF] += count
    found = []
    for at in range(window.from_minute // step * step, window.to_minute, step):
        here = pairs[at]
        right = sum(count for (true, said), count in here.items() if true == said)
        scores = [f1(here, each) for each in sorted({one for pair in here for one in pair})]
        mean = sum(scores) / len(scores) if scores else None
        found.append((at, predictions[at], right, sum(here.values()), mean))
    return found


def f1(pairs, number):
    row = sum(count for (true, _), count in pairs.items() if true == number)
    column = sum(count for (_, said), count in pairs.items() if said == number)
    return 2 * pairs[number, number] / (row + column)


def told(shards, window, step):
    folded = {shard: Margins(step)(cells) for shard, cells in shards.items()}
    return [
        (each.from_minute, each.predictions, each.accuracy, each.macro_f1)
        for each in timeline(folded, window, step)
    ]


@pytest.mark.parametrize("step", [1, 7, 60, 1_000, DAY, 2 * DAY, 10 * DAY])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_steps_are_those_counted_by_hand(step, classes):
    minutes = min(3 * DAY, 300 * step)
    cells = drawn(step + classes, classes=classes, minutes=minutes)
    window = Window(1_000_000, 1_000_000 + minutes + step)
    other = drawn(9, 50, classes, minutes=minutes)
    found = told({"a": cells, "b": other, "c": empty_cells()}, window, step)
    wanted = by_hand(merge([cells, other]), window, step)
    assert len(found) == len(wanted) > 1
    for one, (at, predictions, right, labelled, mean) in zip(found, wanted, strict=True):
        assert one[:3] == (at, predictions, Rate(right, labelled))
        assert one[3] == (None if mean is None else pytest.approx(mean, abs=1e-12))


def test_without_cells_every_step_is_empty():
    assert told({}, Window(5, 25), 10) == [(at, 0, Rate(0, 0), None) for at in (0, 10, 20)]
    assert told({"a": empty_cells()}, Window(0, 0), 10) == []


def test_margins_add_up():
    one, other = drawn(1), drawn(2)
    for step in (1, 60, DAY):
        fold = Margins(step)
        same(fold(merge([one, other])), merge([fold(one), fold(other)]))
        assert not len(fold(empty_cells()))


def test_steps_of_whole_days_do_not_ask_for_the_time_of_day():
    cells = drawn(3)
    days = Cells(
        cells.kind, cells.series, cells.minute - cells.minute % DAY, cells.index, cells.count
    )
    for step in (1, 60, 1_000, DAY, 3 * DAY):
        fold = Margins(step)
        assert fold.whole_days == (step % DAY == 0)
        if fold.whole_days:
            same(fold(cells), fold(merge([days])))
        else:
            assert fold(cells).minute.tolist() != fold(merge([days])).minute.tolist()


def same(one, other):
    for name in ("kind", "series", "minute", "index", "count"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
