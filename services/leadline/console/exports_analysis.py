"""The cards of analysis as tables, for CSV and JSON."""

from __future__ import annotations

from leadline.console.core import analysis as a
from leadline.console.core import figures as f
from leadline.console.core.classes import f1_rate
from leadline.console.exports import Table, Value


def classes_table(summary: f.Summary, curves: a.Curves | None) -> Table:
    """One row a class; areas with their certain bounds, empty where they are not known."""
    header = ["class", "labelled", "predicted"]
    for name in ("precision", "recall", "f1", "auc", "average_precision"):
        header += [name, f"{name}_lower", f"{name}_upper"]
    areas = {c.number: c for c in curves.classes} if curves else {}
    rows: list[list[Value]] = []
    for c in summary.classes:
        own = areas.get(c.number)
        rated = [v for r in (c.precision, c.recall, f1_rate(c)) for v in _rate(r)]
        bounded = [*_bounded(own.auc if own else None)]
        bounded += _bounded(own.average_precision if own else None)
        rows.append([c.name, c.support, c.predicted, *rated, *bounded])
    return header, rows


def scores_table(found: a.ClassCurves) -> Table:
    """One row a step of scores."""
    edges = found.distribution.edges
    counts = zip(found.distribution.positives, found.distribution.negatives, strict=True)
    header = ["score_from", "score_to", "positives", "negatives"]
    return header, [[edges[i], edges[i + 1], up, down] for i, (up, down) in enumerate(counts)]


def curves_table(found: a.ClassCurves) -> Table:
    """One row a point, first of the ROC curve, then of precision over recall."""
    rows: list[list[Value]] = []
    for name, curve in (("roc", found.roc), ("precision_recall", found.precision_recall)):
        points = zip(curve.threshold, curve.x, curve.y, strict=True)
        rows += [[name, t, x, y] for t, x, y in points]
    return ["curve", "threshold", "x", "y"], rows


def thresholds_table(found: dict[str, a.Thresholds]) -> Table:
    """The best thresholds by aim, the one asked for, and the thresholds along the scores."""
    header = ["row", "threshold", "tp", "fp", "fn", "tn"]
    for name in ("precision", "recall", "f1", "flagged"):
        header += [name, f"{name}_lower", f"{name}_upper"]
    header += ["cost_per_prediction", "optimism"]
    rows: list[list[Value]] = []
    for aim, one in found.items():
        if one.best is not None:
            rows.append([f"best_{aim}", *_threshold(one.best), one.optimism])
    main = found.get("cost") or next(iter(found.values()), None)
    if main is not None and main.asked is not None:
        rows.append(["asked", *_threshold(main.asked), None])
    if main is not None:
        rows += [["", *_threshold(row), None] for row in main.rows]
    return header, rows


def reliability_table(found: a.Calibration) -> Table:
    """One row a band of scores, of the predicted class and of the classes that were asked."""
    header = ["of", "mean_score", "mean_lower", "mean_upper", "came_true", "lower", "upper"]
    rows: list[list[Value]] = []
    groups = [("confidence", found.confidence), *((c.name, c.bins) for c in found.classes)]
    for name, bins in groups:
        rows += [[name, *_bounded(b.score), *_rate(b.observed), b.observed.trials] for b in bins]
    return [*header, "labelled"], rows


def abstention_table(found: a.Calibration) -> Table:
    """One row a confidence."""
    header = ["confidence", "accuracy", "lower", "upper", "labelled", "answered_share"]
    return header, [
        [x.confidence, *_rate(x.accuracy), x.accuracy.trials, x.coverage.value]
        for x in found.abstention
    ]


def comparison_table(found: a.Comparisons) -> Table:
    """One row a challenger, then one a class of it."""
    header = ["champion", "challenger", "class", "paired", "samples", "before", "after"]
    header += ["difference", "lower", "upper", "verdict", "words"]
    rows: list[list[Value]] = []
    for c in found.comparisons:
        who: list[Value] = [c.champion, c.challenger]
        before, after = c.champion_accuracy.value, c.challenger_accuracy.value
        span = c.interval or (None, None)
        one: list[Value] = ["", str(c.paired), c.samples, before, after, c.difference, *span]
        rows.append([*who, *one, c.verdict, c.words])
        for k in c.classes:
            span = k.interval or (None, None)
            recalls = [k.champion.value, k.challenger.value, k.difference]
            rows.append(
                [*who, k.name, str(c.paired), k.champion.trials, *recalls, *span, k.verdict, ""]
            )
    return header, rows


def advice_table(found: tuple[a.AdviceItem, ...]) -> Table:
    """One row a piece of advice."""
    header = ["code", "text", "evidence", "effect_size", "remedy"]
    return header, [[x.code, x.text, x.evidence, x.effect_size, x.remedy] for x in found]


def _rate(rate: f.Rate) -> list[Value]:
    return [rate.value, rate.lower, rate.upper]


def _bounded(found: a.Bounded | None) -> list[Value]:
    return [None] * 3 if found is None else [found.value, found.lower, found.upper]


def _threshold(row: a.ThresholdRow) -> list[Value]:
    f1 = row.f1_interval or (None, None)
    counts: list[Value] = [row.threshold, row.tp, row.fp, row.fn, row.tn]
    rates = [*_rate(row.precision), *_rate(row.recall), row.f1, *f1, *_rate(row.flagged)]
    return [*counts, *rates, row.cost]
