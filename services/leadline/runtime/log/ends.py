"""Where the topics end, for readers that tell how far behind the figures are."""

from __future__ import annotations

from threading import Lock

from leadline.records.errors import TransientError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, LogReader, Stream


class LogEnds:
    """The ends of a stream's topics, asked at most once in `period_seconds`.

    Safe to call from several threads. While the log does not answer, nothing is known.

    Args:
        log: is asked; closed by its owner, after this.
        stream: whose topics.
        period_seconds: an answer is used again for that long.
    """

    def __init__(self, log: Log, stream: Stream, clock: Clock, period_seconds: float = 0.5) -> None:
        self._log, self._stream, self._clock = log, stream, clock
        self._period_seconds = period_seconds
        self._lock = Lock()
        self._readers: dict[str, tuple[LogReader, LogReader]] = {}
        self._known: dict[str, tuple[int, int]] | None = None
        self._until = 0.0

    def __call__(self) -> dict[str, tuple[int, int]] | None:
        """(predictions end, labels end) by shard; None while the log does not answer."""
        with self._lock:
            now = self._clock.monotonic_seconds()
            if now >= self._until:
                self._known = self._ask()
                self._until = now + self._period_seconds
            return self._known

    def close(self) -> None:
        """Ends."""
        with self._lock:
            for pair in self._readers.values():
                for reader in pair:
                    reader.close()
            self._readers.clear()

    def _ask(self) -> dict[str, tuple[int, int]] | None:
        try:
            if not self._readers:
                self._readers = {
                    self._stream.shard(partition): self._open(partition)
                    for partition in range(self._stream.partitions)
                }
            return {
                shard: (predictions.end(), labels.end())
                for shard, (predictions, labels) in self._readers.items()
            }
        except TransientError:
            return None

    def _open(self, partition: int) -> tuple[LogReader, LogReader]:
        predictions, labels = self._stream.topic(PREDICTIONS), self._stream.topic(LABELS)
        return self._log.reader(predictions, partition), self._log.reader(labels, partition)
