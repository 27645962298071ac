"""Decoding many records in one call, against decoding them one by one: CPU-seconds of one core.

python load_tests/decode.py [--events 20000] [--repeats 7] [--json FILE]

Every case is the load of one commit: rows of 10 classes with scores, or labels, in one partition
of one. The peer decodes the same records one by one in the same run, and both are compared row by
row before they are timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leadline.records.batches import (
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
)
from leadline.wire.batches import (
    decode_labels,
    decode_predictions,
    encode_labels,
    encode_predictions,
)
from leadline.wire.many import Heads, decode_many_labels, decode_many_predictions

CLASSES = 10
PEER_MESSAGES_MAX = 1_000
"""Messages that the peer decodes; its time is scaled to all."""
HEAP_BYTES = 31 << 20
"""Allocated once and freed: an allocator that has seen large blocks, as an owner's has, does not
give memory back to the system at the end of each call."""
START_US = 1_767_225_600_000_000
Decode = Callable[[bytes, int, int], Any]
DecodeMany = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One load.

    Attributes:
        goal_ns: CPU nanoseconds an event that decoding at once may take; None: no goal.
    """

    name: str
    rows: int
    models: int = 1
    labels: bool = False
    goal_ns: float | None = None


CASES = (
    Case("predictions, 2,700 rows a message", 2_700, goal_ns=25),
    Case("labels, 2,700 rows a message", 2_700, labels=True, goal_ns=25),
    Case("predictions, 270 rows a message", 270),
    Case("predictions, 27 rows a message", 27, goal_ns=250),
    Case("predictions, 20 to 34 rows a message", 0, goal_ns=250),
    Case("labels, 27 rows a message", 27, labels=True, goal_ns=250),
    Case("predictions, a message a row", 1, goal_ns=500),
    Case("labels, a message a row", 1, labels=True, goal_ns=500),
    Case("predictions, a message a row, 10 models in turn", 1, models=10, goal_ns=500),
    Case("predictions, a message a row, 800 models in turn", 1, models=800),
)


def run(events: int = 20_000, repeats: int = 7, seed: int = 1) -> dict[str, Any]:
    """The figures of every case.

    Args:
        events: rows decoded in one call, about.
        repeats: medians are over these.
        seed: of ids and scores.
    """
    random = np.random.default_rng(seed)
    np.ones(HEAP_BYTES // 8)
    results = [_measure(case, events, repeats, random) for case in CASES]
    return {"scenario": "decode", "events": events, "repeats": repeats, "cases": results}


def _measure(case: Case, events: int, repeats: int, random: np.random.Generator) -> dict[str, Any]:
    values = _messages(case, events, random)
    one: Decode = decode_labels if case.labels else decode_predictions
    many: DecodeMany = decode_many_labels if case.labels else decode_many_predictions
    count = _compare(values, one, many)
    at_once, singly, few = [], [], values[:PEER_MESSAGES_MAX]
    heads = Heads()
    for _ in range(repeats):
        at_once.append(_cpu_seconds(lambda: many(values, 0, 1, heads)))
        singly.append(_cpu_seconds(lambda: [one(value, 0, 1) for value in few]))
    ours = statistics.median(at_once)
    peer = statistics.median(singly) * len(values) / len(few)
    return {
        "case": case.name,
        "messages": len(values),
        "events": count,
        "ns_per_event": ours / count * 1e9,
        "ns_per_message": ours / len(values) * 1e9,
        "one_by_one_ns_per_event": peer / count * 1e9,
        "times_faster": peer / ours,
        "goal_ns_per_event": case.goal_ns,
        "reached": case.goal_ns is None or ours / count * 1e9 <= case.goal_ns,
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _compare(values: Sequence[bytes], one: Decode, many: DecodeMany) -> int:
    """Rows of the load; fails when the two do not agree about every id."""
    decoded = many(values, 0, 1)
    expected = np.concatenate([one(value, 0, 1).batch.ids for value in values])
    record = np.concatenate([rows.record for rows in decoded.rows])
    ids = np.concatenate([rows.batch.ids for rows in decoded.rows])
    if not np.array_equal(ids[np.argsort(record, kind="stable")], expected):
        raise AssertionError("Decoding at once and one by one do not agree.")
    return len(expected)


def _messages(case: Case, events: int, random: np.random.Generator) -> list[bytes]:
    messages: list[bytes] = []
    while events > 0:
        rows = case.rows or int(random.integers(20, 35))
        model = f"model-{len(messages) % case.models:04}"
        messages.append(
            _labels(model, rows, random) if case.labels else _predictions(model, rows, random)
        )
        events -= rows
    return messages


def _predictions(model: str, n: int, random: np.random.Generator) -> bytes:
    scores = random.dirichlet(np.ones(CLASSES), n).astype(np.float32)
    header = PredictionHeader(
        model=model, version="7", task="animals", class_count=CLASSES,
        class_digest=0xED5CC083AE2BFA18, producer="checkout-service-0",
    )  # fmt: skip
    return encode_predictions(
        PredictionBatch(
            header=header,
            ids=random.integers(0, 2**64, (n, 2), np.uint64),
            event_time_us=START_US + np.arange(n),
            predicted=scores.argmax(axis=1).astype(np.uint32),
            scores=scores,
        )
    )


def _labels(task: str, n: int, random: np.random.Generator) -> bytes:
    header = LabelHeader(
        task=task, class_count=CLASSES, source="annotator", source_rank=10, producer="desk"
    )
    return encode_labels(
        LabelBatch(
            header=header,
            ids=random.integers(0, 2**64, (n, 2), np.uint64),
            label_time_us=START_US + np.arange(n),
            true_class=random.integers(0, CLASSES, n, np.uint32),
        )
    )


def main() -> int:
    """Prints the table; returns how many goals were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = run(given.events, given.repeats)
    print(f"{'case':<50}{'ns/event':>10}{'ns/message':>12}{'one by one':>12}{'faster':>8}  goal")
    for each in result["cases"]:
        goal = "" if each["goal_ns_per_event"] is None else f"{each['goal_ns_per_event']:.0f}"
        print(
            f"{each['case']:<50}{each['ns_per_event']:>10.1f}{each['ns_per_message']:>12.0f}"
            f"{each['one_by_one_ns_per_event']:>12.1f}{each['times_faster']:>7.1f}x  {goal}"
            f"{'' if each['reached'] else ' missed'}"
        )
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return sum(not each["reached"] for each in result["cases"])


if __name__ == "__main__":
    raise SystemExit(main())
