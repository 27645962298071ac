"""The same joined count elsewhere: the confusion matrix of predictions and labels, joined by id.

Quix Streams and plain consumers read exactly the topics that the owner reads. Their matrix is
compared with the expected one too. The owner does more: it also counts ranks, delays, curves and
histories, keeps what waits on disk, corrects, and commits to PostgreSQL.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from load_tests.kafka_to_truth import count
from load_tests.measure import median
from load_tests.options import Options
from load_tests.plain_peers import peer
from load_tests.result import Result
from load_tests.servers import CLOCK, World, world
from load_tests.traffic import CLASSES, Expected, Shape, fill, fill_singles

GOAL_RATIO = 10.0
SINGLES, COLUMNAR, COLUMNAR_QUIX = 100_000, 1_000_000, 300_000
WARM = 1
"""Messages before the clock of Quix Streams starts: joining its group is not counted."""
RUNS = 3


def run(options: Options) -> Result:
    """Single-row and columnar messages."""
    result = Result("peers")
    python = options.tools / "quix" / "bin" / "python"
    with world(options.tools) as servers:
        singles(servers, options, python, result)
        columnar(servers, options, python, result)
    return result


def singles(servers: World, options: Options, python: Path, result: Result) -> None:
    """One row a message, keyed by the id."""
    shape = Shape(options.size(SINGLES, 5_000), rows=1)
    stream = servers.stream()
    expected = fill_singles(servers.log, stream, shape, CLOCK.now_us())
    words = names(servers, stream)
    rates: dict[str, list[float]] = {"owner": [], "Quix Streams": [], "dictionary": []}
    for turn in range(options.runs(RUNS)):
        rates["owner"].append(count(servers, shape, (stream, expected), "PostgreSQL")["rate"])
        rates["dictionary"].append(plain("dictionary", words, expected))
        if python.exists():
            rates["Quix Streams"].append(
                quix(python, {**words, "way": "join", "group": f"g{turn}"}, expected, result)
            )
    tell(result, "single-row messages", rates)


def columnar(servers: World, options: Options, python: Path, result: Result) -> None:
    """2,700 rows a message. Quix Streams counts fewer of them, since it takes its time."""
    big = Shape(options.size(COLUMNAR, 40_000), plain=True)
    small = Shape(options.size(COLUMNAR_QUIX, 20_000), plain=True)
    streams = []
    for shape in (big, small):
        stream = servers.stream()
        streams.append((stream, fill(servers.log, stream, shape, CLOCK.now_us())))
    rates: dict[str, list[float]] = {"owner": [], "Quix Streams": [], "dictionary": [], "numpy": []}
    for turn in range(options.runs(RUNS)):
        rates["owner"].append(count(servers, big, streams[0], "PostgreSQL")["rate"])
        for way in ("dictionary", "numpy"):
            rates[way].append(plain(way, names(servers, streams[0][0]), streams[0][1]))
        if python.exists():
            stream, expected = streams[1]
            words = {**names(servers, stream), "way": "columns", "group": f"c{turn}"}
            rates["Quix Streams"].append(quix(python, words, expected, result))
    tell(result, "2,700 rows a message", rates)


def tell(result: Result, what: str, rates: dict[str, list[float]]) -> None:
    """A row for each, and the ratios within the runs."""
    unit = "events/CPU-s"
    own = rates.pop("owner")
    result.add(f"{what}, owner", own, unit)
    for name, found in rates.items():
        if not found:
            continue
        ratios = [one / other for one, other in zip(own, found, strict=True)]
        result.add(f"{what}, {name}", found, unit)
        goal = GOAL_RATIO if name == "Quix Streams" else None
        result.add(f"{what}, owner / {name}", ratios, "ratio", goal=goal)
        print(f"  {what}: {median(own):,.0f}, {name} {median(found):,.0f}", flush=True)


def names(servers: World, stream: Any) -> dict[str, str]:
    """Where the topics are."""
    topics = {name: stream.topic(name) for name in ("predictions", "labels")}
    return {"bootstrap": servers.bootstrap, **topics}


def plain(way: str, words: dict[str, str], expected: Expected) -> float:
    """Events a CPU-second of a plain consumer."""
    found = peer(way, words)
    same(found["matrix"], expected)
    return expected.events / float(found["cpu_s"])


def quix(python: Path, words: dict[str, Any], expected: Expected, result: Result) -> float:
    """Events a CPU-second of Quix Streams."""
    messages = sum(expected.ends[0])
    warm = WARM
    given = json.dumps({**words, "messages": messages, "warm": warm})
    services = Path(__file__).parents[1] / "services"
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("quix_peer.py")), given],
        env={**os.environ, "PYTHONPATH": str(services)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    same(found["matrix"], expected)
    result.data["quix_streams"] = found["version"]
    return expected.events * (1 - warm / messages) / float(found["cpu_s"])


def same(triples: list[list[int]], expected: Expected) -> None:
    """Raises AssertionError when a peer counted something else."""
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for true, said, found in triples:
        matrix[true, said] = found
    assert np.array_equal(matrix, expected.matrix), f"{matrix}\n{expected.matrix}"
