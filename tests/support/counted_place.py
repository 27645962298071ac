"""A log and a truth in a folder, random traffic, and an owner that counts it step by step."""

import random
import sqlite3
from collections import Counter
from contextlib import closing

import numpy as np
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from leadline.cli.root import root
from leadline.metrics.cache.files import MemoryFiles
from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.metrics.rebuild import ShardRebuild
from leadline.metrics.shard_run import ShardRun
from leadline.metrics.world import World
from leadline.records.batches import (
    RETRACTED,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
)
from leadline.records.cells import CellKind
from leadline.records.ids import pack_ids
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.open import open_store
from leadline.runtime.store.resolution import HOUR, Retention
from leadline.testing.clock import ManualClock
from leadline.wire.batches import encode_labels, encode_predictions

MINUTE_S = 60.0
SHARD = "main/0"
KEEP = Retention(minutes=2 * HOUR, quarters=8 * HOUR, hours=24 * HOUR, scores=2 * HOUR)


class QuickClock(ManualClock):
    """Waits of less than a microsecond end, too."""

    def sleep(self, seconds):
        self.advance(max(seconds, 1e-6))


class NeverStop:
    def is_set(self):
        return False

    def wait(self, timeout=None):
        return False


class Place:
    """A log, a truth, and whoever counts there."""

    def __init__(self, folder, seed=0, retention=None, **settings):
        self.folder, self.random = folder, random.Random(seed)
        self.clock = QuickClock(1_700_000_000_000_000)
        self.stream = Stream()
        self.open_log(retention)
        self.store = open_store(f"sqlite:{folder}/truth.sqlite")
        self.store.migrate()
        given = {
            "label_window_seconds": 20 * MINUTE_S,
            "prediction_window_seconds": 10 * MINUTE_S,
            "pair_window_seconds": 15 * MINUTE_S,
            "event_time_bound_seconds": 5 * MINUTE_S,
            "slices_per_version_max": 2,
            "default_labels": {"b": 1},
            "tick_seconds": 0,
            "events_per_commit_max": 7,
            "pending_head_rows_max": 11,
            "idle_wait_seconds": 0.001,
        }
        self.settings = OwnerSettings(**(given | settings))
        self.files = MemoryFiles()
        self.run = None

    def open_log(self, retention=None, name="log"):
        self.name = name
        self.log = open_log(f"local:{self.folder}/{name}.sqlite", self.clock)
        ensure_topics(self.log, self.stream, retention)
        self.writer = self.log.writer()

    def renew_log(self, name):
        self.stop()
        self.writer.close()
        self.log.close()
        self.open_log(name=name)

    def close(self):
        self.stop()
        self.writer.close()
        self.log.close()
        self.store.close()

    def start(self):
        if self.run is None:
            world = World(
                stream=self.stream,
                log=self.log,
                writer=self.writer,
                store=self.store,
                settings=self.settings,
                clock=self.clock,
                health=OwnerHealth(CollectorRegistry()),
                files=lambda _: self.files,
            )
            run = ShardRun(world, 0, NeverStop())
            try:
                run.recover()
            except BaseException:
                run.close()
                raise
            self.run = run

    def stop(self):
        if self.run is not None:
            self.run.close()
            self.run = None

    def count(self):
        """Counts everything that is there."""
        self.start()
        for _ in range(10_000):
            self.run.round()
            state = self.store.shard(SHARD)
            if (state.p, state.l) == self.ends():
                return
        raise AssertionError("the owner does not come to an end")

    def ends(self):
        found = []
        for topic in (PREDICTIONS, LABELS):
            with closing(self.log.reader(topic, 0)) as reader:
                found.append(reader.end())
        return tuple(found)

    def traffic(self, batches):
        """Random records; the clock goes on, so that windows open and close."""
        rng = self.random
        for _ in range(batches):
            if rng.random() < 0.02:
                self.writer.append(PREDICTIONS, 0, b"\xff\xff")
            elif rng.random() < 0.45:
                self.writer.append(PREDICTIONS, 0, encode_predictions(self._predictions()))
            else:
                self.writer.append(LABELS, 0, encode_labels(self._labels()))
            self.writer.flush(10.0)
            self.clock.advance(rng.choice([0, 1, 20, 60, 200]))

    def _ids(self):
        numbers = [self.random.randrange(12) for _ in range(self.random.choice([1, 2, 5]))]
        return pack_ids([number.to_bytes(16, "big") for number in numbers])

    def _times(self, count):
        rng = self.random
        late = [rng.choice([0, 0, -30, 40, -10_000]) * 1_000_000 for _ in range(count)]
        return np.array([max(self.clock.now_us() + each, 0) for each in late])

    def _predictions(self):
        rng, ids = self.random, self._ids()
        n = len(ids)
        scores = np.array([rng.choice([[0.5, 0.25, 0.25], [0, 0, 1]]) for _ in range(n)])
        values = ("x", "y", "z")
        codes = np.array([rng.randrange(3) for _ in range(n)], np.uint32)
        slices = (SliceColumn("os", values, codes),) if rng.random() < 0.5 else ()
        return PredictionBatch(
            PredictionHeader(
                "m", rng.choice("12"), rng.choice("ab"), class_count=3, imported=rng.random() < 0.1
            ),
            ids,
            self._times(n),
            np.array([rng.randrange(3) for _ in range(n)], np.uint32),
            scores=scores.astype(np.float32) if rng.random() < 0.7 else None,
            slices=slices,
        )

    def _labels(self):
        rng, ids = self.random, self._ids()
        rank = rng.choice([0, 0, 5])
        true = [rng.choice([0, 1, 2, RETRACTED]) for _ in range(len(ids))]
        return LabelBatch(
            LabelHeader(
                rng.choice("ab"),
                source=f"s{rank}",
                source_rank=rank,
                imported=rng.random() < 0.1,
            ),
            ids,
            self._times(len(ids)),
            np.array(true, np.uint32),
        )

    def life(self, portions, batches=12):
        """Traffic in portions, each counted, with what happens to a truth in between."""
        for _ in range(portions):
            self.traffic(batches)
            if self.random.random() < 0.3:
                self.stop()
            self.count()
            if self.random.random() < 0.5:
                self.store.compact(SHARD, self.random.choice([1, 3, 99]))
            if self.random.random() < 0.3:
                self.roll_up()

    def roll_up(self):
        while self.store.compact(SHARD, 99):
            pass
        while self.store.roll_up(SHARD, KEEP):
            pass

    def compare(self, **how):
        with closing(self.rebuild(**how)) as shard:
            return shard.compare()

    def rebuild(self, files=None):
        return ShardRebuild(self.log, self.store, self.stream, 0, files=files or MemoryFiles())

    def command(self, *arguments):
        where = [f"--log=local:{self.folder}/{self.name}.sqlite"]
        where += [f"--store=sqlite:{self.folder}/truth.sqlite"]
        return CliRunner().invoke(root, ["rebuild", *where, *arguments])

    def totals(self, *kinds):
        with self.store.snapshot() as snapshot:
            cells = snapshot.cells(None, kinds)[SHARD]
        found = Counter()
        columns = (cells.kind.tolist(), cells.series.tolist(), cells.index.tolist())
        for *key, count in zip(*columns, cells.count.tolist(), strict=True):
            found[tuple(key)] += count
        return dict(found)

    def spoil(self, change, kind=CellKind.CONFUSION):
        """Changes one block by hand, as nothing of Leadline would."""
        with closing(sqlite3.connect(self.folder / "truth.sqlite")) as db:
            where = f"shard = '{SHARD}' AND kind = {int(kind)}"
            row = f"SELECT rowid, body FROM blocks WHERE {where} ORDER BY block_start DESC LIMIT 1"
            number, body = db.execute(row).fetchone()
            cells = CellsCodec().decode(body)
            cells.count.setflags(write=True)
            at = len(cells) - 1
            cells.count[at] += change
            new = CellsCodec().encode(cells)
            db.execute("UPDATE blocks SET body = ? WHERE rowid = ?", (new, number))
            db.commit()
        return int(cells.series[at]), int(cells.minute[at]), int(cells.index[at])
