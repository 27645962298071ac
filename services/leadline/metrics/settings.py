"""Settings of a reader. Read once, at the entry; nothing here reads the environment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ReaderSettings(BaseModel):
    """How a reader answers. Every bound says why it is there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen_address: str = Field(
        "127.0.0.1:8431",
        description="HOST:PORT of the gRPC API; port 0 takes a free one. Loopback by default: the "
        "figures are readable by everyone who reaches the port.",
    )
    exporter_address: str = Field(
        "127.0.0.1:8432",
        description="HOST:PORT of the Prometheus exporter; empty switches it off.",
    )
    store_url: str = Field(
        "sqlite:leadline-data/truth.sqlite",
        description="The truth store: sqlite:PATH or postgresql://user@host/database.",
    )
    blob_url: str = Field(
        "",
        description="Where kept inputs are: a folder, or s3://BUCKET/PREFIX; empty: cases are "
        "shown without their inputs.",
    )
    log_url: str = Field(
        "",
        description="The log, to tell exactly how far behind the figures are: local:PATH or "
        "kafka://host:port; empty: a lower bound is told.",
    )
    stream: str = Field("main", description="The stream whose ends are looked at.")
    partitions: int = Field(1, ge=1, description="Partitions of both topics.")
    window_minutes: tuple[int, ...] = Field(
        (5, 60, 1440),
        min_length=1,
        max_length=6,
        description="Lengths of the event-time windows that the exporter shows. Each adds a series "
        "per figure, class and version.",
    )
    export_pairs_max: int = Field(
        400,
        ge=1,
        le=10_000,
        description="Pairs of (true class, predicted class) exported per version, the most "
        "frequent confusions first: a matrix of 20 classes whole. All pairs are in the API.",
    )
    export_classes_max: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Classes with figures of their own in the exporter per version, those with the "
        "most errors in the widest window first; one that is shown stays until another has a "
        "quarter more. Each adds 16 series a window. All classes are in the API.",
    )
    export_versions_max: int = Field(
        50,
        ge=1,
        le=1000,
        description="Versions in the exporter, those seen last: each costs a read at every scrape.",
    )
    worker_threads: int = Field(
        4,
        ge=1,
        le=64,
        description="Answers computed at a time; more wait. Each may hold a database connection.",
    )
    concurrent_calls_max: int = Field(
        1000,
        ge=8,
        description="gRPC calls and streams at a time; further ones get RESOURCE_EXHAUSTED, so "
        "that a storm of callers cannot fill the memory.",
    )
    watchers_max: int = Field(
        500,
        ge=1,
        description="WatchSummary streams at a time; below concurrent_calls_max, so that streams "
        "leave room for calls.",
    )
    watch_period_seconds: float = Field(
        0.05,
        ge=0.01,
        le=60,
        description="Between two looks for a change while somebody watches: half of it is added to "
        "the freshness of what they see. A look costs one small query, however many watch.",
    )
    deadline_seconds: float = Field(
        30.0,
        ge=0,
        description="For calls without a nearer deadline of their own, so that a forgotten call "
        "ends; 0 sets none.",
    )
    cache_entries_max: int = Field(
        256,
        ge=0,
        description="Answers kept until the vector moves on; one of 1,000 classes takes about "
        "0.5 MB.",
    )
    sums_bytes_max: int = Field(
        128 * 1024 * 1024,
        ge=0,
        description="Sums of stored cells kept in memory, so that an answer after a commit reads "
        "only what changed; 30 days of a version with 1,000 classes take about 20 MB.",
    )
    message_bytes_max: int = Field(
        16 * 1024 * 1024,
        ge=1024 * 1024,
        description="Of one request or answer: a kept image, a matrix of 1,000 classes.",
    )
    connection_age_seconds: float = Field(
        0.0,
        ge=0,
        description="Clients are asked to reconnect after it, so that load spreads over new "
        "replicas; 0 never. Behind a balancer: 300.",
    )

    @field_validator("window_minutes")
    @classmethod
    def _positive(cls, minutes: tuple[int, ...]) -> tuple[int, ...]:
        if any(each <= 0 for each in minutes) or len(set(minutes)) != len(minutes):
            raise ValueError("windows are different positive numbers of minutes")
        return minutes
