"""The gateway's own health, for Prometheus.

What other parts count already (queues, drops) is read from them at scrape time: nothing is counted
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leadline.gateway.handover import Depth
from leadline.runtime.producer import ProducerStats

SERIES_MAX = 1000
"""Model versions with series of their own; names come from callers, and others are "other"."""
OTHER = "other"
ADDED_BUCKETS = (0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class Telemetry:
    """Counters of the gateway.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "leadline_gateway_"
        self._requests = Counter(
            prefix + "requests",
            "Inference requests by the status that the caller got.",
            ["model", "version", "status"],
            registry=registry,
        )
        self.added = Histogram(
            prefix + "added_seconds",
            "Time that the gateway's own work adds to an inference request, without the network.",
            buckets=ADDED_BUCKETS,
            registry=registry,
        )
        self.unobserved = Counter(
            prefix + "unobserved",
            "Requests or rows that were answered and not logged, by reason.",
            ["reason"],
            registry=registry,
        )
        self.kept = Counter(
            prefix + "kept_rows", "Rows kept as candidate cases.", registry=registry
        )
        self._blobs = Counter(
            prefix + "blobs", "Inputs of kept rows, by outcome.", ["outcome"], registry=registry
        )
        self.failures = Counter(
            prefix + "read_failures",
            "Answers that could not be read because of a bug; its trace is in the log.",
            registry=registry,
        )
        self.triton_ready = Gauge(
            prefix + "triton_ready", "1 when Triton said that it is ready.", registry=registry
        )
        self._known: dict[tuple[str, str], Counter] = {}

    def answered(self, model: str, version: str, count: int = 1) -> None:
        """Counts inference requests that were answered."""
        key = (model, version)
        counter = self._known.get(key)
        if counter is None:
            if len(self._known) >= SERIES_MAX:
                model = version = OTHER
            counter = self._requests.labels(model, version, "OK")
            if model is not OTHER:
                self._known[key] = counter
        counter.inc(count)

    def refused(self, model: str, version: str, status: str) -> None:
        """Counts an inference request that failed; names that no answer ever had are "other"."""
        if (model, version) not in self._known:
            version = next((known[1] for known in self._known if known[0] == model), OTHER)
            model = model if version is not OTHER else OTHER
        self._requests.labels(model, version, status).inc()

    def blob(self, outcome: str) -> None:
        """Counts one kept input: stored, failed, late, too_large or queue_full."""
        self._blobs.labels(outcome).inc()


@dataclass(frozen=True, slots=True, eq=False)
class QueueCollector(Collector):
    """Depth and drops of the queues, read at scrape time.

    Attributes:
        depths: by queue, its depth now.
        producer: the producer's counts now.
    """

    depths: dict[str, Callable[[], Depth]]
    producer: Callable[[], ProducerStats]
    prefix: str = field(default="leadline_gateway_")

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        stats = self.producer()
        depths = {name: depth() for name, depth in self.depths.items()}
        items = GaugeMetricFamily(
            self.prefix + "queue_depth", "What waits, by queue.", labels=["queue"]
        )
        size = GaugeMetricFamily(
            self.prefix + "queue_bytes", "What waits in bytes, by queue.", labels=["queue"]
        )
        dropped = CounterMetricFamily(
            self.prefix + "dropped", "What a queue or the log did not take.", labels=["reason"]
        )
        for name, depth in depths.items():
            items.add_metric([name], depth.items)
            size.add_metric([name], depth.bytes)
            dropped.add_metric([f"{name}_queue_full"], depth.dropped)
        items.add_metric(["log"], stats.queued_rows)
        size.add_metric(["log"], stats.queued_bytes)
        for reason, count in stats.dropped_rows.items():
            dropped.add_metric([f"log_{reason.name.lower().removeprefix('log_')}"], count)
        written = CounterMetricFamily(
            self.prefix + "written_rows", "Rows that are durable in the log."
        )
        written.add_metric([], stats.written_rows)
        failures = CounterMetricFamily(
            self.prefix + "log_failures", "Attempts to write to the log that failed."
        )
        failures.add_metric([], stats.failures)
        yield from (items, size, dropped, written, failures)
