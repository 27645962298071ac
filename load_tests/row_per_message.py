"""Single-row messages: what the owner counts, beside what the bare client can read at all.

The peer polls both topics with the same client in a process of its own and does nothing with what
it gets; it is the most that any consumer on this client reaches.
"""

from __future__ import annotations

from load_tests.kafka_to_truth import count
from load_tests.measure import median
from load_tests.options import Options
from load_tests.plain_peers import peer
from load_tests.result import Result
from load_tests.servers import CLOCK, world
from load_tests.traffic import Shape, fill_singles

GOAL_RATIO = 0.85
MESSAGES = 150_000
RUNS = 3


def run(options: Options) -> Result:
    """Owner and bare client in turn over the same topics."""
    result = Result("row_per_message")
    shape = Shape(options.size(MESSAGES, 5_000), rows=1)
    with world(options.tools) as servers:
        stream = servers.stream()
        expected = fill_singles(servers.log, stream, shape, CLOCK.now_us())
        words = {
            "bootstrap": servers.bootstrap,
            "predictions": stream.topic("predictions"),
            "labels": stream.topic("labels"),
        }
        runs, bare = [], []
        for _ in range(options.runs(RUNS)):
            bare.append(expected.events / peer("poll", words)["cpu_s"])
            runs.append(count(servers, shape, (stream, expected), "PostgreSQL")["rate"])
    ratio = median(own / other for own, other in zip(runs, bare, strict=True))
    result.add("owner", runs, "events/CPU-s", peer="bare client", ratio=ratio)
    result.add("bare client, poll only", bare, "events/CPU-s")
    result.add(
        "owner / bare client",
        [own / other for own, other in zip(runs, bare, strict=True)],
        "ratio",
        goal=GOAL_RATIO,
    )
    return result
