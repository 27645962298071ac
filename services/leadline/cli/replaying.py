"""Sends refused records and rows again: appended first, noted as replayed afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from leadline.cli.refused import Letter, Originals, iso, side_of
from leadline.records.errors import StoppedError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import DEAD_LETTERS, PREDICTIONS, Log, Stream
from leadline.wire.dead_letters import encode_replayed
from leadline.wire.replay import Replay, replay_labels, replay_predictions

FLUSH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done about the references to one record.

    Attributes:
        letters: those of its rows, or the one of the whole record; in the order of rows.
        topic: where to append.
        messages: (partition, message, rows).
        done: references that the messages cover, as indices of `letters`.
        problems: why others are left, by reference.
    """

    letters: tuple[Letter, ...]
    topic: str
    messages: tuple[tuple[int, bytes, int], ...]
    done: tuple[int, ...]
    problems: dict[str, str]


def plan(log: Log, stream: Stream, letters: Sequence[Letter], *, again: bool) -> Iterator[Planned]:
    """What a replay would do, record by record; appends nothing.

    Args:
        log: holds the records.
        stream: whose topics, with the partitions that they have.
        letters: what to send again.
        again: also what was sent again before.

    Raises:
        TransientError: the log does not answer.
    """
    originals = Originals(log)
    try:
        ordered = sorted(letters, key=lambda letter: letter.reference)
        for _, group in groupby(ordered, key=lambda letter: letter.reference.record):
            yield _planned(originals, stream, list(group), again=again)
    finally:
        originals.close()


def send(log: Log, stream: Stream, plans: Sequence[Planned], clock: Clock) -> None:
    """Appends what is planned, and notes it when it is durable.

    A crash in between leaves it unnoted: sent a second time, predictions are duplicates and labels
    superseded.

    Raises:
        TransientError: the log does not answer; nothing is noted then.
    """
    writer = log.writer()
    try:
        for each in plans:
            for partition, message, _ in each.messages:
                writer.append(each.topic, partition, message)
        writer.flush(FLUSH_SECONDS)
        now_ms = clock.now_us() // 1000
        for each in plans:
            for index in each.done:
                note = encode_replayed(each.letters[index].reference, now_ms)
                writer.append(stream.topic(DEAD_LETTERS), 0, note)
        writer.flush(FLUSH_SECONDS)
    finally:
        writer.close()


def told(plans: Sequence[Planned]) -> list[dict[str, Any]]:
    """What became of every reference, as plain values."""
    found = []
    for each in plans:
        partitions = sorted({partition for partition, *_ in each.messages})
        for index, letter in enumerate(each.letters):
            reference = str(letter.reference)
            done = index in each.done
            found.append(
                {
                    "reference": reference,
                    "replayed": done,
                    "partitions": partitions if done else [],
                    "problem": each.problems.get(reference, ""),
                }
            )
    return found


def _planned(
    originals: Originals, stream: Stream, letters: Sequence[Letter], *, again: bool
) -> Planned:
    problems = {
        str(letter.reference): f"it was sent again at {iso(letter.replayed_ms)} (--again to repeat)"
        for letter in letters
        if letter.replayed_ms and not again
    }
    topic = letters[0].reference.topic
    wanted = [letter for letter in letters if str(letter.reference) not in problems]
    replay = Replay((), ())
    why = ""
    if wanted:
        replay, why = _replay(originals, stream, wanted)
    refused = {each.row: each.detail for each in replay.refused}
    whole_refused = refused.get(-1, "")
    done = []
    for index, letter in enumerate(letters):
        reference, row = str(letter.reference), letter.reference.row
        if reference in problems:
            continue
        still = whole_refused or (refused.get(row, "") if row >= 0 else "")
        if why or still:
            problems[reference] = why or f"this version refuses it, too: {still}"
        else:
            done.append(index)
            if row < 0 and refused:
                problems[reference] = _rows_left(refused)
    return Planned(tuple(letters), topic, replay.messages, tuple(done), problems)


def _replay(originals: Originals, stream: Stream, letters: Sequence[Letter]) -> tuple[Replay, str]:
    """The new messages, or why there are none."""
    first = letters[0]
    side = side_of(stream, first.reference.topic)
    if side is None:
        return Replay((), ()), f"topic {first.reference.topic!r} is none of stream {stream.name!r}"
    original = originals.fetch(first)
    if not original.whole:
        return Replay((), ()), (
            f"{original.lost}, and the dead letter copied only {len(original.value):,} of its "
            f"{first.message.size:,} bytes: send the events again from their source"
        )
    rows = [letter.reference.row for letter in letters]
    replay = replay_predictions if side == PREDICTIONS else replay_labels
    try:
        # The whole record comes first in the order; then its rows are among it.
        return replay(original.value, None if rows[0] < 0 else rows, stream.partitions), ""
    except StoppedError as error:
        return Replay((), ()), f"{error} {error.remedy}"


def _rows_left(refused: dict[int, str]) -> str:
    row, detail = next(iter(refused.items()))
    return f"{len(refused):,} of its rows are refused still and not sent, row {row}: {detail}"
