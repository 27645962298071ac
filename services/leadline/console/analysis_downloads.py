"""The cards of analysis as files."""

from __future__ import annotations

from typing import TypeVar

from leadline.console import exports, exports_analysis
from leadline.console.analysis_loader import Analysis, ask_analysis
from leadline.console.core import analysis as a
from leadline.console.core import calibration as cal
from leadline.console.core import figures as f
from leadline.console.core import svg_charts
from leadline.console.core.compare import compare_view
from leadline.console.core.urlstate import View
from leadline.console.reader import THRESHOLD, Reader, ReaderError

T = TypeVar("T")
TAB_OF = {
    "classes": "classes",
    "scores": "thresholds",
    "curves": "thresholds",
    "thresholds": "thresholds",
    "reliability": "calibration",
    "abstention": "calibration",
    "comparison": "compare",
}
"""By file: the page whose parts it is made of."""


async def analysis_file(reader: Reader, name: str, view: View, stem: str, kind: str) -> str | None:
    """The content of a card's file; None for a file that does not exist.

    Raises:
        ReaderError: the reader gave no answer.
    """
    if stem == "advice" and kind != "svg":
        advice = await reader.advice(name, view)
        return _text(exports_analysis.advice_table(advice), kind, None)
    if stem not in TAB_OF:
        return None
    parts = await ask_analysis(reader, TAB_OF[stem], name, view)
    if stem == "comparison":
        return _comparison(_sure(parts.comparisons), name, view, kind, parts.other)
    if stem in ("reliability", "abstention"):
        found = _sure(parts.calibration)
        return None if found is None else _calibration(found, name, stem, kind)
    return _figures(parts, name, view, stem, kind)


def _figures(parts: Analysis, name: str, view: View, stem: str, kind: str) -> str | None:
    """A file of classes, scores, curves or thresholds."""
    summary = _sure(parts.summary)
    if stem in ("scores", "curves"):
        curves = _sure(parts.curves)
        own = None if curves is None else curves.of(parts.label)
        if own is None:
            return None
        return _curves(own, f"{name}: {own.name}", view, stem, kind, summary)
    if kind == "svg":
        return None
    if stem == "classes":
        known = parts.curves if isinstance(parts.curves, a.Curves) else None
        return _text(exports_analysis.classes_table(summary, known), kind, summary.basis)
    best = {k: _sure(v) for k, v in (parts.best or {}).items()}
    table = exports_analysis.thresholds_table(best)
    return _text(table, kind, summary.basis) if best else None


def _sure(part: T | f.Failure) -> T:
    if isinstance(part, f.Failure):
        raise ReaderError(part)
    return part


def _curves(
    own: a.ClassCurves, title: str, view: View, stem: str, kind: str, summary: f.Summary
) -> str:
    if kind == "svg" and stem == "curves":
        return svg_charts.curves_svg(own, title)
    if kind == "svg":
        threshold = THRESHOLD if view.threshold is None else view.threshold
        return svg_charts.scores_svg(own.distribution, threshold, title)
    if stem == "curves":
        return _text(exports_analysis.curves_table(own), kind, summary.basis)
    return _text(exports_analysis.scores_table(own), kind, summary.basis)


def _calibration(found: a.Calibration, name: str, stem: str, kind: str) -> str | None:
    basis = found.basis.basis
    if stem == "abstention":
        table = exports_analysis.abstention_table(found)
        return None if kind == "svg" else _text(table, kind, basis)
    if kind != "svg":
        return _text(exports_analysis.reliability_table(found), kind, basis)
    panels = [("confidence", cal.reliability(found.confidence, found.confidence_error))]
    panels += [(c.name, cal.reliability(c.bins, c.error)) for c in found.classes]
    return svg_charts.reliability_svg(panels, f"{name}: reliability")


def _comparison(
    found: a.Comparisons | None, name: str, view: View, kind: str, other: object
) -> str | None:
    if found is None:
        return None
    if kind != "svg":
        return _text(exports_analysis.comparison_table(found), kind, found.basis)
    shown = found.of(view.vs)
    if shown is None:
        return None
    made = compare_view(found, shown, None, other if isinstance(other, f.Summary) else None)
    title = f"{name}: {made.words}"
    return svg_charts.comparison_svg(shown, made.classes, made.class_ticks, title)


def _text(table: exports.Table, kind: str, basis: f.Basis | None) -> str:
    return exports.to_csv(table) if kind == "csv" else exports.to_json(table, basis)
