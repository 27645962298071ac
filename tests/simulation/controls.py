"""Worlds without one of the guards. Each must be caught, else the simulator proves nothing.

A control takes its guard away from outside: a store, a cache or a shard of the service with one
method replaced.
"""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from simulation.owners import OwnersStore
from simulation.play import real_code
from simulation.simulation import SHARD, Simulation

from leadline.metrics.cache.cache import Cache, Held
from leadline.metrics.cache.history import mark_of
from leadline.metrics.core.groups import Clocks
from leadline.metrics.shard_run import ShardRun
from leadline.records.errors import FencedError
from leadline.records.rules import RulesRow
from leadline.testing.memory_truth import MemorySnapshot, MemoryTruth

# ------------------------------------------------------------------------------------- the truth


class Unfenced(MemoryTruth):
    """Without the compare-and-set the last one wins."""

    def fence(self, commit):
        pass


class TwoRows(MemoryTruth):
    """p and l stand in rows of their own: who moves only one of them compares only that."""

    def commit(self, commit):
        before, after = commit.before, commit.after
        if commit.new_rules is not None:
            super().commit(commit)
            return
        shard = self.rows.shards[before.shard]
        now = shard.state
        moved = [side for side in "pl" if getattr(before, side) != getattr(after, side)]
        if any(getattr(now, side) != getattr(before, side) for side in moved):
            raise FencedError("one of the rows has moved")
        if "p" not in moved:
            after = replace(after, p=now.p, predictions_clock_ms=now.predictions_clock_ms)
        if "l" not in moved:
            after = replace(after, l=now.l, labels_clock_ms=now.labels_clock_ms)
        shard.state = after
        self.add(shard, commit)


class OffsetsApart(OwnersStore):
    """The offsets are committed in a transaction of their own, before what was counted."""

    def commit(self, commit):
        truth = self._truth

        def move():
            truth.fence(commit)
            truth.rows.shards[SHARD].state = commit.after

        self._owner.effect("store.commit offsets", move)
        self._owner.effect(
            "store.commit delta", lambda: truth.add(truth.rows.shards[SHARD], commit)
        )


class OwnRules(OwnersStore):
    """Each owner counts by its own settings; the table has the first one's for ever."""

    def shard_rules(self, shard):
        found = self._owner.effect("store.shard_rules", lambda: self._truth.shard_rules(shard))
        own = self._owner.sim.rules[self._owner.revision]
        return [RulesRow(0, 0, 0, own)] if found else []


class Unlocked(Simulation):
    """Two compactors read, and then both fold what they have read."""

    def compact(self, step):
        shard = self.truth.rows.shards.get(SHARD)
        if shard is None:
            return
        held = self.__dict__.setdefault("compactors", {})
        if step.compactor not in held:
            held[step.compactor] = shard.deltas[: step.most]
            return
        taken = held.pop(step.compactor)
        blocks = Counter(shard.blocks)
        for _, _, rows in taken:
            for key, count in rows.items():
                blocks[key] += count
        shard.blocks = blocks
        last = taken[-1][:2] if taken else (-1, -1)
        shard.deltas = [delta for delta in shard.deltas if delta[:2] > last]


class Live(MemoryTruth):
    """A reader without a snapshot: every question sees what is there by then."""

    @contextmanager
    def snapshot(self):
        yield _LiveSnapshot(self)


class _LiveSnapshot:
    def __init__(self, truth):
        self._truth = truth

    def __getattr__(self, name):
        return getattr(MemorySnapshot(self._truth.rows.copy()), name)


# ------------------------------------------------------------------------------------- the cache


class _NeverAhead(Cache):
    def load(self, identity, store, p, l, history=None):
        return super().load(identity, store, 2**62, 2**62, history)


class _AnyHistory(Cache):
    def _read(self):
        found = super()._read()
        if found is not None:
            found["history"] = mark_of(self._history, found["as_of"])
        return found


def caching(kind):
    """A shard with such a cache."""

    class Caching(ShardRun):
        def __init__(self, world, partition, stop):
            super().__init__(world, partition, stop)
            self._cache = kind(self._files)

    return Caching


class StartsBlind(ShardRun):
    """What an owner has not read itself since its start is as good as expired."""

    def _beginning(self, held):
        state = self._state
        clocks = Clocks(state.predictions_clock_ms, state.labels_clock_ms)
        return Held(state.p, state.l, clocks, held.groups)


def forgetting(by):
    """A shard that forgets by other clocks: `by(shard, clocks)`."""

    class Forgetful(ShardRun):
        def _hold(self, clocks):
            forget = type(self._core).forget
            self._core.forget = lambda real: forget(self._core, by(self, real))
            super()._hold(clocks)

    return Forgetful


def _wall(shard, _clocks):
    now_ms = shard._world.clock.now_us() // 1000
    return Clocks(now_ms, now_ms)


class KeepsSome(ShardRun):
    """Only the newest segment of each side is kept, however young the others are."""

    def _hold(self, clocks):
        self._core.forget = self._forget
        super()._hold(clocks)

    def _forget(self, clocks):
        gone = type(self._core).forget(self._core, clocks)
        for side in (self._core.store.predictions, self._core.store.labels):
            gone += side.segments[:-1]
            del side.segments[:-1]
        return gone


def _with(rules, *, truth=None, world=Simulation, **parts):
    return world(rules, partial(real_code, **parts), truth and truth())


CONTROLS = {
    "no compare-and-set": partial(_with, truth=Unfenced),
    "vector in two rows": partial(_with, truth=TwoRows),
    "offsets apart from the delta": partial(_with, store_type=OffsetsApart),
    "a cache ahead of the truth": partial(_with, run_type=caching(_NeverAhead)),
    "a cache of another history": partial(_with, run_type=caching(_AnyHistory)),
    "compaction without its lock": partial(_with, world=Unlocked),
    "readers without a snapshot": partial(_with, truth=Live),
    "rules from the settings": partial(_with, store_type=OwnRules),
    "expiry by wall clock": partial(_with, run_type=forgetting(_wall)),
    "expiry by number": partial(_with, run_type=KeepsSome),
    "expiry by what this owner has read": partial(_with, run_type=StartsBlind),
    "forgetting by the predictions' clock": partial(
        _with, run_type=forgetting(lambda _, clocks: Clocks(*[clocks.predictions_ms] * 2))
    ),
    "forgetting by the labels' clock": partial(
        _with, run_type=forgetting(lambda _, clocks: Clocks(*[clocks.labels_ms] * 2))
    ),
}
"""Makers of simulations by name, given the rules."""
