"""Segments on disk: what comes back is what was cut, and nothing comes back of a wrong cache."""

import json
import zlib

import numpy as np
import pytest

from leadline.metrics.cache.cache import MANIFEST, Cache, Held, Identity
from leadline.metrics.cache.files import DiskFiles, MemoryFiles, open_folder
from leadline.metrics.cache.history import History
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.keys import id_time_ms, keys_of
from leadline.metrics.core.rows import LABEL, PREDICTION, Codes, Form, NewLabels, NewPredictions
from leadline.metrics.core.segment import outliers
from leadline.metrics.core.store import PendingStore
from leadline.records.cells import Series
from leadline.records.rules import ExceptionRow, Rules, RulesRow

SHARD = Identity("main/0", 0, ("a", "b"))
DENSE, LISTED = Form(dense=True, width=3), Form(dense=False, width=2)
GROUPS = [("task", 0, "clicks"), ("task", 10, "experts")]
NOW_MS = 1_780_000_000_000


def ids(rng, count, *, strange=0.0):
    """Ids of one time; a share of another."""
    times = NOW_MS + rng.integers(0, 1_000, count)
    times[rng.random(count) < strange] = 77
    return np.stack(
        [times.astype(np.uint64) << np.uint64(16), rng.integers(0, 2**63, count, dtype=np.uint64)],
        axis=1,
    )


def predictions(rng, count, store, *, strange=0.0):
    found = ids(rng, count, strange=strange)
    rows = np.zeros(count, PREDICTION)
    rows["clock_ms"] = np.sort(rng.integers(0, 100, count))
    rows["event_ms"], rows["series"] = rng.integers(0, 10**6, (2, count))
    listed = rng.random(count) < 0.5
    rows["form"] = np.where(listed, store.form(LISTED), store.form(DENSE))
    for mask in (listed, ~listed):
        rows["at"][mask] = np.arange(mask.sum())
    codes = {
        DENSE: Codes(None, rng.integers(0, 9_999, ((~listed).sum(), 3)).astype(np.uint16)),
        LISTED: Codes(
            rng.integers(0, 9, (listed.sum(), 2)).astype(np.uint32),
            rng.integers(0, 9_999, (listed.sum(), 2)).astype(np.uint16),
        ),
    }
    return NewPredictions(keys_of(found), id_time_ms(found[:, 0]), rows, codes)


def labels(rng, count):
    found = ids(rng, count)
    rows = np.zeros(count, LABEL)
    rows["clock_ms"] = np.sort(rng.integers(0, 100, count))
    rows["true_class"], rows["group"] = rng.integers(0, 9, count), rng.integers(0, 2, count)
    rows["waiting"] = rng.integers(0, 2, count)
    return NewLabels(keys_of(found), id_time_ms(found[:, 0]), rows)


class Filled:
    """A store with two segments a side and a head, and its cache."""

    def __init__(self, files, seed=0):
        rng = np.random.default_rng(seed)
        self.files, self.cache, self.store = files, Cache(files), PendingStore()
        assert self.cache.load(SHARD, self.store, 0, 0).p == 0
        self.all, self.labels = [], []
        for p in (40, 70, 90):
            new = predictions(rng, 30, self.store, strange=0.01)
            self.all.append(new)
            self.store.add_predictions(new)
            self.store.predictions.mark(np.full(5, 1 << 30), np.arange(5))
            self.labels.append(labels(rng, 20))
            self.store.add_labels(self.labels[-1])
            self.store.mark_undo()
            if p < 90:
                held = Held(p, p - 10, Clocks(p * 10, p * 9), GROUPS)
                self.cache.cut(self.store, 0, held)
                self.cache.cut(self.store, 1, held)

    def loaded(self, *, p=100, l=100, identity=SHARD):
        store = PendingStore()
        return Cache(self.files).load(identity, store, p, l), store


