"""Settings of the console."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ConsoleSettings(BaseModel):
    """How the console is reached, whom it asks, and how often it looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen_address: str = Field(
        "127.0.0.1:8430", description="Host and port of the pages; port 0 takes a free one."
    )
    reader_address: str = Field(
        "127.0.0.1:8431", description="Host and port of the gRPC reader, the only source."
    )
    refresh_seconds: float = Field(
        1.0, ge=0.05, le=3600, description="Shortest time between two updates of a page."
    )
    idle_seconds: float = Field(
        10.0, ge=0.05, le=3600, description="An unchanged page is looked at again after this time."
    )
    retry_seconds: float = Field(
        4.0, ge=0.05, le=600, description="Time between two tries while the reader does not answer."
    )
    deadline_seconds: float = Field(
        5.0, gt=0, le=60, description="Time that one question to the reader may take."
    )
    spark_seconds: float = Field(
        30.0, ge=0, le=3600, description="Age at which the small timelines of the list are renewed."
    )
    viewers_max: int = Field(
        1000, ge=1, description="Open live pages at once; one more is served without updates."
    )
    input_bytes_max: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest stored input that is shown."
    )
