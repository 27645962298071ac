"""The real components, as fixtures: started when a test first asks, stopped at the end.

Servers are shared by the whole session; what a test writes to is its own: `new_topic` makes a
topic, `postgres_database` a database. A test that crashes or freezes a server takes its own
(`own_kafka`, `own_postgres`). Nothing is skipped: a missing program fails with what to install.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from leadline.demo.filetype_data import read_model
from leadline.testing.servers.chromium import Chromium, find_chromium
from leadline.testing.servers.kafka import Kafka, fetch_jars
from leadline.testing.servers.postgres import Postgres
from leadline.testing.servers.prometheus import Prometheus
from leadline.testing.servers.triton import Installation

TOOLS = Path(__file__).resolve().parents[1] / ".tools"
# A crash of the server loses nothing that the system has taken over; only one of the machine does.
FAST = {"fsync": "off"}


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder of Kafka's jars, fetched when `make tools` has not."""
    return fetch_jars(TOOLS / "kafka")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Kafka]:
    """A running Kafka node, shared: do not stop, kill or pause it."""
    server = Kafka(tmp_path_factory.mktemp("kafka"), kafka_jars)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_kafka(tmp_path: Path, kafka_jars: Path) -> Iterator[Kafka]:
    """A running Kafka node of this test alone."""
    server = Kafka(tmp_path / "kafka", kafka_jars)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def new_topic(kafka: Kafka) -> Callable[..., str]:
    """Makes a topic of a name of its own on `kafka`, as the services want it; returns the name.

    `new_topic("labels", partitions=3, retention_ms="60000")`: options are topic settings with
    underscores for dots.
    """

    def make(stem: str = "topic", partitions: int = 1, **settings: str) -> str:
        name = f"{stem}-{secrets.token_hex(4)}"
        given = {key.replace("_", "."): value for key, value in settings.items()}
        kafka.create_topic(name, partitions, given)
        return name

    return make


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL server, shared: do not stop, kill or pause it."""
    server = Postgres(tmp_path_factory.mktemp("postgres"), FAST)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A running PostgreSQL server of this test alone."""
    server = Postgres(tmp_path / "postgres", FAST)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """The URI of an empty database of this test alone, dropped after it."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.uri, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    yield postgres.uri_of(name)
    with psycopg.connect(postgres.uri, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def triton_tools() -> Path:
    """The folder that `Triton` takes as `tools`, known to be complete."""
    Installation.find(TOOLS)
    return TOOLS


@pytest.fixture(scope="session")
def file_model_tools(triton_tools: Path) -> Path:
    """The same, with the model of file types."""
    read_model(triton_tools)
    return triton_tools


@pytest.fixture
def prometheus_factory(tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Starts a Prometheus for targets, and rules if given; stopped after the test."""
    with ExitStack() as running:

        def make(targets: Sequence[str], rules: Sequence[Path] = ()) -> Prometheus:
            server = Prometheus(tmp_path / f"prometheus-{secrets.token_hex(4)}", targets, rules)
            server.start()
            running.callback(server.stop)
            return server

        yield make


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """The system's browser for Playwright."""
    return find_chromium()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the services do."""
    return "asyncio"
