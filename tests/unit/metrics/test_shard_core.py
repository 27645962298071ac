"""The counting of one shard equals the oracle at every vector, whatever the interleaving."""

import numpy as np
import oracle
import pytest

from leadline.metrics.core.numbering import OTHER, SeriesNumbers
from leadline.metrics.core.pending import MemoryPending
from leadline.metrics.core.shard import Place, ShardCore
from leadline.records.batches import (
    RETRACTED,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
)
from leadline.records.cells import HISTORY_KINDS, CellKind, merge, select
from leadline.records.ids import pack_ids

BOUND_US = 3_600_000_000
START_MS = 1_780_000_000_000


def fresh_core(slices_max=100):
    return ShardCore(MemoryPending(), SeriesNumbers({}, slices_max), BOUND_US)


def random_world(rng, rows):
    """Prediction and label records, (append_ms, batch); few ids, so that everything collides."""
    ids = [bytes([0] * 15 + [number]) for number in range(12)]
    predictions, labels = [], []
    clock = START_MS
    for _ in range(rows):
        clock += int(rng.integers(0, 90_000))
        n = int(rng.integers(1, 5))
        chosen = pack_ids([ids[int(i)] for i in rng.integers(0, len(ids), n)])
        times = clock * 1000 + rng.integers(-2 * BOUND_US, 2 * BOUND_US, n)
        if rng.random() < 0.5:
            scores = np.round(rng.random((n, 4)), 1).astype(np.float32)
            header = PredictionHeader(
                "m", str(rng.integers(1, 3)), "m", class_count=4, imported=rng.random() < 0.2
            )
            device = SliceColumn("device", ("a", "b"), rng.integers(0, 2, n).astype(np.uint32))
            predictions.append(
                (
                    clock,
                    PredictionBatch(
                        header,
                        chosen,
                        times,
                        scores.argmax(axis=1).astype(np.uint32),
                        scores=scores,
                        slices=(device,),
                    ),
                )
            )
        else:
            header = LabelHeader(
                "m",
                source="s",
                source_rank=int(rng.integers(0, 3)),
                imported=rng.random() < 0.2,
            )
            classes = rng.integers(0, 5, n).astype(np.uint32)
            classes[classes == 4] = RETRACTED
            labels.append((clock, LabelBatch(header, chosen, times, classes)))
    return predictions, labels


def oracle_of(predictions, labels):
    ps = []
    for append_ms, batch in predictions:
        for row in range(len(batch)):
            column = batch.slices[0]
            scores = batch.scores[row]
            ranked = sorted(range(len(scores)), key=lambda c: (-scores[c], c))[:10]
            ps.append(
                oracle.P(
                    batch.ids[row].tobytes(),
                    batch.header.model,
                    batch.header.version,
                    int(batch.event_time_us[row]),
                    append_ms,
                    int(batch.predicted[row]),
                    tuple(ranked),
                    (("device", column.values[column.codes[row]]),),
                    imported=batch.header.imported,
                )
            )
    ls = [
        oracle.L(
            batch.ids[row].tobytes(),
            batch.header.task,
            batch.header.source_rank,
            int(batch.label_time_us[row]),
            append_ms,
            int(batch.true_class[row]),
            imported=batch.header.imported,
        )
        for append_ms, batch in labels
        for row in range(len(batch))
    ]
    return oracle.join(ps, ls, BOUND_US).nonzero()


def named(cells, names):
    """Cells as the oracle writes them, history left out."""
    found = {}
    for kind, series, minute, index, count in zip(
        cells.kind, cells.series, cells.minute, cells.index, cells.count, strict=True
    ):
        if CellKind(kind) in HISTORY_KINDS:
            continue
        one = names[int(series)]
        key = (one.model, one.version, one.task, one.slices)
        found[(CellKind(kind).name, key, int(minute), int(index))] = int(count)
    return found


def play(core, predictions, labels, rng):
    """Feeds both sides in a random interleaving and yields the sum so far at every vector."""
    total, names, p, l = [], {}, 0, 0
    while p < len(predictions) or l < len(labels):
        if l == len(labels) or (p < len(predictions) and rng.random() < 0.5):
            core.predictions(predictions[p][1], Place(p, predictions[p][0]))
            p += 1
        else:
            core.labels(labels[l][1], Place(l, labels[l][0]))
            l += 1
        delta = core.take()
        names |= {number: series for series, number in delta.new_series.items()}
        total = [merge([*total, delta.cells])]
        yield p, l, total[0], names


