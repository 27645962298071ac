"""`leadline dead-letters`: look at refused records and rows, and send them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import click

from leadline.cli.options import json_option, log_option, stream_option
from leadline.cli.output import print_json
from leadline.cli.refused import (
    Letter,
    Original,
    Originals,
    chosen,
    iso,
    named,
    plain,
    read_letters,
    side_of,
    since_ms,
)
from leadline.cli.replaying import Planned, plan, send, told
from leadline.records.errors import DeadLetterReason, NotFoundError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import DEAD_LETTERS, PREDICTIONS, Log, Stream
from leadline.wire.view import view_labels, view_predictions

_HEX_WIDTH = 16
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("dead-letters")
def command() -> None:
    """Look at refused records and rows, and send them again.

    A reference names one of them: labels/0@7 is the record at offset 7 of partition 0, and
    labels/0@7:3 is row 3 of it.
    """


def _filters(function: _Command) -> _Command:
    """The options by which dead letters are chosen."""
    reasons = [reason.name.lower() for reason in DeadLetterReason]
    for option in (
        click.option(
            "--since",
            metavar="TIME",
            help="Refused records appended since: 2026-11-22T10:00 (UTC), or 36h, 7d ago.",
        ),
        click.option(
            "--reason",
            "reasons",
            multiple=True,
            metavar="REASON",
            type=click.Choice(reasons, case_sensitive=False),
            help="Only of this reason, as `list` shows it; may be repeated.",
        ),
    ):
        function = option(function)
    return function


@command.command("list")
@log_option
@stream_option
@_filters
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Newest so many."
)
@json_option
def list_(
    *,
    log_url: str,
    stream: str,
    reasons: tuple[str, ...],
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List refused records and rows, the newest last, each reference once."""
    with _log(log_url) as log:
        letters = chosen(_letters(log, stream), reasons, _since(since))
    shown = [plain(letter) for letter in letters][-limit:]
    if as_json:
        print_json({"total": len(letters), "dead_letters": shown})
        return
    for each in shown:
        again = f" [sent again {each['replayed']}]" if each["replayed"] else ""
        click.echo(
            f"{each['append_time']}  {each['reference']}  {each['reason']}: {each['detail']}{again}"
        )
    click.echo(f"{len(letters):,} in all" if letters else "nothing was refused")


@command.command()
@click.argument("reference")
@log_option
@stream_option
@click.option(
    "--hex-bytes",
    default=512,
    show_default=True,
    type=click.IntRange(min=0),
    help="How much of the record to show in hexadecimal; 0 shows all.",
)
@json_option
def show(*, reference: str, log_url: str, stream: str, hex_bytes: int, as_json: bool) -> None:
    """Show one refused record or row: why, its header and values, and its bytes."""
    with _log(log_url) as log:
        (letter,) = named(_letters(log, stream), [reference])
        originals = Originals(log)
        try:
            original = originals.fetch(letter)
        finally:
            originals.close()
    view = _view(Stream(stream), letter, original)
    if as_json:
        found = {"source": original.source, "whole": original.whole, "lost": original.lost}
        print_json({**plain(letter), "record": found | {"hex": original.value.hex()}, "read": view})
        return
    for line in _lines(letter, original, view, hex_bytes or len(original.value)):
        click.echo(line)


