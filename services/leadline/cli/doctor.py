"""`leadline doctor`: looks at everything, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from leadline.cli.checks import (
    Finding,
    check_libraries,
    check_log,
    check_server,
    check_settings,
    check_store,
    check_triton,
)
from leadline.cli.options import DEFAULT_STORE_URL, json_option, log_option, stream_option
from leadline.cli.output import print_json

_MARKS = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "wrong": ("WRONG", "red")}


@click.command("doctor")
@log_option
@stream_option
@click.option(
    "--store",
    "store_url",
    envvar="LEADLINE_STORE_URL",
    default=DEFAULT_STORE_URL,
    show_default=True,
    show_envvar=True,
    help="The truth store: sqlite:PATH or postgresql://user@host/database.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file with a section for each service.",
)
@click.option(
    "--reader", envvar="LEADLINE_READER", show_envvar=True, help="gRPC address to look at."
)
@click.option(
    "--gateway", envvar="LEADLINE_GATEWAY", show_envvar=True, help="gRPC address to look at."
)
@click.option("--triton", help="gRPC address of an inference server to look at.")
@click.option(
    "--timeout",
    "timeout_seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds to wait for each.",
)
@json_option
def command(  # noqa: PLR0913 - options
    *,
    log_url: str,
    stream: str,
    store_url: str,
    config: Path | None,
    reader: str | None,
    gateway: str | None,
    triton: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Check settings, libraries, log, topics, store and servers; say what to do.

    Nothing is changed or made. Servers are looked at when their address is given. Exit code 1 when
    something is wrong.
    """

    def findings() -> Iterator[Finding]:
        yield from check_settings(config, os.environ)
        yield from check_libraries(log_url, store_url)
        yield from check_log(log_url, stream, timeout_seconds)
        yield from check_store(store_url)
        for name, address in (("reader", reader), ("gateway", gateway)):
            if address:
                yield check_server(name, address, timeout_seconds)
        if triton:
            yield check_triton(triton, timeout_seconds)

    found = []
    for finding in findings():
        found.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        print_json([asdict(finding) for finding in found])
    if any(finding.state == "wrong" for finding in found):
        raise click.exceptions.Exit(1)


def _tell(finding: Finding) -> None:
    mark, colour = _MARKS[finding.state]
    click.echo(f"{click.style(mark, fg=colour, bold=True)}  {finding.check}: {finding.text}")
    if finding.remedy:
        click.echo(f"       -> {finding.remedy}")
