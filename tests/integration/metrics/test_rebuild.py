"""A recount of the log against the truth that owners counted, on an embedded log and SQLite.

Random traffic is counted in micro-batches, with restarts, compaction and roll-up in between; what
the topics still cover is then equal, cell by cell, and whatever is changed by hand is found.
"""

import json
import sqlite3
from contextlib import closing

import pytest
from counted_place import SHARD, Place

from leadline.metrics import rebuild, recount
from leadline.metrics.cache.files import MemoryFiles, open_folder
from leadline.metrics.core import coverage
from leadline.metrics.rebuild import reset_shard
from leadline.metrics.shard_run import RebuiltError
from leadline.records.cells import CellKind
from leadline.records.errors import FencedError, StoppedError, TransientError, UsageError
from leadline.runtime.log.local_file import OFFSET_BITS
from leadline.runtime.log.port import LABELS, PREDICTIONS
from leadline.runtime.log.topics import Retention as TopicRetention


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Makes places; steps and heads are so small that everything happens."""
    monkeypatch.setattr(recount, "EVENTS_PER_STEP", 9)
    monkeypatch.setattr(recount, "HEAD_ROWS_MAX", 8)
    monkeypatch.setattr(recount, "CELLS_WAITING_MIN", 20)
    monkeypatch.setattr(recount, "READ_SECONDS", 0.01)
    made = []

    def make(seed=0, **settings):
        folder = tmp_path / f"place{len(made)}"
        folder.mkdir()
        made.append(Place(folder, seed, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("seed", range(6))
def test_what_owners_counted_equals_the_log(places, seed):
    place = places(seed)
    place.life(8)
    found = place.compare()
    assert found.is_equal, found.comparison.shown
    assert found.comparison.compared > 30
    assert (found.from_minute, found.state) == (0, place.store.shard(SHARD))
    kinds = {CellKind(kind) for kind, *_ in place.totals(*CellKind)}
    assert {CellKind.CONFUSION, CellKind.SCORES, CellKind.UNMATCHED} <= kinds


def test_rules_and_exceptions_of_the_truth_are_those_of_the_recount(places):
    place = places(3)
    place.life(3)
    place.stop()
    place.settings = place.settings.model_copy(
        update={"rules_revision": 1, "label_window_seconds": 60.0, "pair_window_seconds": 0.0}
    )
    place.life(2)
    now_us = place.clock.now_us()
    place.clock.set_now_us(now_us + 10**12)
    place.traffic(3)
    place.clock.set_now_us(now_us)
    place.life(3)
    assert len(place.store.shard_rules(SHARD)) == 2
    assert place.store.shard_exceptions(SHARD)
    found = place.compare()
    assert found.is_equal, found.comparison.shown


def test_what_waits_may_lie_in_a_folder(places, tmp_path):
    place = places(5)
    place.life(4)
    done = place.command("--scratch", str(tmp_path / "scratch"), "--shard", SHARD)
    assert done.exit_code == 0, done.output
    assert " equal the log" in done.output
    assert not [each for each in (tmp_path / "scratch" / "main-0").iterdir() if each.name != "lock"]
    with closing(place.rebuild(files=open_folder(tmp_path / "other"))) as shard:
        assert shard.compare().is_equal
        assert [each for each in (tmp_path / "other").iterdir() if each.name != "lock"]


@pytest.mark.parametrize("change", [2, -1])
@pytest.mark.parametrize("rolled", [False, True])
def test_a_cell_that_was_changed_is_named_and_mended(places, change, rolled):
    place = places(1)
    place.life(6)
    place.roll_up() if rolled else place.store.compact(SHARD, 999)
    series, minute, index = place.spoil(change)
    history = place.totals(CellKind.ADDED, CellKind.RETRACTED)
    found = place.command("--json")
    assert found.exit_code == 1
    (told,) = json.loads(found.output)
    (one,) = told["differences"]
    assert (told["differing"], told["replaced"]) == (1, False)
    assert (one["series"]["number"], one["kind"], one["index"]) == (series, "CONFUSION", str(index))
    assert one["stored"] - one["recomputed"] == change
    (shown,) = place.compare().comparison.shown
    assert (shown.series, shown.minute, shown.index) == (series, minute, index)
    in_words = place.command().output
    assert "1 cells differ" in in_words and f"log {one['recomputed']}" in in_words
    mended = place.command("--replace")
    assert mended.exit_code == 0 and "epoch 1 begins" in mended.output
    assert place.compare().is_equal
    assert place.store.shard(SHARD).epoch == 1
    after = place.totals(CellKind.ADDED, CellKind.RETRACTED)
    assert all(after.get(key, 0) >= count for key, count in history.items())
    assert sum(after.values()) == sum(history.values()) + abs(change)


def test_what_is_equal_is_not_replaced(places):
    place = places(2)
    place.life(2)
    assert place.command("--replace").exit_code == 0
    assert place.store.shard(SHARD).epoch == 0


def test_an_owner_that_runs_is_fenced_and_reads_anew(places):
    place = places(4)
    place.life(4)
    place.store.compact(SHARD, 999)
    place.spoil(1)
    assert place.command("--replace").exit_code == 0
    place.traffic(5)
    with pytest.raises(RebuiltError):
        place.count()
    place.stop()
    place.life(3)
    found = place.compare()
    assert found.is_equal and found.state.epoch == 1


def test_the_recount_follows_an_owner_that_goes_on(places, monkeypatch):
    """Records come and are counted while it counts, and again before each replacement."""
    place = places(6)
    place.life(3)
    place.store.compact(SHARD, 999)
    place.spoil(1)
    replaced = place.store.replace_cells
    quicker = []

    def replace_cells(wanted):
        if len(quicker) < 3:
            place.traffic(4)
            place.count()
            quicker.append(wanted)
        replaced(wanted)

    monkeypatch.setattr(place.store, "replace_cells", replace_cells)
    with closing(place.rebuild()) as shard:
        place.traffic(6)
        place.count()
        assert len(shard.compare().comparison.differing) == 1
        shard.replace(7)
    assert len(quicker) == 3
    found = place.compare()
    assert found.is_equal and found.state.epoch == 1


def test_an_owner_that_is_always_quicker_is_to_be_stopped(places, monkeypatch):
    place = places(6)
    place.life(1)
    monkeypatch.setattr(rebuild, "ATTEMPTS_MAX", 3)

    def fenced(wanted):
        raise FencedError(str(wanted.before))

    monkeypatch.setattr(place.store, "replace_cells", fenced)
    with closing(place.rebuild()) as shard:
        shard.compare()
        with pytest.raises(TransientError, match="stop it"):
            shard.replace(7)


def test_another_rebuild_meanwhile_is_noticed(places):
    place = places(6)
    place.life(2)
    with closing(place.rebuild()) as first, closing(place.rebuild()) as second:
        first.compare(), second.compare()
        first.replace(7)
        with pytest.raises(TransientError, match="changed meanwhile"):
            second.replace(8)


def old_and_new(places, seed):
    """A truth of a log that has forgotten its beginning, hours ago, and lives on."""
    place = places(seed, retention=TopicRetention(events_ms=3 * 3_600_000))
    for _ in range(5):
        place.life(4)
        place.clock.advance(place.random.choice([0, 600, 3000]))
        place.log.compact()
    assert any(first > 0 for first in begins(place))
    return place


def begins(place):
    found = []
    for topic in (PREDICTIONS, LABELS):
        with closing(place.log.reader(topic, 0)) as reader:
            found.append(reader.begin())
    return found


@pytest.mark.parametrize("seed", range(6))
def test_of_a_log_that_has_lost_its_beginning_what_is_covered_is_equal(places, seed, monkeypatch):
    """Its times never fall, so nothing is left out for disorder: the bound is tight."""
    monkeypatch.setattr(coverage, "DISORDER_MS", 0)
    place = old_and_new(places, seed)
    found = place.compare()
    assert found.is_equal, found.comparison.shown
    assert found.from_minute > 0
    assert found.comparison.compared > 10


def test_with_a_shorter_bound_wrong_cells_would_be_told(places, monkeypatch):
    """The control: cells behind t0 itself rest on what is gone."""
    monkeypatch.setattr(coverage, "DISORDER_MS", 0)
    for seed in range(6):
        place = old_and_new(places, seed)
        with closing(place.rebuild()) as shard:
            late = shard._recount.from_minute
            shard._recount.from_minute = lambda late=late: max(late() - 50, 1)
            if not shard.compare().is_equal:
                return
    pytest.fail("no bound was too short")


def test_a_log_that_keeps_nothing_covers_nothing(places):
    place = places(8, retention=TopicRetention(events_ms=4 * 3_600_000))
    place.life(3)
    place.clock.advance(30_000)
    place.log.compact()
    done = place.command()
    assert done.exit_code == 0
    assert "nothing to compare, which is known since" in done.output
    assert json.loads(place.command("--json").output)[0]["compared"] == 0


def test_a_replacement_keeps_what_the_log_does_not_cover(places):
    place = old_and_new(places, 2)
    place.store.compact(SHARD, 999)
    before = place.totals(CellKind.PREDICTED)
    place.spoil(3, CellKind.PREDICTED)
    found = place.compare()
    assert len(found.comparison.differing) == 1
    assert place.command("--replace").exit_code == 0
    assert place.compare().is_equal
    assert place.totals(CellKind.PREDICTED) == before


def test_deleted_models_are_skipped(places):
    place = places(9)
    place.life(4)
    place.stop()
    place.settings = place.settings.model_copy(update={"pending_head_rows_max": 5})
    place.store.delete_model("m", 1)
    place.life(2)
    found = place.compare()
    assert found.is_equal, found.comparison.shown
    assert found.comparison.compared > 0  # unmatched labels belong to tasks
    assert not place.totals(CellKind.PREDICTED)
    with closing(place.rebuild()) as shard:
        shard.compare()
        shard.replace(7)
    assert not place.totals(CellKind.PREDICTED)
    assert place.compare().is_equal


def test_topics_that_were_made_anew_are_counted_on_and_old_figures_stay(places):
    place = places(10)
    place.life(4)
    place.roll_up()
    old, state = place.totals(*CellKind), place.store.shard(SHARD)
    place.renew_log("other")
    place.traffic(4)
    with pytest.raises(StoppedError, match="re-created") as told:
        place.count()
    assert "leadline rebuild --reset" in told.value.remedy
    with pytest.raises(StoppedError, match="re-created"):
        place.compare()
    done = place.command("--reset")
    assert done.exit_code == 0, done.exception
    assert f"epoch 1 begins at (0, 0), after ({state.p}, {state.l})" in done.output
    assert place.totals(*CellKind) == old
    place.life(4)
    new = place.totals(CellKind.PREDICTED)
    assert sum(new.values()) > sum(n for key, n in old.items() if key[0] == CellKind.PREDICTED)
    place.clock.advance(7200)
    place.life(4)
    found = place.compare()
    assert found.is_equal, found.comparison.shown
    assert found.from_minute > 0 and found.comparison.compared > 10
    assert place.store.shard_rules(SHARD)[0].number == 0


def test_one_topic_that_was_cut_goes_on_where_it_ends(places):
    place = places(11)
    place.life(4)
    place.stop()
    ends = place.ends()
    with closing(sqlite3.connect(place.folder / "log.sqlite")) as db:
        db.execute("UPDATE partitions SET next = next - 2 WHERE topic = 'labels'")
        (number, end) = db.execute(
            "SELECT number, next FROM partitions WHERE topic = 'labels'"
        ).fetchone()
        low = number << OFFSET_BITS
        db.execute("DELETE FROM records WHERE place BETWEEN ? AND ?", (low + end, low + end + 9))
        db.commit()
    with pytest.raises(StoppedError, match="was cut") as told:
        place.start()
    assert "leadline rebuild --reset" in told.value.remedy
    before, after = reset_shard(place.log, place.store, place.stream, 0, place.clock.now_us)
    assert (before.p, before.l) == ends
    assert (after.p, after.l) == (ends[0], ends[1] - 2)
    place.clock.advance(3600)
    place.life(4)
    rule = place.store.shard_rules(SHARD)[0]
    assert (rule.from_p, rule.from_l) == (after.p, after.l)
    place.stop()
    place.files = MemoryFiles()
    place.clock.advance(3600)
    place.life(3)
    found = place.compare()
    assert found.is_equal, found.comparison.shown
    assert found.comparison.compared > 10


def test_records_that_went_before_they_were_counted_are_passed(places):
    place = places(12, retention=TopicRetention(events_ms=4 * 3_600_000))
    place.life(2)
    place.traffic(20)
    place.clock.advance(30_000)
    place.log.compact()
    place.stop()
    with pytest.raises(StoppedError, match="lost to retention"):
        place.start()
    before, after = reset_shard(place.log, place.store, place.stream, 0, place.clock.now_us)
    assert (after.p, after.l) == tuple(begins(place)) > (before.p, before.l)
    place.life(2)


def test_a_shard_whose_topics_are_as_they_were_is_not_reset(places):
    place = places(13)
    place.life(1)
    done = place.command("--reset")
    assert isinstance(done.exception, UsageError)
    assert "nothing to reset" in str(done.exception)
    assert place.store.shard(SHARD).epoch == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--shard", "main/1"], "no shard 'main/1'"),
        (["--stream", "x"], "does not exist"),
        (["--replace", "--reset"], "exclude"),
        ([], "Nothing of shard main/0 was counted"),
    ],
)
def test_what_cannot_be_done_is_told(places, arguments, why):
    done = places(0).command(*arguments)
    assert isinstance(done.exception, UsageError)
    assert why in str(done.exception)
