"""The page of classes: one line a class, in any order, a hundred at a time."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.analysis import Bounded, ClassCurves, Curves
from leadline.console.core.figures import FEW_LABELS, ClassFigures, Matrix, Rate, Summary
from leadline.console.core.matrix import confused_pairs
from leadline.console.core.urlstate import View
from leadline.console.core.wilson import wilson

PART = 100
"""Classes on one page."""
PAIRS_SHOWN = 10
MOSTLY = 0.05
"""A class is said to be taken for another when at least this share surely is."""
COLUMNS = (
    ("class", "Class"),
    ("support", "Labelled"),
    ("predicted", "Predicted"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("f1", "F1"),
    ("auc", "AUC"),
    ("ap", "Avg. precision"),
    ("errors", "What to know"),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A share with its interval on the common axis; text is a count where labels are few."""

    text: str
    interval: str
    dot: float | None
    low: float
    high: float
    few: bool


@dataclass(frozen=True, slots=True)
class Area:
    """An area under a curve and how far it is certain."""

    text: str
    sure: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class; cell is its commonest error as (true, predicted), or None."""

    number: int
    name: str
    support: str
    predicted: str
    precision: Measure
    recall: Measure
    f1: Measure
    auc: Area
    ap: Area
    advice: str
    cell: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A commonly confused pair: how often, of its true class, the reverse, and errors summed."""

    true: int
    pred: int
    names: tuple[str, str]
    count: str
    share: str
    interval: str
    reverse: str
    summed: str
    bar: float


@dataclass(frozen=True, slots=True)
class ClassesView:
    """The page; parts are numbered from 1."""

    rows: tuple[ClassRow, ...]
    total: int
    fitting: int
    few: int
    unseen: int
    part: int
    parts: int
    first: int
    floor: str
    pairs: tuple[Pair, ...]
    pair_count: int
    macro: tuple[tuple[str, Area], ...]


def classes_view(
    summary: Summary, matrix: Matrix | None, curves: Curves | None, view: View
) -> ClassesView:
    """The table for a view: filtered, ordered, and cut to one part."""
    areas = {c.number: c for c in curves.classes} if curves else {}
    chosen = [c for c in summary.classes if view.find.lower() in c.name.lower()]
    errors = _errors(matrix)
    chosen.sort(key=lambda c: _key(c, areas.get(c.number), errors, view.order))
    parts = max(-(-len(chosen) // PART), 1)
    part = min(view.part, parts)
    first = (part - 1) * PART
    shown = chosen[first : first + PART]
    floor = scale.floor_of(min(_lows(shown), default=0.0))
    taken = _taken(matrix)
    return ClassesView(
        tuple(_row(c, areas.get(c.number), floor, taken, matrix) for c in shown),
        len(summary.classes),
        len(chosen),
        sum(0 < c.support < FEW_LABELS for c in summary.classes),
        sum(c.support == 0 for c in summary.classes),
        part,
        parts,
        first + 1 if shown else 0,
        f"{floor * 100:.0f}",
        pairs(matrix) if matrix else (),
        sum(1 for t, p in matrix.cells if t != p) if matrix else 0,
        _macro(curves),
    )


def f1_rate(found: ClassFigures) -> Rate:
    """F1 with its interval.

    F1 = 2 J / (1 + J) grows with J = tp / (tp + fp + fn), which is a share of labelled
    predictions: its Wilson bounds carry over.
    """
    tp = found.recall.successes
    union = found.recall.trials + found.precision.trials - tp
    share = wilson(tp, union)
    if share.value is None or share.lower is None or share.upper is None:
        return Rate()
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.lower, share.upper))
    return Rate(value, low, high, tp, union)


def pairs(matrix: Matrix) -> tuple[Pair, ...]:
    """The commonest errors, with the share of all errors that they sum up to."""
    errors, rows, done = matrix.errors(), matrix.row_totals(), 0
    found = []
    for true, pred, n in confused_pairs(matrix, PAIRS_SHOWN):
        done += n
        rate = wilson(n, rows[true])
        back = matrix.cells.get((pred, true), 0)
        found.append(
            Pair(
                true,
                pred,
                (matrix.names[true], matrix.names[pred]),
                words.count(n),
                words.k_of_n(rate) if rate.few else words.rate(rate),
                "" if rate.few else words.interval(rate),
                words.count(back) if rows[pred] else words.NONE,
                words.share(done / errors),
                scale.place(done / errors, 0.0),
            )
        )
    return tuple(found)


