"""An evaluation as HTML for notebooks, without style sheets."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from leadline.metrics.measures.curves import Bounded

if TYPE_CHECKING:
    from leadline.evaluation.result import Evaluation

_SHOWN_CLASSES_MAX = 25
"""A larger matrix is no picture any more; its most confused pairs are."""


def render_html(result: Evaluation) -> str:
    """A headline table and the matrix (or its most confused pairs) as HTML without style sheets."""
    found = result.figures
    lower, upper = result.interval or (None, None)
    rows = [
        ("accuracy", f"{_show(result.accuracy)} ({_show(lower)} to {_show(upper)})"),
        ("macro F1", _show(found.macro.f1)),
        *_scored_rows(result),
        *((f"top-{k}", _show(rate.value)) for k, rate in found.top_k),
        ("predictions", f"{found.predictions:,}"),
        ("labelled", f"{found.accuracy.trials:,}"),
    ]
    head = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{text}</td></tr>" for name, text in rows
    )
    return f"<table>{head}</table>{_matrix_html(result)}"


def _scored_rows(result: Evaluation) -> list[tuple[str, str]]:
    """Headline figures of scores; none without scores."""
    calibration = result.calibration
    found = [("macro AUC", result.auc)]
    if calibration is not None:
        found += [("log loss", calibration.log_loss), ("calibration error", calibration.error)]
    return [(name, _bounded(value)) for name, value in found if value is not None]


def _bounded(found: Bounded) -> str:
    """A figure with what it certainly lies between."""
    return f"{_show(found.value)} [{_show(found.lower)}, {_show(found.upper)}]"


def _matrix_html(result: Evaluation) -> str:
    if len(result.classes) > _SHOWN_CLASSES_MAX:
        pairs = "".join(
            f"<tr><td>{html.escape(true)}</td><td>{html.escape(said)}</td><td>{count:,}</td></tr>"
            for true, said, count in result.confused()
        )
        return f"<table><tr><th>true</th><th>predicted</th><th>count</th></tr>{pairs}</table>"
    names = [html.escape(name) for name in result.classes]
    body = []
    for name, row in zip(names, result.confusion, strict=True):
        total = max(int(row.sum()), 1)
        cells = "".join(
            f"<td style='text-align:right;background:rgba(47,111,171,{count / total:.3f})'>"
            f"{count:,}</td>"
            for count in row.tolist()
        )
        body.append(f"<tr><th style='text-align:left'>{name}</th>{cells}</tr>")
    top = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr><th>true \\ predicted</th>{top}</tr>{''.join(body)}</table>"


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
