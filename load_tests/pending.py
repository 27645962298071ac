"""What waits: rates, memory and disk with 5 and with 50 million predictions waiting for labels.

The shard's core with its cache on disk is fed batches without a log or a database. Ids are
time-ordered, or random at a smaller size. Nothing is labelled while the store is filled; then two
loads are timed:

recent   new predictions, and as many labels of those of the last minutes
old      labels drawn evenly from everything that waits
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from load_tests.measure import Memory, cpu_seconds, memory
from load_tests.options import Options
from load_tests.result import Result

from leadline.metrics.cache.cache import Cache, Held, Identity
from leadline.metrics.cache.files import DiskFiles
from leadline.metrics.core.arrivals import Places
from leadline.metrics.core.groups import Clocks
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.shard import ShardCore
from leadline.metrics.core.store import PendingStore
from leadline.metrics.owner_settings import OwnerSettings
from leadline.metrics.sides import cut_and_forget
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.ids import splitmix64
from leadline.records.rules import Rules, RulesRow

GOAL_SLOWER, GOAL_GROWTH, GOAL_BYTES = 0.8, 256 * 2**20, 64.0
SMALL, LARGE, RANDOM = 5_000_000, 50_000_000, 10_000_000
ROWS, MESSAGES = 2_700, 18
"""Of a message, and messages of a side in one commit: some 100,000 events with the labels."""
PER_MS = 5
"""Predictions a millisecond of log time: a window of 50 million is close to three hours."""
LAG = 300_000
"""Recent labels come so many predictions later, at most."""
PARTS, PART = 5, 486_000
"""Each load is timed in so many parts of so many predictions; the median counts."""
START_MS = 1_790_000_000_000
CLASSES = 10
HEADER = PredictionHeader("m", "1", "m", class_count=CLASSES)
LABELS = LabelHeader("m", source="s")


@dataclass(slots=True)
class Filler:
    """A core with what waits, and where it stands.

    Attributes:
        told: predictions so far.
    """

    folder: Path
    random: bool
    told: int = 0
    labels: int = 0
    clocks: Clocks = field(default_factory=lambda: Clocks(START_MS, START_MS))
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    core: ShardCore = field(init=False)
    cache: Cache = field(init=False)

    def __post_init__(self) -> None:
        self.core = ShardCore(PendingStore(), SeriesNumbers({}), [RulesRow(0, 0, 0, Rules())])
        self.cache = Cache(DiskFiles(self.folder))
        self.cache.load(Identity("b/0", 0, ("", "")), self.core.store, 0, 0)

    def ids(self, number: np.ndarray) -> np.ndarray:
        """The ids of predictions by their number: no table of them is kept."""
        mixed = splitmix64(number.astype(np.uint64))
        low = splitmix64(mixed)
        if self.random:
            return np.stack([mixed, low], axis=1)
        ms = (START_MS + number // PER_MS).astype(np.uint64)
        return np.stack([ms << np.uint64(16) | mixed & np.uint64(0xFFFF), low], axis=1)

    def step(self, labelled: np.ndarray, messages: int = MESSAGES) -> tuple[int, float]:
        """One commit of new predictions and of labels of the given ones; events and CPU-seconds."""
        number = np.arange(self.told, self.told + messages * ROWS)
        said = splitmix64(number.astype(np.uint64)) % np.uint64(CLASSES)
        batches = self._batches(self.ids(number), said.astype(np.uint32), number)
        true = self.rng.integers(0, CLASSES, len(labelled)).astype(np.uint32)
        label_batches = self._labels(self.ids(labelled), true)
        began = cpu_seconds()
        if batches:
            self.core.predictions(
                [(batch, np.full(len(batch), at)) for at, batch in enumerate(batches)],
                self._places(len(batches), self.told),
            )
        if label_batches:
            self.core.labels(
                [(batch, np.full(len(batch), at)) for at, batch in enumerate(label_batches)],
                self._places(len(label_batches), self.told),
            )
        self.told += len(number)
        self.labels += len(labelled)
        now = START_MS + self.told // PER_MS
        self.core.take(self.clocks, Clocks(now, now))
        self.core.commit()
        self.clocks = Clocks(now, now)
        held = Held(self.told, self.labels, self.clocks, list(self.core.groups.names))
        cut_and_forget(self.core, self.cache, held, HEAD_ROWS)
        return len(number) + len(labelled), cpu_seconds() - began

    def fill(self, to: int) -> list[float]:
        """Predictions up to a number; rates of the last parts."""
        nothing, rates = np.empty(0, np.int64), []
        events, used = 0, 0.0
        while self.told < to:
            found = self.step(nothing)
            events, used = events + found[0], used + found[1]
            if events >= PART:
                rates.append(events / used)
                events, used = 0, 0.0
        return rates[-PARTS:] or [events / used]

    def recent(self) -> list[float]:
        """New predictions and labels of recent ones: rates of the parts."""
        return self._timed(lambda: self.told - 1 - self.rng.integers(0, LAG, MESSAGES * ROWS))

    def old(self) -> list[float]:
        """Labels of anything: rates of the parts."""
        return self._timed(lambda: self.rng.integers(0, self.told, MESSAGES * ROWS), 0)

    def _timed(self, choose: object, messages: int = MESSAGES) -> list[float]:
        rates = []
        for _ in range(PARTS):
            events, used = 0, 0.0
            while events < PART:
                chosen = np.unique(choose())  # type: ignore[operator]
                found = self.step(self.rng.permutation(chosen), messages)
                events, used = events + found[0], used + found[1]
            rates.append(events / used)
        return rates

    def disk_bytes(self) -> int:
        """Of the segments of predictions."""
        return sum(file.stat().st_size for file in self.folder.glob("predictions*"))

    def _places(self, records: int, first: int) -> Places:
        now = np.full(records, START_MS + first // PER_MS)
        return Places(np.arange(records) + first, now, now, 0)

    @staticmethod
    def _batches(ids: np.ndarray, said: np.ndarray, number: np.ndarray) -> list[PredictionBatch]:
        times = (START_MS + number // PER_MS) * 1_000
        parts = [slice(at, at + ROWS) for at in range(0, len(ids), ROWS)]
        return [PredictionBatch(HEADER, ids[part], times[part], said[part]) for part in parts]

    def _labels(self, ids: np.ndarray, true: np.ndarray) -> list[LabelBatch]:
        times = np.full(len(ids), (START_MS + self.told // PER_MS) * 1_000)
        parts = [slice(at, at + ROWS) for at in range(0, len(ids), ROWS)]
        return [LabelBatch(LABELS, ids[part], times[part], true[part]) for part in parts]


HEAD_ROWS = int(OwnerSettings.model_fields["pending_head_rows_max"].default)


def run(options: Options) -> Result:
    """Time-ordered ids at both sizes in one process, then random ones."""
    result = Result("pending")
    small, large = options.size(SMALL, 600_000), options.size(LARGE, 1_200_000)
    with tempfile.TemporaryDirectory() as folder:
        filler = Filler(Path(folder), random=False)
        first = state(result, filler, small, memory())
        second = state(result, filler, large, memory())
    compare(result, first, second)
    with tempfile.TemporaryDirectory() as folder:
        state(result, Filler(Path(folder), random=True), options.size(RANDOM, 600_000), memory())
    return result


@dataclass(frozen=True, slots=True)
class State:
    """What was measured at one size."""

    recent: list[float]
    resident: Memory
    name: str


def state(result: Result, filler: Filler, size: int, before: Memory) -> State:
    """Fills up to a size and measures there."""
    kind = "random" if filler.random else "time-ordered"
    name = f"{size / 1e6:g} M waiting, {kind} ids"
    told = filler.told
    inserted = filler.fill(size)
    resident, disk = memory(), filler.disk_bytes()
    recent, old = filler.recent(), filler.old()
    result.add(f"{name}: predictions", inserted, "events/CPU-s")
    result.add(f"{name}: recent labels and predictions", recent, "events/CPU-s")
    result.add(f"{name}: labels evenly old", old, "labels/CPU-s")
    result.add(f"{name}: resident, own", resident.anonymous / 2**20, "MiB")
    result.add(f"{name}: resident, mapped files", resident.mapped / 2**20, "MiB")
    waits = filler.told if not told else size
    cut = waits // HEAD_ROWS * HEAD_ROWS or waits
    if not told or not filler.random:
        result.add(
            f"{name}: disk a prediction", disk / cut, "bytes", goal=GOAL_BYTES, at_least=False
        )
    grown = (resident.anonymous - before.anonymous) / max(size - told, 1)
    result.add(f"{name}: own memory a prediction", grown, "bytes", goal=GOAL_BYTES, at_least=False)
    print(
        f"  {name}: {np.median(inserted):,.0f} in, {np.median(recent):,.0f} recent, "
        f"{np.median(old):,.0f} old a CPU-s; {resident.anonymous >> 20} + {resident.mapped >> 20} "
        f"MiB, {disk / cut:.1f} B a prediction on disk",
        flush=True,
    )
    return State(recent, resident, name)


def compare(result: Result, small: State, large: State) -> None:
    """The promises that hold between the two sizes."""
    rate = float(np.median(large.recent) / np.median(small.recent))
    result.add("recent labels: rate at the large size / small", rate, "ratio", goal=GOAL_SLOWER)
    grown = (large.resident.total - small.resident.total) / 2**20
    result.add(
        "resident at the large size above the small",
        grown,
        "MiB",
        goal=GOAL_GROWTH / 2**20,
        at_least=False,
    )
