"""Plays seeds, and makes what fails small."""

import traceback
from dataclasses import replace
from functools import cache

from prometheus_client import CollectorRegistry
from simulation import steps as s
from simulation.generate import schedule
from simulation.log import OwnersLog
from simulation.owners import OwnersFiles, OwnersStore, drive
from simulation.plain_run import PlainRun
from simulation.records import PARTITIONS, TICK_MS
from simulation.simulation import CLOCK_SKEW_MS, Simulation

from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.metrics.shard_run import ShardRun
from leadline.metrics.world import World
from leadline.runtime.log.port import Stream

HEAD_ROWS_MAX = 3
"""Rows in memory before a segment is cut."""


def plain_code(owner):
    """The owner of `plain_run`."""

    def make():
        sim = owner.sim
        return PlainRun(
            owner,
            OwnersLog(owner, sim.log),
            OwnersStore(owner, sim.truth),
            sim.log.facts,
            sim.rules[owner.revision],
        )

    return drive(owner, make)


def plain_world(rules):
    """The simplest owners."""
    return Simulation(rules, plain_code)


def real_code(owner, run_type=ShardRun, store_type=OwnersStore):
    """The service's own shard."""
    sim = owner.sim
    log = OwnersLog(owner, sim.log)
    world = World(
        stream=Stream("main", PARTITIONS),
        log=log,
        writer=log.writer(),
        store=store_type(owner, sim.truth),
        settings=settings_of(sim.rules[owner.revision], owner.rows_max),
        clock=owner,
        health=_health(),
        files=lambda _: OwnersFiles(owner),
    )
    return drive(owner, lambda: run_type(world, 0, owner))


def settings_of(rules, rows_max):
    """An owner's settings that say these rules; segments are cut as often as can be."""
    return OwnerSettings(
        partitions=PARTITIONS,
        rules_revision=rules.revision,
        label_window_seconds=rules.label_window_ms / 1000,
        prediction_window_seconds=rules.prediction_window_ms / 1000,
        pair_window_seconds=rules.pair_window_ms / 1000,
        event_time_bound_seconds=rules.event_time_bound_ms / 1000,
        slices_per_version_max=rules.slices_per_version_max,
        pairs_max=rules.pairs_max,
        default_labels=dict(rules.default_labels),
        optional_kinds=tuple(sorted(rules.kinds)),
        clock_skew_seconds=CLOCK_SKEW_MS / 1000,
        tick_seconds=2 * TICK_MS / 1000,
        pending_head_rows_max=HEAD_ROWS_MAX,
        events_per_commit_max=rows_max,
    )


@cache
def _health():
    return OwnerHealth(CollectorRegistry())


def real_world(rules):
    """The service's own shards."""
    return Simulation(rules, real_code)


def play(plan, make=None):
    """Plays a schedule; returns the simulation, and what went wrong or None."""
    sim = (make or real_world)(plan.rules)
    try:
        sim.play(plan.steps)
    except Exception as error:
        return sim, error
    return sim, None


def shrink(plan, make, tries=2_000):
    """A smaller schedule that fails alike: of the same kind of error."""
    _, error = play(plan, make)
    kind = type(error)
    budget = [tries]

    def fails(steps):
        budget[0] -= 1
        found = play(replace(plan, steps=steps), make)[1]
        return budget[0] > 0 and type(found) is kind

    steps = _fewer(plan.steps, fails)
    steps = _simpler(steps, fails)
    return replace(plan, steps=_fewer(steps, fails))


def _fewer(steps, fails):
    """Leaves out as many steps as possible: halves, quarters, single ones."""
    size = max(len(steps) // 2, 1)
    while True:
        at, left_out = 0, False
        while at < len(steps):
            rest = steps[:at] + steps[at + size :]
            if fails(rest):
                steps, left_out = rest, True
            else:
                at += size
        if size == 1 and not left_out:
            return steps
        size = max(size // 2, 1)


def _simpler(steps, fails):
    """Leaves out rows, and puts defaults in the place of what does not matter."""
    for at in range(len(steps)):
        for change in _changes(steps[at]):
            step = replace(steps[at], **change)
            if step != steps[at]:
                rest = (*steps[:at], step, *steps[at + 1 :])
                if fails(rest):
                    steps = rest
    return steps


def _changes(step):
    if isinstance(step, s.Predict | s.Label):
        if len(step.rows) > 1:
            for row in range(len(step.rows)):
                yield {"rows": step.rows[:row] + step.rows[row + 1 :]}
        for name in ("late_ms", "gap", "imported", "untyped", "source", "version"):
            if hasattr(step, name):
                yield {name: type(getattr(step, name))()}
        yield {"rows": tuple(replace(row, at_ms=0) for row in step.rows)}
        if isinstance(step, s.Predict):
            yield {"unobserved": 0}
            yield {"rows": tuple(replace(row, slices=0, kept=False, scores=0) for row in step.rows)}
    if isinstance(step, s.Run):
        yield {"take": (99, 99)}
        yield {"at": None, "nth": 1, "fault": s.PAUSE}


def report(seed, plan, error):
    """What is printed of a failure."""
    words = "".join(traceback.format_exception(error))
    return "\n".join(
        [
            f"seed {seed} fails: {words}",
            f"again: make simulate SEEDS={seed}:{seed + 1}",
            plan.script(),
        ]
    )


def seeds(numbers, make=None, small=True):
    """Plays seeds until one fails; returns (schedules played, coverage, what to print or None)."""
    cover = None
    played = 0
    for seed in numbers:
        plan = schedule(seed)
        sim, error = play(plan, make)
        played += 1
        cover = sim.cover if cover is None else cover
        if cover is not sim.cover:
            for name, count in sim.cover.items():
                cover[name] += count
        if error is not None:
            if small:
                plan = shrink(plan, make)
                error = play(plan, make)[1]
            return played, cover, report(seed, plan, error)
    return played, cover, None
