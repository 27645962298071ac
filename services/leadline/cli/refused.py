"""Reads dead letters, and the records that they are about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import DecodeError

from leadline.records.errors import (
    DeadLetterReason,
    LeadlineError,
    NotFoundError,
    TransientError,
    UsageError,
)
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, LogReader, Record, Stream
from leadline.v1 import events_pb2
from leadline.wire.dead_letters import Reference, decode_dead_letter, reference_of

_RECORDS = 500
_READ_SECONDS = 10.0
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused record or row.

    Attributes:
        reference: what was refused.
        message: its first dead letter.
        replayed_ms: when it was sent again, the last time; 0 when it was not.
    """

    reference: Reference
    message: events_pb2.DeadLetter
    replayed_ms: int

    @property
    def reason(self) -> str:
        """In lower case; a number when this version does not know it."""
        return reason_name(int(self.message.reason))


@dataclass(frozen=True, slots=True)
class Original:
    """A record that was refused.

    Attributes:
        value: its bytes: all of them when `whole`.
        whole: the dead letter's copy may hold the first bytes only.
        source: where it was found: "topic" or "copy".
        lost: why it is not in the topic any more; empty when it is.
    """

    value: bytes
    whole: bool
    source: str
    lost: str = ""


class Originals:
    """Fetches records by reference, over one reader for each partition.

    Args:
        log: holds the topics.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._readers: dict[tuple[str, int], LogReader] = {}

    def fetch(self, letter: Letter) -> Original:
        """The record: from its topic, or else what the dead letter has copied.

        Raises:
            TransientError: the log does not answer.
        """
        copy, size = bytes(letter.message.copy), letter.message.size
        record, lost = None, ""
        try:
            record = self._record(letter.reference)
        except TransientError:
            raise
        except LeadlineError as error:
            lost = str(error)
        if record is not None and (len(record.value) != size or not record.value.startswith(copy)):
            record, lost = None, "the topic holds another record at that offset: it was made anew"
        if record is None:
            return Original(copy, len(copy) == size, "copy", lost or "the topic has forgotten it")
        return Original(record.value, whole=True, source="topic")

    def close(self) -> None:
        """Ends."""
        for reader in self._readers.values():
            reader.close()

    def _record(self, at: Reference) -> Record | None:
        place = (at.topic, at.partition)
        if place not in self._readers:
            self._readers[place] = self._log.reader(*place)
        reader = self._readers[place]
        if not reader.begin() <= at.offset < reader.end():
            return None
        reader.seek(at.offset)
        records = reader.poll(1, _READ_SECONDS)
        if not records:
            raise TransientError(f"{at}: the log does not give the record out")
        return records[0] if records[0].offset == at.offset else None


def read_letters(log: Log, topic: str) -> list[Letter]:
    """All dead letters that are kept, each reference once, in the order of their first record.

    Raises:
        NotFoundError: there is no such topic.
    """
    if log.describe(topic) is None:
        raise NotFoundError(f"Topic {topic!r} does not exist", "Run `leadline topics create`")
    found: dict[Reference, events_pb2.DeadLetter] = {}
    replayed: dict[Reference, int] = {}
    for value in _values(log, topic):
        try:
            message = decode_dead_letter(value)
        except DecodeError:
            continue  # not ours
        reference = reference_of(message)
        if message.replayed_time_ms:
            replayed[reference] = message.replayed_time_ms
        else:
            found.setdefault(reference, message)
    return [Letter(at, message, replayed.get(at, 0)) for at, message in found.items()]


def chosen(
    letters: Sequence[Letter], reasons: Collection[str], since_ms: int | None
) -> list[Letter]:
    """Those with one of the reasons (none means any) whose records were appended since then."""
    return [
        letter
        for letter in letters
        if (not reasons or letter.reason in reasons)
        and (since_ms is None or letter.message.append_time_ms >= since_ms)
    ]


def named(letters: Sequence[Letter], texts: Sequence[str]) -> list[Letter]:
    """The letters of these references, in the order given, each once.

    Raises:
        UsageError: a text is no reference.
        NotFoundError: nothing is known of a reference.
    """
    known = {letter.reference: letter for letter in letters}
    found: dict[Reference, Letter] = {}
    for text in texts:
        reference = Reference.parse(text)
        if reference not in known:
            raise NotFoundError(
                f"No dead letter is about {text}",
                "`leadline dead-letters list` shows those that are kept",
            )
        found[reference] = known[reference]
    return list(found.values())


def since_ms(text: str, now_us: int) -> int:
    """A time, or how long ago, as milliseconds since 1970-01-01 UTC: "2026-11-22T10:00", "36h".

    Raises:
        UsageError: it is neither.
    """
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        ago = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return now_us // 1000 - ago // timedelta(milliseconds=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", "write 2026-11-22, 2026-11-22T10:00 (UTC), 90s, 30m, 36h or 7d"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def side_of(stream: Stream, topic: str) -> str | None:
    """PREDICTIONS or LABELS: which of the stream's topics it is; None for another one."""
    return {stream.topic(PREDICTIONS): PREDICTIONS, stream.topic(LABELS): LABELS}.get(topic)


def reason_name(number: int) -> str:
    """The reason's name in lower case; a number when this version does not know it."""
    known = number in {int(reason) for reason in DeadLetterReason}
    return DeadLetterReason(number).name.lower() if known else str(number)


def iso(time_ms: int) -> str:
    """A time for people and scripts."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def plain(letter: Letter) -> dict[str, Any]:
    """A dead letter as plain values."""
    message = letter.message
    return {
        "reference": str(letter.reference),
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "row": message.row,
        "reason": letter.reason,
        "detail": message.detail,
        "size": message.size,
        "append_time": iso(message.append_time_ms),
        "replayed": iso(letter.replayed_ms) if letter.replayed_ms else None,
    }


def _values(log: Log, topic: str) -> Iterator[bytes]:
    reader = log.reader(topic, 0)
    try:
        end = reader.end()
        while reader.position() < end:
            records = reader.poll(_RECORDS, 1.0)
            yield from (record.value for record in records)
    finally:
        reader.close()
