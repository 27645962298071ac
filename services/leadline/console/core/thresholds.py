"""The page of thresholds: scores, curves, what holds at one threshold, and the best ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from leadline.console.core import plot, scale, words
from leadline.console.core.analysis import ClassCurves, Curve, Distribution, ThresholdRow
from leadline.console.core.analysis import Thresholds as Found
from leadline.console.core.figures import FEW_LABELS, ClassFigures, Rate
from leadline.console.core.timeline import Tick
from leadline.console.core.urlstate import Need
from leadline.console.core.wilson import wilson

SHAPES = {"argmax": "ring", "f1": "diamond", "cost": "dot", "need": "square", "asked": "target"}
LABEL_GAP_X, LABEL_GAP_Y = 26.0, 9.0
COST_TOP = 4.0
"""The chart of costs ends at this multiple of its lowest point: what is dearer is cut."""
THOUSAND = 1000
F1_SHOWN = 0.0005
COST_SHOWN = 0.005
"""A smaller optimism, of F1 and of a cost per 1,000, is not told."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Scores between two edges: x and width in percent, heights up and down from 0 to 1."""

    x: float
    width: float
    up: float
    down: float
    over: bool
    title: str


@dataclass(frozen=True, slots=True)
class ScoresView:
    """The distribution of scores; at is where the threshold stands, in percent."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    at: float
    threshold: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A threshold on a curve, in percent; text is empty where it would hide another's."""

    x: float
    y: float
    shape: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class CurveView:
    """A curve in a square of shares, with its spots."""

    line: str
    spots: tuple[Spot, ...]
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """One line of the table; the threshold is empty for argmax, which has none."""

    key: str
    shape: str
    text: str
    threshold: str
    value: float | None
    cells: tuple[str, ...]
    reason: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A figure at the threshold, beside that of argmax; css is "worse" or empty."""

    name: str
    value: str
    interval: str
    dot: float | None
    low: float
    high: float
    tick: float | None
    difference: str
    css: str


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of the table of two by two; delta is the difference to argmax, or empty."""

    text: str
    word: str
    delta: str
    css: str


def argmax_row(found: ClassFigures, labelled: int, cost: tuple[float, float]) -> ThresholdRow:
    """What holds where the class with the highest score is predicted, as one threshold's row."""
    tp, positives, flagged = found.recall.successes, found.recall.trials, found.precision.trials
    fp, fn = flagged - tp, positives - tp
    total = max(labelled, positives + fp)
    price = (cost[0] * fn + cost[1] * fp) / total if total else None
    return ThresholdRow(
        math.nan,
        tp,
        fp,
        fn,
        total - tp - fp - fn,
        found.precision,
        found.recall,
        found.f1,
        None,
        wilson(flagged, total),
        price,
    )


def scores_view(distribution: Distribution, threshold: float) -> ScoresView:
    """Counts by score on a log-odds axis, heights by their logarithm."""
    axis = plot.axis_of(distribution.edges)
    sides = [*distribution.positives, *distribution.negatives]
    top = math.log1p(max(sides, default=0)) or 1.0
    bars = []
    counts = zip(distribution.positives, distribution.negatives, strict=True)
    for i, (up, down) in enumerate(counts):
        if not up and not down:
            continue
        low, high = distribution.edges[i], distribution.edges[i + 1]
        left, right = axis.place(low), axis.place(high)
        title = f"{words.score(low)} to {words.score(high)}: {words.count(up)} of the class, "
        bars.append(
            Bar(
                left,
                round(max(right - left, 0.1), 2),
                round(math.log1p(up) / top, 3),
                round(math.log1p(down) / top, 3),
                plot.logit(low) + plot.logit(high) >= 2 * plot.logit(threshold),
                f"{title}{words.count(down)} of others",
            )
        )
    at = axis.place(threshold)
    return ScoresView(tuple(bars), axis.ticks(), at, words.score(threshold), axis.low, axis.high)


