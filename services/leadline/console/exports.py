"""Cards as CSV and JSON; every file says at which vector it holds."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence

from leadline.console.core import figures as f
from leadline.console.core.words import moment

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Texts that a spreadsheet would run; they get an apostrophe in front."""

Value = str | int | float | None
Table = tuple[Sequence[str], list[list[Value]]]


def matrix_table(matrix: f.Matrix) -> Table:
    """Rows true classes, columns predicted ones, counts."""
    rows: list[list[Value]] = [
        [name, *(matrix.cells.get((t, p), 0) for p in range(len(matrix.names)))]
        for t, name in enumerate(matrix.names)
    ]
    return ["true \\ predicted", *matrix.names], rows


def timeline_table(timeline: f.Timeline) -> Table:
    """One row a step."""
    header = ["start", "predictions", "labelled", "accuracy", "lower", "upper"]
    return header, [
        [
            _time(p.start_us),
            p.predictions,
            p.labelled,
            p.accuracy.value,
            p.accuracy.lower,
            p.accuracy.upper,
        ]
        for p in timeline.points
    ]


def figures_table(summary: f.Summary) -> Table:
    """One row a figure: name, class, value, interval, sample."""
    header = ["figure", "class", "value", "lower", "upper", "successes", "trials"]
    rows = [["accuracy", "", *_rate(summary.accuracy)]]
    rows += [[f"top_{k}_accuracy", "", *_rate(rate)] for k, rate in summary.top_k]
    rows.append(["label_coverage", "", *_rate(summary.basis.coverage)])
    low, high = summary.macro_f1_interval or (None, None)
    rows.append(["macro_f1", "", summary.macro_f1, low, high, None, None])
    for c in summary.classes:
        rows.append(["precision", c.name, *_rate(c.precision)])
        rows.append(["recall", c.name, *_rate(c.recall)])
        rows.append(["f1", c.name, c.f1, None, None, None, None])
    return header, rows


def cases_table(cases: f.Cases, names: tuple[str, ...]) -> Table:
    """One row a kept case."""

    def name(number: int | None) -> Value:
        return None if number is None else names[number] if number < len(names) else str(number)

    header = ["id", "seen", "true", "predicted", "score", "source", "delay_seconds", "kept_with"]
    return header, [
        [
            c.id_text or c.id,
            _time(c.event_us),
            name(c.true),
            name(c.predicted),
            c.score,
            c.label_source,
            c.label_delay_seconds,
            c.keep_probability,
        ]
        for c in cases.cases
    ]


def models_table(summaries: Iterable[f.Summary]) -> Table:
    """One row a model."""
    header = ["model", "version", "predictions", "labelled", "accuracy", "lower", "upper"]
    return header, [
        [
            s.model,
            s.version,
            s.basis.predictions,
            s.basis.labelled,
            s.accuracy.value,
            s.accuracy.lower,
            s.accuracy.upper,
        ]
        for s in summaries
    ]


def to_csv(table: Table) -> str:
    """RFC 4180; texts that a spreadsheet would take for a formula are made harmless."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_safe(cell) for cell in table[0]])
    writer.writerows([[_safe(cell) for cell in row] for row in table[1]])
    return out.getvalue()


def to_json(table: Table, basis: f.Basis | None) -> str:
    """Records by column name, with the basis that they hold for."""
    records = [dict(zip(table[0], row, strict=True)) for row in table[1]]
    return json.dumps({"basis": basis_json(basis), "rows": records}, ensure_ascii=False)


def basis_json(basis: f.Basis | None) -> dict[str, object] | None:
    """The basis with its times in ISO 8601."""
    if basis is None:
        return None
    return {
        "vector": [dataclasses.asdict(p) for p in basis.vector],
        "exact_until": _time(basis.exact_until_us),
        "start": _time(basis.start_us),
        "end": _time(basis.end_us),
        "predictions": basis.predictions,
        "labelled": basis.labelled,
        "log_rate": basis.log_rate,
    }


def _rate(rate: f.Rate) -> list[Value]:
    return [rate.value, rate.lower, rate.upper, rate.successes, rate.trials]


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else moment(at_us).isoformat()


def _safe(cell: Value) -> Value:
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell
