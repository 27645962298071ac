"""Some schedules on a real store: blocks, deltas and rolled-up cells decode to what was counted."""

from dataclasses import replace

import pytest
from simulation import steps as s
from simulation.generate import schedule
from simulation.play import real_code
from simulation.simulation import Simulation
from simulation.sql_truth import SqlTruth

SCHEDULES = 30
STRETCH = 1_500
"""Turns minutes into days, so that cells become old."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stretch", [1, STRETCH])
def test_sqlite_counts_as_the_oracle_does(tmp_path, stretch):
    rolled = folded = 0
    for seed in range(SCHEDULES):
        plan = schedule(seed)
        steps = [
            replace(step, ms=step.ms * stretch) if isinstance(step, s.Advance) else step
            for step in plan.steps
        ]
        truth = SqlTruth(tmp_path / f"{seed}.sqlite")
        try:
            sim = Simulation(plan.rules, real_code, truth)
            sim.play(tuple(steps))
            folded += sim.cover["folded"]
            rolled += truth.rolled("main/0").quarter > 0
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            truth.close()
    assert folded
    assert rolled or stretch == 1
