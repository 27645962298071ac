"""Thresholds: what is asked, and answers as messages."""

from __future__ import annotations

import math

import numpy as np

from leadline.metrics.answers import Summary
from leadline.metrics.api.analysis_convert import (
    distribution,
    points_max,
    score_basis,
)
from leadline.metrics.api.convert import bounds, class_name, rate
from leadline.metrics.core.figures import Rate
from leadline.metrics.measures.scores import ClassScores
from leadline.metrics.measures.thresholds import (
    Choice,
    Constraint,
    Costs,
    Figure,
    ThresholdTable,
    Unmet,
    best_under,
    optimism,
    threshold_table,
)
from leadline.metrics.measures.uncertainty import f1_interval
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import analysis_pb2 as messages

FIGURES = {
    messages.Objective.FIGURE_UNSPECIFIED: Figure.F1,
    messages.Objective.FIGURE_F1: Figure.F1,
    messages.Objective.FIGURE_COST: Figure.COST,
    messages.Objective.FIGURE_PRECISION: Figure.PRECISION,
    messages.Objective.FIGURE_RECALL: Figure.RECALL,
    messages.Objective.FIGURE_FLAGGED_SHARE: Figure.FLAGGED,
}
CONSTRAINTS_MAX = 8


def costs_of(objective: messages.Objective) -> Costs:
    """Costs of errors, one each where none is told; raises FieldError for what cannot be meant."""
    fp, fn = objective.false_positive_cost, objective.false_negative_cost
    if not (0 <= fp < math.inf and 0 <= fn < math.inf):
        raise FieldError("objective.false_positive_cost", "A cost is a number, at least 0.")
    return Costs(fp, fn) if fp or fn else Costs()


def constraints_of(objective: messages.Objective) -> list[Constraint]:
    """The bounds that must hold; raises FieldError for one without a figure or a bound."""
    field = "objective.constraints"
    if len(objective.constraints) > CONSTRAINTS_MAX:
        raise FieldError(field, f"At most {CONSTRAINTS_MAX} constraints are asked at once.")
    found = []
    for each in objective.constraints:
        if not each.figure:
            raise FieldError(field, "A constraint names a figure.")
        if each.HasField("at_least") == each.HasField("at_most"):
            raise FieldError(field, "A constraint has either at_least or at_most.")
        low = each.HasField("at_least")
        bound = each.at_least if low else each.at_most
        found.append(Constraint(FIGURES[each.figure], bound, at_least=low))
    return found


def thresholds(
    summary: Summary,
    everything: list[ClassScores],
    scores: ClassScores,
    request: messages.GetThresholdsRequest,
) -> messages.GetThresholdsResponse:
    """The figures of one class at thresholds, and the best one as asked."""
    table = threshold_table(scores, costs_of(request.objective))
    figure = FIGURES[request.objective.figure]
    constraints = constraints_of(request.objective)
    best = best_under(table, figure, constraints)
    message = messages.GetThresholdsResponse(
        basis=score_basis(summary, everything),
        class_number=scores.number,
        class_name=class_name(summary.spec, scores.number),
        rows=[_row(table, at) for at in _spread(table, points_max(request.points_max))],
        distribution=distribution(scores),
    )
    if isinstance(best, Unmet):
        message.reason = best.reason
    else:
        message.best.CopyFrom(_row(table, _place(table, best)))
        rng = np.random.default_rng(scores.number)  # the same question has the same answer
        found = optimism(table, figure, rng, constraints=constraints)
        if found is not None:
            message.optimism = found.excess
    if request.HasField("threshold"):
        if not 0 <= request.threshold <= 1:
            raise FieldError("threshold", "A threshold is a score: it lies between 0 and 1.")
        message.asked.CopyFrom(_asked(table, request.threshold))
    return message


def _asked(table: ThresholdTable, threshold: float) -> messages.ThresholdFigures:
    """The row of the least threshold that is not below the one that was asked."""
    place = int(np.searchsorted(-table.threshold, -threshold, side="right")) - 1
    row = _row(table, max(place, 0))
    row.threshold = threshold
    return row


def _place(table: ThresholdTable, choice: Choice) -> int:
    return int(np.flatnonzero(table.threshold == choice.threshold)[0])


def _spread(table: ThresholdTable, most: int) -> list[int]:
    """Rows that are spread evenly over the log-odds of the thresholds, all when there are few."""
    size = len(table.threshold)
    if size <= most:
        return list(range(size))
    edge = np.clip(table.threshold, 1e-6, 1 - 1e-6)
    odds = np.log(edge) - np.log1p(-edge)
    aims = np.linspace(odds[0], odds[-1], most)
    near = np.searchsorted(-odds, -aims).clip(0, size - 1)
    rows: list[int] = np.unique(near).tolist()
    return rows


def _row(table: ThresholdTable, at: int) -> messages.ThresholdFigures:
    tp, fp = int(table.tp[at]), int(table.fp[at])
    fn, tn = table.positives - tp, table.negatives - fp
    rows = table.positives + table.negatives
    message = messages.ThresholdFigures(
        threshold=min(float(table.threshold[at]), 1.0),
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        precision=rate(Rate(tp, tp + fp)),
        recall=rate(Rate(tp, table.positives)),
        flagged=rate(Rate(tp + fp, rows)),
        f1_interval=bounds(f1_interval(tp, fp, fn)),
    )
    if 2 * tp + fp + fn:
        message.f1 = 2 * tp / (2 * tp + fp + fn)
    if rows:
        message.cost = (table.costs.fp * fp + table.costs.fn * fn) / rows
    return message
