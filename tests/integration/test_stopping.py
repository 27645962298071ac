"""SIGTERM while the store or the log hangs: the process ends in time, and the truth is whole."""

from __future__ import annotations

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest

from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.cells import CellKind
from leadline.records.ids import pack_ids
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.store.open import open_store
from leadline.testing.servers.process import free_port, until
from leadline.wire.batches import encode_labels, encode_predictions

CLOCK = SystemClock()
BUDGET = 6.0
SLACK = 3.0  # two busy cores
DEADLINE = 60.0
ROWS = 20
OWNER = {
    "health_address": "",
    "idle_wait_seconds": "0.02",
    "retry_seconds": "0.2",
    "compact_seconds": "0.2",
}


class World:
    """A stream, its truth, and owner processes that count it."""

    def __init__(self, folder, log_url, store_url):
        self.folder, self.log_url, self.store_url = folder, log_url, store_url
        self.stream = Stream(f"s{secrets.token_hex(4)}", 1)
        self.sent = 0
        with closing(open_log(log_url, CLOCK)) as log:
            ensure_topics(log, self.stream)
        with closing(open_store(store_url)) as store:
            store.migrate()

    def send(self, batches):
        with closing(open_log(self.log_url, CLOCK)) as log, closing(log.writer()) as writer:
            for _ in range(batches):
                numbers = range(self.sent, self.sent + ROWS)
                self.sent += ROWS
                ids = pack_ids([number.to_bytes(16, "big") for number in numbers])
                said = np.array(numbers, np.uint32) % 4
                now = np.full(ROWS, CLOCK.now_us())
                told = PredictionBatch(PredictionHeader("m", "1", "m"), ids, now, said)
                true = LabelBatch(LabelHeader("m"), ids, now, said)
                writer.append(self.stream.topic(PREDICTIONS), 0, encode_predictions(told))
                writer.append(self.stream.topic(LABELS), 0, encode_labels(true))

    @contextmanager
    def serving(self, service="owner", budget=BUDGET, **settings):
        """A process that is to end within the budget; killed at the end if it lives."""
        given = {
            "log_url": self.log_url,
            "store_url": self.store_url,
            "stream": self.stream.name,
            **(OWNER if service == "owner" else {}),
            **settings,
        }
        prefix = f"LEADLINE_{service.upper()}_"
        environ = {name: text for name, text in os.environ.items() if "LEADLINE" not in name}
        environ |= {prefix + name.upper(): text for name, text in given.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "leadline", "serve", service, "--stop-seconds", str(budget)],
            env=environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=20)

    def counted(self):
        with closing(open_store(self.store_url)) as store, store.snapshot() as snapshot:
            cells = snapshot.cells(None, [CellKind.CONFUSION])
            return sum(
                int(found.count.sum())
                for shard, found in cells.items()
                if shard == self.stream.shard(0)
            )

    def vector(self):
        with closing(open_store(self.store_url)) as store:
            state = store.shard(self.stream.shard(0))
        return state.p, state.l

    def until_counted(self):
        until(lambda: self.counted() == self.sent, DEADLINE, "everything counted")


def told_to_end(process):
    """Seconds from SIGTERM to the end, and what it said."""
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=DEADLINE)
    return time.monotonic() - before, said


def sqlite_world(tmp_path):
    return World(tmp_path, f"local:{tmp_path / 'log.db'}", f"sqlite:{tmp_path / 'truth.db'}")


def test_an_owner_that_nothing_holds_up_ends_at_once(tmp_path):
    world = sqlite_world(tmp_path)
    world.send(3)
    with world.serving() as process:
        world.until_counted()
        took, said = told_to_end(process)
        assert process.returncode == 0
    assert took < BUDGET / 2
    assert "by force" not in said


