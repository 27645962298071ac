"""The same world driven by Hypothesis: few rules, any order, the same invariant after each."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from simulation import steps as s
from simulation.generate import EFFECTS, OWNERS
from simulation.play import real_world
from simulation.records import CLASSES, DENSE, TICK_MS, TOP, Said, Told

from leadline.records.rules import Rules

ids = st.integers(0, 2)
owners = st.integers(0, OWNERS - 1)
ticks = st.integers(-2, 2).map(lambda number: number * TICK_MS)
said = st.builds(
    Said,
    id=ids,
    predicted=st.integers(0, CLASSES - 1),
    at_ms=ticks,
    scores=st.integers(0, 4),
    kept=st.booleans(),
)
told = st.builds(Told, id=ids, true=st.none() | st.integers(0, CLASSES - 1), at_ms=ticks)


def rules_of(revision, window, early, default):
    return Rules(
        revision=revision,
        label_window_ms=window * TICK_MS,
        prediction_window_ms=early * TICK_MS,
        pair_window_ms=min(window, 2) * TICK_MS,
        event_time_bound_ms=4 * TICK_MS,
        default_labels={"m": 1} if default else {},
    )


windows = st.integers(1, 4)
early = st.integers(0, 3)


class Shard(RuleBasedStateMachine):
    """One shard, its owners, and the log."""

    @initialize(window=windows, before=early, other=windows, later=early, default=st.booleans())
    def begin(self, window, before, other, later, default):
        self.sim = real_world(
            (rules_of(0, window, before, default), rules_of(1, other, later, not default))
        )
        self.sim.step(s.Start(0, 0, 3))

    @rule(
        rows=st.lists(said, min_size=1, max_size=3).map(tuple),
        version=st.integers(0, 2),
        form=st.sampled_from((DENSE, TOP)),
        late=ticks,
    )
    def predict(self, rows, version, form, late):
        self.sim.step(s.Predict(rows, version, form=form, late_ms=late))

    @rule(
        rows=st.lists(told, min_size=1, max_size=3).map(tuple),
        source=st.integers(0, 2),
        late=ticks,
    )
    def label(self, rows, source, late):
        self.sim.step(s.Label(rows, source=source, late_ms=late))

    @rule(owner=owners, take=st.tuples(st.integers(0, 3), st.integers(0, 3)))
    def go(self, owner, take):
        self.sim.step(s.Run(owner, take))

    @rule(owner=owners, at=st.sampled_from(EFFECTS), fault=st.sampled_from(s.FAULTS))
    def harm(self, owner, at, fault):
        self.sim.step(s.Run(owner, at=at, nth=1 if at else 3, fault=fault))

    @rule(owner=owners)
    def crash(self, owner):
        self.sim.step(s.Kill(owner))

    @rule(owner=owners, revision=st.integers(0, 1))
    def start(self, owner, revision):
        self.sim.step(s.Start(owner, revision, 3))

    @rule(count=st.integers(1, 4))
    def advance(self, count):
        self.sim.step(s.Advance(count * TICK_MS))

    @rule(most=st.integers(1, 3))
    def compact(self, most):
        self.sim.step(s.Compact(most))

    @rule()
    def look(self):
        self.sim.step(s.Look())

    def teardown(self):
        if hasattr(self, "sim"):
            try:
                self.sim.settle()
            finally:
                self.sim.close()


Shard.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestShard = Shard.TestCase
