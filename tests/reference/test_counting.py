"""The counting core against the oracle on plain lists, at every vector of random logs.

Random records, read in random interleavings and steps, taken back now and then, cut into segments
and forgotten as early as the rules allow: what was counted is always the oracle's.
"""

import random
from collections import Counter

import numpy as np
import oracle_full as oracle
import pytest

from leadline.metrics.cache.segment_file import decode_segment, encode_segment
from leadline.metrics.core.arrivals import Places
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.shard import ShardCore
from leadline.metrics.core.store import PendingStore
from leadline.records.batches import (
    RETRACTED,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
)
from leadline.records.cells import HISTORY_KINDS, CellKind
from leadline.records.ids import pack_ids
from leadline.records.rules import Rules, RulesRow

START = 1_700_000_000_000


class Log:
    """Random records of one partition pair, and the rules they live by."""

    def __init__(self, seed):
        self.random = rng = random.Random(seed)
        self.tasks = rng.choice([["a"], ["a", "b"]])
        self.versions = rng.choice([["1"], ["1", "2"], ["1", "2", "3"]])
        self.ids = [self._id(number) for number in range(rng.choice([2, 5, 20]))]
        self.step_ms = rng.choice([0, 1, 5, 50])
        self.form = rng.choice(["dense", "wide", "top", "order", "none", "mixed"])
        self.rules = [self._rule(0, 0)]
        size = rng.randint(1, 30)
        if rng.random() < 0.4:
            for _ in range(rng.randint(1, 2)):
                last = self.rules[-1]
                self.rules.append(
                    self._rule(rng.randint(last.from_p, size), rng.randint(last.from_l, size))
                )
        self.predictions = self._side(size, self._prediction)
        self.labels = self._side(rng.randint(0, 40), self._label)

    def _id(self, number):
        if self.random.random() < 0.5:
            return (START + number).to_bytes(6, "big") + bytes(9) + bytes([number])
        return self.random.randbytes(15) + bytes([number])

    def _rule(self, from_p, from_l):
        rng = self.random
        window = rng.choice([0, 3, 20, 100])
        return oracle.Rule(
            from_p=from_p,
            from_l=from_l,
            label_window_ms=window,
            prediction_window_ms=rng.choice([0, 2, 10, 60]),
            pair_window_ms=rng.randint(0, window),
            event_time_bound_ms=rng.choice([10, 100_000]),
            slices_per_version_max=rng.choice([1, 2, 100]),
            pairs_max=rng.choice([0, 1, 2, 4]),
            default_labels=rng.choice([{}, {}, {"a": 1}, {"a": 0, "b": 2}]),
            kinds=frozenset(
                rng.choice([["pairs", "scores", "strata"], ["pairs", "strata"], ["scores"], []])
            ),
        )

    def _side(self, size, make):
        now, records = START, []
        for offset in range(size):
            now += self.random.randint(-self.step_ms // 3, self.step_ms)
            records.append(make(offset, now))
        return records

    def _prediction(self, offset, now):
        rng = self.random
        sliced = rng.choice([(), (), ("device",), ("device", "room")])
        classes, form = rng.choice([3, 5]), self.form
        if form == "mixed":
            form = rng.choice(["dense", "wide", "top", "order", "none"])
        rows = []
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            grain = rng.choice([4, 1000])
            scores, top, top_scores = (), (), ()
            if form in {"dense", "wide"}:
                width = classes if form == "dense" else 70
                scores = tuple(
                    float(np.float32(rng.randint(0, grain) / grain)) for _ in range(width)
                )
            elif form in {"top", "order"}:
                top = tuple(rng.sample(range(20), classes))
            if form == "top":
                top_scores = tuple(
                    sorted((float(np.float32(rng.random())) for _ in top), reverse=True)
                )
            rows.append(
                oracle.PredictionRow(
                    id=rng.choice(self.ids),
                    event_us=(now + rng.choice([0, -3, 5, -70_000, 200_000])) * 1000 + 7,
                    predicted=rng.randrange(classes),
                    scores=scores,
                    top=top,
                    top_scores=top_scores,
                    slices=tuple((name, rng.choice("xyz")) for name in sliced),
                    kept=rng.random() < 0.3,
                )
            )
        task = rng.choice(self.tasks)
        return oracle.PredictionRecord(
            offset, now, "m", rng.choice(self.versions), task, tuple(rows), rng.random() < 0.1
        )

    def _label(self, offset, now):
        rng = self.random
        rows = tuple(
            oracle.LabelRow(
                rng.choice(self.ids),
                (now + rng.choice([0, 0, -2, 4, -300_000])) * 1000 + 3,
                rng.choice([0, 1, 2, 3, 25, RETRACTED]),
            )
            for _ in range(rng.choice([0, 1, 1, 2, 5]))
        )
        rank = rng.choice([0, 0, 10])
        return oracle.LabelRecord(
            offset, now, rng.choice(self.tasks), f"s{rank}", rank, rows, rng.random() < 0.1
        )


def prediction_batch(record):
    rows = record.rows
    first = rows[0] if rows else oracle.PredictionRow(bytes(16), 0, 0)
    slices = []
    for at, (name, _) in enumerate(first.slices):
        values = tuple(dict.fromkeys(row.slices[at][1] for row in rows))
        codes = np.array([values.index(row.slices[at][1]) for row in rows], np.uint32)
        slices.append(SliceColumn(name, values, codes))
    return PredictionBatch(
        header=PredictionHeader(
            record.model, record.version, record.task, imported=record.imported
        ),
        ids=pack_ids([row.id for row in rows]),
        event_time_us=np.array([row.event_us for row in rows], np.int64),
        predicted=np.array([row.predicted for row in rows], np.uint32),
        scores=np.array([row.scores for row in rows], np.float32) if first.scores else None,
        top_classes=np.array([row.top for row in rows], np.uint32) if first.top else None,
        top_scores=np.array([row.top_scores for row in rows], np.float32)
        if first.top_scores
        else None,
        slices=tuple(slices),
        kept=tuple(KeptRow(at, 1.0) for at, row in enumerate(rows) if row.kept),
    )


def label_batch(record):
    rows = record.rows
    return LabelBatch(
        LabelHeader(
            record.task, source=record.source, source_rank=record.rank, imported=record.imported
        ),
        ids=pack_ids([row.id for row in rows]),
        label_time_us=np.array([row.time_us for row in rows], np.int64),
        true_class=np.array([row.true for row in rows], np.uint32),
    )


class Service:
    """The core, read to a vector; what it has counted as the oracle names it."""

    def __init__(self, log, seed):
        self.log = log
        self.random = random.Random(seed)
        rows = [
            RulesRow(
                number,
                one.from_p,
                one.from_l,
                Rules(
                    revision=number,
                    label_window_ms=one.label_window_ms,
                    prediction_window_ms=one.prediction_window_ms,
                    pair_window_ms=one.pair_window_ms,
                    event_time_bound_ms=one.event_time_bound_ms,
                    slices_per_version_max=one.slices_per_version_max,
                    pairs_max=one.pairs_max,
                    default_labels=one.default_labels,
                    kinds=one.kinds,
                ),
            )
            for number, one in enumerate(log.rules)
        ]
        self.series = SeriesNumbers({})
        self.core = ShardCore(PendingStore(), self.series, rows)
        self.p = self.l = 0
        self.clocks = Clocks(0, 0)
        self.cells = Counter()
        self.cases = {}
        self.segments = 0

    def feed(self, side, begin, end):
        """Feeds records of one side, in stretches of one rule."""
        records = (self.log.labels if side else self.log.predictions)[begin:end]
        clock = self.clocks[side]
        stretch = []
        for record in records:
            clock = max(clock, record.append_ms)
            starts = [rule.from_l if side else rule.from_p for rule in self.log.rules]
            rule = max(k for k, start in enumerate(starts) if start <= record.offset)
            if stretch and stretch[-1][2] != rule:
                self._feed(side, stretch)
                stretch = []
            stretch.append((record, clock, rule))
        if stretch:
            self._feed(side, stretch)
        return clock

    def _feed(self, side, stretch):
        places = Places(
            np.array([record.offset for record, _, _ in stretch]),
            np.array([record.append_ms for record, _, _ in stretch]),
            np.array([clock for _, clock, _ in stretch]),
            stretch[0][2],
        )
        make = label_batch if side else prediction_batch
        groups = [
            (make(record), np.full(len(record.rows), at))
            for at, (record, _, _) in enumerate(stretch)
        ]
        self.random.shuffle(groups)
        (self.core.labels if side else self.core.predictions)(groups, places)

    def step(self, p, l):
        after = Clocks(self.feed(0, self.p, p), self.feed(1, self.l, l))
        return after, self.core.take(self.clocks, after)

    def advance(self, p, l):
        """One step; sometimes done, undone, and done again in other parts."""
        if self.random.random() < 0.3:
            known = dict(self.series.new()), dict(self.core.series._numbers)
            self.step(p, l)
            self.core.undo()
            assert not known[0]
            self.series = SeriesNumbers(known[1])
            self.core.set_series(self.series)
            p, l = self.random.randint(self.p, p), self.random.randint(self.l, l)
        after, delta = self.step(p, l)
        self.p, self.l, self.clocks = p, l, after
        self._add(delta)
        self.core.commit()
        self._maintain()

    def _maintain(self):
        store = self.core.store
        for side, cut in (
            (store.predictions, store.cut_predictions),
            (store.labels, store.cut_labels),
        ):
            if len(side.rows) and self.random.random() < 0.3:
                self.segments += 1
                segment = cut(self.segments)
                content = b"".join(encode_segment(segment))
                name = "predictions" if side is store.predictions else "labels"
                store.install(side, decode_segment(content, name, segment.labelled))
        self.core.forget(self.clocks)

    def _add(self, delta):
        cells = delta.cells
        keys = list(
            zip(
                cells.kind.tolist(),
                cells.series.tolist(),
                cells.minute.tolist(),
                cells.index.tolist(),
                strict=True,
            )
        )
        assert keys == sorted(set(keys))
        for (kind, series, minute, index), count in zip(keys, cells.count.tolist(), strict=True):
            assert count
            one = self.series[series]
            name = (one.model, one.version, one.task, one.slices)
            told = index
            if kind == CellKind.PAIR:
                other = self.series[index >> 2 & (1 << 30) - 1]
                told = (
                    index >> 32,
                    (other.model, other.version, other.task, other.slices),
                    bool(index & 2),
                    bool(index & 1),
                )
            self.cells[CellKind(kind).name, name, minute, told] += count
        for case in delta.cases:
            key = (case.model, case.version, case.task, case.id, case.clock_ms)
            assert key not in self.cases
            self.cases[key] = None
        for one in delta.case_labels:
            label = one.label
            self.cases[one.model, one.version, one.task, one.id, one.clock_ms] = label and (
                label.true_class,
                label.source,
                label.label_time_us,
                label.delay_ms,
                label.offset,
            )

    def counted(self):
        history = {kind.name for kind in HISTORY_KINDS}
        return {key: count for key, count in self.cells.items() if count and key[0] not in history}


def run(seed):
    log = Log(seed)
    service = Service(log, seed)
    rng = random.Random(seed + 1)
    while (service.p, service.l) != (len(log.predictions), len(log.labels)):
        p = min(service.p + rng.choice([0, 1, 3, 10]), len(log.predictions))
        l = min(service.l + rng.choice([0, 1, 3, 10]), len(log.labels))
        service.advance(p, l)
        truth = oracle.join(log.predictions, log.labels, log.rules, (), service.p, service.l)
        wrong = oracle.difference(service.counted(), truth.cells)
        assert not wrong, (seed, service.p, service.l, wrong)
        labels = {key: case.label for key, case in truth.cases.items()}
        assert service.cases == labels, (seed, service.p, service.l)


@pytest.mark.parametrize("block", range(10))
def test_every_vector_of_random_logs(block):
    for seed in range(block * 40, block * 40 + 40):
        run(seed)
