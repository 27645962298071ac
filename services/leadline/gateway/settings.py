"""Settings of the gateway."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024


class GatewaySettings(BaseModel):
    """All that can be set; read once at the start, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen_address: str = Field(
        default="127.0.0.1:8433", description="Where inference and ingest calls arrive, host:port."
    )
    triton_address: str = Field(
        default="127.0.0.1:8001", description="Triton's gRPC address, host:port."
    )
    metrics_address: str = Field(
        default="127.0.0.1:8434",
        description="Where Prometheus scrapes the gateway's own health, host:port; empty: nowhere.",
    )
    models_address: str = Field(
        default="",
        description="gRPC address of the ModelService that knows the declarations, host:port; "
        "empty: no model is declared.",
    )
    models_poll_seconds: float = Field(
        default=3.0,
        gt=0,
        description="How long a changed declaration may take to arrive here.",
    )
    models_wait_seconds: float = Field(
        default=10.0,
        ge=0,
        description="How long the start waits for the first declarations. Beyond it the gateway "
        "serves all the same, warns, and counts every model as undeclared until they arrive.",
    )
    log_url: str = Field(
        default="local:leadline-data/log.sqlite",
        description="The log: local:PATH or kafka://host:port,host:port. Kafka's security options "
        "may stand behind a question mark (docs/operations.md).",
    )
    stream: str = Field(default="main", description="The stream whose topics are written.")
    partitions: int = Field(default=1, ge=1, description="Partitions of both topics.")
    blob_url: str = Field(
        default="",
        description="Where kept inputs go: a folder, or an fsspec URL; empty: nowhere.",
    )
    producer: str = Field(default="gateway", description="Who writes, for people.")
    message_bytes_max: int = Field(
        default=64 * MIB,
        gt=0,
        description="Largest request or answer. gRPC's own 4 MiB refuses a batch of eight "
        "pictures; a larger message is refused with RESOURCE_EXHAUSTED, as Triton does.",
    )
    handover_requests_max: int = Field(
        default=4096,
        gt=0,
        description="Answered requests that wait to be read for the log. Reading takes tens of "
        "microseconds a request, so more than this means that the processor is exhausted; beyond "
        "it answers still return, and are counted as unobserved (QUEUE_FULL).",
    )
    handover_bytes_max: int = Field(
        default=8 * MIB,
        gt=0,
        description="The same in bytes of requests and answers, so that large pictures do not fill "
        "the memory; the behaviour beyond it is the same.",
    )
    handover_linger_seconds: float = Field(
        default=0.1,
        gt=0,
        description="How long an answer waits to be read together with others: numpy costs as much "
        "for one row as for many. The price is that much freshness. A queue that is half full is "
        "read at once.",
    )
    log_queue_rows_max: int = Field(
        default=50_000,
        gt=0,
        description="Rows that wait for the log. Beyond it rows are dropped and counted by model "
        "version (QUEUE_FULL); predictions go on.",
    )
    log_queue_bytes_max: int = Field(
        default=8 * MIB,
        gt=0,
        description="The same in bytes: what a stalled log may cost in memory.",
    )
    log_linger_seconds: float = Field(
        default=0.1,
        ge=0,
        description="How long a row waits for company on its way to the log: a disk makes one "
        "record durable as fast as many rows in one.",
    )
    log_batch_rows_max: int = Field(
        default=10_000, gt=0, description="Rows of one record: what a reader takes at once."
    )
    blob_queue_inputs_max: int = Field(
        default=512,
        gt=0,
        description="Kept inputs that wait for the blob store. Beyond it the row is logged without "
        "its input (QUEUE_FULL).",
    )
    blob_queue_bytes_max: int = Field(
        default=8 * MIB,
        gt=0,
        description="The same in bytes.",
    )
    blob_bytes_max: int = Field(
        default=4 * MIB,
        gt=0,
        description="Largest input that is stored: larger ones are no picture for a person "
        "(TOO_LARGE).",
    )
    blob_timeout_seconds: float = Field(
        default=2.0,
        gt=0,
        description="How long a kept row waits for its input to be stored. Then it is logged "
        "without it (STORE_FAILED), so that a slow disk never delays the figures.",
    )
    blob_threads: int = Field(
        default=2,
        ge=1,
        description="Inputs that are stored at the same time; a disk gains nothing from more.",
    )
    triton_check_seconds: float = Field(
        default=2.0, gt=0, description="How often the health answer asks whether Triton is ready."
    )
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        description="Time budget of an orderly stop: calls in flight, kept inputs and the queue of "
        "the log share it. What is not written by then is lost and counted.",
    )
