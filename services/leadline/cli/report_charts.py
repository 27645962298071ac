"""Charts of a report as SVG that stands in its page: curves, reliability, intervals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leadline.console.core.plot import LogOdds, logit
from leadline.console.core.scale import share_axis
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

SIDE, LEFT, BOTTOM, TOP = 300, 40, 36, 8
WIDTH, HEIGHT = LEFT + SIDE + 12, TOP + SIDE + BOTTOM
WIDE, TALL = 760, 150
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def curve_chart(curve: an.Curve, axes: tuple[str, str], title: str, *, diagonal: bool) -> str:
    """A curve in a square of shares.

    Args:
        curve: its points.
        axes: words below and at the left.
        title: for readers who do not see it.
        diagonal: draw what a coin would do.
    """
    parts = [_frame(title), _ticks(((t, f"{t:g}") for t in TICKS), axes)]
    if diagonal:
        parts.append(f'<path class="guide" d="M{_at(0, 0)}L{_at(1, 1)}"/>')
    points = "L".join(_at(x, y) for x, y in zip(curve.x, curve.y, strict=True))
    if points:
        parts.append(f'<path class="line" d="M{points}"/>')
    return "".join([*parts, "</svg>"])


def reliability_chart(bins: Sequence[an.ReliabilityBin], title: str) -> str:
    """What came true against the score, both on log-odds axes; a dot with its interval a bin."""
    axis = LogOdds(logit(0.001), logit(0.999))
    ticks = [(tick.at / 100, tick.text) for tick in axis.ticks(9.0)]
    parts = [_frame(title), _ticks(ticks, ("score of the predicted class", "share that is right"))]
    parts.append(f'<path class="guide" d="M{_at(0, 0)}L{_at(1, 1)}"/>')
    for each in bins:
        rate = each.observed
        if not rate.trials:
            continue
        x = axis.place(each.score.value) / 100
        off = rate.upper < each.score.lower or rate.lower > each.score.upper
        css = " off" if off else ""
        low, high = (axis.place(bound) / 100 for bound in (rate.lower, rate.upper))
        parts.append(f'<path class="whisker{css}" d="M{_at(x, low)}L{_at(x, high)}"/>')
        across, down = _at(x, axis.place(rate.value) / 100).split()
        parts.append(f'<circle class="dot{css}" cx="{across}" cy="{down}" r="4"/>')
    return "".join([*parts, "</svg>"])


def timeline_chart(points: Sequence[ev.TimelinePoint], title: str) -> str:
    """Accuracy over time in its interval, on an axis that begins below the lowest bound."""
    known = [each for each in points if each.accuracy.HasField("value")]
    low, ticks = share_axis(min((each.accuracy.lower for each in known), default=0.0))
    start, end = (points[at].start_time.ToSeconds() for at in (0, -1))
    long = max(end - start, 1)

    def at(point: ev.TimelinePoint, share: float) -> str:
        across = LEFT + (point.start_time.ToSeconds() - start) / long * WIDE
        return f"{across:.1f} {TOP + (1 - share) / (1 - low) * TALL:.1f}"

    parts = [
        f'<svg class="chart wide" viewBox="0 0 {LEFT + WIDE + 12} {TOP + TALL + 24}" role="img" '
        f'aria-label="{title}">'
    ]
    for tick in ticks:
        y = TOP + (1 - tick) / (1 - low) * TALL
        parts.append(
            f'<path class="axis" d="M{LEFT} {y:.1f}h{WIDE}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick * 100:.3g}</text>'
        )
    ribbon = [at(each, each.accuracy.upper) for each in known]
    ribbon += [at(each, each.accuracy.lower) for each in reversed(known)]
    parts.append(f'<path class="ribbon" d="M{"L".join(ribbon)}Z"/>')
    line = "L".join(at(each, each.accuracy.value) for each in known)
    parts.append(f'<path class="line" d="M{line}"/>')
    for place, anchor in ((0, "start"), (-1, "end")):
        when = points[place].start_time.ToDatetime().strftime("%d %b %H:%M")
        x = LEFT if place == 0 else LEFT + WIDE
        parts.append(f'<text x="{x}" y="{TOP + TALL + 18}" text-anchor="{anchor}">{when}</text>')
    return "".join([*parts, "</svg>"])


def interval_bar(rate: ev.Rate, low: float = 0.0) -> str:
    """A share as a dot in its interval on an axis from `low` to 1; empty without a trial."""
    if not rate.HasField("value"):
        return ""
    left, right, dot = (
        2 + 106 * min(max((value - low) / (1 - low), 0.0), 1.0)
        for value in (rate.lower, rate.upper, rate.value)
    )
    return (
        '<svg class="bar" viewBox="0 0 110 12" aria-hidden="true">'
        '<path class="track" d="M2 6H108"/>'
        f'<path class="span" d="M{left:.1f} 6H{right:.1f}"/>'
        f'<circle class="dot" cx="{dot:.1f}" cy="6" r="3.5"/></svg>'
    )


def _frame(title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f'<rect class="axis" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>'
    )


def _ticks(ticks: Iterable[tuple[float, str]], axes: tuple[str, str]) -> str:
    parts = []
    for at, text in ticks:
        x, y = LEFT + at * SIDE, TOP + (1 - at) * SIDE
        parts.append(
            f'<path class="axis" d="M{x:.1f} {TOP + SIDE}v-{SIDE}M{LEFT} {y:.1f}h{SIDE}"/>'
            f'<text x="{x:.1f}" y="{TOP + SIDE + 15}" text-anchor="middle">{text}</text>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    below, beside = axes
    middle = TOP + SIDE / 2
    parts.append(
        f'<text x="{LEFT + SIDE / 2}" y="{HEIGHT - 4}" text-anchor="middle">{below}</text>'
        f'<text transform="translate(9 {middle}) rotate(-90)" text-anchor="middle">{beside}</text>'
    )
    return "".join(parts)


def _at(x: float, y: float) -> str:
    """A place of the square in the chart."""
    return f"{LEFT + x * SIDE:.1f} {TOP + (1 - y) * SIDE:.1f}"
