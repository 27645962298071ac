"""The side pane: the cases of the selected cell, or the newest wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import scale, words
from leadline.console.core.figures import Case, Cases, Matrix, Rate, Summary
from leadline.console.core.urlstate import View
from leadline.console.core.wilson import wilson

PAGE = 24
"""Pictures shown at once: four rows of six, as high as a matrix of ten classes beside them."""
LINES = 12
"""Cases shown at once where the input is read rather than looked at."""
SCORES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One score; css is "wrong", "right" or "rest"."""

    text: str
    role: str
    score: str
    width: float
    css: str
    bold: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """One line about a case."""

    name: str
    value: str
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Thumb:
    """A case in the grid; title is its accessible name."""

    id: str
    score: str
    title: str
    picture: bool
    selected: bool


@dataclass(frozen=True, slots=True)
class PaneView:
    """The pane.

    Attributes:
        lead: the sentence below the title as (bold orange number, text, grey text), or empty.
        chips: (what, class name, query names to drop).
        empty: why there is no case, and what was counted; empty when there are some.
    """

    title: str
    lead: tuple[str, str, str]
    chips: tuple[tuple[str, str, str], ...]
    order: str
    case: Case | None
    bars: tuple[Bar, ...]
    facts: tuple[Fact, ...]
    thumbs: tuple[Thumb, ...]
    kept: str
    before: str
    after: str
    empty: str


def selected_case(cases: Cases, view: View) -> Case | None:
    """The case the view names, else the first one."""
    named = next((c for c in cases.cases if c.id == view.case), None)
    return named or (cases.cases[0] if cases.cases and not view.case else None)


def pane_view(
    cases: Cases,
    chosen: Case | None,
    names: tuple[str, ...],
    matrix: Matrix | None,
    summary: Summary | None,
    view: View,
    *,
    pictures: bool = True,
) -> PaneView:
    """The pane for a view; chosen is the case that is shown large."""
    label = _Namer(names)
    ids = [c.id for c in cases.cases]
    index = ids.index(chosen.id) if chosen and chosen.id in ids else 0
    page = PAGE if pictures else LINES
    first = index // page * page
    shown = cases.cases[first : first + page]
    return PaneView(
        title=_title(view, label),
        lead=_lead(view, matrix, label),
        chips=_chips(view, label),
        order="Score, high first" if view.cell else "Newest first",
        case=chosen,
        bars=_bars(chosen, label) if chosen else (),
        facts=_facts(chosen, label) if chosen else (),
        thumbs=tuple(_thumb(c, label, chosen) for c in shown),
        kept=_kept(cases, shown, first, "picture" if pictures else "case"),
        before=ids[index - 1] if index > 0 else "",
        after=ids[index + 1] if index + 1 < len(ids) else "",
        empty="" if cases.cases or chosen else _empty(view, matrix, summary),
    )


