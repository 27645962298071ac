"""What a threshold shall achieve, as people write it: "recall>=0.95", costs "20:1". Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from leadline.metrics.measures.thresholds import Constraint, Costs, Figure
from leadline.records.errors import UsageError

_NEED = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*")
_FIGURES = {each.value: each for each in Figure}


@dataclass(frozen=True, slots=True)
class Goal:
    """What is best.

    Attributes:
        figure: of flagged share and cost the least is best, else the most.
        constraints: all must hold.
        costs: of errors, where they were named.
    """

    figure: Figure = Figure.F1
    constraints: tuple[Constraint, ...] = ()
    costs: Costs | None = None

    def __str__(self) -> str:
        name = {Figure.COST: "lowest cost", Figure.F1: "best F1"}.get(
            self.figure, f"best {self.figure}"
        )
        if not self.constraints:
            return name
        return f"{' and '.join(map(str, self.constraints))}, {name}"


def goal(needs: str | Sequence[str] = (), cost: tuple[float, float] | None = None) -> Goal:
    """A goal of constraints and costs.

    Costs make the lowest cost best. Else a constraint on recall makes the precision best, one on
    anything else the recall; and without any it is F1.

    Args:
        needs: such as "recall>=0.95", "precision>=90%", "flagged<=0.02".
        cost: of a missed one and of a false alarm, in any one unit.

    Raises:
        UsageError: a text or a number cannot be meant.

    >>> str(goal("recall>=95%"))
    'recall at least 0.95, best precision'
    """
    texts = [needs] if isinstance(needs, str) else list(needs)
    constraints = tuple(constraint(text) for text in texts if text.strip())
    if cost is not None:
        missed, alarm = cost
        if not (0 <= missed < math.inf and 0 <= alarm < math.inf and missed + alarm > 0):
            raise UsageError(f"costs {missed:g}:{alarm:g}", "Costs are at least 0, and not both 0")
        return Goal(Figure.COST, constraints, Costs(fp=alarm, fn=missed))
    bound = {each.figure for each in constraints}
    if not bound:
        return Goal()
    return Goal(Figure.PRECISION if Figure.RECALL in bound else Figure.RECALL, constraints)


def constraint(text: str) -> Constraint:
    """A bound on a figure: precision, recall, f1 or flagged; a share, or a percentage with %.

    Raises:
        UsageError: it cannot be read.
    """
    found = _NEED.fullmatch(text)
    figure = _FIGURES.get(found[1].lower()) if found else None
    if found is None or figure is None or figure is Figure.COST:
        raise UsageError(
            f"{text!r} is no constraint",
            "Write FIGURE>=SHARE or FIGURE<=SHARE with precision, recall, f1 or flagged: "
            "recall>=0.95",
        )
    bound = float(found[3]) / (100 if found[4] else 1)
    if bound > 1:
        raise UsageError(f"{text!r}: a share is at most 1", "Write 0.95, or 95%")
    return Constraint(figure, bound, at_least=found[2] == ">=")


def costs(text: str) -> tuple[float, float]:
    """Costs of a missed one and of a false alarm out of "MISSED:FALSE_ALARM".

    Raises:
        UsageError: it cannot be read.

    >>> costs("20:1")
    (20.0, 1.0)
    """
    missed, _, alarm = text.partition(":")
    try:
        return float(missed), float(alarm)
    except ValueError:
        raise UsageError(f"costs {text!r}", "Write MISSED:FALSE_ALARM, such as 20:1") from None
