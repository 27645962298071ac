"""Charts of analysis as standalone SVG files, in the light colours, for documents and mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from leadline.console.core import plot
from leadline.console.core.analysis import ClassCurves, Comparison, Curve, Distribution
from leadline.console.core.calibration import Reliability
from leadline.console.core.compare import ClassLine
from leadline.console.core.thresholds import scores_view
from leadline.console.core.timeline import Tick

WIDTH, HEIGHT, LEFT, TOP, FOOT = 420, 300, 52, 48, 44
LINE, DATA, WORSE, GREY, INK = "#e1e5ea", "#1a63ad", "#b04d08", "#818a97", "#48515f"
GAP = 20
ROW = 22
_FONT = 'font-family="Segoe UI, Roboto, Noto Sans, Arial, sans-serif" font-size="12"'


def curves_svg(found: ClassCurves, title: str) -> str:
    """Precision over recall, and recall over the false positive rate, side by side."""
    ticks = plot.share_ticks()
    panels = (
        ("recall", "precision", found.precision_recall),
        ("false positive rate", "recall", found.roc),
    )
    parts = [_open(2 * (LEFT + WIDTH + GAP), TOP + HEIGHT + FOOT, title)]
    for i, (x, y, curve) in enumerate(panels):
        left = LEFT + i * (LEFT + WIDTH + GAP)
        parts += [_frame(left, ticks, x, y), _curve(left, curve)]
    return "".join([*parts, "</svg>"])


def scores_svg(distribution: Distribution, threshold: float, title: str) -> str:
    """Scores of the class above the line and of all others below, by the log of their count."""
    view = scores_view(distribution, threshold)
    middle = TOP + HEIGHT / 2
    parts = [_open(LEFT + 2 * WIDTH, TOP + HEIGHT + FOOT, title)]
    scale = 2 * WIDTH - GAP
    for bar in view.bars:
        x, width = LEFT + bar.x / 100 * scale, max(bar.width / 100 * scale - 1, 0.5)
        up, down = bar.up * HEIGHT / 2, bar.down * HEIGHT / 2
        colour = DATA if bar.over else WORSE
        parts.append(_rect(x, middle - up, width, up, colour))
        parts.append(_rect(x, middle, width, down, WORSE if bar.over else GREY))
    x = LEFT + view.at / 100 * scale
    parts.append(f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#14181f" stroke-width="1.6"/>')
    parts.append(_text(x, TOP - 6, view.threshold, "middle"))
    bottom = TOP + HEIGHT + 18
    parts += [_text(LEFT + t.at / 100 * scale, bottom, t.text, t.anchor) for t in view.ticks]
    return "".join([*parts, "</svg>"])


def reliability_svg(panels: Sequence[tuple[str, Reliability]], title: str) -> str:
    """The share that came true over the mean score, one panel a curve, as log-odds."""
    width = len(panels) * (LEFT + WIDTH + GAP)
    parts = [_open(width, TOP + HEIGHT + FOOT, title)]
    for i, (name, view) in enumerate(panels):
        left = LEFT + i * (LEFT + WIDTH + GAP)
        parts.append(_frame(left, view.ticks_x, f"mean score, {name}", "came true"))
        parts.append(
            f'<path d="M{left} {TOP + HEIGHT}L{left + WIDTH} {TOP}" stroke="{GREY}" '
            'stroke-dasharray="4 4"/>'
        )
        for dot in view.dots:
            x, y = left + dot.x / 100 * WIDTH, TOP + dot.y / 100 * HEIGHT
            low, high = (TOP + end / 100 * HEIGHT for end in (dot.top, dot.bottom))
            parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{GREY}"/>')
            colour = GREY if dot.few else WORSE if dot.off else DATA
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    return "".join([*parts, "</svg>"])


def comparison_svg(
    shown: Comparison, lines: Sequence[ClassLine], ticks: Sequence[Tick], title: str
) -> str:
    """Recall by class: a ring for the version compared with, a dot for the challenger."""
    left, width = 150, 2 * WIDTH
    height = TOP + ROW * len(lines) + FOOT
    parts = [_open(left + width + 40, height, title)]
    parts.append(_text(left, 40, f"ring v{shown.champion}, dot v{shown.challenger}", "start"))
    for tick in ticks:
        x = left + tick.at / 100 * width
        parts.append(f'<path d="M{x:.1f} {TOP}V{height - FOOT}" stroke="{LINE}"/>')
        parts.append(_text(x, height - FOOT + 18, tick.text, "middle"))
    colours = {"better": DATA, "worse": WORSE}
    for i, line in enumerate(lines):
        y, colour = TOP + (i + 0.5) * ROW, colours.get(line.css, GREY)
        parts.append(_text(left - 10, y + 4, line.name, "end"))
        if line.ring is None or line.dot is None:
            continue
        one, two = left + line.ring / 100 * width, left + line.dot / 100 * width
        parts.append(f'<path d="M{one:.1f} {y}H{two:.1f}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{one:.1f}" cy="{y}" r="4" fill="#fff" stroke="{INK}"/>')
        parts.append(f'<circle cx="{two:.1f}" cy="{y}" r="4" fill="{colour}"/>')
    return "".join([*parts, "</svg>"])


def _frame(left: float, ticks: Iterable[Tick], x_name: str, y_name: str) -> str:
    parts = []
    for tick in ticks:
        x, y = left + tick.at / 100 * WIDTH, TOP + (100 - tick.at) / 100 * HEIGHT
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="{LINE}"/>')
        parts.append(_text(left - 6, y + 4, tick.text, "end"))
        parts.append(_text(x, TOP + HEIGHT + 18, tick.text, "middle"))
    parts.append(_text(left + WIDTH, TOP + HEIGHT + 36, x_name, "end"))
    parts.append(_text(left, TOP - 8, y_name, "start"))
    return "".join(parts)


def _curve(left: float, curve: Curve) -> str:
    points = zip(curve.x, curve.y, strict=True)
    text = "L".join(f"{left + x * WIDTH:.1f} {TOP + (1 - y) * HEIGHT:.1f}" for x, y in points)
    return f'<path d="M{text}" fill="none" stroke="{DATA}" stroke-width="2"/>' if text else ""


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" {_FONT}><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="12" y="20" font-weight="600" fill="{INK}">{escape(title)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    if height <= 0:
        return ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    words = escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{words}</text>'
