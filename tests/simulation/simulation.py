"""Runs a schedule, and checks after every step that the truth is what the oracle says."""

from collections import Counter
from contextlib import ExitStack

from simulation import records
from simulation import steps as s
from simulation.check import (
    Wrong,
    check_cases,
    check_cells,
    check_dead_letters,
    check_facts,
    told,
)
from simulation.generate import OWNERS
from simulation.log import SIDES, SimLog
from simulation.owners import Owner

from leadline.records.cells import CellKind
from leadline.testing.memory_truth import MemoryTruth, ShardRows, rows_of

SHARD = "main/0"
CLOCK_SKEW_MS = 2 * records.TICK_MS + records.TICK_MS // 2
ROUNDS_MAX = 400


class Simulation:
    """One world: a log, a truth, some owners.

    Args:
        rules: by revision.
        code: the owners' code: a generator of rounds, given an Owner.
        truth: the store; a control may give one without a guard.

    Attributes:
        now_ms: the broker's clock.
        cover: how often each effect was met and each kind of thing happened.
    """

    clock_skew_ms = CLOCK_SKEW_MS

    def __init__(self, rules, code, truth=None):
        self.rules, self.code = rules, code
        self.log = SimLog()
        self.truth = truth or MemoryTruth()
        self.begin_ms = self.now_ms = records.BASE_MS
        self.owners = [Owner(self, slot) for slot in range(OWNERS)]
        self.cover = Counter()
        self.skews_ms = {0}
        self._copy = None
        self._readers = {}
        self._checked = None
        self._facts = ShardRows(None)
        self._stamped = {}

    # ------------------------------------------------------------------------------- the steps

    def play(self, steps):
        """All steps, then everything that is left to read with all faults ended."""
        try:
            for step in steps:
                self.step(step)
            self.settle()
        finally:
            self.close()

    def step(self, step):
        self.cover[type(step).__name__] += 1
        getattr(self, type(step).__name__.lower())(step)
        self.check()

    def close(self):
        """Nothing is left of it."""
        for reader in self._readers.values():
            reader[0].close()
        for owner in self.owners:
            owner.kill()

    def predict(self, step):
        def build(offset, append_ms):
            return records.prediction(
                offset,
                append_ms,
                step.version,
                step.task,
                step.rows,
                form=step.form,
                imported=step.imported,
                unobserved=step.unobserved,
            )

        self._put(0, self._append_ms(step), build, step.gap)

    def label(self, step):
        def build(offset, append_ms):
            return records.label(
                offset, append_ms, step.task, step.source, step.rows, imported=step.imported
            )

        self._put(1, self._append_ms(step), build, step.gap)

    def tick(self, step):
        side = step.side
        self._put(side, self._append_ms(step), lambda *at: records.tick(side, *at))

    def garbage(self, step):
        self._put(step.side, self.now_ms, lambda *at: records.garbage(step.side, *at))

    def advance(self, step):
        self.now_ms += step.ms

    def skew(self, step):
        self.owners[step.owner].skew_ms = step.ms
        self.skews_ms.add(step.ms)

    def start(self, step):
        revision = min(step.revision, len(self.rules) - 1)
        self.owners[step.owner].start(revision, step.rows_max)

    def run(self, step):
        self.owners[step.owner].go(step)
        self._no_reason_to_stop()

    def kill(self, step):
        self.owners[step.owner].kill()

    def stop(self, step):
        self.owners[step.owner].stopping = True
        self.owners[step.owner].go(s.Run(step.owner))

    def outage(self, step):
        outages = self.owners[step.owner].outages
        (outages.add if step.begins else outages.discard)(step.what)

    def compact(self, step):
        folded = self.truth.compact(SHARD, step.most)
        self.cover["folded"] += folded > 0
        self._checked = None

    def look(self, step):
        """Opens a snapshot, or reads the one that is open."""
        if step.reader not in self._readers:
            stack = ExitStack()
            snapshot = stack.enter_context(self.truth.snapshot())
            snapshot.shards()
            held = self.truth.rows.shards.get(SHARD)
            self._readers[step.reader] = (stack, snapshot, held and held.copy())
            return
        stack, snapshot, held = self._readers.pop(step.reader)
        with stack:
            if held is not None and held.rules:
                self._check_snapshot(snapshot, held)

    def damage(self, step):
        """Cuts a file or turns a bit; nobody is told."""
        owner = self.owners[step.owner]
        names = sorted(owner.files)
        if not names:
            return
        owner.kill()
        name = names[step.file % len(names)]
        content = bytearray(owner.files[name])
        at = min(int(step.share * len(content)), len(content) - 1)
        if not content:
            return
        if step.flip:
            content[at] ^= 1 << step.file
        else:
            del content[at:]
        owner.files[name] = bytes(content)
        self.cover["damaged"] += 1

    def keepfiles(self, step):
        owner = self.owners[step.owner]
        if step.what == "copy":
            owner.copy = dict(owner.files)
            return
        owner.kill()
        self.cover["files restored"] += bool(owner.copy) and step.what == "restore"
        owner.files = dict(owner.copy) if step.what == "restore" else {}

    def keeptruth(self, step):
        if step.what == "copy":
            self._copy = self.truth.rows.copy()
        elif self._copy is not None and isinstance(self.truth, MemoryTruth):
            for owner in self.owners:
                owner.kill()
            self.truth.rows = self._copy.copy()
            self.cover["truth restored"] += 1
            self._facts = ShardRows(None)  # another history from here on

    # ------------------------------------------------------------------------------ the checks

    def strange(self, side, record):
        """Whether some owner's clock may have called an append time impossible."""
        at = record.append_time_ms
        now_ms = self._stamped.get((side, record.offset), at)  # owners' ticks are in time
        return at < 0 or at > now_ms + min(self.skews_ms) + self.clock_skew_ms

    def committed(self, owner, commit):
        """Told by an owner's store after each commit."""
        self.cover["commits"] += 1
        self.cover["empty delta"] += not len(commit.delta)
        if commit.new_rules is not None:
            self.cover["rules changed"] += commit.new_rules.number > 0
        self.cover["exceptions"] += len(commit.exceptions) > 0
        kinds = set(commit.delta.kind.tolist())
        for kind in kinds:
            self.cover[f"cell {CellKind(kind).name}"] += 1
        self.cover["corrections"] += bool((commit.delta.count < 0).any())
        self.check()

    def check(self):
        """The invariant, whenever the truth has changed."""
        rows = self.truth.rows
        shard = rows.shards.get(SHARD)
        if shard is None or not shard.rules:
            return
        mark = (shard.state, len(shard.deltas), len(shard.rules), len(shard.exceptions))
        if mark == self._checked:
            return
        where = f"({shard.state.p}, {shard.state.l})"
        wanted = told(self.log.facts, shard)
        rolled = getattr(self.truth, "rolled", lambda _: None)(SHARD)
        check_cells(shard.total(), _numbers(shard), wanted, where, rolled)
        check_cases(rows.cases.values(), wanted, where)
        clocks = shard.state.predictions_clock_ms, shard.state.labels_clock_ms
        if clocks != wanted.clocks:
            raise Wrong(f"log clocks at {where}: found {clocks}, wanted {wanted.clocks}")
        if max(clocks) > self.now_ms + max(self.skews_ms) + self.clock_skew_ms:
            raise Wrong(f"log clocks at {where} are in nobody's time: {clocks}")
        check_dead_letters(self.log, self.log.facts, shard.state)
        check_facts(self, shard, self._facts)
        self._facts = ShardRows(None, rules=shard.rules[:], exceptions=shard.exceptions[:])
        self._checked = mark

    def _check_snapshot(self, snapshot, held):
        """A reader's cells belong to the vector that it saw first."""
        cells = snapshot.cells(None, list(CellKind))[SHARD]
        numbers = {number: series for _, number, series in snapshot.series()}
        where = f"({held.state.p}, {held.state.l}) of a reader"
        rolled = snapshot.rolled(SHARD)
        check_cells(rows_of(cells), numbers, told(self.log.facts, held), where, rolled)

    def _no_reason_to_stop(self):
        for owner in self.owners:
            if owner.stopped:
                raise Wrong(f"owner {owner.slot} stopped: {owner.stopped}")

    # --------------------------------------------------------------------------------- the end

    def settle(self):
        """Faults off: everything is read by whoever is there, and what is past its time is gone."""
        for owner in self.owners:
            owner.outages.clear()
            owner.skew_ms = 0
        if not any(owner.alive for owner in self.owners):
            self.owners[0].start(len(self.rules) - 1, 50)
        living = [owner for owner in self.owners if owner.alive and not owner.stopping]
        self._read_all(living)
        for owner in living[1:]:  # those that were fenced have caught up, too
            self._put(0, self.now_ms, lambda *at: records.tick(0, *at))
            self._read_all([owner])
        self._forget(living[0])
        self.check()

    def _read_all(self, owners):
        for _ in range(ROUNDS_MAX):
            for owner in owners:
                owner.go(s.Run(owner.slot))
            self._no_reason_to_stop()
            if self._at_end():
                return
        state = self.truth.shard(SHARD)
        ends = [self.log.end(topic) for topic in SIDES]
        raise Wrong(f"the vector stays at ({state.p}, {state.l}), the ends are {ends}")

    def _forget(self, owner):
        """Long after, nothing waits any more."""
        for _ in range(2):  # what is newer than a segment's end goes with the next one
            self.now_ms += 10**10  # far behind whatever append times were believed
            for side in (0, 1):
                self._put(side, self.now_ms, lambda *at, side=side: records.tick(side, *at))
            self._read_all([owner])
        core = getattr(owner.run, "_core", ())
        if len(core):
            raise Wrong(f"{len(core)} rows wait for ever")

    def _at_end(self):
        state = self.truth.shard(SHARD)
        return (state.p, state.l) == tuple(self.log.end(topic) for topic in SIDES)

    def _put(self, side, append_ms, build, gap=0):
        self.log.put(side, append_ms, build, gap)
        self._stamped[side, self.log.facts[side][-1].offset] = self.now_ms

    def _append_ms(self, step):
        return -1 if step.untyped else max(self.now_ms + step.late_ms, 0)


def _numbers(shard):
    return {number: series for series, number in shard.series.items()}
