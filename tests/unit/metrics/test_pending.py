"""The store in which the halves of an event wait, against lists that are joined anew each time.

The counts of whole shards at every vector are compared in test_shard_core.py.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.metrics.core.join import NO_CASE, LabelArrivals, PredictionArrivals
from leadline.metrics.core.pending import MemoryPending
from leadline.records.batches import RETRACTED
from leadline.records.cells import RANKS_MAX
from leadline.records.ids import pack_ids

MINUTE_US = 60_000_000
# Ids that differ in one byte only, at both ends, and one that ends with zero bytes.
IDS = [bytes(16), bytes(15) + b"\x01", b"\x01" + bytes(15), b"\x01" + bytes(14) + b"\x01"]


@dataclass(frozen=True)
class P:
    """A prediction: `series` tells it apart from all others."""

    id: bytes
    task: int
    version: int
    series: int
    kept: bool


@dataclass(frozen=True)
class L:
    """A label."""

    id: bytes
    task: int
    rank: int
    minute: int
    true: int
    offset: int


def predict(pending, *rows):
    """Hands over predictions of one task and version; the case number is the series."""
    n = len(rows)
    numbers = np.array([row.series for row in rows], np.uint32)
    cases = [row.series if row.kept else NO_CASE for row in rows]
    return pending.add_predictions(
        PredictionArrivals(
            task=rows[0].task,
            version=rows[0].version,
            ids=pack_ids([row.id for row in rows]),
            series=numbers,
            minute=numbers + 100,
            event_ms=numbers.astype(np.int64) * 10,
            predicted=numbers % 3,
            ranked=np.zeros((n, RANKS_MAX), np.uint32) + numbers[:, None],
            case=np.array(cases, np.int64),
        )
    )


def tell(pending, *rows):
    """Hands over labels of one task, rank and record; label i arrived at (offset, i)."""
    return pending.add_labels(
        LabelArrivals(
            task=rows[0].task,
            rank=rows[0].rank,
            source=rows[0].rank,
            offset=rows[0].offset,
            ids=pack_ids([row.id for row in rows]),
            time_us=np.array([row.minute * MINUTE_US for row in rows], np.int64),
            arrival_ms=np.full(len(rows), 1000 + rows[0].offset, np.int64),
            true_class=np.array([row.true for row in rows], np.uint32),
        )
    )


class Sums:
    """What all changes add up to."""

    def __init__(self):
        self.pairs, self.unmatched, self.superseded = Counter(), Counter(), Counter()
        self.cases, self.duplicates = {}, 0

    def add(self, changes):
        pairs = changes.pairs
        for at in range(len(pairs.sign)):
            series, true = int(pairs.series[at]), int(pairs.true_class[at])
            assert int(pairs.minute[at]) == series + 100
            assert int(pairs.predicted[at]) == series % 3
            assert set(pairs.ranked[at].tolist()) == {series}
            delay = int(pairs.delay_ms[at])
            self.pairs[series, true, delay] += int(pairs.sign[at])
        for minute, sign in changes.unmatched:
            self.unmatched[minute] += sign
        for minute, sign in changes.superseded:
            self.superseded[minute] += sign
        self.cases |= dict(changes.relabelled)
        self.duplicates += int(changes.duplicate.sum())

    def counted(self):
        return [
            {key: count for key, count in counter.items() if count}
            for counter in (self.pairs, self.unmatched, self.superseded)
        ]


def joined(predictions, labels):
    """Pairs, unmatched and superseded of two lists, and the label of each kept case."""
    counted, duplicates = {}, 0
    for p in predictions:
        duplicates += (p.id, p.task, p.version) in counted
        counted.setdefault((p.id, p.task, p.version), p)
    pairs, unmatched, superseded, cases = Counter(), Counter(), Counter(), {}
    for key in {(label.id, label.task) for label in labels}:
        group = [label for label in labels if (label.id, label.task) == key]
        mine = [p for (id_, task, _), p in counted.items() if (id_, task) == key]
        if not mine:
            unmatched.update(label.minute for label in group)
            continue
        best = max((label.rank, label.minute) for label in group)
        winner = next(label for label in group if (label.rank, label.minute) == best)
        superseded.update(label.minute for label in group)
        superseded[winner.minute] -= 1
        for p in mine:
            if winner.true != RETRACTED:
                pairs[p.series, winner.true, 1000 + winner.offset - 10 * p.series] += 1
            if p.kept:
                cases[p.series] = winner
    counters = [
        {key: count for key, count in counter.items() if count}
        for counter in (pairs, unmatched, superseded)
    ]
    return counters, cases, duplicates


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("predictions"),
            st.integers(0, 1),
            st.integers(0, 1),
            st.lists(st.tuples(st.sampled_from(IDS), st.booleans()), min_size=1, max_size=4),
        ),
        st.tuples(
            st.just("labels"),
            st.integers(0, 1),
            st.integers(0, 1),
            st.lists(
                st.tuples(
                    st.sampled_from(IDS),
                    st.integers(0, 2),
                    st.sampled_from([0, 1, RETRACTED]),
                ),
                min_size=1,
                max_size=4,
            ),
        ),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(EVENTS)
def test_changes_add_up_to_the_join_after_every_arrival(events):
    pending, sums, predictions, labels = MemoryPending(), Sums(), [], []
    for offset, (side, task, number, rows) in enumerate(events):
        if side == "predictions":
            first = len(predictions)
            new = [P(id_, task, number, first + at, kept) for at, (id_, kept) in enumerate(rows)]
            predictions += new
            sums.add(predict(pending, *new))
        else:
            new = [L(id_, task, number, minute, true, offset) for id_, minute, true in rows]
            labels += new
            sums.add(tell(pending, *new))
        expected, cases, duplicates = joined(predictions, labels)
        assert sums.counted() == expected
        assert sums.duplicates == duplicates
        assert sums.cases.keys() == cases.keys()
        for case, winner in cases.items():
            shown = sums.cases[case]
            assert (shown is None) == (winner.true == RETRACTED)
            if shown is not None:
                assert (shown.true_class, shown.offset) == (winner.true, winner.offset)
    assert len(pending) == len(predictions)


def test_more_predictions_than_the_first_columns_hold_keep_what_they_were():
    pending, sums = MemoryPending(), Sums()
    ids = [number.to_bytes(16, "big") for number in range(5_000)]
    rows = [P(id_, 0, 0, number, kept=False) for number, id_ in enumerate(ids)]
    for first, end in ((0, 1), (1, 1_500), (1_500, 5_000)):
        sums.add(predict(pending, *rows[first:end]))
    sums.add(tell(pending, *(L(id_, 0, 0, 1, 2, 0) for id_ in ids)))
    assert sums.pairs == {(number, 2, 1000 - 10 * number): 1 for number in range(5_000)}


def test_tasks_do_not_meet():
    pending, sums = MemoryPending(), Sums()
    sums.add(predict(pending, P(IDS[0], 0, 0, 1, kept=False)))
    sums.add(tell(pending, L(IDS[0], 1, 0, 5, 2, 0)))
    assert sums.counted() == [{}, {5: 1}, {}]


def test_nothing_arrives_and_nothing_changes():
    pending = MemoryPending()
    nothing = np.zeros((0, 2), np.uint64)
    changes = pending.add_labels(
        LabelArrivals(
            0, 0, 0, 0, nothing, *(np.zeros(0, np.int64) for _ in range(2)), np.zeros(0, np.uint32)
        )
    )
    assert (len(changes.pairs.sign), changes.unmatched, changes.superseded) == (0, [], [])
    assert len(pending) == 0
