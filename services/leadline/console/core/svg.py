"""Charts as standalone SVG files, in the light colours, for documents and mail."""

from __future__ import annotations

from html import escape

from leadline.console.core.matrix import MatrixView
from leadline.console.core.timeline import BOX, TimelineView

BLUES = (
    "f6f9fe",
    "e8f2fe",
    "d4e8ff",
    "b9d9fd",
    "94c5fd",
    "70abec",
    "3977b9",
    "155696",
    "003b6e",
)
ORANGES = (
    "fdf8f5",
    "feede3",
    "ffdec9",
    "fec9a6",
    "f3b082",
    "de935f",
    "a95e22",
    "824205",
    "5b2c03",
)
DARK_FROM = 7
"""From this step on the text is white."""
CELL_WIDTH, CELL_HEIGHT, NAME_WIDTH, TOP = 48, 28, 90, 40
_FONT = 'font-family="Segoe UI, Roboto, Noto Sans, Arial, sans-serif" font-size="12"'


def matrix_svg(matrix: MatrixView, title: str) -> str:
    """The matrix as a picture, with labelled counts and recall at its right."""
    width = NAME_WIDTH + CELL_WIDTH * (len(matrix.columns) + 2) + 12
    height = TOP + CELL_HEIGHT * (len(matrix.rows) + 1) + 12
    parts = [_open(width, height), _text(12, 18, title, "start", "600")]
    for i, column in enumerate(matrix.columns):
        parts.append(_text(_x(i), TOP - 6, column.name, "middle", "600"))
    parts.append(_text(_x(len(matrix.columns)), TOP - 6, "labelled", "middle"))
    parts.append(_text(_x(len(matrix.columns) + 1), TOP - 6, "recall, %", "middle"))
    for j, row in enumerate(matrix.rows):
        y = TOP + j * CELL_HEIGHT
        parts.append(_text(NAME_WIDTH - 8, y + 18, row.name, "end", "600"))
        for i, cell in enumerate(row.cells):
            parts.append(_cell(i, y, cell.text, cell.css))
        parts.append(_text(_x(len(row.cells)), y + 18, row.labelled, "middle"))
        parts.append(_text(_x(len(row.cells) + 1), y + 18, row.recall, "middle"))
    y = TOP + len(matrix.rows) * CELL_HEIGHT + 18
    parts.append(_text(NAME_WIDTH - 8, y, "precision, %", "end"))
    for i, column in enumerate(matrix.columns):
        parts.append(_text(_x(i), y, column.precision, "middle"))
    return "".join([*parts, "</svg>"])


def timeline_svg(timeline: TimelineView, title: str) -> str:
    """Accuracy with its interval over time."""
    left, top, width, height = 48, 32, 720, 180
    parts = [_open(left + width + 16, top + height + 56), _text(12, 18, title, "start", "600")]
    for tick in timeline.ticks_y:
        y = top + tick.at / 100 * height
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#e1e5ea"/>')
        parts.append(_text(left - 6, y + 4, tick.text, "end"))
    box = f'viewBox="0 0 {BOX} {BOX}" preserveAspectRatio="none"'
    parts.append(f'<svg x="{left}" y="{top}" width="{width}" height="{height}" {box}>')
    if timeline.ribbon:
        parts.append(f'<path d="{timeline.ribbon}" fill="#cfe0f2"/>')
    if timeline.line:
        parts.append(
            f'<path d="{timeline.line}" fill="none" stroke="#1a63ad" stroke-width="2" '
            'vector-effect="non-scaling-stroke"/>'
        )
    parts.append("</svg>")
    for mark in timeline.marks:
        x, bar = left + mark.left / 100 * width, mark.share * 20
        parts.append(
            f'<rect x="{x:.1f}" y="{top + height + 28 - bar:.1f}" height="{bar:.1f}" '
            f'width="{mark.width / 100 * width:.1f}" fill="#848b96" stroke="#fff"/>'
        )
    for tick in timeline.ticks_x:
        x = left + tick.at / 100 * width
        parts.append(_text(x, top + height + 46, tick.text, tick.anchor))
    return "".join([*parts, "</svg>"])


def _open(width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" {_FONT}><rect width="100%" height="100%" fill="#fff"/>'
    )


def _x(column: int) -> float:
    return NAME_WIDTH + (column + 0.5) * CELL_WIDTH


def _cell(column: int, y: int, text: str, css: str) -> str:
    if css == "z":
        return _text(_x(column), y + 18, "\u00b7", "middle")
    step = int(css[1])
    colour = (BLUES if css[0] == "d" else ORANGES)[step - 1]
    x = NAME_WIDTH + column * CELL_WIDTH + 1
    box = f'<rect x="{x}" y="{y}" width="{CELL_WIDTH - 2}" height="26" rx="4" fill="#{colour}"/>'
    fill = "#ffffff" if step >= DARK_FROM else "#0d1117"
    return box + _text(_x(column), y + 18, text, "middle", fill=fill)


def _text(
    x: float, y: float, text: str, anchor: str, weight: str = "400", fill: str = "#48515f"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{fill}">{escape(text)}</text>'
    )
