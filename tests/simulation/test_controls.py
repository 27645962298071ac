"""Each guard is taken away in turn: within 1,000 schedules the simulator must find out."""

import pytest
from simulation.check import Wrong
from simulation.controls import CONTROLS
from simulation.generate import schedule
from simulation.play import play

MOST = 1_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CONTROLS)
def test_without_this_guard_a_count_is_wrong(name):
    for seed in range(MOST):
        error = play(schedule(seed), CONTROLS[name])[1]
        if error is not None:
            assert isinstance(error, Wrong), f"seed {seed}: {error!r}"
            return
    pytest.fail(f"{MOST} schedules without {name!r}, and nobody noticed")