class _Namer:
    """Class names by number."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __call__(self, number: int | None) -> str:
        if number is None:
            return "any"
        return self._names[number] if number < len(self._names) else str(number)


def _title(view: View, label: _Namer) -> str:
    if not view.cell:
        return "Newest errors"
    if view.pred is None:
        return f"True {label(view.true)}"
    if view.true is None:
        return f"Predicted {label(view.pred)}"
    return f"True {label(view.true)}, predicted {label(view.pred)}"


def _lead(view: View, matrix: Matrix | None, label: _Namer) -> tuple[str, str, str]:
    if matrix is None or view.true is None or view.true >= len(matrix.names):
        return "", "", ""
    total = matrix.row_totals()[view.true]
    if view.pred is None or not total:
        return words.count(total), f"labelled as {label(view.true)}.", ""
    rate: Rate = wilson(matrix.cells.get((view.true, view.pred), 0), total)
    text = f"of {words.count(total)} true {label(view.true)}s"
    if rate.few:
        return words.count(rate.successes), text + ".", ""
    return (
        words.count(rate.successes),
        f"{text}: {words.percent(rate.value)}{words.NARROW}%",
        f"({words.interval(rate)}).",
    )


def _chips(view: View, label: _Namer) -> tuple[tuple[str, str, str], ...]:
    chips = []
    if view.true is not None:
        chips.append(("true", label(view.true), "true"))
    if view.pred is not None:
        chips.append(("predicted", label(view.pred), "pred"))
    return tuple(chips)


def _bars(case: Case, label: _Namer) -> tuple[Bar, ...]:
    ranked = list(case.scores[:SCORES_SHOWN])
    true = case.true
    if true is not None and true not in [c for c, _ in ranked]:
        ranked = ranked[: SCORES_SHOWN - 1] + [(c, s) for c, s in case.scores if c == true]
    bars = []
    for number, score in ranked:
        role = "pred." if number == case.predicted else "true" if number == true else ""
        right = number == true
        wrong = number == case.predicted and not right and true is not None
        bars.append(
            Bar(
                label(number),
                role,
                f"{score:.3f}",
                scale.place(score, 0.0),
                "right" if right else "wrong" if wrong else "rest",
                bold=number == case.predicted,
            )
        )
    return tuple(bars)


def _facts(case: Case, label: _Namer) -> tuple[Fact, ...]:
    seen = " \u00b7 ".join([words.second(case.event_us), *(value for _, value in case.slices)])
    facts = [Fact("Seen", seen)]
    if case.true is not None:
        parts = [label(case.true)]
        if case.label_source:
            parts[0] += f", {case.label_source}"
        if case.label_delay_seconds is not None:
            parts.append(_late(case.label_delay_seconds))
        facts.append(Fact("Label", " \u00b7 ".join(parts)))
    else:
        facts.append(Fact("Label", "not yet"))
    facts += [
        Fact(f"v{o.version} said", f"{label(o.predicted)} ({o.score:.2f})") for o in case.others[:2]
    ]
    text = case.id_text or case.id
    facts.append(Fact("Id", text if len(text) <= 20 else f"{text[:8]}\u2026{text[-4:]}", mono=True))
    return tuple(facts)


def _late(seconds: float) -> str:
    return f"{words.duration(abs(seconds))} {'later' if seconds >= 0 else 'before'}"


def _thumb(case: Case, label: _Namer, chosen: Case | None) -> Thumb:
    score = case.score
    text = "" if score is None else f"{score:.2f}"
    said = f"{label(case.predicted)} {text}".strip()
    true = "no label" if case.true is None else f"true {label(case.true)}"
    return Thumb(
        id=case.id,
        score=text or words.minute(case.event_us),
        title=f"{true}, predicted {said}, {words.second(case.event_us)}",
        picture=not case.absence,
        selected=chosen is not None and chosen.id == case.id,
    )


def _kept(cases: Cases, shown: tuple[Case, ...], first: int, thing: str) -> str:
    if not shown:
        return ""
    wrong = all(c.true is not None and c.true != c.predicted for c in shown)
    noun = "error" if wrong else "prediction"
    rate = words.one_in([c.keep_probability for c in shown], noun)
    total = words.plural(max(cases.total, len(cases.cases)), thing)
    some = f"{first + 1}{words.DASH}{first + len(shown)}" if first else str(len(shown))
    return f"{some} of {total}" + (f"; {rate}" if rate else "")


def _empty(view: View, matrix: Matrix | None, summary: Summary | None) -> str:
    if not view.cell:
        if summary and not summary.basis.labelled:
            return "Errors stand here as soon as labels arrive."
        return "No wrong prediction was kept in this window."
    n = 0
    if matrix and view.true is not None and view.pred is not None:
        n = matrix.cells.get((view.true, view.pred), 0)
    if n:
        if n == 1:
            return "1 prediction was counted here; its input was not kept."
        return f"{words.count(n)} predictions were counted here; none of their inputs was kept."
    return "Nothing was counted here in this window."
