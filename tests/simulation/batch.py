"""A range of seeds as one job of a process."""

import logging

from simulation.controls import CONTROLS
from simulation.play import seeds


def chunk(job):
    """Plays (from, to, name of a control or None): see `play.seeds`."""
    begin, end, control = job
    logging.disable(logging.CRITICAL)  # owners tell of every fault, and here faults are the rule
    return seeds(range(begin, end), CONTROLS[control] if control else None)
