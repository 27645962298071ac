"""Opens the log of a client."""

from __future__ import annotations

from leadline.records.errors import NotFoundError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.delivery import Connection
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, Stream
from leadline.runtime.log.topics import ensure_topics

SCHEMES = ("local:", "kafka://")


def check_url(url: str) -> None:
    """Raises UsageError for an address that names no log; opens nothing."""
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), "")
    if not scheme or not url.removeprefix(scheme).strip("/"):
        raise UsageError(
            f"{url!r} names no log",
            'use to="local:PATH" or to="kafka://host:port,host:port"',
        )


def connect(url: str, stream: str, clock: Clock) -> Connection:
    """Opens the log and finds the stream's partition count; may block.

    The topics of an embedded log are made when they are missing; those of a server are not.

    Raises:
        NotFoundError: the topics are missing.
        TransientError: the log does not answer.
    """
    log = open_log(url, clock)
    try:
        if url.startswith("local:"):
            _ensure_local(log, stream)
        return Connection(log, find_stream(log, stream), owned=True)
    except BaseException:
        log.close()
        raise


def _ensure_local(log: Log, stream: str) -> None:
    if log.describe(Stream(stream).topic(PREDICTIONS)) is None:
        ensure_topics(log, Stream(stream))


def find_stream(log: Log, name: str) -> Stream:
    """The stream as its topics are.

    Raises:
        NotFoundError: a topic is missing.
        UsageError: the two topics differ in their partition count.
    """
    found = {}
    for base in (PREDICTIONS, LABELS):
        topic = Stream(name).topic(base)
        state = log.describe(topic)
        if state is None:
            raise NotFoundError(
                f"topic {topic!r} does not exist",
                "run `leadline topics create`, or correct the name of the stream",
            )
        found[base] = state.partitions
    if found[PREDICTIONS] != found[LABELS]:
        raise UsageError(
            f"the topics of stream {name!r} have {found[PREDICTIONS]} and {found[LABELS]} "
            "partitions, so that an id would not meet its label",
            "make both anew with equal numbers; `leadline topics check` says more",
        )
    return Stream(name, found[PREDICTIONS])
