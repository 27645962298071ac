"""The console as a service: one event loop with the pages and the channel to the reader."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leadline.console.app import Site, build_app
from leadline.console.hub import Hub
from leadline.console.json_api import JsonApi
from leadline.console.loader import Loader
from leadline.console.pages import Pages
from leadline.console.reader import Reader
from leadline.console.render import Renderer, Statics
from leadline.console.settings import ConsoleSettings
from leadline.records.errors import UsageError
from leadline.runtime.clock import Clock

BACKLOG = 512


class ConsoleService:
    """The web console.

    Args:
        settings: where it listens and whom it asks.
        clock: says how old figures are.
        registry: where its own health is exported; none by default.
    """

    def __init__(
        self, settings: ConsoleSettings, *, clock: Clock, registry: CollectorRegistry | None = None
    ) -> None:
        self._settings, self._clock = settings, clock
        self._hub = Hub(settings)
        self._reader: Reader | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        if registry is not None:
            registry.register(_Health(self._hub))

    @property
    def address(self) -> str:
        """Host and port at which it listens; the settings' until it is started."""
        if self._socket is None:
            return self._settings.listen_address
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Listens and answers; the reader need not be there yet.

        Raises:
            UsageError: the address cannot be listened on.
        """
        self._socket = _listen(self._settings.listen_address)
        statics = Statics()
        self._reader = Reader(self._settings.reader_address, self._settings.deadline_seconds)
        loader = Loader(self._reader, self._clock, self._settings)
        pages = Pages(loader, Renderer(statics), self._clock, self._settings)
        site = Site(pages, self._hub, self._reader, statics, self._settings)
        api = JsonApi(self._reader.channel, self._settings.deadline_seconds)
        app = build_app(site, api)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", server_header=False
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Ends live streams, lets open requests end within grace_seconds, and stops."""
        await self._hub.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            done, _ = await asyncio.wait([self._serving], timeout=grace_seconds)
            if not done:
                self._server.force_exit = True
                await asyncio.wait([self._serving], timeout=1.0)
        if self._reader is not None:
            await self._reader.close()
        if self._socket is not None:
            self._socket.close()


class _Server(uvicorn.Server):
    """Signals belong to whoever runs the services, not to one of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Health(Collector):
    """The console's own health, read at scrape time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Open live pages, and pages rendered for them."""
        yield GaugeMetricFamily(
            "leadline_console_viewers", "Open live pages.", value=self._hub.viewers
        )
        yield CounterMetricFamily(
            "leadline_console_renderings", "Live renderings.", value=self._hub.renderings
        )


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit():
        raise UsageError(f"listen_address {address!r} is not HOST:PORT.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
    except OSError as error:
        sock.close()
        raise UsageError(
            f"The console cannot listen on {address}: {error.strerror}.",
            "Set listen_address to a free port, or to port 0 for any.",
        ) from error
    sock.listen(BACKLOG)
    return sock
