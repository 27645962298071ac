"""Downloads: cards as files, and the inputs of cases."""

from __future__ import annotations

from leadline.console import exports
from leadline.console.analysis_downloads import analysis_file
from leadline.console.core import figures as f
from leadline.console.core.matrix import matrix_view
from leadline.console.core.svg import matrix_svg, timeline_svg
from leadline.console.core.timeline import timeline_view
from leadline.console.core.urlstate import View
from leadline.console.reader import Reader

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
SAFE_INPUTS = ("image/png", "image/jpeg", "image/webp", "image/gif", "application/json")
"""Types that a browser shows without running anything; others are handed out as bytes."""


async def version_file(reader: Reader, name: str, view: View, stem: str, kind: str) -> str | None:
    """The content of a card's file; None for a file that does not exist.

    Raises:
        ReaderError: the reader gave no answer.
    """
    if stem == "matrix":
        return await _matrix(reader, name, view, kind)
    if stem == "timeline":
        timeline = await reader.timeline(name, view)
        if kind == "svg":
            return timeline_svg(timeline_view(timeline), f"{name}: accuracy")
        basis = (await reader.summary(name, view)).basis if kind == "json" else None
        return _text(exports.timeline_table(timeline), kind, basis)
    if stem == "figures" and kind != "svg":
        summary = await reader.summary(name, view)
        return _text(exports.figures_table(summary), kind, summary.basis)
    if stem == "cases" and kind != "svg":
        cases, matrix = await reader.cases(name, view), await reader.matrix(name, view)
        return _text(exports.cases_table(cases, matrix.names), kind, None)
    return await analysis_file(reader, name, view, stem, kind)


async def models_file(reader: Reader, view: View, kind: str) -> str | None:
    """The list of models as a file; None for a kind that does not exist."""
    summaries = await reader.summaries(view)
    return None if kind == "svg" else _text(exports.models_table(summaries), kind, None)


def input_headers(media_type: str) -> tuple[str, dict[str, str]]:
    """(media type, headers) with which a stored input may be served: it is somebody's upload."""
    plain = media_type.partition(";")[0].strip().lower()
    headers = {
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if plain in SAFE_INPUTS:
        return plain, headers
    if plain == "text/plain":
        return "text/plain; charset=utf-8", headers
    return "application/octet-stream", headers | {"Content-Disposition": "attachment"}


async def _matrix(reader: Reader, name: str, view: View, kind: str) -> str:
    matrix, summary = await reader.matrix(name, view), await reader.summary(name, view)
    if kind == "svg":
        title = f"{name}: {summary.basis.labelled:,} labelled"
        return matrix_svg(matrix_view(matrix, summary, view), title)
    return _text(exports.matrix_table(matrix), kind, summary.basis)


def _text(table: exports.Table, kind: str, basis: f.Basis | None) -> str:
    return exports.to_csv(table) if kind == "csv" else exports.to_json(table, basis)
