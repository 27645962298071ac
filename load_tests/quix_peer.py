"""The joined count on Quix Streams, in the environment that `make .tools/quix.installed` makes.

    .tools/quix/bin/python load_tests/quix_peer.py WORDS_AS_JSON

Two ways, each the best that could be found for its messages:

join     single-row messages keyed by the id: `join_asof` of labels with predictions, the way its
         documentation shows for such a join; the state is in RocksDB.
columns  columnar messages: both topics concatenated, a stateful update that puts each row's class
         under its id into the state and looks the labels' ids up.

Both without changelog topics and at least once (cheaper than what Quix Streams needs to survive a
crash of the machine), protobuf parsed by the C library, values as bytes or small numbers, counts in
one plain `Counter`, checkpoints every five seconds, buffers ten times the default.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from typing import Any

from quixstreams import Application

from leadline.v1 import events_pb2


def joined(app: Application, predictions: Any, labels: Any, counted: Counter) -> Any:
    """Single rows by `join_asof`."""
    said = app.dataframe(predictions).apply(
        lambda value: events_pb2.PredictionBatch.FromString(value).predicted_class[0] + 1
    )  # plus one, since a joined 0 is taken for nothing
    true = app.dataframe(labels).apply(
        lambda value: events_pb2.LabelBatch.FromString(value).true_class[0]
    )

    def count(pair: tuple[int, int]) -> None:
        counted[pair] += 1

    both = true.join_asof(said, how="inner", on_merge=lambda left, right: (left, right - 1))
    return both.update(count)


def columns(app: Application, predictions: Any, labels: Any, counted: Counter) -> Any:
    """Columnar messages by state."""

    def parsed(kind: Any, field: str) -> Any:
        def parse(value: bytes) -> tuple[bool, Any, Any]:
            batch = kind.FromString(value)
            ids = batch.id
            return (
                field == "true_class",
                zip(ids[::2], ids[1::2], strict=True),
                getattr(batch, field),
            )

        return parse

    said = app.dataframe(predictions).apply(parsed(events_pb2.PredictionBatch, "predicted_class"))
    true = app.dataframe(labels).apply(parsed(events_pb2.LabelBatch, "true_class"))

    def count(batch: tuple[bool, Any, Any], state: Any) -> None:
        is_label, ids, classes = batch
        if not is_label:
            for (high, low), said in zip(ids, classes, strict=True):
                state.set(f"{high:x}{low:x}", said)
            return
        for (high, low), true_class in zip(ids, classes, strict=True):
            found = state.get(f"{high:x}{low:x}")
            if found is not None:
                counted[true_class, found] += 1

    return said.concat(true).update(count, stateful=True)


def main() -> None:
    """Counts until so many messages were processed; says what it took."""
    words = json.loads(sys.argv[1])
    messages, seen, began = words["messages"], [0, 0.0, 0.0], []
    counted: Counter = Counter()

    def processed(*_place: Any) -> None:
        seen[0] += 1
        if seen[0] == words["warm"]:
            began[:] = [time.process_time(), time.perf_counter()]
        if seen[0] == messages:
            seen[1:] = [time.process_time() - began[0], time.perf_counter() - began[1]]
            app.stop()

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=words["bootstrap"],
            consumer_group=words["group"],
            auto_offset_reset="earliest",
            state_dir=folder,
            use_changelog_topics=False,
            loglevel=None,
            auto_create_topics=False,
            max_partition_buffer_size=100_000,
            on_message_processed=processed,
            consumer_extra_config={"fetch.min.bytes": 1 << 20, "fetch.wait.max.ms": 50},
        )
        topics = [
            app.topic(words[name], value_deserializer="bytes", key_deserializer="bytes")
            for name in ("predictions", "labels")
        ]
        build = joined if words["way"] == "join" else columns
        build(app, *topics, counted)
        app.run()
    matrix = [[true, said, count] for (true, said), count in sorted(counted.items())]
    print(
        json.dumps(
            {
                "cpu_s": seen[1],
                "wall_s": seen[2],
                "matrix": matrix,
                "version": version("quixstreams"),
            }
        )
    )


if __name__ == "__main__":
    main()
