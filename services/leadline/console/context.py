"""From loaded data to what the templates see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from leadline.console.analysis_loader import TABS
from leadline.console.core import figures as f
from leadline.console.core import words
from leadline.console.core.analysis import AdviceItem
from leadline.console.core.headline import figures as headline
from leadline.console.core.matrix import matrix_view
from leadline.console.core.overview import about, nearest, overview, version_advice
from leadline.console.core.pane import pane_view
from leadline.console.core.states import ICONS, state_of
from leadline.console.core.timeline import timeline_view
from leadline.console.core.urlstate import WINDOWS, View, link, pairs_of, with_slice
from leadline.console.core.waiting import waiting_view
from leadline.console.loader import AnalysisData, Frame, OverviewData, VersionData

PINNED_MAX = 14
"""As many models as the sidebar holds at 900 px; the list has all."""
AGO_SECONDS = 600
VECTOR_LINK_MAX = 64
"""Shards whose positions a copied link names; more would make it too long for mail."""

Context = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a viewer chose, kept in cookies: theme is "system", "light" or "dark"."""

    theme: str = "system"
    single_keys: bool = True


@dataclass(frozen=True, slots=True)
class Pinned:
    """A model in the sidebar."""

    name: str
    href: str
    icon: str
    state: str
    value: str
    selected: bool


def base_context(
    frame: Frame, path: str, view: View, now_us: int, lost: f.Failure | None
) -> Context:
    """What every page's frame shows."""
    selected = path.split("/")[2] if path.startswith("/models/") else ""
    return {
        "path": path,
        "view": view,
        "go": _goer(path, view),
        "pinned": _pinned(frame, selected, now_us),
        "model_count": None if isinstance(frame.models, f.Failure) else len(frame.models),
        "foot": _foot(frame, now_us),
        "lost": lost,
        "as_of": words.second(frame.loaded_us),
        "retry": "",
        "now": words.second(now_us),
        "windows": WINDOWS,
        "live": _live(frame, now_us, lost),
        "kept_query": _kept_query(view),
    }


def overview_context(
    data: OverviewData, view: View, now_us: int, wanted: tuple[str, str]
) -> Context:
    """The list of models."""
    frame = data.frame
    context = base_context(frame, "/", view, now_us, data.lost)
    models = () if isinstance(frame.models, f.Failure) else frame.models
    status = frame.status if isinstance(frame.status, f.Status) else None
    failure = data.failure()
    summaries = () if isinstance(data.summaries, f.Failure) else data.summaries
    context |= {
        "title": "Models",
        "failure": failure,
        "list": overview(models, summaries, data.sparks, status, now_us, wanted),
        "state_wanted": wanted[0],
        "name_wanted": wanted[1],
        "exports": (("Models", "models", ("csv", "json")),),
        "share": _share(view, None, "/"),
    }
    return context


def frame_context(
    data: VersionData | AnalysisData, model: str, version: str, view: View, now_us: int, tab: str
) -> Context:
    """What stands around every page of a version; tab is empty for the summary."""
    frame, home = data.frame, f"/models/{model}/versions/{version}"
    path = f"{home}/{tab}" if tab else home
    context = base_context(frame, path, view, now_us, data.lost)
    known = frame.model(model)
    summary = data.summary if isinstance(data.summary, f.Summary) else None
    return context | {
        "title": f"{model} v{version}",
        "home": home,
        "tab": tab,
        "tabs": _tabs(home, view, tab),
        "to": _goer(home, view),
        "model": model,
        "version": version,
        "versions": known.versions if known else (),
        "champion": known is not None and known.champion() == version,
        "neighbours": _neighbours(known, version),
        "about": _about(known, summary),
        "slices": _slice_menu(data, known, view, path),
        "summary": summary,
        "summary_failure": data.failure(),
        "moved": _moved(summary, view),
        "share": _share(view, summary, path),
        "advice": (),
    }


