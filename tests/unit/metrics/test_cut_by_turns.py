"""Heads are cut one at a time, and those of equal traffic by turns."""

from itertools import pairwise

import numpy as np
import pytest

from leadline.metrics.cache.cache import Cache, Held, Identity
from leadline.metrics.cache.files import MemoryFiles
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.keys import id_time_ms, keys_of
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.rows import LABEL, PREDICTION, NewLabels, NewPredictions
from leadline.metrics.core.shard import ShardCore
from leadline.metrics.core.store import PendingStore
from leadline.metrics.sides import cut_and_forget
from leadline.records.rules import Rules, RulesRow

FULL = 1_000


def cuts(predictions, labels, rounds):
    """The heads' rows after each round of so many new rows, and which sides were cut in it."""
    rng = np.random.default_rng(0)
    cache = Cache(MemoryFiles())
    core = ShardCore(PendingStore(), SeriesNumbers({}), [RulesRow(0, 0, 0, Rules())])
    store = core.store
    cache.load(Identity("main/0", 0, ("", "")), store, 0, 0)
    found = []
    for at in range(1, rounds + 1):
        for add, of, dtype, count in (
            (store.add_predictions, NewPredictions, PREDICTION, predictions),
            (store.add_labels, NewLabels, LABEL, labels),
        ):
            ids = rng.integers(0, 2**63, (count, 2), dtype=np.uint64)
            rest = ({},) if of is NewPredictions else ()
            add(of(keys_of(ids), id_time_ms(ids[:, 0]), np.zeros(count, dtype), *rest))
        before = [len(side.segments) for side in (store.predictions, store.labels)]
        cut_and_forget(core, cache, Held(at, at, Clocks(0, 0), []), FULL)
        sides = (store.predictions, store.labels)
        cut = [len(s.segments) - b for s, b in zip(sides, before, strict=True)]
        found.append(([len(side.rows) for side in sides], cut))
    return found


@pytest.mark.parametrize("step", [(10, 10), (30, 10), (0, 25), (400, 350), (999, 999)])
def test_one_head_at_a_time_is_cut_and_both_stay_bounded(step):
    found = cuts(*step, 200)
    assert all(sum(cut) <= 1 for _, cut in found)
    assert max(max(rows) for rows, _ in found) < FULL + 2 * max(step)
    total = np.sum([cut for _, cut in found], axis=0)
    rows = 200 * np.array(step)
    assert (total >= rows // (FULL + 2 * max(step)) - 1).all()
    assert (total <= rows // (FULL // 2) + 1).all()  # heads are not cut in small pieces


def test_sides_of_equal_traffic_are_cut_by_turns_half_a_head_apart():
    found = cuts(10, 10, 1_000)
    at = [(number, cut.index(1)) for number, (_, cut) in enumerate(found) if sum(cut)][8:]
    assert len(at) > 8
    for (first, side), (second, other) in pairwise(at):
        assert side != other
        assert 40 <= second - first <= 60  # of 100 rounds that fill a head
