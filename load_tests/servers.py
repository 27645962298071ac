"""The real components that scenarios run on, in a folder that goes away."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.testing.servers.kafka import Kafka, fetch_jars
from leadline.testing.servers.postgres import Postgres

CLOCK = SystemClock()


class World:
    """A Kafka and a PostgreSQL, and as many streams and stores in them as wanted."""

    def __init__(self, stack: ExitStack, tools: Path, *, postgres: bool) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = Kafka(self.folder / "kafka", fetch_jars(tools / "kafka"))
        kafka.start()
        stack.callback(kafka.stop)
        self.bootstrap = kafka.bootstrap
        self.log_url = f"kafka://{kafka.bootstrap}"
        self.log: Log = open_log(self.log_url, CLOCK)
        stack.callback(self.log.close)
        self._postgres: Postgres | None = None
        if postgres:
            self._postgres = Postgres(self.folder / "postgres")
            self._postgres.start()
            stack.callback(self._postgres.stop)

    def stream(self, partitions: int = 1) -> Stream:
        """A new stream with its topics."""
        stream = Stream(f"b{secrets.token_hex(4)}", partitions)
        ensure_topics(self.log, stream)
        return stream

    def store(self, kind: str) -> str:
        """The address of a new store: "SQLite" or "PostgreSQL"."""
        name = f"t{secrets.token_hex(4)}"
        if kind == "SQLite":
            return f"sqlite:{self.folder / name}.sqlite"
        assert self._postgres is not None
        with psycopg.connect(self._postgres.uri, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._postgres.uri_of(name)

    def new_folder(self) -> Path:
        """An empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@contextmanager
def world(tools: Path, *, postgres: bool = True) -> Iterator[World]:
    """Starts the components; ended on leaving."""
    with ExitStack() as stack:
        yield World(stack, tools, postgres=postgres)
