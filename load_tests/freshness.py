"""From a label in Kafka to the changed figure at a client that watches over gRPC.

Owner and reader are processes of their own, the log is a real Kafka, the store PostgreSQL. First
the most that the owner takes in a second is measured; then half of that is sent for a while:
predictions with labels a little later, in columnar messages. A delay begins when the message of
labels is handed to the producer and ends when the watcher sees a number of labelled predictions
that holds it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import numpy as np
from load_tests.kafka_to_truth import owner_settings, write
from load_tests.measure import load_average
from load_tests.options import Options
from load_tests.owner_process import owner
from load_tests.reader_process import reader
from load_tests.result import Result
from load_tests.servers import CLOCK, World, world
from load_tests.traffic import CLASSES, Shape, time_ordered_ids

from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.port import LABELS, PREDICTIONS
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub
from leadline.wire.batches import encode_labels, encode_predictions

GOAL_MS = 250.0
ROWS = 900
SECONDS, WARM_SECONDS = 20.0, 5.0
LAG_MESSAGES = 5
INTERVAL_MS = 50
"""The least that a watcher may ask for; the default is a second."""
SHARES = (0.05, 0.5)


def run(options: Options) -> Result:
    """The delays at a small load and at half of the maximal one."""
    result = Result("freshness")
    with world(options.tools) as servers:
        most = maximal(servers, options)
        result.add("maximal load, wall clock", most, "events/s")
        for share in SHARES[-1:] if options.quick else SHARES:
            rate = most * share
            seconds = SECONDS if not options.quick else 4.0
            found = delays(servers, rate, seconds)
            result.data[f"{share:g}"] = sorted(found["delays"])
            result.data[f"{share:g} load"] = load_average()
            tell(result, share, rate, found)
    return result


def tell(result: Result, share: float, rate: float, found: dict[str, Any]) -> None:
    """The rows of one load."""
    name = f"at {share:.0%} of it ({rate / 1000:,.0f} k events/s)"
    for part in (50, 99):
        value = float(np.percentile(found["delays"], part))
        goal = GOAL_MS if part == 99 and share == max(SHARES) else None
        result.add(f"{name}, p{part}", value, "ms", goal=goal, at_least=False)
    result.add(f"{name}, really sent", found["sent"], "events/s")
    print(
        f"  {name}: p50 {np.percentile(found['delays'], 50):.0f} ms, "
        f"p99 {np.percentile(found['delays'], 99):.0f} ms, sent {found['sent']:,.0f}/s",
        flush=True,
    )


def maximal(servers: World, options: Options) -> float:
    """Events a second of wall time while the owner only catches up."""
    shape = Shape(options.size(1_000_000, 300_000))
    stream, expected = write(servers, shape)
    settings = owner_settings(servers, stream.name, 1, servers.store("PostgreSQL"))
    with owner(settings, expected.ends) as counting:
        return expected.events / float(counting.hear()["wall_s"])


def delays(servers: World, rate: float, seconds: float) -> dict[str, Any]:
    """Milliseconds of every message of labels but the first few."""
    stream, url = servers.stream(), servers.store("PostgreSQL")
    settings = owner_settings(servers, stream.name, 1, url)
    with owner(settings), reader({"store_url": url}) as (address, _):
        sender = Sender(servers, stream, rate)
        sender.one()  # so that the model is known when the watcher asks for it
        watcher = Watcher(address)
        watcher.start()
        began = time.monotonic()
        sent = sender.send(WARM_SECONDS + seconds)
        took = time.monotonic() - began
        watcher.wait(sender.labelled, 30.0)
        watcher.close()
    warm = int(len(sender.sent) * WARM_SECONDS / (WARM_SECONDS + seconds))
    seen_at, totals = np.array(watcher.at), np.array(watcher.labelled)
    found = []
    for at, total in sender.sent[warm:]:
        place = int(np.searchsorted(totals, total))
        if place < len(totals):
            found.append((seen_at[place] - at) * 1000)
    return {"delays": found, "sent": sent / took}


class Sender:
    """Writes predictions, and labels of those of some messages before, at a steady rate."""

    def __init__(self, servers: World, stream: Any, rate: float) -> None:
        self.sent: list[tuple[float, int]] = []
        self.labelled = 0
        self._stream, self._writer = stream, servers.log.writer()
        self._rng = np.random.default_rng(3)
        self._pause = 2 * ROWS / rate
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        scores = self._rng.dirichlet(np.full(CLASSES, 0.3), ROWS).astype(np.float32)
        self._scores, self._said = scores, scores.argmax(axis=1).astype(np.uint32)

    def one(self) -> int:
        """One message of predictions, and one of labels when there are enough; events."""
        now = CLOCK.now_us()
        ids = time_ordered_ids(self._rng, ROWS, now // 1000, 1e9)
        times = np.full(ROWS, now)
        header = PredictionHeader("m", "1", "m", class_count=CLASSES)
        batch = PredictionBatch(header, ids, times, self._said, scores=self._scores)
        self._writer.append(self._stream.topic(PREDICTIONS), 0, encode_predictions(batch))
        self._waiting.append((ids, self._said))
        if len(self._waiting) <= LAG_MESSAGES:
            return ROWS
        ids, said = self._waiting.pop(0)
        labels = encode_labels(LabelBatch(LabelHeader("m"), ids, times, said))
        self.labelled += ROWS
        self.sent.append((time.time(), self.labelled))
        self._writer.append(self._stream.topic(LABELS), 0, labels)
        return 2 * ROWS

    def send(self, seconds: float) -> int:
        """Keeps the rate for so long; returns the events."""
        begin = due = time.monotonic()
        events = 0
        while due - begin < seconds:
            events += self.one()
            due += self._pause
            SystemClock().sleep(max(due - time.monotonic(), 0.0))
        self._writer.flush(30)
        self._writer.close()
        return events


class Watcher(threading.Thread):
    """Notes when which number of labelled predictions was seen."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.at: list[float] = []
        self.labelled: list[int] = []
        self._channel = grpc.insecure_channel(address)
        self._request = messages.WatchSummaryRequest()
        self._request.scope.name = "models/m/versions/1"
        self._request.scope.last.FromSeconds(3_600)
        self._request.min_interval.FromMilliseconds(INTERVAL_MS)

    def run(self) -> None:
        stub = EvaluationServiceStub(self._channel)
        while True:
            try:
                for answer in stub.WatchSummary(self._request):
                    self.at.append(time.time())
                    self.labelled.append(answer.summary.basis.labelled)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    return
                SystemClock().sleep(0.1)  # nothing is counted yet

    def wait(self, total: int, seconds: float) -> None:
        """Returns when that many were seen, or the time has passed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (not self.labelled or self.labelled[-1] < total):
            SystemClock().sleep(0.05)

    def close(self) -> None:
        self._channel.close()
