"""The two logs, with what a test can do to them from outside."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log, LogReader, LogWriter, TopicSpec
from leadline.testing.servers.kafka import Kafka

LACKS = {
    ("local", "test_records_given_up_are_reported_once"): (
        "the embedded log never gives a record up: it tries again until it is closed"
    ),
}


class World:
    """A log, and clean ends for what a test opens."""

    url: str

    def __init__(self, ends: ExitStack) -> None:
        self._ends = ends

    def open(self, **options: str) -> Log:
        log = open_log(self.url, SystemClock(), options)
        self._ends.callback(log.close)
        return log

    def reader(self, log: Log, topic: str, partition: int = 0) -> LogReader:
        return self._ends.enter_context(closing(log.reader(topic, partition)))

    def writer(self, log: Log) -> LogWriter:
        return self._ends.enter_context(closing(log.writer()))

    def topic(self, log: Log, partitions: int = 1, retention_ms: int = -1) -> str:
        name = f"law-{secrets.token_hex(4)}"
        assert log.create([TopicSpec(name, partitions, retention_ms)]) == [name]
        return name

    def freeze(self) -> None:
        """The log does not answer any more."""
        raise NotImplementedError

    def thaw(self) -> None:
        """It goes on."""
        raise NotImplementedError

    def remove(self, topic: str) -> None:
        """Removes a topic behind the back of everybody."""
        raise NotImplementedError


class LocalWorld(World):
    def __init__(self, ends: ExitStack, path: Path) -> None:
        super().__init__(ends)
        self.url = f"local:{path}"
        self._path = path
        self._lock: sqlite3.Connection | None = None

    def freeze(self) -> None:
        self._lock = sqlite3.connect(self._path, isolation_level=None)
        self._ends.callback(self._lock.close)
        self._lock.execute("BEGIN EXCLUSIVE")

    def thaw(self) -> None:
        assert self._lock is not None
        self._lock.execute("ROLLBACK")

    def remove(self, topic: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


class KafkaWorld(World):
    def __init__(self, ends: ExitStack, server: Kafka) -> None:
        super().__init__(ends)
        self.url = f"kafka://{server.bootstrap}"
        self.server = server

    def freeze(self) -> None:
        self.server.pause()
        self._ends.callback(self.server.resume)

    def thaw(self) -> None:
        self.server.resume()

    def remove(self, topic: str) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.server.bootstrap)) as admin:
            admin.delete_topics([topic])
            while topic in admin.list_topics():
                pass


def _world(request: pytest.FixtureRequest, ends: ExitStack, kafka: str) -> World:
    name = request.node.originalname
    if (request.param, name) in LACKS:
        reason = LACKS[request.param, name]
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    if request.param == "local":
        return LocalWorld(ends, request.getfixturevalue("tmp_path") / "log.db")
    return KafkaWorld(ends, request.getfixturevalue(kafka))


@pytest.fixture(params=["local", "kafka"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A log that other tests use too."""
    with ExitStack() as ends:
        yield _world(request, ends, "kafka")


@pytest.fixture(params=["local", "kafka"])
def own_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A log of this test alone: it may be frozen."""
    with ExitStack() as ends:
        yield _world(request, ends, "own_kafka")
