"""Brings messages into a log that may be slow, gone, or back again. For one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leadline.records.errors import LeadlineError, NotFoundError, UsageError
from leadline.runtime.log.port import Log, LogWriter, Stream
from leadline.runtime.rounds import Message


@dataclass(frozen=True, slots=True)
class Connection:
    """An open log, and the stream in it.

    Attributes:
        owned: whether who writes also closes the log.
    """

    log: Log
    stream: Stream
    owned: bool = False


class Delivery:
    """Holds the connection and its writer, and makes both anew when they fail.

    Args:
        connect: opens the log; may block and raise LeadlineError.
        attempts_max: attempts for one call of `write`.
        timeout_seconds: how long one attempt waits until all is durable.
        retry_seconds: pause before the second attempt; doubled for each further one.
        pause: waits; returns False when there is no time left and the rest is given up.
        failed: told of each failed attempt.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        attempts_max: int,
        timeout_seconds: float,
        retry_seconds: float,
        pause: Callable[[float], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        self._connect = connect
        self._attempts_max = attempts_max
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._pause = pause
        self._failed = failed
        self._connection: Connection | None = None
        self._writer: LogWriter | None = None

    def stream(self) -> Stream:
        """The stream; opens the log when it is not open.

        Raises:
            LeadlineError: the log does not answer, or its topics are not there.
        """
        if self._connection is None:
            self._connection = self._connect()
        return self._connection.stream

    def write(self, messages: Sequence[Message]) -> list[Message]:
        """Appends all and waits until they are durable; returns those that were given up.

        Each failed attempt closes its writer, so that a stalled one never holds the rows of more
        than one attempt, and begins again with all messages that the log has not refused.
        """
        refused: list[Message] = []
        left = list(messages)
        for attempt in range(self._attempts_max):
            try:
                left = self._append(left, refused)
                self._open_writer().flush(self._timeout_seconds)
            except Exception as error:  # an adapter's bug must not end the thread
                self._failed(error)
                self._discard_writer()
            else:
                return refused
            last = attempt + 1 == self._attempts_max
            if last or not self._pause(self._retry_seconds * 2**attempt):
                break
        return refused + left

    def close(self) -> None:
        """Closes the writer, and the log where it is owned."""
        self._discard_writer()
        if self._connection is not None and self._connection.owned:
            self._connection.log.close()
        self._connection = None

    def _append(self, messages: Sequence[Message], refused: list[Message]) -> list[Message]:
        """Appends; moves what the log will never take to `refused` and returns the others."""
        writer = self._open_writer()
        taken = []
        for message in messages:
            try:
                writer.append(message.topic, message.partition, message.value)
            except NotFoundError:
                raise  # the topic may be there in a moment
            except UsageError as error:
                self._failed(error)
                refused.append(message)
            else:
                taken.append(message)
        return taken

    def _open_writer(self) -> LogWriter:
        if self._writer is None:
            self.stream()
            assert self._connection is not None  # noqa: S101 - stream() opened it
            self._writer = self._connection.log.writer()
        return self._writer

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except LeadlineError as error:
            logging.getLogger("leadline.producer").debug("closing the log's writer: %s", error)
        except Exception as error:  # as in write
            self._failed(error)
