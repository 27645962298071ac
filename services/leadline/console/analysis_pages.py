"""The pages of classes, thresholds, calibration and comparison: from data to what templates see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from leadline.console.analysis_loader import COST, Analysis
from leadline.console.context import Context, frame_context, kept
from leadline.console.core import analysis as a
from leadline.console.core import calibration as cal
from leadline.console.core import figures as f
from leadline.console.core import gaps
from leadline.console.core import thresholds as th
from leadline.console.core.classes import COLUMNS, classes_view
from leadline.console.core.compare import compare_view
from leadline.console.core.plot import LogOdds
from leadline.console.core.urlstate import View, link, number_text
from leadline.console.loader import AnalysisData
from leadline.console.reader import THRESHOLD

COMMON = ("side", "foot", "head", "tabs", "live", "windows", "share", "advice", "gap")
REGIONS = {
    "classes": ("classes", "pairs"),
    "thresholds": ("class_menu", "scores", "curves", "best", "at", "costs", "needs"),
    "calibration": ("calibration", "reliability", "weighted", "abstention"),
    "compare": ("verdict", "differences", "paired", "recalls"),
}
EXPORTS = {
    "classes": (("Classes", "classes", ("csv", "json")), ("Matrix", "matrix", ("csv", "json"))),
    "thresholds": (
        ("Scores", "scores", ("csv", "json", "svg")),
        ("Curves", "curves", ("csv", "json", "svg")),
        ("Thresholds", "thresholds", ("csv", "json")),
    ),
    "calibration": (
        ("Reliability", "reliability", ("csv", "json", "svg")),
        ("Abstention", "abstention", ("csv", "json")),
    ),
    "compare": (("Comparison", "comparison", ("csv", "json", "svg")),),
}
CLASSES_LISTED = 64
"""As many classes as a menu holds; beyond, the table of classes leads to each."""


def analysis_context(
    tab: str, data: AnalysisData, model: str, version: str, view: View, now_us: int
) -> Context:
    """The context of one page."""
    context = frame_context(data, model, version, view, now_us, tab)
    parts = data.parts
    summary = parts.summary if isinstance(parts.summary, f.Summary) else None
    context |= {
        "title": f"{model} v{version}, {tab}",
        "exports": EXPORTS[tab],
        "gap": gaps.label_gap(summary) if summary else None,
        "kept": _keeper(view),
    }
    if summary is not None:
        context |= MAKERS[tab](parts, summary, view)
    context["ready"] = summary is not None and context["gap"] is None
    home = f"/models/{model}/versions/{version}"
    context["to_tab"] = lambda page, number: link(f"{home}/{page}", _bare(view, number))
    return context


def _bare(view: View, number: int) -> View:
    """The view of another page, about one class."""
    return replace(view, label=number, threshold=None, find="", part=1, order="class", at="")


def _keeper(view: View) -> Callable[..., list[tuple[str, str]]]:
    return lambda *names: kept(view, *names)


def _classes(parts: Analysis, summary: f.Summary, view: View) -> Context:
    matrix = parts.matrix if isinstance(parts.matrix, f.Matrix) else None
    curves = parts.curves if isinstance(parts.curves, a.Curves) else None
    failure = parts.curves if isinstance(parts.curves, f.Failure) else None
    hint = ""
    if failure is not None:
        hint = f"No areas: {failure.text}"
    elif curves is not None and not curves.basis.scored:
        hint = "No areas: no scores are logged."
    elif curves is not None:
        hint = gaps.hours_words(curves.basis)
    gap = gaps.label_gap(summary)
    return {
        "gap": gap if gap and gap.title != "One class only" else None,
        "columns": COLUMNS,
        "classes": classes_view(summary, matrix, curves, view),
        "matrix_failure": parts.matrix if isinstance(parts.matrix, f.Failure) else None,
        "hint": hint,
    }


def _thresholds(parts: Analysis, summary: f.Summary, view: View) -> Context:
    best = parts.best or {}
    found = {k: v for k, v in best.items() if isinstance(v, a.Thresholds)}
    failures = {k: v for k, v in best.items() if isinstance(v, f.Failure)}
    main = found.get("f1") or found.get("cost")
    curves = parts.curves if isinstance(parts.curves, a.Curves) else None
    own = curves.of(parts.label) if curves else None
    named = _class(summary, parts.label)
    scored = main.basis if main else curves.basis if curves else None
    cost, threshold = view.cost or COST, THRESHOLD if view.threshold is None else view.threshold
    rows: dict[str, a.ThresholdRow] = {}
    if main is not None and main.asked is not None:
        rows["asked"] = main.asked
    reference = th.argmax_row(named, summary.basis.labelled, cost) if named else None
    if reference is not None:
        rows["argmax"] = reference
    rows |= {key: f_.best for key, f_ in found.items() if f_.best is not None}
    asked = rows.get("asked")
    line, axis, top = th.cost_line(found["cost"]) if "cost" in found else ("", None, 0.0)
    distribution = (own.distribution if own else None) or (main.distribution if main else None)
    return {
        "gap": gaps.label_gap(summary) or gaps.score_gap(scored),
        "label": named,
        "class_choices": summary.classes[:CLASSES_LISTED],
        "own": own,
        "scored": scored,
        "hours": gaps.hours_words(scored) if scored else "",
        "partial": gaps.partial_words(scored) if scored else "",
        "threshold": number_text(threshold),
        "scores": th.scores_view(distribution, threshold) if distribution else None,
        "curves_failure": parts.curves if isinstance(parts.curves, f.Failure) else None,
        "pr": th.curve_view(own.precision_recall, rows, "pr") if own else None,
        "roc": th.curve_view(own.roc, rows, "roc") if own else None,
        "asked": asked,
        "squares": th.squares(asked, reference) if asked else (),
        "lines": th.lines(asked, reference) if asked else (),
        "best": th.best_rows(rows, found, view.need, threshold),
        "best_failure": failures.get("f1") if not found else None,
        "cost_failure": failures.get("cost"),
        "need_failure": failures.get("need"),
        "optimism": th.optimism_words(found),
        "few": th.few_words(own),
        "cost": tuple(number_text(c) for c in cost),
        "cost_line": line,
        "cost_axis": axis,
        "cost_top": th.cost_text(top),
        "cost_spots": _cost_spots(rows, axis, top),
        "need": view.need,
        "need_found": found.get("need"),
        "need_words": th.need_words(view.need),
    }


def _calibration(parts: Analysis, summary: f.Summary, view: View) -> Context:  # noqa: ARG001
    found = parts.calibration if isinstance(parts.calibration, a.Calibration) else None
    failure = parts.calibration if isinstance(parts.calibration, f.Failure) else None
    named = _class(summary, parts.label)
    own = found.of(parts.label) if found else None
    weighted = cal.compared(found, parts.label, named.name if named else "") if found else ()
    return {
        "gap": gaps.label_gap(summary) or (gaps.score_gap(found.basis) if found else None),
        "calibration_failure": failure,
        "label": named,
        "class_choices": summary.classes[:CLASSES_LISTED],
        "hours": gaps.hours_words(found.basis) if found else "",
        "partial": gaps.partial_words(found.basis) if found else "",
        "figures": cal.headline(found) if found else (),
        "confidence": cal.reliability(found.confidence, found.confidence_error) if found else None,
        "own": cal.reliability(own.bins, own.error) if own else None,
        "weighted": weighted,
        "warnings": cal.warnings(weighted, found) if found else (),
        "abstention": cal.abstention(found) if found else (),
    }


def _compare(parts: Analysis, summary: f.Summary, view: View) -> Context:
    found = parts.comparisons if isinstance(parts.comparisons, a.Comparisons) else None
    failure = parts.comparisons if isinstance(parts.comparisons, f.Failure) else None
    shown = found.of(view.vs) if found else None
    other = parts.other if isinstance(parts.other, f.Summary) else None
    gap = None
    if failure is None:
        count = len(found.comparisons) if found else 0
        gap = gaps.compare_gap(summary.version, summary.model, count)
    return {
        "gap": gap,
        "compare_failure": failure,
        "compare": compare_view(found, shown, summary, other) if found and shown else None,
        "vs_missing": bool(found and found.comparisons and shown is None),
        "others": [c.challenger for c in found.comparisons] if found else [],
    }


MAKERS: dict[str, Callable[[Analysis, f.Summary, View], Context]] = {
    "classes": _classes,
    "thresholds": _thresholds,
    "calibration": _calibration,
    "compare": _compare,
}


def _class(summary: f.Summary, number: int | None) -> f.ClassFigures | None:
    return next((c for c in summary.classes if c.number == number), None)


def _cost_spots(
    rows: dict[str, a.ThresholdRow], axis: object, top: float
) -> list[tuple[float, float, str, str]]:
    """(x, y in percent, shape, title) of thresholds on the chart of costs."""
    found = []
    for key in ("cost", "asked"):
        row = rows.get(key)
        if row is None or row.cost is None or not isinstance(axis, LogOdds) or not top:
            continue
        y = 100 - min(row.cost / top, 1.0) * 100
        title = f"{th.NAMES[key]}: {th.cost_text(row.cost)} per 1,000"
        found.append((axis.place(row.threshold), round(y, 1), th.SHAPES[key], title))
    return found
