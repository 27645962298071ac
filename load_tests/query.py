"""Questions over 30 days, over gRPC from a reader in a process of its own.

Blocks are rolled up by the default retention; the newest days lie by the minute. "Cold" is the
first answer after a commit, so that nothing of it is kept from before; "cached" is asked again at
the same vector.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psycopg
from load_tests import history
from load_tests.measure import cpu_of
from load_tests.options import Options
from load_tests.reader_process import reader
from load_tests.result import Result

from leadline.runtime.clock import SystemClock
from leadline.runtime.store.open import open_store
from leadline.runtime.store.resolution import Retention
from leadline.testing.servers.postgres import Postgres
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub

GOAL_MS = 100.0
CLASSES = (10, 214, 1_000)
PER_DAY = 333_333
"""Ten million labelled predictions in the window."""
DAYS = 30
CALLS = 100


def run(options: Options) -> Result:
    """Every number of classes, on PostgreSQL, and the largest on SQLite too."""
    result = Result("query")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = Postgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        for classes in CLASSES:
            name = f"c{classes}"
            one(result, options, classes, "PostgreSQL", _database(postgres, name))
        one(result, options, CLASSES[-1], "SQLite", f"sqlite:{folder}/truth.sqlite")
    return result


def _database(postgres: Postgres, name: str) -> str:
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.uri_of(name)


def one(result: Result, options: Options, classes: int, kind: str, url: str) -> None:
    """Fills a store and asks it."""
    store: Any = open_store(url)
    store.migrate()
    now_us = SystemClock().now_us()
    per_day = options.size(PER_DAY, 2_000)
    written = history.fill(
        store, classes=classes, per_day=per_day, days=DAYS, now_us=now_us, retention=Retention()
    )
    with reader({"store_url": url}) as (address, process):
        asked = Asked(address, store, classes, process.pid)
        times, cpu = asked.ask(options.size(CALLS, 5), written)
    store.close()
    for name, milliseconds in cpu.items():
        what = f"{classes} classes, {kind}, {name}, the reader's processor"
        result.add(what, milliseconds, "ms CPU")
    for name, found in times.items():
        goal = GOAL_MS if "summary" in name else None
        for share in (50, 99):
            value = float(np.percentile(found, share))
            what = f"{classes} classes, {kind}, {name}, p{share}"
            result.add(what, value, "ms", goal=goal if share == 99 else None, at_least=False)
    print(f"  {classes} {kind}: " + told(times), flush=True)
    result.data[f"{classes} {kind}"] = {name: sorted(found) for name, found in times.items()}


def told(times: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{name} {np.percentile(found, 50):.1f} / {np.percentile(found, 99):.1f} ms"
        for name, found in times.items()
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A reader that is asked, and the store that it answers out of."""

    address: str
    store: Any
    classes: int
    pid: int

    def ask(self, calls: int, written: int) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Milliseconds of each call, and the reader's processor time of a call, by question."""
        rng = np.random.default_rng(1)
        times: dict[str, list[float]] = {}
        used: dict[str, float] = {}
        channel = grpc.insecure_channel(
            self.address, [("grpc.max_receive_message_length", 64 << 20)]
        )
        stub = EvaluationServiceStub(channel)
        scope = messages.Scope(name="models/m/versions/1")
        scope.last.FromSeconds(DAYS * 86_400)
        summary = messages.GetSummaryRequest(scope=scope)
        first = stub.GetSummary(summary)
        assert first.summary.accuracy.trials > 0.98 * written * (1 - 1 / DAYS)
        questions = (
            ("summary cold", stub.GetSummary, summary, calls, True),
            ("summary cached", stub.GetSummary, summary, calls, False),
            (
                "matrix cached",
                stub.GetConfusionMatrix,
                messages.GetConfusionMatrixRequest(scope=scope),
                calls,
                False,
            ),
            (
                "timeline cold",
                stub.GetTimeline,
                messages.GetTimelineRequest(scope=scope),
                max(2, calls // 20),
                True,
            ),
        )
        for name, call, request, number, cold in questions:
            before = cpu_of(self.pid)
            for _ in range(number):
                if cold:
                    minute = int(time.time()) // 60
                    cells = history.cells_of(rng, minute, 20, self.classes, 0)
                    history.commit(self.store, cells, minute)
                began = time.perf_counter()
                call(request)
                times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
            used[name] = (cpu_of(self.pid) - before) * 1000 / number
        channel.close()
        return times, used
