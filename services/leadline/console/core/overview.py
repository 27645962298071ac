"""The list of models."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from leadline.console.core import scale, words
from leadline.console.core.analysis import AdviceItem
from leadline.console.core.figures import Model, Notice, Rate, Status, Summary, Timeline
from leadline.console.core.states import (
    ICONS,
    NAMES,
    PLAIN_CODES,
    State,
    advice,
    label_silence,
    state_notice,
    state_of,
)
from leadline.console.core.timeline import BOX

KINDS = {
    "binary": "binary",
    "multiclass": "",
    "multilabel": "multilabel",
    "detection": "boxes",
    "regression": "regression",
}


@dataclass(frozen=True, slots=True)
class Spark:
    """A small timeline: a path in the box, the last point in percent, hollow ones, grey zone."""

    path: str
    last: tuple[float, float] | None
    hollow: tuple[tuple[float, float], ...]
    grey: float | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model; rate texts are empty where nothing is known."""

    name: str
    version: str
    about: str
    state: State
    icon: str
    value: str
    unit: str
    value_note: str
    grey: bool
    dot: float | None
    low: float
    high: float
    cut: bool
    interval: str
    spark: Spark | None
    coverage: str
    coverage_bar: float
    of: str
    delay: str
    delay_note: str
    worst: str
    worst_value: str
    worst_note: str
    advice: int


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice, a notice of a model, or a stopped shard; icon says which it is."""

    icon: str
    model: str
    text: str
    remedy: str
    evidence: str = ""
    effect: str = ""

    @property
    def parts(self) -> tuple[str, str]:
        """(what, how much) where the text says them apart by a colon; else ("", text)."""
        head, colon, rest = self.text.partition(": ")
        return (head + colon.strip(), rest) if colon else ("", self.text)


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter by state."""

    key: str
    text: str
    icon: str
    count: int
    selected: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page; floor is where the column of intervals starts, in percent."""

    rows: tuple[ModelRow, ...]
    chips: tuple[Chip, ...]
    advice: tuple[Advice, ...]
    predictions: str
    coverage: str
    floor: str
    total: int


def overview(
    models: tuple[Model, ...],
    summaries: tuple[Summary, ...],
    sparks: dict[str, Timeline],
    status: Status | None,
    now_us: int,
    wanted: tuple[str, str],
) -> Overview:
    """The list, filtered by wanted = (state key or "", part of a name or "")."""
    by_name = {model.name: model for model in models}
    floor = scale.floor_of(min((r for s in summaries if (r := _low(s)) is not None), default=0.0))
    made = [
        _row(s, by_name.get(s.model), sparks.get(s.model), state_of(s, status, now_us), floor)
        for s in summaries
    ]
    order = list(NAMES)
    made.sort(key=lambda row: (order.index(row.state.key), row.name))
    state, part = wanted
    shown = [
        row
        for row in made
        if (not state or row.state.key == state) and part.lower() in row.name.lower()
    ]
    predictions = sum(s.basis.predictions for s in summaries)
    labelled = sum(s.basis.labelled for s in summaries)
    return Overview(
        rows=tuple(shown),
        chips=_chips(made, state),
        advice=first_advice(summaries, status),
        predictions=words.count(predictions),
        coverage=words.share(labelled / predictions) if predictions else words.NONE,
        floor=f"{floor * 100:.0f}",
        total=len(made),
    )


def first_advice(summaries: tuple[Summary, ...], status: Status | None) -> tuple[Advice, ...]:
    """What to look at first: stopped shards, then notices about models, then about traffic."""
    found = [
        Advice("stop", f"Shard {s.name}", f"has stopped: {s.stopped}", s.remedy)
        for s in (status.stopped() if status else ())
    ]
    notices = [(s.model, n) for s in summaries for n in advice(s)]
    notices.sort(key=lambda pair: pair[1].code in PLAIN_CODES)
    return tuple(found + [Advice(notice_icon(n), m, n.text, n.remedy) for m, n in notices])


def version_advice(
    summary: Summary, status: Status | None, state: State, told: tuple[AdviceItem, ...] = ()
) -> tuple[Advice, ...]:
    """The advice of one version's page: stopped shards, its state, what was told, its notices.

    A notice whose code was told already is left out: advice says the same with its evidence.
    """
    codes = {item.code for item in told}
    kept = tuple(n for n in summary.notices if n.code not in codes)
    found = first_advice((replace(summary, notices=kept),), status)
    stopped = tuple(a for a in found if a.icon == "stop")
    said = state_notice(summary, state)
    own = []
    if said is not None and said[1].code.replace("-", "_") not in codes:
        own.append(Advice(said[0], summary.model, said[1].text, said[1].remedy))
    own += [_told(item, summary.model) for item in told]
    return (*stopped, *own, *found[len(stopped) :])


def _told(item: AdviceItem, model: str) -> Advice:
    icon = "info" if item.code in PLAIN_CODES else "warn"
    effect = f"{words.share(item.effect_size)}{words.NARROW}%" if item.effect_size > 0 else ""
    return Advice(icon, model, item.text, item.remedy, item.evidence, effect)


def notice_icon(notice: Notice) -> str:
    """Orange triangle for a notice about the model, plain for one about labels or traffic."""
    return "info" if notice.code in PLAIN_CODES else "warn"


def nearest(name: str, known: list[str], most: int = 3) -> list[str]:
    """Names that someone who wrote `name` may have meant, the nearest first."""
    inside = [k for k in known if name.lower() in k.lower()]
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.4)
    return list(dict.fromkeys(inside + close))[:most]


def about(model: Model | None, class_count: int) -> str:
    """What a model is, in a few words: "10 classes, images"."""
    kind = KINDS.get(model.kind, "") if model else ""
    parts = [kind or words.plural(class_count, "class", "classes")]
    if model and model.form:
        parts.append(model.form)
    if model and not model.declared:
        parts.append("not declared")
    return " \u00b7 ".join(parts)


def spark(timeline: Timeline) -> Spark:
    """The small timeline of a row, its lowest and highest value at the edges."""
    span = max(timeline.end_us - timeline.start_us, 1)
    known = [p for p in timeline.points if p.accuracy.value is not None]
    sure = [p for p in known if not p.accuracy.few]
    many = len(sure) > len(known) / 2
    points = sure if many else known
    values = [p.accuracy.value or 0.0 for p in points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    middle, half = (low + high) / 2, max((high - low) / 2, 0.04)

    def place(index: int) -> tuple[float, float]:
        at = points[index].start_us + timeline.step_us / 2 - timeline.start_us
        y = 0.5 - (values[index] - middle) / half * 0.4
        return round(min(max(at / span, 0.0), 1.0) * 100, 1), round(y * 100, 1)

    spots = [place(i) for i in range(len(points))]
    settled = timeline.settled_until_us
    return Spark(
        path="M" + "L".join(f"{x * BOX / 100:.0f} {y * BOX / 100:.0f}" for x, y in spots)
        if spots
        else "",
        last=spots[-1] if spots and many else None,
        hollow=() if many else tuple(spots),
        grey=None
        if settled is None or settled >= timeline.end_us
        else round(max(settled - timeline.start_us, 0) / span * 100, 1),
    )


def _chips(rows: list[ModelRow], state: str) -> tuple[Chip, ...]:
    counts = {key: sum(row.state.key == key for row in rows) for key in NAMES}
    chips = [Chip("", "All", "", len(rows), selected=not state)]
    chips += [
        Chip(key, NAMES[key], ICONS[key], n, selected=key == state)
        for key, n in counts.items()
        if n or key == state
    ]
    return tuple(chips)


def _low(summary: Summary) -> float | None:
    rate = summary.accuracy
    return None if rate.few else rate.lower


def _row(
    summary: Summary, model: Model | None, line: Timeline | None, state: State, floor: float
) -> ModelRow:
    rate, basis = summary.accuracy, summary.basis
    known = rate.value is not None
    grey = rate.few or state.key in ("stopped", "labels-stopped")
    low, high = rate.lower or 0.0, rate.upper or 0.0
    p50, p95 = summary.delay_p50_seconds, summary.delay_p95_seconds
    worst, worst_value, worst_note = _worst(summary)
    return ModelRow(
        name=summary.model,
        version=summary.version,
        about=about(model, summary.class_count),
        state=state,
        icon=ICONS[state.key],
        value=(words.percent(rate.value, 0) if rate.few else words.rate(rate)) if known else "",
        unit="%" if known else "",
        value_note=_value_note(summary, rate),
        grey=grey,
        dot=scale.place(rate.value, floor) if rate.value is not None else None,
        low=scale.place(low, floor),
        high=scale.place(high, floor),
        cut=known and low < floor,
        interval=words.interval(rate),
        spark=spark(line) if line and known else None,
        coverage=words.share(basis.coverage.value),
        coverage_bar=scale.place(basis.coverage.value or 0.0, 0.0),
        of=f"of {words.compact(basis.predictions)}",
        delay=words.duration(p50),
        delay_note=f"p95 {words.duration(p95)}" if p95 is not None else "",
        worst=worst,
        worst_value=worst_value,
        worst_note=worst_note,
        advice=len(advice(summary)),
    )


def _value_note(summary: Summary, rate: Rate) -> str:
    if rate.value is None:
        return ""
    if label_silence(summary) is not None and summary.last_label_us is not None:
        return f"Accuracy \u00b7 last on {words.day(summary.last_label_us)}"
    return f"Accuracy \u00b7 {words.interval(rate)}"


def _worst(summary: Summary) -> tuple[str, str, str]:
    """(name, value, note) of the worst class, or of the one with fewest right where all are few."""
    worst = summary.worst()
    if worst is None:
        seen = [c for c in summary.classes if c.support]
        if not seen:
            return words.NONE, "", ""
        worst = min(seen, key=lambda c: (c.recall.value or 0.0, c.number))
        return worst.name, words.k_of_n(worst.recall), f"{words.count(worst.support)} labelled"
    value = f"{words.rate(worst.recall)}{words.NARROW}%"
    return worst.name, value, f"{words.count(worst.support)} labelled"