def curve_view(curve: Curve, rows: dict[str, ThresholdRow], kind: str) -> CurveView:
    """The curve with the rows on it; kind is "pr" or "roc"."""
    line = plot.path((100 * x, 100 - 100 * y) for x, y in zip(curve.x, curve.y, strict=True))
    spots: list[Spot] = []
    for key, row in rows.items():
        at = _on_curve(row, kind)
        if at is None:
            continue
        x, y = round(100 * at[0], 1), round(100 - 100 * at[1], 1)
        near = any(
            s.text and abs(s.x - x) < LABEL_GAP_X and abs(s.y - y) < LABEL_GAP_Y for s in spots
        )
        name = NAMES[key]
        title = f"{name}: {_axis_words(kind, at)}"
        spots.append(Spot(x, y, SHAPES[key], "" if near else name, title))
    ticks = plot.share_ticks()
    upward = tuple(Tick(100 - t.at, t.text) for t in ticks)
    return CurveView(line, tuple(spots), ticks, upward)


NAMES = {
    "asked": "this one",
    "argmax": "argmax",
    "need": "constraint",
    "cost": "lowest cost",
    "f1": "best F1",
}


def squares(row: ThresholdRow, reference: ThresholdRow | None) -> tuple[Square, ...]:
    """Found, missed, false alarm, passed; differences only where both count the same labels."""
    counts = (row.tp, row.fn, row.fp, row.tn)
    largest = max(*counts, 1)
    others: tuple[int, ...] = ()
    if reference is not None:
        others = (reference.tp, reference.fn, reference.fp, reference.tn)
    same = bool(others) and sum(others) == sum(counts)
    found = []
    for i, (n, word) in enumerate(
        zip(counts, ("found", "missed", "false alarm", "passed"), strict=True)
    ):
        ramp = "d" if word in ("found", "passed") else "e"
        delta = _signed(n - others[i]) if same else ""
        css = f"{ramp}{scale.log_step(n, largest)}" if n else "z0"
        found.append(Square(words.count(n), word, delta, css))
    return tuple(found)


def lines(row: ThresholdRow, reference: ThresholdRow | None) -> tuple[Line, ...]:
    """Recall, precision, F1 and share flagged at a threshold, each beside that of argmax."""
    low, high = row.f1_interval or (None, None)
    f1 = Rate(row.f1, low, high, 0, row.recall.trials)
    other = reference
    return (
        _line("Recall, %", row.recall, other.recall.value if other else None),
        _line("Precision, %", row.precision, other.precision.value if other else None),
        _line("F1, %", f1, other.f1 if other else None),
        _line("Flagged, %", row.flagged, other.flagged.value if other else None, judged=False),
    )


def best_rows(
    rows: dict[str, ThresholdRow], found: dict[str, Found], need: Need | None, shown: float
) -> tuple[Best, ...]:
    """The table: argmax, F1, cost, constraint, and the threshold shown if it is none of them."""
    texts = {
        "argmax": "Argmax, as predicted",
        "f1": "F1",
        "cost": "Lowest cost",
        "need": need_words(need),
        "asked": "Shown here",
    }
    table: list[Best] = []
    for key in ("argmax", "f1", "cost", "need", "asked"):
        row = rows.get(key)
        reason = found[key].reason if key in found else ""
        if row is None and not reason:
            continue
        value = None if row is None or math.isnan(row.threshold) else row.threshold
        if key == "asked" and any(line.selected for line in table):
            continue
        table.append(
            Best(
                key,
                SHAPES[key],
                texts[key],
                words.NONE if value is None else words.score(value),
                value,
                () if row is None else _cells(row),
                reason if row is None else "",
                selected=value is not None and words.score(value) == words.score(shown),
            )
        )
    return tuple(table)


