"""From a real Kafka to committed truth: events a CPU-second of the owner's process.

Columnar messages, ten scores a prediction, confusion, ranks, delays, histories and curves counted;
duplicates, corrections, unmatched labels, a quarter of the labels first. Every result is compared
with an independent count. Events are the rows of both topics.
"""

from __future__ import annotations

from typing import Any

from load_tests.measure import load_average, median
from load_tests.options import Options
from load_tests.owner_process import owner
from load_tests.result import Result
from load_tests.servers import CLOCK, World, world
from load_tests.traffic import Expected, Shape, fill
from load_tests.truth_check import check

GOAL_EVENTS = 1_500_000.0
ROWS = (2_700, 270, 27)
LINEAR_PARTITIONS = (1, 4, 16)
LINEAR_MODELS = (1, 10, 800)
RUNS = 3


def run(options: Options) -> Result:
    """All shapes of traffic, each counted several times into new stores."""
    result = Result("kafka_to_truth")
    big, small = options.size(1_000_000, 40_000), options.size(500_000, 40_000)
    with world(options.tools) as servers:
        for rows in ROWS:
            shape = Shape(big if rows == ROWS[0] else small, rows)
            stores = ("PostgreSQL", "SQLite") if rows == ROWS[0] else ("PostgreSQL",)
            written = write(servers, shape)
            for store in stores:
                runs = [count(servers, shape, written, store) for _ in range(options.runs(RUNS))]
                goal = GOAL_EVENTS if rows == ROWS[0] else None
                tell(result, f"{rows} rows a message, {store}", runs, goal)
        result.data["linear"] = linear(servers, big, options, result)
    return result


def linear(servers: World, size: int, options: Options, result: Result) -> list[dict[str, Any]]:
    """One table: the same work over more partitions and more models."""
    found = []
    shapes = [Shape(size, partitions=each) for each in LINEAR_PARTITIONS]
    shapes += [Shape(size, models=each) for each in LINEAR_MODELS if each > 1]
    written = [write(servers, shape) for shape in shapes]
    runs: list[list[dict[str, float]]] = [[] for _ in shapes]
    for _ in range(options.runs(RUNS)):  # in turn, so that what else runs here meets all alike
        for at, shape in enumerate(shapes):
            runs[at].append(count(servers, shape, written[at], "PostgreSQL"))
    for shape, each in zip(shapes, runs, strict=True):
        name = f"{shape.partitions} partitions, {shape.models} models"
        rate = tell(result, name, each)
        found.append({"partitions": shape.partitions, "models": shape.models, "rate": rate})
    return found


def write(servers: World, shape: Shape) -> tuple[Any, Expected]:
    """A new stream with that traffic."""
    stream = servers.stream(shape.partitions)
    return stream, fill(servers.log, stream, shape, CLOCK.now_us())


def count(
    servers: World, shape: Shape, written: tuple[Any, Expected], store: str, **changes: Any
) -> dict[str, float]:
    """One owner counts a stream into a new store; what it took, after the result was checked."""
    stream, expected = written
    url = servers.store(store)
    settings = owner_settings(servers, stream.name, shape.partitions, url) | changes
    with owner(settings, expected.ends) as counting:
        found = counting.hear()
    check(url, stream, expected)
    rate = expected.events / found["cpu_s"]
    return {**found, "rate": rate, "events": expected.events, "load": load_average()}


def owner_settings(servers: World, stream: str, partitions: int, url: str) -> dict[str, Any]:
    """Settings of an owner of all partitions."""
    return {
        "log_url": servers.log_url,
        "store_url": url,
        "stream": stream,
        "partitions": partitions,
        "health_address": "",
        "cache_dir": str(servers.new_folder()),
    }


def tell(
    result: Result, name: str, runs: list[dict[str, float]], goal: float | None = None
) -> float:
    """Adds the rate of the runs; returns its median."""
    result.add(name, [each["rate"] for each in runs], "events/CPU-s", goal=goal)
    result.data.setdefault("runs", {})[name] = runs
    print(f"  {name}: {median(each['rate'] for each in runs):,.0f} events/CPU-s", flush=True)
    return median(each["rate"] for each in runs)