def _errors(matrix: Matrix | None) -> dict[int, int]:
    found: dict[int, int] = {}
    for (true, pred), n in (matrix.cells if matrix else {}).items():
        if true != pred:
            found[true] = found.get(true, 0) + n
    return found


def _taken(matrix: Matrix | None) -> dict[int, tuple[int, int]]:
    """By true class: (the class that it is most often taken for, how often)."""
    found: dict[int, tuple[int, int]] = {}
    for (true, pred), n in sorted((matrix.cells if matrix else {}).items()):
        if true != pred and n > found.get(true, (0, 0))[1]:
            found[true] = (pred, n)
    return found


def _key(
    found: ClassFigures, areas: ClassCurves | None, errors: dict[int, int], order: str
) -> tuple[float, int]:
    """Counts from the largest, shares from the lowest, what is unknown last; ties by number."""
    auc = areas.auc if areas else None
    ap = areas.average_precision if areas else None
    shares = {
        "precision": found.precision.value,
        "recall": found.recall.value,
        "f1": found.f1,
        "auc": auc.value if auc else None,
        "ap": ap.value if ap else None,
    }
    if order in shares:
        value = shares[order]
        return (2.0 if value is None else value), found.number
    counts = {
        "support": found.support,
        "predicted": found.predicted,
        "errors": errors.get(found.number, 0),
    }
    return -float(counts.get(order, 0)), found.number


def _lows(shown: list[ClassFigures]) -> list[float]:
    rates = [r for c in shown for r in (c.precision, c.recall)]
    return [r.lower for r in rates if r.lower is not None and not r.few]


def _row(
    found: ClassFigures,
    areas: ClassCurves | None,
    floor: float,
    taken: dict[int, tuple[int, int]],
    matrix: Matrix | None,
) -> ClassRow:
    advice, cell = _advice(found, taken, matrix)
    return ClassRow(
        found.number,
        found.name,
        words.count(found.support),
        words.count(found.predicted),
        _measure(found.precision, floor),
        _measure(found.recall, floor),
        _measure(f1_rate(found), floor, counted=False),
        _area(areas.auc if areas else None),
        _area(areas.average_precision if areas else None),
        advice,
        cell,
    )


def _measure(rate: Rate, floor: float, *, counted: bool = True) -> Measure:
    if rate.value is None:
        return Measure(words.NONE, "", None, 0.0, 0.0, few=True)
    if rate.few:
        text = words.k_of_n(rate) if counted else words.NONE
        return Measure(text, "", None, 0.0, 0.0, few=True)
    return Measure(
        words.rate(rate),
        words.interval(rate),
        scale.place(rate.value, floor),
        scale.place(rate.lower or 0.0, floor),
        scale.place(rate.upper or 0.0, floor),
        few=False,
    )


def _area(found: Bounded | None) -> Area:
    if found is None:
        return Area(words.NONE, "")
    return Area(f"{found.value:.4f}", words.within(found.value, found.lower, found.upper))


def _advice(
    found: ClassFigures, taken: dict[int, tuple[int, int]], matrix: Matrix | None
) -> tuple[str, tuple[int, int] | None]:
    """What to know of a class in a few words, and the cell that it speaks of."""
    if found.support == 0:
        return ("never labelled", None) if found.predicted else ("not seen", None)
    other = taken.get(found.number)
    cell = (found.number, other[0]) if other else None
    if found.support < FEW_LABELS:
        return f"{FEW_LABELS - found.support} more labels for a percentage", cell
    if other is None or matrix is None:
        return "", None
    rate = wilson(other[1], found.support)
    if (rate.lower or 0.0) < MOSTLY:
        return "", None
    name = matrix.names[other[0]]
    return f"{words.share(rate.value)}{words.NARROW}% taken for {name}", cell


def _macro(curves: Curves | None) -> tuple[tuple[str, Area], ...]:
    if curves is None:
        return ()
    pairs = (
        ("Macro AUC", curves.macro_auc),
        ("Macro avg. precision", curves.macro_average_precision),
    )
    return tuple((name, _area(value)) for name, value in pairs if value is not None)
