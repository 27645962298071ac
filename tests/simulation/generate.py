"""A schedule from a seed.

Each schedule has its own mixture: some kinds of events are left out altogether, so that the others
meet more often. Everything random is decided here; running a schedule draws nothing.
"""

import random

from simulation import steps as s
from simulation.records import BARE, CLASSES, DENSE, FOREIGN, TASKS, TICK_MS, TOP, Said, Told

from leadline.records.rules import PAIRS, SCORES, STRATA, Rules

OWNERS = 3
EFFECTS = ("store.commit", "store", "log.poll", "log.flush", "log", "files", "files.write", None)
TRAITS = {
    "versions": 0.7,
    "tasks": 0.3,
    "imports": 0.3,
    "kept": 0.6,
    "slices": 0.4,
    "forms": 0.5,
    "bad rows": 0.3,
    "garbage": 0.2,
    "unobserved": 0.2,
    "disorder": 0.4,
    "future": 0.3,
    "untyped": 0.2,
    "gaps": 0.2,
    "rules": 0.5,
    "several owners": 0.6,
    "faults": 0.6,
    "outages": 0.2,
    "skew": 0.3,
    "files": 0.5,
    "damage": 0.3,
    "restores": 0.3,
    "compaction": 0.6,
    "readers": 0.5,
    "small commits": 0.4,
}


def schedule(seed):
    """The schedule of a seed."""
    return _Maker(random.Random(seed)).make()


