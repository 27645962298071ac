"""The page of comparison: a verdict first, then what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.analysis import (
    BETTER,
    SAME,
    UNDECIDED,
    WORSE,
    ClassComparison,
    Comparison,
    Comparisons,
)
from leadline.console.core.figures import Rate, Summary
from leadline.console.core.timeline import Tick
from leadline.console.core.wilson import wilson

CLASSES_SHOWN = 60
"""Most classes on one page: those whose recall changed most surely first; exports have all."""
ICONS = {BETTER: "check", WORSE: "warn", SAME: "check", UNDECIDED: "half"}
REACHES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Half widths of the axis of differences."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A version in the menu, with its verdict so far."""

    version: str
    note: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of differences; dot, low and high stand on the axis, in percent."""

    name: str
    note: str
    before: str
    after: str
    difference: str
    interval: str
    dot: float | None
    low: float
    high: float
    css: str


@dataclass(frozen=True, slots=True)
class ClassLine:
    """Recall of one class: a hollow ring for the page's version, a dot for the other.

    Attributes:
        css: "better", "worse" or "unsure".
    """

    number: int
    name: str
    labelled: str
    ring: float | None
    dot: float | None
    ring_low: float
    ring_high: float
    low: float
    high: float
    difference: str
    interval: str
    css: str
    title: str


@dataclass(frozen=True, slots=True)
class PairCell:
    """A cell of what both versions said of the same inputs."""

    text: str
    word: str
    css: str


@dataclass(frozen=True, slots=True)
class CompareView:
    """The page; undecided holds the interval on its own small axis while there is no verdict."""

    champion: str
    challenger: str
    choices: tuple[Choice, ...]
    icon: str
    verdict: str
    words: str
    evidence: str
    needed: str
    paired: bool
    samples: str
    differences: tuple[Difference, ...]
    ticks: tuple[Tick, ...]
    classes: tuple[ClassLine, ...]
    class_ticks: tuple[Tick, ...]
    class_count: int
    hidden: int
    cells: tuple[PairCell, ...]
    pairs: str
    undecided: tuple[float, float, float, float] | None


def compare_view(
    found: Comparisons, shown: Comparison, mine: Summary | None, other: Summary | None
) -> CompareView:
    """The page of one comparison."""
    reach = _reach(shown)
    lines, ticks = _class_lines(shown)
    return CompareView(
        shown.champion,
        shown.challenger,
        choices(found, shown),
        ICONS[shown.verdict],
        shown.verdict,
        shown.words or _sentence(shown),
        _evidence(shown),
        _needed(shown),
        shown.paired,
        words.count(shown.samples),
        _differences(shown, mine, other, reach),
        _axis(reach),
        lines,
        ticks,
        len(shown.classes),
        max(len(shown.classes) - len(lines), 0),
        _cells(shown),
        _pairs(shown),
        _undecided(shown, reach),
    )


def choices(found: Comparisons, shown: Comparison) -> tuple[Choice, ...]:
    """All challengers, with what is known of each."""
    return tuple(
        Choice(
            c.challenger,
            c.verdict if c.verdict != UNDECIDED else "no verdict yet",
            c.challenger == shown.challenger,
        )
        for c in found.comparisons
    )


def _sentence(shown: Comparison) -> str:
    one, two = f"v{shown.challenger}", f"v{shown.champion}"
    size = "" if shown.difference is None else f" by {abs(shown.difference) * 100:.1f} points"
    return {
        BETTER: f"{one} is better than {two}{size}.",
        WORSE: f"{one} is worse than {two}{size}.",
        SAME: f"{one} and {two} are equally good.",
        UNDECIDED: "No verdict yet.",
    }[shown.verdict]


def _evidence(shown: Comparison) -> str:
    what = "labelled inputs that both saw" if shown.paired else "labelled predictions of both"
    size = f"{words.count(shown.samples)} {what}"
    if shown.interval is None:
        return size
    return f"Interval {words.points_span(shown.interval)} points, valid at every look; {size}."


def _needed(shown: Comparison) -> str:
    if shown.verdict != UNDECIDED:
        return ""
    unit = "pair" if shown.paired else "labelled prediction"
    if not shown.samples:
        return f"No {unit} yet: both versions must predict, and labels must come."
    if shown.samples_needed is None:
        return "The interval still holds zero, and no difference is seen that more would decide."
    return (
        f"If it stays so, about {words.plural(shown.samples_needed, f'more {unit}')} will decide."
    )


def _reach(shown: Comparison) -> float:
    ends = [abs(e) for s in (shown.interval, shown.fixed_interval) if s for e in s]
    widest = max([*ends, abs(shown.difference or 0.0)], default=0.0)
    return next((r for r in REACHES if r >= widest * 1.1), 1.0)


def _axis(reach: float) -> tuple[Tick, ...]:
    values = [-reach, -reach / 2, 0.0, reach / 2, reach]
    places = 0 if reach >= 0.02 and (reach * 100) % 2 == 0 else 1
    return tuple(
        Tick(25.0 * i, "0" if v == 0 else words.points(v, places)) for i, v in enumerate(values)
    )


def _differences(
    shown: Comparison, mine: Summary | None, other: Summary | None, reach: float
) -> tuple[Difference, ...]:
    lines = [
        _difference(
            "Accuracy",
            "valid at every look",
            shown.champion_accuracy.value,
            shown.challenger_accuracy.value,
            shown.interval,
            reach,
            shown.verdict,
        )
    ]
    if shown.fixed_interval is not None:
        lines.append(
            _difference(
                "Accuracy",
                "at one look, fixed before",
                shown.champion_accuracy.value,
                shown.challenger_accuracy.value,
                shown.fixed_interval,
                reach,
                "",
            )
        )
    if mine is None or other is None:
        return tuple(lines)
    own = "each on its own labels"
    lines.append(_difference("Macro F1", own, mine.macro_f1, other.macro_f1, None, reach, ""))
    tops = dict(other.top_k)
    for k, rate in mine.top_k:
        if 1 < k < mine.class_count and k in tops and k <= 5:
            note = f"Top-{k} accuracy"
            lines.append(_difference(note, own, rate.value, tops[k].value, None, reach, ""))
    labels = _difference(
        "Labelled share",
        own,
        mine.basis.coverage.value,
        other.basis.coverage.value,
        None,
        reach,
        "",
    )
    return (*lines, labels)


def _difference(
    name: str,
    note: str,
    before: float | None,
    after: float | None,
    span: tuple[float, float] | None,
    reach: float,
    verdict: str,
) -> Difference:
    change = None if before is None or after is None else after - before
    css = {BETTER: "better", WORSE: "worse"}.get(verdict, "unsure")
    low, high = span or (0.0, 0.0)
    return Difference(
        name,
        note,
        words.percent(before),
        words.percent(after),
        words.points(change),
        words.points_span(span),
        None if change is None or span is None else scale.place(change, -reach, reach),
        scale.place(low, -reach, reach),
        scale.place(high, -reach, reach),
        css,
    )


def _class_lines(shown: Comparison) -> tuple[tuple[ClassLine, ...], tuple[Tick, ...]]:
    order = {WORSE: 0, BETTER: 1}
    known = [c for c in shown.classes if c.champion.trials or c.challenger.trials]
    known.sort(key=lambda c: (order.get(c.verdict, 2), c.difference or 0.0, c.number))
    if len(known) <= CLASSES_SHOWN:
        known.sort(key=lambda c: (c.difference or 0.0, c.number))
    known = known[:CLASSES_SHOWN]
    lows = [r.value for c in known for r in (c.champion, c.challenger) if r.value is not None]
    floor = scale.floor_of(max(min(lows, default=0.0) - 0.02, 0.0))
    ticks = tuple(Tick(25.0 * i, f"{(floor + (1 - floor) * i / 4) * 100:.3g}") for i in range(5))
    return tuple(_class_line(c, floor) for c in known), ticks


def _class_line(found: ClassComparison, floor: float) -> ClassLine:
    one, two = found.champion, found.challenger
    css = {BETTER: "better", WORSE: "worse"}.get(found.verdict, "unsure")
    few = " \u00b7 few labels" if min(one.trials, two.trials) < 30 else ""
    unsure = " \u00b7 unsure" if css == "unsure" and not few else ""

    def place(value: float | None) -> float | None:
        return None if value is None else scale.place(value, floor)

    return ClassLine(
        found.number,
        found.name,
        words.count(max(one.trials, two.trials)),
        place(one.value),
        place(two.value),
        scale.place(one.lower or 0.0, floor),
        scale.place(one.upper or 0.0, floor),
        scale.place(two.lower or 0.0, floor),
        scale.place(two.upper or 0.0, floor),
        words.points(found.difference),
        f"{words.points_span(found.interval)}{few}{unsure}",
        css,
        f"{found.name}: {words.rate(one)} to {words.rate(two)}, {css}",
    )


def _cells(shown: Comparison) -> tuple[PairCell, ...]:
    """Both right, only the page's, only the other's, both wrong; empty without pairs."""
    if not shown.paired:
        return ()
    both = shown.champion_accuracy.successes - shown.only_champion
    wrong = shown.samples - both - shown.only_champion - shown.only_challenger
    one, two = f"v{shown.champion}", f"v{shown.challenger}"
    return (
        PairCell(words.count(both), "both right", "plain"),
        PairCell(words.count(shown.only_champion), f"only {one} right", "e5"),
        PairCell(words.count(shown.only_challenger), f"only {two} right", "d6"),
        PairCell(words.count(max(wrong, 0)), "both wrong", "plain"),
    )


def _pairs(shown: Comparison) -> str:
    """Who is right where they differ, in a sentence."""
    differ = shown.only_champion + shown.only_challenger
    if not shown.paired or not differ:
        return ""
    rate: Rate = wilson(shown.only_challenger, differ)
    if rate.few:
        return f"Where they differ, v{shown.challenger} is right in {words.k_of_n(rate)}."
    return (
        f"Where they differ, v{shown.challenger} is right in {words.rate(rate)}{words.NARROW}% "
        f"({words.interval(rate)}) of {words.count(differ)}."
    )


def _undecided(shown: Comparison, reach: float) -> tuple[float, float, float, float] | None:
    """(low, dot, high, zero) in percent while there is no verdict; else None."""
    if shown.verdict != UNDECIDED or shown.interval is None or shown.difference is None:
        return None
    low, high = shown.interval
    places = (low, shown.difference, high, 0.0)
    one, two, three, zero = (scale.place(v, -reach, reach) for v in places)
    return one, two, three, zero
