"""`leadline up`: everything in one process, on an embedded log and SQLite."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from leadline.cli.launch import Running, log_of, run_until_stopped
from leadline.cli.options import stop_option
from leadline.cli.serve import import_part
from leadline.runtime.log.port import Stream
from leadline.runtime.log.topics import ensure_topics

ORDER = ("owner", "reader", "gateway", "console")


@dataclass(frozen=True, slots=True)
class Plan:
    """What `leadline up` starts.

    Attributes:
        log_url, store_url, blob_url: as the settings of the same names.
        triton: address of the inference server, host:port; empty: no gateway.
        ports: of console, reader, exporter, gateway, gateway's health, owner's health.
    """

    log_url: str
    store_url: str
    blob_url: str
    partitions: int
    triton: str
    host: str
    ports: tuple[int, int, int, int, int, int]

    def settings(self, service: str) -> dict[str, Any]:
        """The settings of one service that follow from the plan."""
        console, reader, exporter, gateway, gateway_health, owner_health = (
            f"{self.host}:{port}" for port in self.ports
        )
        log = {"log_url": self.log_url, "partitions": self.partitions}
        truth = {"store_url": self.store_url, "blob_url": self.blob_url}
        of: dict[str, dict[str, Any]] = {
            "owner": {**log, **truth, "health_address": owner_health},
            "reader": {**log, **truth, "listen_address": reader, "exporter_address": exporter},
            "gateway": {
                **log,
                "blob_url": self.blob_url,
                "triton_address": self.triton,
                "models_address": reader,
                "models_poll_seconds": 1.0,
                "listen_address": gateway,
                "metrics_address": gateway_health,
            },
            "console": {"listen_address": console, "reader_address": reader},
        }
        return of[service]


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("leadline-data"),
    show_default=True,
    help="Folder of the embedded log, the truth and the inputs.",
)
@click.option("--triton", default="", metavar="HOST:PORT", help="Triton's gRPC; empty: no gateway.")
@click.option("--log", "log_url", default="", help="Another log: kafka://HOST:PORT.")
@click.option("--store", "store_url", default="", help="Another truth store: postgresql://...")
@click.option("--partitions", default=1, show_default=True, help="Partitions of both topics.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    default=8430,
    type=click.IntRange(1, 65_530),
    show_default=True,
    help="The console's; the next five are the reader's, exporter's, gateway's and healths'.",
)
@stop_option
def up(
    data: Path,
    triton: str,
    log_url: str,
    store_url: str,
    partitions: int,
    host: str,
    port: int,
    stop_seconds: float,
) -> None:
    """Runs everything in one process until it is told to stop.

    With no server at all: the log and the truth are files in --data. Creates what is missing.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    data.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        log_url=log_url or f"local:{data / 'log.sqlite'}",
        store_url=store_url or f"sqlite:{data / 'truth.sqlite'}",
        blob_url=str(data / "blobs"),
        partitions=partitions,
        triton=triton,
        host=host,
        ports=(port, port + 1, port + 2, port + 3, port + 4, port + 5),
    )
    run_until_stopped(
        lambda stack: start(stack, plan), gateway=bool(triton), stop_seconds=stop_seconds
    )


async def start(stack: Running, plan: Plan) -> None:
    """Creates the topics and starts every service of a plan, to be ended with the stack."""
    log = log_of(stack, plan.log_url)
    await asyncio.to_thread(ensure_topics, log, Stream("main", plan.partitions))
    for service in ORDER:
        if service == "gateway" and not plan.triton:
            continue
        part = import_part(service)
        for line in await part.start(stack, part.Settings(**plan.settings(service))):
            click.echo(line)
    click.echo("ready")
