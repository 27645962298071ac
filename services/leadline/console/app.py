"""The web application: routes, headers, cookies. What pages hold is made in pages.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadline.console.analysis_loader import TABS
from leadline.console.context import Preferences
from leadline.console.core.urlstate import parse
from leadline.console.downloads import MEDIA_TYPES, input_headers, models_file, version_file
from leadline.console.hub import Hub
from leadline.console.json_api import JsonApi
from leadline.console.pages import Page, Pages, state_from_events, state_of
from leadline.console.reader import Reader, ReaderError
from leadline.console.render import Statics
from leadline.console.settings import ConsoleSettings

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
THEMES = ("system", "light", "dark")
YEAR_SECONDS = 365 * 86400
FORM_BYTES_MAX = 8192


class SecurityHeaders:
    """Adds the headers above to every answer that does not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and adds to its answer."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)


class Site:
    """The handlers; one method a route."""

    def __init__(
        self, pages: Pages, hub: Hub, reader: Reader, statics: Statics, settings: ConsoleSettings
    ) -> None:
        self._pages, self._hub, self._reader = pages, hub, reader
        self._statics, self._settings = statics, settings

    async def page(self, request: Request) -> Response:
        """The list of models, or a version's page."""
        state = state_of(request.url.path, request.query_params.multi_items())
        return _html(await self._pages.page(state, preferences(request)))

    async def model(self, request: Request) -> Response:
        """A model's name leads to its version in charge, with the query kept."""
        name = request.path_params["model"]
        url = await self._pages.champion(name)
        if url is None:
            text = f"There is no model {name!r}."
            return _html(await self._pages.missing(request.url.path, text, preferences(request)))
        query = request.url.query
        return RedirectResponse(f"{url}?{query}" if query else url, 302)

    async def find(self, request: Request) -> Response:
        """Leads to the model that was searched for."""
        text = request.query_params.get("q", "")[:200].strip()
        return RedirectResponse(await self._pages.find(text), 302)

    async def events(self, request: Request) -> Response:
        """The live updates of one state."""
        state = state_from_events(request.url.query)
        if state is None:
            return Response("No such page.", 404)
        if self._hub.full:
            headers = {"Retry-After": "30"}
            return Response("Too many live pages; this one is served without.", 503, headers)
        render, changes = self._pages.render(state), self._pages.changes(state)
        stream = self._hub.view(state.key, render, changes)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def case_input(self, request: Request) -> Response:
        """A case's stored input."""
        name, case = _version_name(request), request.path_params["case"]
        try:
            media_type, content = await self._reader.case_input(name, case)
        except ReaderError as error:
            return _failed(error)
        if len(content) > self._settings.input_bytes_max:
            return Response("The input is larger than input_bytes_max.", 413)
        media_type, headers = input_headers(media_type)
        return Response(content, media_type=media_type, headers=headers)

    async def version_file(self, request: Request) -> Response:
        """A card as CSV, JSON or SVG."""
        stem, kind = request.path_params["stem"], request.path_params["kind"]
        view = parse(request.query_params.multi_items())
        content = version_file(self._reader, _version_name(request), view, stem, kind)
        parts = (request.path_params["model"], request.path_params["version"], stem)
        return await _file(content, "-".join(parts), kind)

    async def models_file(self, request: Request) -> Response:
        """The list of models as CSV or JSON."""
        kind = request.path_params["kind"]
        view = parse(request.query_params.multi_items())
        return await _file(models_file(self._reader, view, kind), "models", kind)

    async def preferences(self, request: Request) -> Response:
        """Keeps a choice in a cookie and leads back."""
        form = await _form(request)
        back, theme, keys = (form.get(name, "") for name in ("back", "theme", "keys"))
        answer = RedirectResponse(local_url(back), 303)
        for name, value, allowed in (("theme", theme, THEMES), ("keys", keys, ("on", "off"))):
            if value in allowed:
                answer.set_cookie(name, value, YEAR_SECONDS, httponly=True, samesite="lax")
        return answer

    async def static(self, request: Request) -> Response:
        """A static file; its URL changes with its content, so it may be kept forever."""
        name = request.path_params["name"]
        content = self._statics.get(name)
        if content is None:
            return Response("No such file.", 404)
        current = request.path_params["digest"] == self._statics.version
        keep = "public, max-age=31536000, immutable" if current else "no-cache"
        media_type = STATIC_TYPES[name[name.rindex(".") :]]
        return Response(content, media_type=media_type, headers={"Cache-Control": keep})

    async def healthz(self, _: Request) -> Response:
        """Whether the console itself runs; the reader has its own health."""
        return Response("ok\n", media_type="text/plain")

    async def missing(self, request: Request, _: Exception) -> Response:
        """Every other path."""
        text = "There is no such page."
        return _html(await self._pages.missing(request.url.path, text, preferences(request)))


def build_app(site: Site, api: JsonApi) -> Starlette:
    """The application."""
    version = "/models/{model}/versions/{version}"
    gets: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        ("/", site.page),
        ("/models.{kind:str}", site.models_file),
        ("/find", site.find),
        ("/events", site.events),
        ("/healthz", site.healthz),
        ("/static/{digest}/{name}", site.static),
        ("/models/{model}", site.model),
        (version, site.page),
        *((f"{version}/{tab}", site.page) for tab in TABS),
        (version + "/cases/{case}/input", site.case_input),
        (version + "/{stem}.{kind}", site.version_file),
    ]
    routes = [Route(path, handler) for path, handler in gets]
    api_path = "/api/v1/{service}/{method}"
    routes.append(Route(api_path, api.answer, methods=["GET", "POST"]))
    routes.append(Route("/preferences", site.preferences, methods=["POST"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders), Middleware(GZipMiddleware, minimum_size=1024)],
        exception_handlers={404: site.missing},
    )


def preferences(request: Request) -> Preferences:
    """A viewer's choices; unknown ones are the defaults."""
    theme = request.cookies.get("theme", "system")
    keys = request.cookies.get("keys", "on") != "off"
    return Preferences(theme if theme in THEMES else "system", keys)


def local_url(text: str) -> str:
    """The path and query of a URL of this site; "/" for any other."""
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or not text.startswith("/") or text[1:2] in ("/", "\\"):
        return "/"
    return text


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; what is longer than FORM_BYTES_MAX is left out."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _version_name(request: Request) -> str:
    return f"models/{request.path_params['model']}/versions/{request.path_params['version']}"


def _html(page: Page) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Cookie"}
    return Response(page.html, page.status, headers, "text/html; charset=utf-8")


async def _file(content: Awaitable[str | None], stem: str, kind: str) -> Response:
    try:
        text = await content
    except ReaderError as error:
        return _failed(error)
    if text is None or kind not in MEDIA_TYPES:
        return Response("No such file.", 404)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in stem)
    headers = {"Content-Disposition": f'attachment; filename="{safe}.{kind}"'}
    headers["Cache-Control"] = "no-store"
    return Response(text, media_type=MEDIA_TYPES[kind], headers=headers)


def _failed(error: ReaderError) -> Response:
    status = {"missing": 404, "lost": 503}.get(error.failure.kind, 502)
    return Response(f"{error.failure.text} {error.failure.remedy}", status)
