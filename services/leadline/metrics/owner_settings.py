"""Settings of the metric service's owner role."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
    events_per_commit_max: int = Field(
        default=50_000,
        gt=0,
        description="Rows that one commit may hold; bounds memory, and what a crash repeats.",
    )
    records_per_poll_max: int = Field(
        default=500, gt=0, description="Records read at once from one topic; bounds memory."
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