@pytest.fixture(params=["disk", "memory"])
def files(request, tmp_path):
    found = MemoryFiles() if request.param == "memory" else DiskFiles(tmp_path / "cache")
    yield found
    found.close()


def shown(store, found):
    """What was found, as plain values in order."""
    codes = {}
    for form, at, kept in store.codes(found):
        for row, one in zip(at.tolist(), range(len(at)), strict=True):
            classes = None if kept.classes is None else kept.classes[one].tolist()
            codes[row] = (form, classes, kept.codes[one].tolist())
    names = ["event_ms", "clock_ms", "series", "predicted"]
    plain = [[found.rows[name][at].item() for name in names] for at in range(len(found.query))]
    marks = store.predictions.marked(found.source, found.place).tolist()
    rows = zip(found.query.tolist(), plain, marks, range(len(plain)), strict=True)
    return sorted((query, row, mark, codes[at]) for query, row, mark, at in rows)


def test_what_was_cut_is_found_again(files):
    filled = Filled(files)
    held, store = filled.loaded()
    assert (held.p, held.l, held.clocks) == (70, 60, Clocks(700, 630))
    assert held.groups == GROUPS
    for new in filled.all[:2]:
        before = shown(filled.store, filled.store.predictions.find(new.keys, new.id_ms))
        assert len(before) == 30
        assert shown(store, store.predictions.find(new.keys, new.id_ms)) == before
    for new in filled.labels[:2]:
        once = filled.store.labels.find(new.keys)
        again = store.labels.find(new.keys)
        assert sorted(once.rows.tolist()) == sorted(again.rows.tolist())
        waiting = store.labels.find(new.keys, apart_only=True)
        assert waiting.rows["waiting"].all()
        assert len(waiting.query) == new.rows["waiting"].sum()


def test_what_is_not_there_is_not_found(files):
    _, store = Filled(files).loaded()
    unknown = predictions(np.random.default_rng(99), 50, store)
    assert len(store.predictions.find(unknown.keys).query) == 0


def test_a_cache_ahead_of_the_truth_is_discarded(files):
    filled = Filled(files)
    for p, l in ((69, 100), (100, 59)):
        held, store = filled.loaded(p=p, l=l)
        assert (held.p, held.l, len(store.predictions)) == (0, 0, 0)
        assert files.names() == []
        filled = Filled(files)
    assert filled.loaded(p=70, l=60)[0].p == 70


@pytest.mark.parametrize(
    "other",
    [
        Identity("main/1", 0, ("a", "b")),
        Identity("main/0", 1, ("a", "b")),
        Identity("main/0", 0, ("a", "c")),
    ],
)
def test_a_cache_of_something_else_is_discarded(files, other):
    held, store = Filled(files).loaded(identity=other)
    assert (held.p, len(store.predictions), files.names()) == (0, 0, [])