@pytest.mark.parametrize("seed", range(25))
def test_counts_equal_the_oracle_at_every_vector(seed):
    rng = np.random.default_rng(seed)
    predictions, labels = random_world(rng, 40)
    for p, l, cells, names in play(fresh_core(), predictions, labels, rng):
        assert named(cells, names) == oracle_of(predictions[:p], labels[:l]), (seed, p, l)


@pytest.mark.parametrize("seed", range(5))
def test_what_only_grows_differs_by_what_is_counted(seed):
    rng = np.random.default_rng(seed)
    predictions, labels = random_world(rng, 60)
    *_, (_, _, cells, _) = play(fresh_core(), predictions, labels, rng)

    def by_pair(kind):
        part = select(cells, cells.kind == kind)
        sums = {}
        for series, index, count in zip(part.series, part.index, part.count, strict=True):
            key = (int(series), int(index))
            sums[key] = sums.get(key, 0) + int(count)
        return sums

    added, retracted = by_pair(CellKind.ADDED), by_pair(CellKind.RETRACTED)
    difference = {key: added[key] - retracted.get(key, 0) for key in added}
    assert {key: count for key, count in difference.items() if count} == by_pair(CellKind.CONFUSION)
    assert set(retracted) <= set(added)


def one(id_number, scores, version="1", kept=()):
    scores = np.array([scores], np.float32)
    return PredictionBatch(
        PredictionHeader("m", version, "m", class_count=scores.shape[1]),
        pack_ids([bytes([id_number] * 16)]),
        np.array([START_MS * 1000]),
        scores.argmax(axis=1).astype(np.uint32),
        scores=scores,
        kept=kept,
    )


def label(id_number, true, rank=0, seconds=0, source="clicks"):
    return LabelBatch(
        LabelHeader("m", source=source, source_rank=rank),
        pack_ids([bytes([id_number] * 16)]),
        np.array([START_MS * 1000 + seconds * 1_000_000]),
        np.array([true], np.uint32),
    )


def test_a_kept_case_follows_its_label_through_correction_and_retraction():
    core = fresh_core()
    core.predictions(one(7, [0.2, 0.8], kept=(KeptRow(0, 0.25, "ab/cd.npy"),)), Place(0, START_MS))
    (case,) = core.take().cases
    assert (case.predicted, case.top_classes, case.label) == (1, (1, 0), None)
    core.labels(label(7, 0, source="clicks"), Place(0, START_MS + 5_000))
    (case,) = core.take().cases
    assert (case.label.true_class, case.label.source, case.label.delay_ms) == (0, "clicks", 5_000)
    core.labels(label(7, 1, rank=2, source="annotator"), Place(1, START_MS + 9_000))
    (case,) = core.take().cases
    assert (case.label.true_class, case.label.source) == (1, "annotator")
    core.labels(label(7, RETRACTED, rank=2, seconds=1), Place(2, START_MS + 10_000))
    (case,) = core.take().cases
    assert case.label is None


def test_a_click_never_overrides_an_expert():
    core = fresh_core()
    core.predictions(one(1, [0.9, 0.1]), Place(0, START_MS))
    core.labels(label(1, 0, rank=2), Place(0, START_MS))
    core.labels(label(1, 1, rank=1, seconds=60), Place(1, START_MS))
    cells = core.take().cells
    confusion = select(cells, cells.kind == CellKind.CONFUSION)
    assert confusion.index.tolist() == [0]


def test_slices_past_the_bound_are_counted_as_other():
    core = fresh_core(slices_max=2)
    for number in range(5):
        batch = one(number, [0.9, 0.1])
        column = SliceColumn("device", (f"d{number}",), np.zeros(1, np.uint32))
        with_slice = PredictionBatch(
            batch.header,
            batch.ids,
            batch.event_time_us,
            batch.predicted,
            scores=batch.scores,
            slices=(column,),
        )
        core.predictions(with_slice, Place(number, START_MS))
    values = {series.slices[0][1] for series in core.take().new_series}
    assert values == {"d0", "d1", OTHER}