def version_context(
    data: VersionData, model: str, version: str, view: View, now_us: int
) -> Context:
    """One version's page."""
    context = frame_context(data, model, version, view, now_us, "")
    known = data.frame.model(model)
    summary = data.summary if isinstance(data.summary, f.Summary) else None
    matrix = data.matrix if isinstance(data.matrix, f.Matrix) else None
    status = data.frame.status if isinstance(data.frame.status, f.Status) else None
    names = matrix.names if matrix else known.classes if known else ()
    pictures = known is None or known.form not in ("text", "numbers")
    state = state_of(summary, status, now_us) if summary else None
    context |= {
        "state": state,
        "waiting": waiting_view(summary) if summary else None,
        "figures": headline(summary, matrix) if summary else (),
        "advice": version_advice(summary, _own(status, summary), state, _told(data.advice))
        if summary and state
        else (),
        "timeline": _part(data.timeline, timeline_view),
        "matrix": _part(data.matrix, lambda m: matrix_view(m, summary, view)),
        "pane": _part(
            data.cases,
            lambda c: pane_view(
                c,
                data.case if isinstance(data.case, f.Case) else None,
                names,
                matrix,
                summary,
                view,
                pictures=pictures,
            ),
        ),
        "case_failure": data.case if isinstance(data.case, f.Failure) else None,
        "case_text": data.text,
        "pictures": pictures,
        "status": status,
        "exports": (
            ("Figures", "figures", ("csv", "json")),
            ("Timeline", "timeline", ("csv", "json", "svg")),
            ("Matrix", "matrix", ("csv", "json", "svg")),
            ("Cases", "cases", ("csv", "json")),
            ("Advice", "advice", ("csv", "json")),
        ),
    }
    return context


def missing_context(
    frame: Frame, path: str, now_us: int, what: str, links: list[tuple[str, str]]
) -> Context:
    """The page of what is not there, with the nearest names as (text, URL)."""
    context = base_context(frame, path, View(), now_us, None)
    return context | {"title": "Not found", "what": what, "links": links}


def nearest_models(frame: Frame, model: str) -> list[tuple[str, str]]:
    """(name, URL) of the models that someone who wrote `model` may have meant."""
    models = () if isinstance(frame.models, f.Failure) else frame.models
    return [(n, f"/models/{n}") for n in nearest(model, [m.name for m in models])]


def _part(data: T | f.Failure, make: Callable[[T], object]) -> object:
    return data if isinstance(data, f.Failure) else make(data)


def _goer(path: str, view: View) -> Callable[..., str]:
    def go(**changes: str | int | None) -> str:
        return link(path, replace(view, **changes))  # type: ignore[arg-type]

    return go


def _pinned(frame: Frame, selected: str, now_us: int) -> list[Pinned]:
    if isinstance(frame.summaries, f.Failure):
        return []
    status = frame.status if isinstance(frame.status, f.Status) else None
    found = []
    for summary in sorted(frame.summaries, key=lambda s: s.model)[:PINNED_MAX]:
        state = state_of(summary, status, now_us)
        rate = summary.accuracy
        value = "" if rate.value is None else words.percent(rate.value, 0 if rate.few else 1)
        found.append(
            Pinned(
                summary.model,
                f"/models/{summary.model}",
                ICONS[state.key],
                state.text,
                value,
                summary.model == selected,
            )
        )
    return found


def _foot(frame: Frame, now_us: int) -> tuple[str, str, bool]:
    """(exact up to, "6 of 6 shards, 2 s behind", whether a shard has stopped)."""
    if isinstance(frame.status, f.Failure):
        return "", "reader not reached", True
    shards = frame.status.shards
    stopped = len(frame.status.stopped())
    text = f"{len(shards) - stopped} of {words.plural(len(shards), 'shard')}"
    exact = frame.status.exact_until_us
    if exact is None:
        return "", text, stopped > 0
    return words.second(exact), f"{text} \u00b7 {_behind(exact, now_us)}", stopped > 0


def _behind(exact_us: int, now_us: int) -> str:
    seconds = max((now_us - exact_us) / 1e6, 0.0)
    if seconds < AGO_SECONDS:
        return f"{words.duration(round(seconds))} behind"
    return f"{words.duration(seconds)} ago"


def _live(frame: Frame, now_us: int, lost: f.Failure | None) -> tuple[str, str]:
    """(Live or As of, how far behind or when)."""
    if lost:
        return "As of", words.second(frame.loaded_us)
    if isinstance(frame.status, f.Failure) or frame.status.exact_until_us is None:
        return "Live", ""
    seconds = max((now_us - frame.status.exact_until_us) / 1e6, 0.0)
    return "Live", words.duration(round(seconds))