def test_an_owner_whose_store_is_locked_ends_in_time_and_has_counted_nothing_by_half(tmp_path):
    """SQLite waits 10 s for a lock that another process holds: longer than the budget."""
    world = sqlite_world(tmp_path)
    world.send(3)
    health = f"127.0.0.1:{free_port()}"
    with world.serving(health_address=health) as process:
        world.until_counted()
        with closing(sqlite3.connect(tmp_path / "truth.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            world.send(3)
            until(lambda: failures(health) > 0, DEADLINE, "a commit that has waited once")
            took, _ = told_to_end(process)
            assert world.vector() == (3, 3)
            lock.execute("ROLLBACK")
    assert took < BUDGET + SLACK
    with world.serving():
        world.until_counted()
    assert world.vector() == (6, 6)


def failures(health):
    """What the owner says about commits that did not come through."""
    try:
        with urllib.request.urlopen(f"http://{health}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("leadline_owner_failures_total")]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.fixture
def world_on_postgres(tmp_path, own_postgres):
    return World(tmp_path, f"local:{tmp_path / 'log.db'}", own_postgres.uri)


@contextmanager
def frozen_in_a_commit(world, server):
    """The server stops answering while the owner waits in a commit for the row of its shard."""
    with psycopg.connect(server.uri) as lock, psycopg.connect(server.uri, autocommit=True) as look:
        lock.execute("SELECT * FROM shards WHERE shard = %s FOR UPDATE", [world.stream.shard(0)])
        world.send(3)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: look.execute(waiting).fetchone()[0], DEADLINE, "a commit under way")
        server.pause()
        try:
            yield
        finally:
            server.resume()


def test_an_owner_whose_server_is_frozen_ends_in_time(world_on_postgres, own_postgres):
    """The kernel of a frozen server still acknowledges: no timeout of TCP ends that wait."""
    world = world_on_postgres
    world.send(3)
    with world.serving() as process:
        world.until_counted()
        with frozen_in_a_commit(world, own_postgres):
            took, _ = told_to_end(process)
    assert took < BUDGET + SLACK
    assert world.vector() in {(3, 3), (6, 6)}  # the server may do it yet, whole
    with world.serving():
        world.until_counted()
    assert world.vector() == (6, 6)


def test_with_a_longer_budget_the_same_owner_waits_longer(world_on_postgres, own_postgres):
    """The control: the store does hold the process up, and the budget is what ends that."""
    world = world_on_postgres
    world.send(3)
    with world.serving(budget=600) as process:
        world.until_counted()
        with frozen_in_a_commit(world, own_postgres):
            took, _ = told_to_end(process)
    assert took > BUDGET + SLACK


@pytest.mark.parametrize("service", ["owner", "reader"])
def test_a_service_that_hangs_at_its_start_ends_in_time(world_on_postgres, own_postgres, service):
    """The reader's main thread itself waits then, and no event loop runs."""
    world = world_on_postgres
    port = own_postgres.uri.rpartition(":")[2].partition("/")[0]
    own_postgres.pause()
    try:
        with world.serving(service) as process:
            until(lambda: connected(process, int(port)), DEADLINE, "it connects")
            took, _ = told_to_end(process)
    finally:
        own_postgres.resume()
    assert took < BUDGET + SLACK


def connected(process, port):
    """Whether a connection to that port of the loopback is open or opening."""
    rows = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {row.split()[9] for row in rows if row.split()[2].endswith(f":{port:04X}")}
    held = set()
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            held.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    return bool(inodes & held)


def test_an_owner_whose_log_is_frozen_ends_in_time(tmp_path, own_kafka):
    world = World(tmp_path, f"kafka://{own_kafka.bootstrap}", f"sqlite:{tmp_path / 'truth.db'}")
    world.send(3)
    with world.serving() as process:
        world.until_counted()
        own_kafka.pause()
        try:
            took, _ = told_to_end(process)
        finally:
            own_kafka.resume()
    assert took < BUDGET + SLACK
    assert world.counted() == world.sent
