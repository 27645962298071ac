"""`leadline topics`: create and check a stream's topics."""

from __future__ import annotations

import click

from leadline.cli.options import json_option, log_option, stream_option
from leadline.cli.output import print_json
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import DAY_MS, Retention, check_topics, ensure_topics, topics_of


@click.group("topics")
def command() -> None:
    """Create and check the topics of a stream."""


@command.command()
@log_option
@stream_option
@click.option(
    "--partitions",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of `predictions` and of `labels`: a stream's parallelism, fixed for its life.",
)
@click.option(
    "--replication-factor",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Copies of each partition; 3 in a cluster.",
)
@click.option(
    "--retention-days",
    default=90.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How long predictions and labels are kept: twice the label window and the longest outage.",
)
@json_option
def create(
    *,
    log_url: str,
    stream: str,
    partitions: int,
    replication_factor: int,
    retention_days: float,
    as_json: bool,
) -> None:
    """Create the stream's missing topics with the settings that counting needs.

    Topics that exist stay as they are: `leadline topics check` says what is wrong with them.
    """
    wanted = Stream(stream, partitions)
    retention = Retention(events_ms=round(retention_days * DAY_MS))
    log = open_log(log_url, SystemClock())
    try:
        made = ensure_topics(log, wanted, retention, replication_factor)
    finally:
        log.close()
    if as_json:
        print_json({"created": made})
        return
    for spec in topics_of(wanted, retention):
        verb = "created" if spec.name in made else "exists "
        click.echo(f"{verb}  {spec.name}")


@command.command()
@log_option
@stream_option
@json_option
def check(*, log_url: str, stream: str, as_json: bool) -> None:
    """Check the stream's topics; exit code 1 when something would make figures wrong."""
    problems, partitions = stream_problems(log_url, stream)
    if as_json:
        print_json({"stream": stream, "partitions": partitions, "problems": problems})
    elif problems:
        for problem in problems:
            click.secho(problem, fg="red")
    else:
        click.echo(f"stream {stream!r}: {partitions} partition(s), all topics as they must be")
    if problems:
        raise click.exceptions.Exit(1)


def stream_problems(log_url: str, name: str) -> tuple[list[str], int]:
    """What is wrong with a stream's topics, and its partition count as found (0: no topics)."""
    log = open_log(log_url, SystemClock())
    try:
        states = [log.describe(Stream(name).topic(base)) for base in (PREDICTIONS, LABELS)]
        partitions = max([state.partitions for state in states if state] or [0])
        return check_topics(log, Stream(name, max(partitions, 1))), partitions
    finally:
        log.close()