def cost_line(found: Found) -> tuple[str, plot.LogOdds, float]:
    """(path, axis of thresholds, cost at the top) of the cost by threshold; 0 without costs."""
    axis = plot.axis_of(found.distribution.edges)
    known = [(r.threshold, r.cost) for r in found.rows if r.cost is not None]
    if not known:
        return "", axis, 0.0
    lowest, highest = min(c for _, c in known), max(c for _, c in known)
    top = min(highest, COST_TOP * lowest) if lowest > 0 else highest
    top = top or 1.0
    line = plot.path((axis.place(t), 100 - min(c / top, 1.0) * 100) for t, c in sorted(known))
    return line, axis, top


def need_words(need: Need | None) -> str:
    """A constraint and its goal: "Recall ≥ 0.95, best precision"."""
    if need is None:
        return ""
    sign = "\u2264" if need.figure == "flagged" else "\u2265"
    goal = {"f1": "best F1", "cost": "lowest cost"}.get(need.goal, f"best {need.goal}")
    return f"{need.figure.capitalize()} {sign} {need.bound:g}, {goal}"


def optimism_words(found: dict[str, Found]) -> str:
    """By how much the best thresholds look better on these labels than on others."""
    parts = []
    f1, cost = found.get("f1"), found.get("cost")
    if f1 and f1.best and f1.optimism is not None and f1.optimism >= F1_SHOWN:
        parts.append(f"the best F1 is about {_points(f1.optimism)} too high")
    if cost and cost.best and cost.optimism is not None:
        per = cost.optimism * THOUSAND
        if per >= COST_SHOWN:
            parts.append(f"the lowest cost about {per:.2g} per 1,000 too low")
    if not parts:
        return ""
    return f"Chosen and judged on the same labels: {words.listing(parts)}."


def few_words(curves: ClassCurves | None) -> str:
    """A warning where one side has too few labels for a threshold to be chosen; else empty."""
    if curves is None:
        return ""
    few = min(curves.positives, curves.negatives)
    if few >= FEW_LABELS:
        return ""
    side = f"true {curves.name}" if curves.positives <= curves.negatives else "of the others"
    return (
        f"Only {words.plural(few, 'labelled prediction')} {side}: the best threshold moves a lot "
        f"with each new label. {FEW_LABELS - few} more make it worth choosing."
    )


def _on_curve(row: ThresholdRow, kind: str) -> tuple[float, float] | None:
    recall, precision = row.recall.value, row.precision.value
    if recall is None:
        return None
    if kind == "pr":
        return None if precision is None else (recall, precision)
    negatives = row.fp + row.tn
    return (row.fp / negatives, recall) if negatives else None


def _axis_words(kind: str, at: tuple[float, float]) -> str:
    if kind == "pr":
        return f"recall {words.percent(at[0])}, precision {words.percent(at[1])}"
    return f"false positive rate {words.percent(at[0], 2)}, recall {words.percent(at[1])}"


def _line(name: str, rate: Rate, reference: float | None, *, judged: bool = True) -> Line:
    value = rate.value
    difference = None if value is None or reference is None else value - reference
    worse = judged and reference is not None and rate.upper is not None and rate.upper < reference
    return Line(
        name,
        words.rate(rate),
        words.interval(rate),
        None if value is None else scale.place(value, 0.0),
        scale.place(rate.lower or 0.0, 0.0),
        scale.place(rate.upper or 0.0, 0.0),
        None if reference is None else scale.place(reference, 0.0),
        "" if difference is None else words.points(difference),
        "worse" if worse else "",
    )


def _cells(row: ThresholdRow) -> tuple[str, ...]:
    return (
        words.rate(row.recall),
        words.rate(row.precision),
        words.percent(row.f1),
        words.percent(row.flagged.value),
        words.NONE if row.cost is None else cost_text(row.cost),
    )


def cost_text(cost: float) -> str:
    """A cost per labelled prediction as a cost per 1,000."""
    per = cost * THOUSAND
    return f"{per:,.0f}" if per >= 100 else f"{per:.3g}"


def _points(value: float) -> str:
    points = value * 100
    return f"{points:.2g} points" if points < 0.95 else f"{points:.1f} points"


def _signed(n: int) -> str:
    return f"{words.MINUS if n < 0 else '+'}{words.count(abs(n))}" if n else "\u00b10"
