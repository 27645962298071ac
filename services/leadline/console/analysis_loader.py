"""What the pages of analysis need: the version's summary first, then what is told of its class."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from leadline.console.core import analysis as a
from leadline.console.core import figures as f
from leadline.console.core.urlstate import Need, View
from leadline.console.reader import Reader, settle
from leadline.v1 import analysis_pb2 as an

TABS = ("classes", "thresholds", "calibration", "compare")
COST = (1.0, 1.0)
"""Cost of a missed positive and of a false alarm where a page names none."""
COST_POINTS = 120
FEW_POINTS = 4
"""Where only the best threshold is wanted: the fewest that a reader answers."""
GOALS = {
    "f1": an.Objective.FIGURE_F1,
    "cost": an.Objective.FIGURE_COST,
    "precision": an.Objective.FIGURE_PRECISION,
    "recall": an.Objective.FIGURE_RECALL,
    "flagged": an.Objective.FIGURE_FLAGGED_SHARE,
}


@dataclass(frozen=True, slots=True)
class Analysis:
    """The parts of one page; those of other pages are None.

    Attributes:
        label: the class that is shown, or None where there is none.
        best: by "f1", "cost" and "need", the thresholds for that aim.
        other: headline figures of the version that is compared.
    """

    summary: f.Summary | f.Failure
    label: int | None = None
    matrix: f.Matrix | f.Failure | None = None
    curves: a.Curves | f.Failure | None = None
    best: dict[str, a.Thresholds | f.Failure] | None = None
    calibration: a.Calibration | f.Failure | None = None
    comparisons: a.Comparisons | f.Failure | None = None
    other: f.Summary | f.Failure | None = None


async def ask_analysis(reader: Reader, tab: str, name: str, view: View) -> Analysis:
    """The parts of the page `tab`, each there or saying why it is not."""
    if tab == "classes":
        summary, matrix, curves = await asyncio.gather(
            settle(reader.summary, name, view),
            settle(reader.matrix, name, view),
            settle(reader.curves, name, view, None),
        )
        return Analysis(summary, matrix=matrix, curves=curves)
    if tab == "compare":
        return await _compare(reader, name, view)
    summary = await settle(reader.summary, name, view)
    label = shown_class(summary, view)
    if label is None:
        return Analysis(summary)
    if tab == "thresholds":
        return await _thresholds(reader, name, view, summary, label)
    return Analysis(
        summary, label, calibration=await settle(reader.calibration, name, view, [label])
    )


def shown_class(summary: f.Summary | f.Failure, view: View) -> int | None:
    """The class a page is about: the view's, the second of two, the worst, the commonest."""
    if isinstance(summary, f.Failure) or not summary.classes:
        return None
    known = {c.number for c in summary.classes}
    if view.label in known:
        return view.label
    if summary.class_count == 2 and 1 in known:
        return 1
    if summary.worst_class is not None:
        return summary.worst_class
    return max(summary.classes, key=lambda c: (c.support, -c.number)).number


def objective(goal: str, cost: tuple[float, float], need: Need | None) -> an.Objective:
    """What is best: a goal among the thresholds that satisfy a constraint; costs always told."""
    asked = an.Objective(
        figure=GOALS[goal], false_negative_cost=cost[0], false_positive_cost=cost[1]
    )
    if need is not None:
        constraint = asked.constraints.add(figure=GOALS[need.figure])
        if need.figure == "flagged":
            constraint.at_most = need.bound
        else:
            constraint.at_least = need.bound
    return asked


async def _thresholds(
    reader: Reader, name: str, view: View, summary: f.Summary | f.Failure, label: int
) -> Analysis:
    cost = view.cost or COST
    aims = {"f1": (objective("f1", cost, None), FEW_POINTS)}
    aims["cost"] = (objective("cost", cost, None), COST_POINTS)
    if view.need is not None:
        aims["need"] = (objective(view.need.goal, cost, view.need), FEW_POINTS)
    answers = asyncio.gather(
        *(settle(reader.thresholds, name, view, label, goal, most) for goal, most in aims.values())
    )
    curves, found = await asyncio.gather(settle(reader.curves, name, view, label), answers)
    best = dict(zip(aims, found, strict=True))
    return Analysis(summary, label, curves=curves, best=best)


async def _compare(reader: Reader, name: str, view: View) -> Analysis:
    summary, comparisons = await asyncio.gather(
        settle(reader.summary, name, view), settle(reader.comparisons, name, view, [])
    )
    chosen = None if isinstance(comparisons, f.Failure) else comparisons.of(view.vs)
    if chosen is None:
        return Analysis(summary, comparisons=comparisons)
    other = f"{name.rpartition('/')[0]}/{chosen.challenger}"
    return Analysis(
        summary, comparisons=comparisons, other=await settle(reader.summary, other, view)
    )
