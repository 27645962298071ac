"""What an owner exports: its own health, never a model's figures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class OwnerHealth:
    """Instruments of one owner, in the given registry; all carry the label `shard`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("shard",)
        self.rows = Counter(
            "leadline_owner_rows",
            "Rows counted and committed.",
            (*names, "side"),
            registry=registry,
        )
        self.commits = Histogram(
            "leadline_owner_commit_seconds",
            "Time of one truth transaction.",
            names,
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self.dead_letters = Counter(
            "leadline_owner_dead_letters",
            "Records and rows refused.",
            (*names, "reason"),
            registry=registry,
        )
        self.fenced = Counter(
            "leadline_owner_fenced",
            "Commits refused because another owner had moved the shard on.",
            names,
            registry=registry,
        )
        self.failures = Counter(
            "leadline_owner_failures",
            "Times the log or the store did not answer.",
            names,
            registry=registry,
        )
        self.pending = Gauge(
            "leadline_owner_pending_predictions",
            "Predictions held for labels.",
            names,
            registry=registry,
        )
        self.position = Gauge(
            "leadline_owner_position_records",
            "Next offset to count.",
            (*names, "side"),
            registry=registry,
        )
        self.lag = Gauge(
            "leadline_owner_lag_records",
            "Records between the next offset to count and the topic's end.",
            (*names, "side"),
            registry=registry,
        )
        self.recreated = Gauge(
            "leadline_owner_reader_recreated",
            "Times a reader was made anew because it had lag and did not move.",
            (*names, "side"),
            registry=registry,
        )
        self.stopped = Gauge(
            "leadline_owner_stopped",
            "1 while the shard does not count and needs a person.",
            names,
            registry=registry,
        )
