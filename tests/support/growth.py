"""What the tests of roll-up have in common."""

from dataclasses import replace

from leadline.records.cells import CellKind
from leadline.runtime.store.port import Commit
from leadline.runtime.store.resolution import DAY, DAY_STEP, Retention

KINDS = [CellKind.CONFUSION, CellKind.SCORES, CellKind.ADDED]
KEEP = Retention(minutes=DAY, quarters=3 * DAY, hours=9 * DAY, scores=2 * DAY, days=40 * DAY)
NOW = 200 * DAY_STEP + 12_345
"""The minute at which all histories end."""


def at(state, minute):
    """The state with both log clocks at a minute."""
    return replace(state, predictions_clock_ms=minute * 60_000, labels_clock_ms=minute * 60_000)


def add(owner, delta, minute=NOW):
    after = at(replace(owner.state, p=owner.state.p + 1), minute)
    owner.store.commit(Commit(owner.state, after, delta, {}))
    owner.state = after


def roll_all(store, shard="main/0", keep=KEEP):
    return sum(iter(lambda: store.roll_up(shard, keep), 0))
