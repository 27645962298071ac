"""Settings of the metric service's owner role."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from leadline.records.rules import KINDS, Rules


class OwnerSettings(BaseModel):
    """All that can be set; read once at the start, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_url: str = Field(
        default="local:leadline-data/log.sqlite",
        description="The log: local:PATH or kafka://host:port,host:port. Kafka's security options "
        "may stand behind a question mark (docs/operations.md).",
    )
    store_url: str = Field(
        default="sqlite:leadline-data/truth.sqlite",
        description="The truth store: sqlite:PATH or postgresql://user@host/database.",
    )
    blob_url: str = Field(
        default="",
        description="Where kept inputs are, to delete those of trimmed cases; empty: nowhere.",
    )
    stream: str = Field(default="main", description="The stream that is counted.")
    partitions: int = Field(default=1, ge=1, description="Partitions of both topics.")
    replicas: int = Field(default=1, ge=1, description="Owners that share the partitions.")
    ordinal: int = Field(
        default=0, ge=0, description="Which of them this is: it owns partition % replicas."
    )
    health_address: str = Field(
        default="127.0.0.1:8435",
        description="Where Prometheus scrapes the owner's own health, host:port; empty: nowhere.",
    )
    cache_dir: str = Field(
        default="leadline-data/cache",
        description="Folder of the pending store's segments, on a disk of this machine; empty: in "
        "memory. It may be lost: it is rebuilt from the topics.",
    )
    pending_head_rows_max: int = Field(
        default=500_000,
        gt=0,
        description="Rows of a side that wait in memory, some 100 bytes each and 2 a score; "
        "beyond, they are cut into a segment of the cache. Bounds also what a restart reads.",
    )
    rules_revision: int = Field(
        default=0,
        ge=0,
        description="Raise it to change the settings that follow, up to optional_kinds: they are "
        "facts of the stream, and hold for records from the moment of the change on. Owners of a "
        "lower revision count by the rules of the highest one.",
    )
    label_window_seconds: float = Field(
        default=30 * 86_400.0,
        ge=0,
        description="How late a label may come after its prediction, by append time; topics must "
        "keep more than twice as long.",
    )
    prediction_window_seconds: float = Field(
        default=3_600.0,
        ge=0,
        description="How early a label may come before its prediction, by append time.",
    )
    pair_window_seconds: float = Field(
        default=3_600.0,
        ge=0,
        description="How far apart the predictions of two versions for one input may be, to be "
        "compared as a pair; at most label_window_seconds.",
    )
    event_time_bound_seconds: float = Field(
        default=86_400.0,
        gt=0,
        description="Event times are clamped to the append time +- this, and counted as clamped: "
        "one device with a wrong clock must not spread cells over decades.",
    )
    slices_per_version_max: int = Field(
        default=1_000,
        gt=0,
        description="Different slice tuples of one version in one shard; each costs cells in every "
        "minute. Later ones are counted under '(other)'.",
    )
    pairs_max: int = Field(
        default=4,
        ge=0,
        description="Earlier predictions of other versions that one prediction is paired with; "
        "more are counted as overflow.",
    )
    default_labels: dict[str, int] = Field(
        default_factory=dict,
        description="By task, the class number that is true when no label came in the window.",
    )
    optional_kinds: tuple[Literal["pairs", "scores", "strata"], ...] = Field(
        default=("pairs", "scores", "strata"),
        description="Optional cells: 'scores' for curves and thresholds, 'pairs' to compare "
        "versions, 'strata' for rates that hold for all traffic and calibration by confidence.",
    )
    clock_skew_seconds: float = Field(
        default=300.0,
        ge=0,
        description="An append time further ahead of this machine's clock than that is not "
        "believed: it becomes an exception of the stream, and moves no window.",
    )
    tick_seconds: float = Field(
        default=60.0,
        ge=0,
        description="A topic that is silent for so long while something waits is sent an empty "
        "batch, so that windows close; 0: never.",
    )
    longest_outage_seconds: float = Field(
        default=7 * 86_400.0,
        ge=0,
        description="How long this owner may be down; the topics' retention is checked for it.",
    )
    events_per_commit_max: int = Field(
        default=100_000,
        gt=0,
        description="Rows that one commit may hold; bounds memory, and what a crash repeats.",
    )
    gather_seconds: float = Field(
        default=0.03,
        ge=0,
        description="How long rows are gathered for one commit after the first ones came: under a "
        "steady load there is always one more, and figures would wait for a full commit.",
    )
    idle_wait_seconds: float = Field(
        default=0.05,
        gt=0,
        description="How long a shard without lag waits for a record on either side; half of the "
        "freshness that an idle stream adds.",
    )
    retry_seconds: float = Field(
        default=1.0, gt=0, description="Pause before the log or the store is asked again."
    )
    stopped_retry_seconds: float = Field(
        default=15.0, gt=0, description="Pause before a stopped shard looks whether it was mended."
    )
    compact_seconds: float = Field(
        default=5.0, gt=0, description="Pause between two rounds of compaction."
    )
    compact_deltas_max: int = Field(
        default=500,
        gt=0,
        description="Deltas that one compaction folds; bounds its transaction and its memory.",
    )
    minutes_kept_hours: int = Field(
        default=48,
        ge=1,
        description="How long figures are kept by the minute; after that by the quarter-hour. What "
        "bounds the growth of the store, and the time of a question over weeks.",
    )
    quarters_kept_days: int = Field(
        default=14,
        ge=1,
        description="How long figures are kept by the quarter-hour; after that by the hour.",
    )
    hours_kept_days: int = Field(
        default=90,
        ge=1,
        description="How long figures are kept by the hour; after that by the day.",
    )
    score_hours_kept_hours: int = Field(
        default=48,
        ge=1,
        description="How long score histograms, the largest cells, are kept by the hour; after "
        "that by the day.",
    )
    days_kept_days: int = Field(
        default=0,
        ge=0,
        description="Days older than this are deleted, never within a label window and not before "
        "hours_kept_days; 0 keeps them for ever.",
    )
    cases_per_version_max: int = Field(
        default=20_000,
        gt=0,
        description="Cases kept for a version; older ones and their inputs are deleted.",
    )
    dead_letter_flush_seconds: float = Field(
        default=10.0,
        gt=0,
        description="How long dead letters may take to be durable; after that the batch is "
        "tried again, never committed without them.",
    )

    def rules(self) -> Rules:
        """What these settings want records to be counted by."""
        return Rules(
            revision=self.rules_revision,
            label_window_ms=int(self.label_window_seconds * 1000),
            prediction_window_ms=int(self.prediction_window_seconds * 1000),
            pair_window_ms=int(min(self.pair_window_seconds, self.label_window_seconds) * 1000),
            event_time_bound_ms=int(self.event_time_bound_seconds * 1000),
            slices_per_version_max=self.slices_per_version_max,
            pairs_max=self.pairs_max,
            default_labels=self.default_labels,
            kinds=KINDS & set(self.optional_kinds),
        )
