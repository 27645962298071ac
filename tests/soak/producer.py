"""Writes the traffic at a steady pace, whatever happens to the broker."""

import threading
from collections import deque
from contextlib import suppress
from time import monotonic, time_ns

from kafka import KafkaProducer
from kafka.errors import KafkaError

STEP_SECONDS = 0.2
SILENCE_SECONDS = 8.0  # without any acknowledgement the client is made anew


class Producer(threading.Thread):
    """A thread with a client of its own; connects to the broker itself, past the proxies.

    It sends again what was not acknowledged, so what it writes may come twice; what it gave up may
    have been written all the same. What counts is what the topics hold.
    """

    def __init__(self, bootstrap, traffic):
        super().__init__(name="producer", daemon=True)
        self.traffic, self._servers = traffic, bootstrap
        self.sent = self.lost = 0
        self.error = None
        self._waiting = deque()  # not handed to the client yet
        self._flying = deque()
        self._halt = threading.Event()
        self._client = None
        self._heard = monotonic()

    def run(self):
        """Writes until it is stopped."""
        try:
            while not self._halt.wait(STEP_SECONDS):
                self._waiting.extend(self.traffic.step(time_ns() // 1000))
                self._send()
                self._harvest()
        except Exception as error:
            self.error = error
            raise

    def stop(self, seconds=30.0):
        """Writes what waits, and ends."""
        self._halt.set()
        self.join(seconds)
        give_up = monotonic() + seconds
        while self._waiting and monotonic() < give_up:
            self._send()
        if self._client is not None:
            with suppress(KafkaError):
                self._client.flush(seconds)
            self._harvest()
            self._close()

    def _send(self):
        try:
            if self._client is None:
                self._client, self._heard = self._made(), monotonic()
            while self._waiting:
                topic, partition, value = self._waiting[0]
                self._flying.append(self._client.send(topic, value=value, partition=partition))
                self._waiting.popleft()
                self.sent += 1
        except KafkaError:  # no broker, or a full queue: later
            return

    def _harvest(self):
        while self._flying and self._flying[0].is_done:
            done = self._flying.popleft()
            self._heard = monotonic()
            self.lost += done.exception is not None
        if not self._flying:
            self._heard = monotonic()
        elif monotonic() - self._heard > SILENCE_SECONDS:
            self.lost += len(self._flying)
            self._flying.clear()
            self._close()

    def _made(self):
        return KafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=False,  # a record may come twice: counting must bear it
            retries=1000,
            linger_ms=5,
            max_block_ms=500,
            request_timeout_ms=3_000,
            delivery_timeout_ms=60_000,
            reconnect_backoff_max_ms=500,
            allow_auto_create_topics=False,
        )

    def _close(self):
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close(timeout=1)
        except KafkaError:  # it gives up when something is still queued, and would go on
            client._sender.force_close()
            client._sender.join(1.0)
            with suppress(KafkaError):
                client.close(timeout=0)
