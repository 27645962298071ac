"""What is known of a version before its first label: what it predicts."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.figures import Summary

BARS_MAX = 60
"""More classes would make bars thinner than a few pixels; the commonest are shown."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One predicted class; left, width and height in percent."""

    left: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class WaitingView:
    """Predictions without a label; bars is empty when there is no prediction either."""

    predictions: str
    usual: str
    bars: tuple[Bar, ...]


def waiting_view(summary: Summary) -> WaitingView | None:
    """The view while nothing is labelled in the window; None as soon as something is."""
    if summary.basis.labelled:
        return None
    total = sum(c.predicted for c in summary.classes)
    seen = sorted(summary.classes, key=lambda c: -c.predicted)[:BARS_MAX]
    seen = sorted((c for c in seen if c.predicted), key=lambda c: c.number)
    highest = max((c.predicted for c in seen), default=1)
    width = 100 / max(len(seen), 1)
    bars = tuple(
        Bar(
            left=round(i * width, 2),
            width=round(width * 0.9, 2),
            height=scale.place(c.predicted / highest, 0.0),
            title=f"{c.name}: {words.count(c.predicted)}, "
            f"{words.share(c.predicted / total)}{words.NARROW}%",
        )
        for i, c in enumerate(seen)
    )
    usual = summary.delay_p50_seconds
    return WaitingView(
        predictions=words.plural(summary.basis.predictions, "prediction"),
        usual="" if usual is None else words.duration(usual),
        bars=bars,
    )
