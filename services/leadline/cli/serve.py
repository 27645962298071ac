"""`leadline serve SERVICE`: one service, as a container runs it."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from leadline.cli.launch import Running, run_until_stopped
from leadline.cli.options import stop_option
from leadline.records.errors import UsageError
from leadline.runtime.settings import load_settings

SERVICES = ("gateway", "owner", "reader", "console")


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file with a section for each service.",
)
@stop_option
def serve(service: str, config: Path | None, stop_seconds: float) -> None:
    """Runs one service until it is told to stop.

    Settings come from the section of --config with the service's name, then from the environment:
    LEADLINE_GATEWAY_LOG_URL sets `log_url` of the gateway. docs/configuration.md lists them all.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    async def parts(stack: Running) -> None:
        part = import_part(service)
        settings = load_settings(part.Settings, service, file=config, environ=os.environ)
        for line in await part.start(stack, settings):
            click.echo(line)

    run_until_stopped(parts, gateway=service == "gateway", stop_seconds=stop_seconds)


def import_part(service: str) -> Any:  # noqa: ANN401 - one of the modules in `parts`
    """The module that puts a service together.

    Raises:
        UsageError: its extra is not installed.
    """
    extra = "metrics" if service in ("owner", "reader") else service
    try:
        return import_module(f"leadline.cli.parts.{service}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("leadline"):
            raise
        raise UsageError(
            f"The {service} needs {error.name!r}, which is not installed.",
            f"Install it: pip install 'leadline[{extra}]'.",
        ) from error