class _Maker:
    def __init__(self, rng):
        self._rng = rng
        self._has = {name: rng.random() < share for name, share in TRAITS.items()}
        self._ids = rng.choice((1, 2, 3, 5, 8))
        self._rows_max = rng.choice((1, 2, 4))
        self._rules = tuple(
            self._rule(revision) for revision in range(3 if self._has["rules"] else 1)
        )
        self._owners = rng.choice((2, 3)) if self._has["several owners"] else 1
        self._pace_ms = rng.choice((0, 1, TICK_MS // 4, TICK_MS, 3 * TICK_MS))

    def make(self):
        rng = self._rng
        count = rng.randrange(10, 40)
        makers = self._weights()
        steps = [self._start(0)]
        for kind in rng.choices(list(makers), list(makers.values()), k=count):
            made = kind()
            steps += made if isinstance(made, list) else [made]
        return s.Schedule(self._rules, (*steps, *self._epilogue()))

    def _weights(self):
        has = self._has
        found = {
            self._predict: 8,
            self._label: 8,
            self._advance: 6,
            self._tick: 2,
            self._run: 12,
            self._start_any: 2,
        }
        for trait, kind, weight in (
            ("garbage", self._garbage, 2),
            ("faults", self._fault, 8),
            ("several owners", self._run, 8),
            ("outages", self._outage, 2),
            ("skew", self._skew, 2),
            ("damage", self._damage, 3),
            ("restores", self._restore, 3),
            ("compaction", self._compact, 4),
            ("readers", self._look, 4),
        ):
            if has[trait]:
                found[kind] = found.get(kind, 0) + weight
        return found

    def _epilogue(self):
        """An owner without memory goes on, and meets everything that waits."""
        rng = self._rng
        steps = [s.Kill(owner) for owner in range(OWNERS)]
        if rng.random() < 0.5:
            steps += [s.KeepFiles(owner, "lose") for owner in range(OWNERS)]
        steps += [s.Start(0, rng.randrange(len(self._rules))), s.Run(0)]
        rows = tuple(Told(id_, rng.randrange(CLASSES)) for id_ in range(self._ids))
        steps += [s.Label(rows, task, 1) for task in range(self._tasks())]
        steps += [s.Predict(tuple(Said(id_) for id_ in range(self._ids)), rng.randrange(3))]
        return [*steps, s.Run(0)]

    def _tasks(self):
        return len(TASKS) if self._has["tasks"] else 1

    def _rule(self, revision):
        rng = self._rng
        window = rng.choice((1, 2, 3, 5)) * TICK_MS
        defaults = rng.choice(({}, {}, {"m": 0}, {"m": 1, "t": 2}))
        return Rules(
            revision=revision,
            label_window_ms=window,
            prediction_window_ms=rng.choice((0, 1, 2, 4)) * TICK_MS,
            pair_window_ms=min(rng.choice((0, 1, 2, 5)) * TICK_MS, window),
            event_time_bound_ms=rng.choice((1, 4, 1000)) * TICK_MS,
            slices_per_version_max=rng.choice((1, 2, 1000)),
            pairs_max=rng.choice((1, 2, 4)),
            default_labels=defaults,
            kinds=frozenset(kind for kind in (PAIRS, SCORES, STRATA) if rng.random() < 0.7),
        )

    # ------------------------------------------------------------------------------ producers

    def _late_ms(self):
        """How an append time differs from the broker's clock."""
        rng = self._rng
        if self._has["disorder"] and rng.random() < 0.3:
            return -rng.choice((1, TICK_MS, 3 * TICK_MS, 10 * TICK_MS))
        if self._has["future"] and rng.random() < 0.15:
            return rng.choice((TICK_MS, 2 * TICK_MS, 4 * TICK_MS, 100 * TICK_MS, 10**9))
        return 0

    def _chance(self, trait, share=0.2):
        return self._has[trait] and self._rng.random() < share

    def _at_ms(self):
        rng = self._rng
        return rng.choice((0, 0, 0, -1, 1)) * rng.choice((1, TICK_MS, 2 * TICK_MS, 10 * TICK_MS))

    def _predict(self):
        rng = self._rng
        sliced = self._chance("slices", 0.6)
        rows = tuple(
            Said(
                id=FOREIGN if self._chance("bad rows", 0.1) else rng.randrange(self._ids),
                predicted=CLASSES if self._chance("bad rows", 0.1) else rng.randrange(CLASSES),
                at_ms=self._at_ms(),
                scores=rng.randrange(5),
                slices=rng.randrange(4) if sliced else 0,
                kept=self._chance("kept", 0.5),
            )
            for _ in range(rng.randint(1, self._rows_max))
        )
        return s.Predict(
            rows,
            version=rng.randrange(3) if self._has["versions"] else 0,
            task=rng.randrange(self._tasks()),
            late_ms=self._late_ms(),
            form=rng.choice((DENSE, TOP, BARE)) if self._has["forms"] else DENSE,
            imported=self._chance("imports", 0.3),
            unobserved=rng.randrange(1, 4) if self._chance("unobserved") else 0,
            untyped=self._chance("untyped", 0.1),
            gap=rng.randrange(1, 4) if self._chance("gaps") else 0,
        )

    def _label(self):
        rng = self._rng
        rows = tuple(
            Told(
                id=FOREIGN if self._chance("bad rows", 0.1) else rng.randrange(self._ids),
                true=rng.choice((None, 0, 0, 1, 1, 2)),
                at_ms=self._at_ms(),
            )
            for _ in range(rng.randint(1, self._rows_max))
        )
        return s.Label(
            rows,
            task=rng.randrange(self._tasks()),
            source=rng.choice((0, 0, 0, 1, 2)),
            late_ms=self._late_ms(),
            imported=self._chance("imports", 0.3),
            untyped=self._chance("untyped", 0.1),
            gap=rng.randrange(1, 4) if self._chance("gaps") else 0,
        )

    def _tick(self):
        return s.Tick(self._rng.randrange(2), self._late_ms(), self._chance("untyped", 0.1))

    def _garbage(self):
        return s.Garbage(self._rng.randrange(2))

    # --------------------------------------------------------------------------------- owners

    def _owner(self):
        return self._rng.randrange(self._owners)

    def _start(self, owner):
        rng = self._rng
        rows_max = rng.choice((1, 2, 3)) if self._has["small commits"] else 50
        return s.Start(owner, rng.randrange(len(self._rules)), rows_max)

    def _start_any(self):
        return self._start(self._owner())

    def _take(self):
        rng = self._rng
        if rng.random() < 0.4:
            return (99, 99)
        return (rng.choice((0, 1, 2, 99)), rng.choice((0, 1, 2, 99)))

    def _run(self):
        return s.Run(self._owner(), self._take())

    def _fault(self):
        rng = self._rng
        owner = self._owner()
        if rng.random() < 0.1:
            return rng.choice((s.Kill(owner), s.Stop(owner)))
        at = rng.choice(EFFECTS)
        nth = rng.choice((1, 1, 2)) if at else rng.randrange(1, 25)
        return s.Run(owner, self._take(), at, nth, rng.choice(s.FAULTS))

    def _outage(self):
        rng = self._rng
        what = rng.choice(("store", "log", "files"))
        return s.Outage(self._owner(), what, rng.random() < 0.5)

    def _skew(self):
        return s.Skew(self._owner(), self._rng.choice((-5, -1, 0, 1, 3, 90)) * TICK_MS)

    # ---------------------------------------------------------------------------------- others

    def _advance(self):
        return s.Advance(self._rng.randrange(2 * self._pace_ms + 1))

    def _damage(self):
        rng = self._rng
        return s.Damage(self._owner(), rng.randrange(8), rng.random(), rng.random() < 0.5)

    def _restore(self):
        """Files or the database of another time."""
        rng = self._rng
        if rng.random() < 0.6:
            owner = self._owner()
            what = rng.choice(("copy", "restore", "restore", "lose"))
            return [s.KeepFiles(owner, what), self._start(owner)]
        if rng.random() < 0.3:
            return s.KeepTruth(rng.choice(("copy", "restore")))
        steps = [s.KeepTruth("copy")]
        for _ in range(rng.randint(1, 3)):
            steps += [rng.choice((self._predict, self._label))(), self._run()]
        steps.append(s.KeepTruth("restore"))
        for _ in range(rng.randint(1, 2)):
            owner = self._owner()
            steps += [self._start(owner), s.Run(owner, self._take())]
        return steps

    def _compact(self):
        return s.Compact(self._rng.choice((1, 2, 99)), self._rng.randrange(2))

    def _look(self):
        return s.Look(self._rng.randrange(2))
