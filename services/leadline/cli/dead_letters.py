"""`leadline dead-letters`: look at refused records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from google.protobuf.message import DecodeError

from leadline.cli.options import json_option, log_option, stream_option
from leadline.cli.output import print_json
from leadline.records.errors import DeadLetterReason, NotFoundError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import DEAD_LETTERS, Log, Stream
from leadline.v1 import events_pb2
from leadline.wire.dead_letters import decode_dead_letter

_RECORDS = 500


@click.group("dead-letters")
def command() -> None:
    """Look at refused records."""


@command.command("list")
@log_option
@stream_option
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Newest so many."
)
@json_option
def list_(*, log_url: str, stream: str, limit: int, as_json: bool) -> None:
    """List refused records and rows, the newest last, each reference once."""
    log = open_log(log_url, SystemClock())
    try:
        letters = read_dead_letters(log, Stream(stream).topic(DEAD_LETTERS))
    finally:
        log.close()
    shown = [_plain(letter) for letter in letters][-limit:]
    if as_json:
        print_json({"total": len(letters), "dead_letters": shown})
        return
    for each in shown:
        row = "" if each["row"] < 0 else f" row {each['row']}"
        click.echo(
            f"{each['append_time']}  {each['topic']}/{each['partition']}@{each['offset']}{row}  "
            f"{each['reason']}: {each['detail']}"
        )
    click.echo(f"{len(letters):,} in all" if letters else "nothing was refused")


def read_dead_letters(log: Log, topic: str) -> list[events_pb2.DeadLetter]:
    """All dead letters that are kept, each reference once, in the order of their first record.

    Raises:
        NotFoundError: there is no such topic.
    """
    if log.describe(topic) is None:
        raise NotFoundError(f"Topic {topic!r} does not exist", "Run `leadline topics create`")
    found: dict[tuple[str, int, int, int], events_pb2.DeadLetter] = {}
    for value in _values(log, topic):
        try:
            letter = decode_dead_letter(value)
        except DecodeError:
            continue  # not ours
        reference = (letter.topic, letter.partition, letter.offset, letter.row)
        found.setdefault(reference, letter)
    return list(found.values())


def _values(log: Log, topic: str) -> Iterator[bytes]:
    reader = log.reader(topic, 0)
    try:
        end = reader.end()
        while reader.position() < end:
            records = reader.poll(_RECORDS, 1.0)
            yield from (record.value for record in records)
    finally:
        reader.close()


def _plain(letter: events_pb2.DeadLetter) -> dict[str, Any]:
    known = int(letter.reason) in {int(reason) for reason in DeadLetterReason}
    when = datetime.fromtimestamp(letter.append_time_ms / 1000, UTC)
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "row": letter.row,
        "reason": DeadLetterReason(letter.reason).name.lower() if known else str(letter.reason),
        "detail": letter.detail,
        "size": letter.size,
        "append_time": when.isoformat(timespec="milliseconds"),
    }
