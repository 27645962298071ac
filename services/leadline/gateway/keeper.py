"""Stores kept inputs, behind a bounded queue and in threads of its own.

| the store is | what happens to a kept row                                                      |
|--------------|---------------------------------------------------------------------------------|
| well         | it is logged with its reference once the input is stored                        |
| slow         | after `timeout_seconds` it is logged without (STORE_FAILED); then the queue fills |
| full queue   | it is logged at once without (QUEUE_FULL)                                       |
| broken       | it is logged without (STORE_FAILED)                                             |

So a row names only what was stored, and no disk ever holds up the log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Protocol

from leadline.gateway.handover import Depth
from leadline.records.batches import InputAbsence
from leadline.runtime.clock import Clock

_log = logging.getLogger(__name__)


class BlobSink(Protocol):
    """The part of a blob store that the gateway uses."""

    def put(self, content: bytes, media_type: str) -> str:
        """Stores content and returns its key; storing it twice changes nothing. May block."""


class Job:
    """One input on its way to the store; read by the thread that offered it.

    Attributes:
        done: whether it has ended, well or not; then `key` or `absence` holds.
        key: of the stored input.
        absence: why it is not stored.
        deadline: monotonic seconds; beyond it nobody waits for it any more.
    """

    __slots__ = ("absence", "content", "deadline", "done", "key", "media_type")

    def __init__(self, content: bytes, media_type: str, deadline: float) -> None:
        self.content = content
        self.media_type = media_type
        self.deadline = deadline
        self.done = False
        self.key = ""
        self.absence = InputAbsence.STORE_FAILED


class Keeper:
    """A bounded queue of inputs in front of a blob store.

    Args:
        blobs: the store.
        inputs_max, bytes_max: bounds of what waits.
        timeout_seconds: how long a row waits for its input.
        threads: inputs stored at the same time.
        clock: measures the time.
    """

    def __init__(
        self,
        blobs: BlobSink,
        *,
        inputs_max: int,
        bytes_max: int,
        timeout_seconds: float,
        threads: int,
        clock: Clock,
    ) -> None:
        self._blobs = blobs
        self._inputs_max = inputs_max
        self._bytes_max = bytes_max
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._bytes = self._dropped = 0
        self._closing = self._failing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"leadline-blobs-{at}", daemon=True)
            for at in range(threads)
        ]

    def start(self) -> None:
        """Starts the threads; once."""
        for thread in self._threads:
            thread.start()

    def offer(self, content: bytes, media_type: str) -> Job | None:
        """Queues an input; None: there was no room. Never blocks."""
        deadline = self._clock.monotonic_seconds() + self._timeout_seconds
        job = Job(content, media_type, deadline)
        with self._changed:
            full = len(self._queue) >= self._inputs_max
            if self._closing or full or self._bytes + len(content) > self._bytes_max:
                self._dropped += 1
                return None
            self._queue.append(job)
            self._bytes += len(content)
            self._changed.notify()
        return job

    def depth(self) -> Depth:
        """What waits at this moment; an input that is being written still counts its bytes."""
        with self._changed:
            return Depth(len(self._queue), self._bytes, self._dropped)

    def close(self) -> None:
        """Ends the threads after what each is storing; does not wait for a stuck store."""
        with self._changed:
            self._closing = True
            for job in self._queue:
                job.done = True
            self._queue.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                if self._clock.monotonic_seconds() < job.deadline:
                    job.key = self._blobs.put(job.content, job.media_type)
                    job.absence = InputAbsence.PRESENT
                    self._failing = False
            except Exception as error:  # a foreign store: the row says that it failed
                if not self._failing:
                    _log.warning("Kept inputs cannot be stored (%s); check blob_url.", error)
                self._failing = True
            with self._changed:
                self._bytes -= len(job.content)
            job.content = b""
            job.done = True

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._queue)
            return self._queue.popleft() if self._queue else None