def _share(view: View, summary: f.Summary | None, path: str) -> tuple[tuple[str, str, str], ...]:
    """(title, explanation, URL): a link that stays live, and one to the figures as they are now."""
    live = link(path, replace(view, at=""))
    links = [("Live", "moves on with the traffic", live)]
    if summary is None or summary.basis.start_us is None or summary.basis.end_us is None:
        return tuple(links)
    basis = summary.basis
    at = ",".join(f"{p.shard}:{p.predictions}:{p.labels}" for p in basis.vector[:VECTOR_LINK_MAX])
    now = link(path, replace(view, start_us=basis.start_us, end_us=basis.end_us, at=at))
    links.append(("As now", "same window; says what has been counted since", now))
    return tuple(links)


def _moved(summary: f.Summary | None, view: View) -> str:
    """What was counted since a link was copied "as now"; empty when nothing was."""
    if not view.at or summary is None:
        return ""
    then = {}
    for part in view.at.split(","):
        shard, _, offsets = part.partition(":")
        first, _, second = offsets.partition(":")
        if first.isdigit() and second.isdigit():
            then[shard] = (int(first), int(second))
    new = [
        (p.predictions - then[p.shard][0], p.labels - then[p.shard][1])
        for p in summary.basis.vector
        if p.shard in then
    ]
    predictions, labels = sum(pair[0] for pair in new), sum(pair[1] for pair in new)
    if predictions <= 0 and labels <= 0:
        return ""
    return (
        f"Since this link was copied {words.plural(predictions, 'more prediction record')} and "
        f"{words.plural(labels, 'label record')} were read."
    )


def _neighbours(model: f.Model | None, version: str) -> tuple[str, str]:
    """Versions before and after in the list, for the keys [ and ]; empty at its ends."""
    names = [v.version for v in model.versions] if model else []
    if version not in names:
        return "", ""
    at = names.index(version)
    return (
        names[at + 1] if at + 1 < len(names) else "",
        names[at - 1] if at > 0 else "",
    )


def _about(model: f.Model | None, summary: f.Summary | None) -> str:
    if summary is None:
        return ""
    text = about(model, summary.class_count)
    stream = summary.basis.stream
    return f"{text} \u00b7 stream {stream}" if stream else text


def _own(status: f.Status | None, summary: f.Summary) -> f.Status | None:
    """The shards that this version is counted on."""
    if status is None:
        return None
    own = {p.shard for p in summary.basis.vector}
    return replace(status, shards=tuple(s for s in status.shards if s.name in own))


def _slice_menu(
    data: VersionData | AnalysisData, model: f.Model | None, view: View, path: str
) -> list[tuple[str, list[tuple[str, str, str, bool]]]]:
    """By column: (value, share of traffic and accuracy, URL, chosen); empty without slices."""
    if isinstance(data.slices, f.Failure):
        return []
    columns: dict[str, list[tuple[str, str, str, bool]]] = {}
    for found in data.slices:
        chosen = (found.column, found.value) in view.slices
        target = with_slice(view, found.column, None if chosen else found.value)
        rate = found.accuracy
        note = words.k_of_n(rate) if rate.few else f"{words.rate(rate)}{words.NARROW}%"
        columns.setdefault(found.column, []).append(
            (found.value, note if rate.trials else "", link(path, target), chosen)
        )
    order = list(model.slices) if model else []
    return sorted(columns.items(), key=lambda c: order.index(c[0]) if c[0] in order else 99)


def _kept_query(view: View) -> list[tuple[str, str]]:
    """What the form of the window must carry along, as (name, value)."""
    return kept(view, "window", "from", "to", "case", "at")


def kept(view: View, *changed: str) -> list[tuple[str, str]]:
    """What a form must carry along besides the names that it sets itself."""
    return [(name, value) for name, value in pairs_of(view) if name not in changed]


def _tabs(home: str, view: View, tab: str) -> list[tuple[str, str, bool]]:
    """(name, URL, whether it is this one) of a version's pages; they share window and class."""
    bare = replace(view, true=None, pred=None, case="", find="", part=1, order="class", at="")
    pages = [("", "Summary"), *((key, key.capitalize()) for key in TABS)]
    return [
        (text, link(f"{home}/{key}" if key else home, view if key == tab else bare), key == tab)
        for key, text in pages
    ]


def _told(advice: tuple[AdviceItem, ...] | f.Failure) -> tuple[AdviceItem, ...]:
    """The reader's advice; none from a reader that is too old for it."""
    return () if isinstance(advice, f.Failure) else advice