def damage(content, how):
    if how == "torn":
        return content[: len(content) // 2]
    if how == "empty":
        return b""
    at = len(content) * 3 // 4
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("how", ["torn", "empty", "flipped", "gone"])
def test_damage_to_any_file_discards_the_cache(files, how):
    names = Filled(files).files.names()
    assert len([name for name in names if name.endswith(".marks")]) == 2
    for name in names:
        content = bytes(files.read(name))
        files.delete(name)
        if how != "gone":
            files.replace(name, damage(content, how))
        store = PendingStore()
        held = Cache(files).load(SHARD, store, 100, 100)
        assert (held.p, held.l, len(store.predictions), files.names()) == (0, 0, 0, [])
        Filled(files)


def test_a_manifest_of_another_format_is_discarded(files):
    filled = Filled(files)
    body = json.loads(json.loads(bytes(files.read(MANIFEST)))["body"]) | {"format": 99}
    text = json.dumps(body)
    checked = {"checksum": zlib.crc32(text.encode()), "body": text}
    files.replace(MANIFEST, json.dumps(checked).encode())
    assert filled.loaded()[0].p == 0


def test_dropped_segments_leave_no_file(files):
    filled = Filled(files)
    gone = filled.store.predictions.forget(10**9) + filled.store.labels.forget(10**9)
    filled.cache.drop(filled.store, Held(90, 80, Clocks(900, 800), GROUPS), gone)
    assert len(gone) == 4
    assert files.names() == [MANIFEST]
    held, store = filled.loaded()
    assert (held.p, held.l, len(store.predictions)) == (70, 60, 0)


def test_marks_that_come_later_are_kept_with_the_next_cut(files):
    filled = Filled(files)
    segment = filled.store.predictions.segments[0]
    assert not segment.labelled.all()
    filled.store.predictions.mark(np.full(len(segment), segment.number), np.arange(len(segment)))
    filled.cache.cut(filled.store, 1, Held(90, 80, Clocks(900, 800), GROUPS))
    _, store = filled.loaded()
    assert store.predictions.segments[0].labelled.all()
    assert len([name for name in files.names() if name.endswith(".marks")]) == 2


def test_two_owners_on_one_machine_have_caches_of_their_own(tmp_path):
    first, second = open_folder(tmp_path / "main-0"), open_folder(tmp_path / "main-0")
    first.replace("x", b"1")
    assert (first.names(), second.names()) == (["x"], [])
    first.close()
    third = open_folder(tmp_path / "main-0")
    assert third.names() == ["x"]
    second.close()
    third.close()


def test_one_device_with_a_wrong_clock_widens_no_segment():
    times = np.array([NOW_MS + n for n in range(1_000)] + [5, 2 * NOW_MS], np.uint64)
    assert np.flatnonzero(outliers(times)).tolist() == [1_000, 1_001]
    assert not outliers(np.array([7, 7, 7], np.uint64)).any()
    assert outliers(np.empty(0, np.uint64)).tolist() == []


def test_what_was_forgotten_by_later_clocks_makes_a_cache_one_of_that_later_vector(files):
    """The truth may be restored to a vector at which the forgotten rows were still needed."""
    filled = Filled(files)
    gone = filled.store.predictions.forget(10**9)
    filled.cache.drop(filled.store, Held(90, 80, Clocks(900, 800), GROUPS), gone)
    assert filled.loaded(p=90, l=80)[0].p == 70
    assert filled.loaded(p=90, l=79)[0].p == 0


RULES = RulesRow(0, 0, 0, Rules())
OLD = History((RULES,), (Series("m", "1", "m"), Series(task="m")), (ExceptionRow(0, 3, 9, 5),))


@pytest.mark.parametrize(
    ("new", "same"),
    [
        (OLD, True),
        (OLD._replace(rules=(RULES, RulesRow(1, 70, 60, Rules(1)))), True),
        (OLD._replace(rules=(RULES, RulesRow(1, 69, 60, Rules(1)))), False),
        (OLD._replace(rules=(RULES, RulesRow(1, 70, 59, Rules(1)))), False),
        (OLD._replace(series=(*OLD.series, Series("m", "2", "m"))), True),
        (OLD._replace(exceptions=(*OLD.exceptions, ExceptionRow(0, 70, 71, 5))), True),
        (OLD._replace(exceptions=(*OLD.exceptions, ExceptionRow(1, 59, 61, 5))), False),
        (OLD._replace(exceptions=()), False),
        (OLD._replace(series=OLD.series[::-1]), False),
        (OLD._replace(series=OLD.series[:1]), False),
        (OLD._replace(rules=(RulesRow(0, 0, 0, Rules(pairs_max=9)),)), False),
    ],
)
def test_a_cache_is_used_by_the_history_that_it_rests_on_and_what_follows_it(files, new, same):
    filled = Filled(files)
    filled.cache.cut(filled.store, 1, Held(70, 60, Clocks(700, 600), GROUPS, OLD))
    held = Cache(files).load(SHARD, PendingStore(), 100, 100, new)
    assert held.p == (70 if same else 0)
