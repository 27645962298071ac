"""The pages: a request becomes a state, data are asked, regions are rendered.

A live update renders the same regions from the same state, so that what is pushed and what a reload
shows are one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from leadline.console import context as ctx
from leadline.console.analysis_loader import TABS
from leadline.console.analysis_pages import COMMON, REGIONS, analysis_context
from leadline.console.core import figures as f
from leadline.console.core.urlstate import View, link, parse, query, with_slice
from leadline.console.hub import Changes, Render, Rendering
from leadline.console.loader import AnalysisData, Frame, Loader, VersionData
from leadline.console.render import Region, Renderer
from leadline.console.settings import ConsoleSettings
from leadline.runtime.clock import Clock

OVERVIEW_REGIONS = ("side", "foot", "title", "live", "windows", "advice", "list")
VERSION_REGIONS = (
    "side",
    "foot",
    "head",
    "tabs",
    "live",
    "windows",
    "share",
    "advice",
    "figures",
    "timeline",
    "matrix",
    "pane",
)
FAILED_REGIONS = ("side", "foot", "live", "failed")
VERSION_PATH = re.compile(rf"/models/([^/]+)/versions/([^/]+)(?:/({'|'.join(TABS)}))?")
FILTER_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class State:
    """What a URL asks for; filter is the list's: (state key, part of a name)."""

    path: str
    view: View
    filter: tuple[str, str] = ("", "")

    @property
    def key(self) -> str:
        """The same for every URL that shows the same."""
        return f"{link(self.path, self.view)} {self.filter}"

    @property
    def version(self) -> tuple[str, str] | None:
        """(model, version) of a version's page."""
        match = VERSION_PATH.fullmatch(self.path)
        return (match[1], match[2]) if match else None

    @property
    def tab(self) -> str:
        """Which page of the version it is; empty for the summary."""
        match = VERSION_PATH.fullmatch(self.path)
        return (match[3] or "") if match else ""

    @property
    def url(self) -> str:
        """The path and query that show this state."""
        extra = [(k, v) for k, v in zip(("state", "q"), self.filter, strict=True) if v]
        text = "&".join(t for t in (query(self.view), urlencode(extra)) if t)
        return f"{quote(self.path)}?{text}" if text else quote(self.path)


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page."""

    html: str
    status: int = 200


def state_of(path: str, pairs: Iterable[tuple[str, str]]) -> State:
    """The state of a path and its query."""
    many = list(pairs)
    one = dict(reversed(many))
    wanted = (one.get("state", ""), one.get("q", "")[:FILTER_LENGTH_MAX].strip())
    return State(path, parse(many), wanted if path == "/" else ("", ""))


class Pages:
    """Renders states; collaborators are given, nothing is kept but what they keep."""

    def __init__(
        self, loader: Loader, renderer: Renderer, clock: Clock, settings: ConsoleSettings
    ) -> None:
        self._loader, self._renderer = loader, renderer
        self._clock, self._settings = clock, settings

    async def page(self, state: State, prefs: ctx.Preferences) -> Page:
        """The whole page of a state."""
        context, names = await self._context(state)
        context |= {"prefs": prefs, "here": state.url, "query": _suffix(state)}
        if names is None:
            regions = self._renderer.regions(FAILED_REGIONS[:3], context)
            return Page(self._renderer.page("missing.html", regions, context), 404)
        regions = self._renderer.regions(names, context)
        if names is FAILED_REGIONS:
            return Page(self._renderer.page("failed.html", regions, context), 503)
        template = "version.html" if state.version else "models.html"
        template = f"{state.tab}.html" if state.tab else template
        return Page(self._renderer.page(template, regions, context))

    def render(self, state: State) -> Render:
        """How the live updates of a state are rendered."""

        async def render() -> Rendering:
            context, names = await self._context(state)
            context["query"] = _suffix(state)
            if names is None or names is FAILED_REGIONS:
                return Rendering({}, stale=True, failed=True)
            regions: dict[str, Region] = self._renderer.regions(names, context)
            return Rendering(regions, stale=context["lost"] is not None)

        return render

    def changes(self, state: State) -> Changes | None:
        """The stream that says when a state's figures changed; None for the list of models."""
        found = state.version
        if found is None:
            return None
        name = f"models/{found[0]}/versions/{found[1]}"

        def changes() -> AsyncIterator[None]:
            return self._loader.reader.watch(name, state.view, self._settings.refresh_seconds)

        return changes

    async def missing(self, path: str, what: str, prefs: ctx.Preferences) -> Page:
        """The page of a path that does not exist, as far as a lost reader lets that be known."""
        frame = await self._loader.frame()
        if isinstance(frame.models, f.Failure) and path.startswith("/models/"):
            return self._lost(frame, path, frame.models, prefs)
        words = path.strip("/").split("/")
        links = ctx.nearest_models(frame, words[1] if len(words) > 1 else words[0])
        context = ctx.missing_context(frame, path, self._clock.now_us(), what, links)
        context |= {"prefs": prefs, "here": "/", "query": ""}
        regions = self._renderer.regions(FAILED_REGIONS[:3], context)
        return Page(self._renderer.page("missing.html", regions, context), 404)

    def _lost(self, frame: Frame, path: str, failure: f.Failure, prefs: ctx.Preferences) -> Page:
        context = ctx.missing_context(frame, path, self._clock.now_us(), failure.text, [])
        context |= {
            "title": "Leadline",
            "failure": failure,
            "prefs": prefs,
            "here": "/",
            "query": "",
        }
        regions = self._renderer.regions(FAILED_REGIONS, context)
        return Page(self._renderer.page("failed.html", regions, context), 503)

    async def champion(self, model: str) -> str | None:
        """URL of a model's version in charge; None when there is no such model."""
        found = (await self._loader.frame()).model(model)
        version = found.champion() if found else None
        return f"/models/{quote(model)}/versions/{quote(version)}" if version else None

    async def find(self, name: str) -> str:
        """Where a search leads: to the one model that it can mean, else to the filtered list."""
        frame = await self._loader.frame()
        models = () if isinstance(frame.models, f.Failure) else frame.models
        exact = [m.name for m in models if m.name.lower() == name.lower()]
        fits = exact or [m.name for m in models if name and name.lower() in m.name.lower()]
        if len(fits) == 1:
            return f"/models/{quote(fits[0])}"
        return f"/?{urlencode({'q': name})}" if name else "/"

    async def _context(self, state: State) -> tuple[ctx.Context, tuple[str, ...] | None]:
        """A state's context and the regions it is shown with; None when nothing is there."""
        now = self._clock.now_us()
        found = state.version
        if found is None:
            return await self._overview(state, now), OVERVIEW_REGIONS
        if state.tab:
            return await self._analysis(state)
        data = await self._loader.version(*found, state.view)
        failure = data.failure()
        if failure is not None and failure.kind == "missing":
            return self._no_version(data, *found, state, now), None
        context = ctx.version_context(data, *found, state.view, self._clock.now_us())
        return _shown(context, state, failure, VERSION_REGIONS)

    async def _analysis(self, state: State) -> tuple[ctx.Context, tuple[str, ...] | None]:
        found, tab = state.version or ("", ""), state.tab
        data = await self._loader.analysis(tab, *found, state.view)
        failure, now = data.failure(), self._clock.now_us()
        if failure is not None and failure.kind == "missing":
            return self._no_version(data, *found, state, now), None
        context = analysis_context(tab, data, *found, state.view, now)
        names = COMMON + (REGIONS[tab] if failure is None else ())
        return _shown(context, state, failure, names)

    async def _overview(self, state: State, now: int) -> ctx.Context:
        data = await self._loader.overview(state.view)

        def filter_url(key: str) -> str:
            return State("/", state.view, (key, state.filter[1])).url

        context = ctx.overview_context(data, state.view, now, state.filter)
        view = state.view
        text = query(View(window=view.window, start_us=view.start_us, end_us=view.end_us))
        context |= {"filter_url": filter_url, "window_query": f"?{text}" if text else ""}
        return context

    def _no_version(
        self, data: VersionData | AnalysisData, model: str, version: str, state: State, now: int
    ) -> ctx.Context:
        known = data.frame.model(model)
        if known is None:
            links = ctx.nearest_models(data.frame, model)
            what = f"There is no model {model!r}."
        else:
            links = [
                (f"{model} v{v.version}", f"/models/{quote(model)}/versions/{quote(v.version)}")
                for v in known.versions[:3]
            ]
            what = f"Model {model!r} has no version {version!r}."
        return ctx.missing_context(data.frame, state.path, now, what, links)


def state_from_events(text: str) -> State | None:
    """The state that an event stream is asked for; None for a page that has no updates."""
    pairs = parse_qsl(text, keep_blank_values=True)
    path = next((v for k, v in pairs if k == "page"), "")
    state = state_of(path, [(k, v) for k, v in pairs if k != "page"])
    return state if path == "/" or state.version else None


def _shown(
    context: ctx.Context, state: State, failure: f.Failure | None, names: tuple[str, ...]
) -> tuple[ctx.Context, tuple[str, ...]]:
    """The context with what depends on the URL, and its regions."""
    context |= {
        "query": _suffix(state),
        "failure": failure,
        "drop_slice": lambda column: link(state.path, with_slice(state.view, column, None)),
    }
    lost = failure is not None and failure.kind == "lost"
    return context, FAILED_REGIONS if lost else names


def _suffix(state: State) -> str:
    text = query(state.view)
    return f"?{text}" if text else ""
