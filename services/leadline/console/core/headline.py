"""The row of figures at the head of a model's page."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.figures import ClassFigures, Matrix, Rate, Summary
from leadline.console.core.matrix import confused_pairs

MANY_CLASSES = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: "Accuracy, labelled", "89.7", "%", "89.2-90.1", a track, and a note below.

    Attributes:
        track: "range" (dot with its interval), "bar" (filled from 0) or "" (none).
        grey: whether there are too few labels for the figure to be read as one.
        cell: the matrix cell that it leads to, or None.
    """

    title: str
    value: str
    unit: str
    aside: str
    note: str
    track: str = ""
    dot: float = 0.0
    low: float = 0.0
    high: float = 0.0
    grey: bool = False
    cell: tuple[int, int] | None = None


def figures(summary: Summary, matrix: Matrix | None) -> tuple[Figure, ...]:
    """At most six figures, those that are there; every one has its sample beside it."""
    found = [_rate_figure("Accuracy, labelled", summary.accuracy, _accuracy_note(summary))]
    top = _top_k(summary)
    if top:
        found.append(top)
    found.append(_macro(summary))
    found.append(_worst(summary))
    if matrix is not None and summary.class_count <= MANY_CLASSES:
        found.append(_commonest_error(matrix))
    elif matrix is not None:
        found.append(_classes_seen(summary))
    found.append(_labelled(summary))
    return tuple(found)


def _rate_figure(title: str, rate: Rate, note: str) -> Figure:
    if rate.value is None:
        return Figure(title, words.NONE, "", "", "no label yet", grey=True)
    if rate.few:
        return Figure(
            title,
            words.percent(rate.value, 0),
            "%",
            words.interval(rate),
            f"only {words.k_of_n(rate)}",
            "range",
            scale.place(rate.value, 0.0),
            scale.place(rate.lower or 0.0, 0.0),
            scale.place(rate.upper or 0.0, 0.0),
            grey=True,
        )
    floor = 0.5 if (rate.lower or 0.0) >= 0.5 else 0.0
    return Figure(
        title,
        words.rate(rate),
        "%",
        words.interval(rate),
        note,
        "range",
        scale.place(rate.value, floor),
        scale.place(rate.lower or 0.0, floor),
        scale.place(rate.upper or 0.0, floor),
    )


def _accuracy_note(summary: Summary) -> str:
    rate = summary.accuracy
    wrong = rate.trials - rate.successes
    return f"{words.plural(wrong, 'error')} in {words.count(rate.trials)}"


def _top_k(summary: Summary) -> Figure | None:
    usable = [(k, rate) for k, rate in summary.top_k if 1 < k < summary.class_count]
    if not usable:
        return None
    k, rate = min(usable, key=lambda pair: (abs(pair[0] - 3), pair[0]))
    return _rate_figure(f"Top-{k} accuracy", rate, f"true among the {k} best scores")


def _macro(summary: Summary) -> Figure:
    seen = sum(1 for c in summary.classes if c.support or c.predicted)
    value = summary.macro_f1
    if value is None:
        return Figure("Macro F1", words.NONE, "", "", "no label yet", grey=True)
    low, high = summary.macro_f1_interval or (value, value)
    floor = 0.5 if low >= 0.5 else 0.0
    return Figure(
        "Macro F1",
        words.percent(value),
        "%",
        words.span(summary.macro_f1_interval),
        f"mean over {words.plural(seen, 'class', 'classes')}",
        "range",
        scale.place(value, floor),
        scale.place(low, floor),
        scale.place(high, floor),
        grey=summary.accuracy.few,
    )


def _worst(summary: Summary) -> Figure:
    worst: ClassFigures | None = summary.worst()
    if worst is None:
        return Figure("Worst class", words.NONE, "", "", "no class has 30 labels yet", grey=True)
    note = f"recall, {words.count(worst.support)} labelled"
    return _rate_figure(f"Worst class: {worst.name}", worst.recall, note)


def _commonest_error(matrix: Matrix) -> Figure:
    pairs = confused_pairs(matrix, 1)
    if not pairs:
        return Figure("Commonest error", words.NONE, "", "", "no error counted")
    true, pred, n = pairs[0]
    errors = matrix.errors()
    names = matrix.names
    return Figure(
        f"Commonest error: {names[true]} as {names[pred]}",
        words.count(n),
        "",
        f"{words.share(n / errors)}{words.NARROW}% of errors",
        f"of {words.count(errors)} errors in all",
        "bar",
        high=scale.place(n / errors, 0.0),
        cell=(true, pred),
    )


def _classes_seen(summary: Summary) -> Figure:
    seen = sum(1 for c in summary.classes if c.support)
    few = sum(1 for c in summary.classes if 0 < c.support < MANY_CLASSES)
    return Figure(
        "Classes seen",
        words.count(seen),
        f"of {words.count(summary.class_count)}",
        f"{few} below 30",
        "below 30 labels: counts only",
        "bar",
        high=scale.place(seen / max(summary.class_count, 1), 0.0),
    )


def _labelled(summary: Summary) -> Figure:
    basis = summary.basis
    half, most = summary.delay_p50_seconds, summary.delay_p95_seconds
    note = "no label yet"
    if half is not None and most is not None:
        note = f"delay: half {words.duration(half)}, 95{words.NARROW}% {words.duration(most)}"
    if basis.log_rate < 1:
        note = f"{words.share(basis.log_rate)}{words.NARROW}% of traffic logged; {note}"
    return Figure(
        "Labelled",
        words.share(basis.coverage.value),
        "%" if basis.coverage.value is not None else "",
        f"{words.count(basis.labelled)} of {words.count(basis.predictions)}",
        note,
        "bar",
        high=scale.place(basis.coverage.value or 0.0, 0.0),
    )
