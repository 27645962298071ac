"""`leadline rebuild`: count shards anew from their topics, and compare, replace or reset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from leadline.cli.options import json_option, log_option, store_option, stream_option
from leadline.cli.output import print_json
from leadline.metrics.cache.files import CacheFiles, MemoryFiles, open_folder
from leadline.metrics.rebuild import Finding, ShardRebuild, reset_shard
from leadline.metrics.recount import Progress, Report
from leadline.records.cells import CellKind, Series
from leadline.records.errors import UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import PREDICTIONS, Log, Stream
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import ShardState, TruthKeeper
from leadline.runtime.store.rebuild import CellDifference

DAY_MINUTES = 1440
TELL_SECONDS = 1.0
_PAIRS = {CellKind.CONFUSION: "predicted", CellKind.RANK: "rank"}


@dataclass(frozen=True, slots=True)
class _World:
    log: Log
    store: TruthKeeper
    stream: Stream


@click.command("rebuild")
@log_option
@store_option
@stream_option
@click.option(
    "--shard", "shards", multiple=True, help='Only this one, as "main/0"; may be repeated.'
)
@click.option("--replace", is_flag=True, help="Write the recounted cells where they differ.")
@click.option(
    "--reset",
    is_flag=True,
    help="Count on from topics that were re-created or cut; all figures stay.",
)
@click.option(
    "--scratch",
    default="",
    help="An empty folder for what waits while it is counted; else it waits in memory.",
)
@json_option
def command(
    *,
    log_url: str,
    store_url: str,
    stream: str,
    shards: tuple[str, ...],
    replace: bool,
    reset: bool,
    scratch: str,
    as_json: bool,
) -> None:
    """Count shards anew from their topics, and compare the truth with it cell by cell.

    Exit code 1 when a cell differs that the topics still cover. Owners may run meanwhile: they
    are fenced by --replace and --reset, and go on by themselves.
    """
    if replace and reset:
        raise UsageError("--replace and --reset exclude each other.", "Say one of them.")
    with _opened(log_url, store_url, stream) as world:
        found = []
        for partition in _partitions(world.stream, shards):
            if reset:
                found.append(_reset(world, partition, quiet=as_json))
            else:
                found.append(_rebuild(world, partition, scratch, replace=replace, quiet=as_json))
    if as_json:
        print_json(found)
    if any(each.get("differing") and not each.get("replaced") for each in found):
        raise click.exceptions.Exit(1)


@contextmanager
def _opened(log_url: str, store_url: str, name: str) -> Iterator[_World]:
    log = open_log(log_url, SystemClock())
    try:
        topic = Stream(name).topic(PREDICTIONS)
        state = log.describe(topic)
        if state is None:
            raise UsageError(f"Topic {topic!r} does not exist.", "Correct --log or --stream.")
        store = open_store(store_url)
        try:
            yield _World(log, store, Stream(name, state.partitions))
        finally:
            store.close()
    finally:
        log.close()


def _partitions(stream: Stream, shards: tuple[str, ...]) -> list[int]:
    names = {stream.shard(partition): partition for partition in range(stream.partitions)}
    unknown = [shard for shard in shards if shard not in names]
    if unknown:
        raise UsageError(
            f"There is no shard {unknown[0]!r} in stream {stream.name!r}.",
            f"It has {', '.join(names)}.",
        )
    return [names[shard] for shard in dict.fromkeys(shards)] or list(names.values())


def _rebuild(
    world: _World, partition: int, scratch: str, *, replace: bool, quiet: bool
) -> dict[str, Any]:
    """Compares one shard, and replaces it when so asked; returns what `--json` prints."""
    folder = world.stream.shard(partition).replace("/", "-")
    files: CacheFiles = open_folder(Path(scratch) / folder) if scratch else MemoryFiles()
    shard = None
    try:
        shard = ShardRebuild(
            world.log, world.store, world.stream, partition, files=files, report=_report(quiet)
        )
        finding = shard.compare()
        after = None
        if replace and not finding.is_equal:
            after = shard.replace(SystemClock().now_us())
    finally:
        if shard is not None:
            shard.close()
        for name in files.names():
            files.delete(name)
        files.close()
    if not quiet:
        _tell(finding, after)
    return _as_json(finding, after)


def _reset(world: _World, partition: int, *, quiet: bool) -> dict[str, Any]:
    before, after = reset_shard(
        world.log, world.store, world.stream, partition, SystemClock().now_us
    )
    if not quiet:
        click.echo(
            f"{after.shard}: epoch {after.epoch} begins at ({after.p}, {after.l}), after "
            f"({before.p}, {before.l}) of epoch {before.epoch}; all figures stay"
        )
    return {
        "shard": after.shard,
        "epoch": after.epoch,
        "from": {"p": after.p, "l": after.l},
        "before": {"p": before.p, "l": before.l},
    }


def _report(quiet: bool) -> Report:  # noqa: FBT001 - one word, called once
    """Tells a person at a terminal now and then."""
    clock = SystemClock()
    is_seen = not quiet and sys.stderr.isatty()
    last = clock.monotonic_seconds()

    def report(progress: Progress) -> None:
        nonlocal last
        now = clock.monotonic_seconds()
        if not is_seen or now < last + TELL_SECONDS:
            return
        last = now
        share = progress.done / max(progress.total, 1)
        click.echo(f"{progress.shard}: {progress.events:,} events, {share:.0%}", err=True)

    return report


# ------------------------------------------------------------------------------------- in words


def _tell(finding: Finding, after: ShardState | None) -> None:
    number, differing = finding.comparison.compared, len(finding.comparison.differing)
    where = f"{number:,} cells of {_span(finding.minutes)}"
    if finding.from_minute and number:
        where += f" since {_time(finding.minutes[0])}"
    if finding.is_equal and not number:
        since = f", which is known since {_time(finding.from_minute)}"
        click.echo(f"{finding.shard}: nothing to compare{since if finding.from_minute else ''}")
    elif finding.is_equal:
        click.echo(f"{finding.shard}: {where} equal the log")
    else:
        click.echo(f"{finding.shard}: {differing:,} cells differ from the log; it has {where}")
    for one in finding.comparison.shown:
        click.echo(f"  {_difference(one, finding.series)}")
    if differing > len(finding.comparison.shown):
        click.echo(f"  and {differing - len(finding.comparison.shown):,} more")
    if after is not None:
        click.echo(f"{finding.shard}: replaced; epoch {after.epoch} begins")


def _difference(one: CellDifference, all_series: tuple[Series, ...]) -> str:
    """series, kind, minute, index: stored and recomputed."""
    kind = CellKind(one.kind)
    index = str(one.index)
    if kind in _PAIRS:
        index = f"true {one.index >> 32}, {_PAIRS[kind]} {one.index & 0xFFFF_FFFF}"
    return (
        f"{_whose(one.series, all_series)}  {kind.name}  {_time(one.minute)}  {index}: "
        f"stored {one.stored:,}, log {one.recomputed:,}"
    )


def _whose(number: int, all_series: tuple[Series, ...]) -> str:
    if number >= len(all_series):
        return f"series {number}"
    series = all_series[number]
    slices = [f"{column}={value}" for column, value in series.slices]
    named = " ".join([series.model, series.version, *slices]).strip()
    return named or (f"task {series.task}" if series.task else "nobody")


def _span(minutes: tuple[int, int]) -> str:
    length = minutes[1] - minutes[0]
    for unit, size in (("days", DAY_MINUTES), ("hours", 60)):
        if length >= 2 * size:
            return f"{length / size:.0f} {unit}"
    return "1 minute" if length == 1 else f"{length} minutes"


def _time(minute: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def _as_json(finding: Finding, after: ShardState | None) -> dict[str, Any]:
    state, comparison = finding.state, finding.comparison
    begin, end = finding.minutes
    return {
        "shard": finding.shard,
        "vector": {"p": state.p, "l": state.l},
        "epoch": state.epoch if after is None else after.epoch,
        "compared": comparison.compared,
        "from": _time(begin) if comparison.compared else None,
        "to": _time(end) if comparison.compared else None,
        "covered_since": _time(finding.from_minute) if finding.from_minute else None,
        "differing": len(comparison.differing),
        "differences": [
            {
                "series": _series_json(one.series, finding.series),
                "kind": CellKind(one.kind).name,
                "minute": _time(one.minute),
                "index": str(one.index),
                "stored": one.stored,
                "recomputed": one.recomputed,
            }
            for one in comparison.shown
        ],
        "replaced": after is not None,
    }


def _series_json(number: int, all_series: tuple[Series, ...]) -> dict[str, Any]:
    if number >= len(all_series):
        return {"number": number}
    one = all_series[number]
    return {
        "number": number,
        "model": one.model,
        "version": one.version,
        "task": one.task,
        "slices": dict(one.slices),
    }