@command.command()
@click.argument("references", nargs=-1, metavar="[REFERENCE]...")
@log_option
@stream_option
@_filters
@click.option("--again", is_flag=True, help="Also what was sent again before.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and append nothing.")
@json_option
def replay(
    *,
    references: tuple[str, ...],
    log_url: str,
    stream: str,
    reasons: tuple[str, ...],
    since: str | None,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send refused records and rows again, to the partitions where they belong.

    Takes references, or all that --reason and --since choose. Only the refused rows are sent, from
    the original record, as history: they keep their times. What this version refuses as well is
    left and told; then the exit code is 1. It may be repeated: what was sent before is left, and
    would be counted as a duplicate or as superseded.
    """
    if bool(references) == bool(reasons or since):
        raise UsageError("Say what to send again", "give references, or --reason or --since")
    with _log(log_url) as log:
        letters = _letters(log, stream)
        wanted = named(letters, references)
        if not references:
            wanted = chosen(letters, reasons, _since(since))
            wanted = [letter for letter in wanted if again or not letter.replayed_ms]
        known = _with_partitions(log, Stream(stream))
        plans = list(plan(log, known, wanted, again=again))
        if not dry_run:
            send(log, known, plans, SystemClock())
    _tell(plans, dry_run=dry_run, as_json=as_json)
    if any(not each["replayed"] for each in told(plans)):
        raise click.exceptions.Exit(1)


def _tell(plans: Sequence[Planned], *, dry_run: bool, as_json: bool) -> None:
    rows = sum(rows for each in plans for *_, rows in each.messages)
    found = told(plans)
    if as_json:
        print_json({"dry_run": dry_run, "rows": rows, "references": found})
        return
    for each in found:
        parts = ", ".join(map(str, each["partitions"]))
        said = [f"to partition {parts}"] if each["replayed"] and parts else []
        said += [each["problem"]] if each["problem"] else []
        mark = "sent" if each["replayed"] else "left"
        click.echo(f"{mark}  {each['reference']}  {'; '.join(said)}".rstrip())
    count = sum(each["replayed"] for each in found)
    verb = "would be sent" if dry_run else "sent"
    click.echo(f"{count:,} of {len(found):,} references {verb}, {rows:,} rows")


def _lines(
    letter: Letter, original: Original, view: dict[str, Any] | None, hex_bytes: int
) -> Iterator[str]:
    """What `show` prints."""
    found = plain(letter)
    yield f"{found['reference']}  {found['reason']}"
    yield f"  {found['detail']}"
    yield f"  appended {found['append_time']}, {found['size']:,} bytes"
    if letter.replayed_ms:
        yield f"  sent again {iso(letter.replayed_ms)}"
    for title, values in (view or {"these bytes do not parse as a batch": {}}).items():
        if values or not view:
            yield title
            yield from (f"  {name}: {value}" for name, value in values.items())
    source = "the record" if original.source == "topic" else "the dead letter's copy"
    yield f"{source}, {len(original.value):,} bytes" + (
        f" ({original.lost})" if original.lost else ""
    )
    shown = original.value[:hex_bytes]
    for at in range(0, len(shown), _HEX_WIDTH):
        part = shown[at : at + _HEX_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"  {at:08x}  {part.hex(' '):<{3 * _HEX_WIDTH}} {text}"
    if len(shown) < len(original.value):
        yield f"  ... {len(original.value) - len(shown):,} more (--hex-bytes 0)"


def _view(stream: Stream, letter: Letter, original: Original) -> dict[str, Any] | None:
    """The record's header and row, where they parse; a cut copy hardly ever does."""
    read = view_labels
    if side_of(stream, letter.reference.topic) == PREDICTIONS:
        read = view_predictions
    return read(original.value, letter.reference.row)


def _letters(log: Log, stream: str) -> list[Letter]:
    return read_letters(log, Stream(stream).topic(DEAD_LETTERS))


def _with_partitions(log: Log, stream: Stream) -> Stream:
    """The stream with the partitions that its topics have."""
    topic = stream.topic(PREDICTIONS)
    state = log.describe(topic)
    if state is None:
        raise NotFoundError(f"Topic {topic!r} does not exist", "Run `leadline topics create`")
    return replace(stream, partitions=state.partitions)


def _since(text: str | None) -> int | None:
    return None if text is None else since_ms(text, SystemClock().now_us())


@contextmanager
def _log(url: str) -> Iterator[Log]:
    log = open_log(url, SystemClock())
    try:
        yield log
    finally:
        log.close()
