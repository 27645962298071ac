"""The thread that reads answered requests and writes what they say to the log.

hand-over ──> read, score, sample ──> rows ───────────────────────────> producer
                                        └─ kept ─> keeper ─> (stored) ─┘
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from leadline.gateway.core.identity import UNKNOWN_VERSION
from leadline.gateway.core.inputs import encode_row, find_input
from leadline.gateway.core.observe import (
    Exchange,
    Missed,
    Reading,
    Rows,
    assemble,
    header_of,
    read,
)
from leadline.gateway.core.scan import as_text, parameters
from leadline.gateway.core.tensors import TensorHead, parse_tensor
from leadline.gateway.handover import Handover
from leadline.gateway.keeper import Job, Keeper
from leadline.gateway.settings import GatewaySettings
from leadline.gateway.telemetry import Telemetry
from leadline.records.batches import (
    InputAbsence,
    KeptRow,
    LabelBatch,
    PredictionBatch,
    PredictionHeader,
    UnobservedReason,
)
from leadline.records.columns import take_predictions
from leadline.records.models import InputForm
from leadline.runtime.clock import Clock

ROUND_REQUESTS_MAX = 512
"""Requests read in one go: the interpreter's lock is held for tens of milliseconds at most."""
WARNED_MAX = 1000
"""Different warnings that are remembered; beyond it no further ones are said."""
UNREAD = frozenset({UnobservedReason.QUEUE_FULL, UnobservedReason.OPTED_OUT})
"""Requests that were answered and never reached this thread; it counts them all the same."""
SETTLE_SECONDS = 0.02
"""Pause between two looks at kept rows whose input is being stored, at the end."""
HEADS_MAX = 512
"""Remembered tensor heads: a model's are the same in each of its answers."""
HEAD_BYTES_MAX = 512
"""Longer heads carry values of their own, and are not remembered."""

_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where events leave; `leadline.runtime.producer.EventProducer`."""

    def offer_predictions(self, batch: PredictionBatch) -> bool:
        """Never blocks, never raises; False: dropped and counted."""

    def offer_labels(self, batch: LabelBatch) -> bool:
        """Never blocks, never raises; False: dropped and counted."""

    def note_unobserved(
        self, header: PredictionHeader, reason: UnobservedReason, count: int = 1
    ) -> None:
        """Travels in the next batch of that model version."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A kept row that waits for its input to be stored."""

    job: Job
    batch: PredictionBatch


class Observer:
    """Reads what was handed over.

    Args:
        handover: where it comes from.
        outlet: where rows go.
        keeper: where inputs go; None: they are not stored.
        settings: bounds and the producer's name.
        telemetry: what it counts.
        clock: measures the time that rows wait.
    """

    def __init__(
        self,
        handover: Handover,
        outlet: Outlet,
        keeper: Keeper | None,
        settings: GatewaySettings,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._handover = handover
        self._outlet = outlet
        self._keeper = keeper
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._parse = lru_cache(HEADS_MAX)(parse_tensor)
        self._versions: dict[str, str] = {}
        self._warned: set[str] = set()
        self._waiting: deque[_Waiting] = deque()
        self._ending = threading.Event()
        self._give_up = float("inf")
        self._thread = threading.Thread(target=self._run, name="leadline-observer", daemon=True)

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Reads what waits, for at most that long, then ends; rows not stored by then say so."""
        self._give_up = self._clock.monotonic_seconds() + 0.8 * timeout_seconds
        self._ending.set()
        self._handover.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._handover.wait(self._settings.handover_linger_seconds)
            while self.turn() == ROUND_REQUESTS_MAX:
                pass
        while self.turn() or self._waiting:
            # Bounded: a row waits for its input until its deadline, or until `close` gives up.
            self._clock.sleep(SETTLE_SECONDS)

    def turn(self) -> int:
        """Reads what waits now; returns how many requests. A bug is told, and reading goes on."""
        exchanges, missed = self._handover.take(ROUND_REQUESTS_MAX)
        try:
            self._read(exchanges, missed)
        except Exception:
            _log.exception("%d answers could not be read for the log", len(exchanges))
            self._telemetry.failures.inc(len(exchanges))
        self._settle()
        return len(exchanges)

    def _read(self, exchanges: Sequence[Exchange], missed: list[Missed]) -> None:
        readings: list[Reading] = []
        for exchange in exchanges:
            found = read(exchange, self._head)
            if isinstance(found, Reading):
                readings.append(found)
                self._seen(exchange.declaration.spec.name, found.version)
            else:
                missed.append(found)
                self._seen(exchange.declaration.spec.name, found.version)
        rows, lost = assemble(readings, self._settings.producer)
        for part in rows:
            self._log_rows(part)
        for miss in (*missed, *lost):
            self._note(miss)

    def _head(self, entry: bytes) -> TensorHead:
        return self._parse(entry) if len(entry) <= HEAD_BYTES_MAX else parse_tensor(entry)

    def _seen(self, model: str, version: str) -> None:
        self._versions[model] = version
        self._telemetry.answered(model, version)

    def _note(self, missed: Missed) -> None:
        """Counts what was not logged, in the log itself and in the metrics; warns once in words."""
        declaration = missed.declaration
        head, _, tag = declaration.spec.version_from.partition(":")
        known = self._versions.get(declaration.spec.name, "") or UNKNOWN_VERSION
        version = missed.version or (tag if head == "tag" else known)
        classes = len(declaration.spec.classes)
        header = header_of(declaration, version, classes, self._settings.producer)
        self._outlet.note_unobserved(header, missed.reason, missed.count)
        if missed.reason in UNREAD:
            self._telemetry.answered(header.model, version, missed.count)
        self._telemetry.unobserved.labels(missed.reason.name.lower()).inc(missed.count)
        self._warn(missed.words)

    def _warn(self, words: str) -> None:
        if words and words not in self._warned and len(self._warned) < WARNED_MAX:
            self._warned.add(words)
            _log.warning("%s", words)

    def _log_rows(self, rows: Rows) -> None:
        """Logs rows at once, but for kept ones whose input is on its way to the store."""
        instant: list[KeptRow] = []
        waiting: list[int] = []
        for row, probability in zip(rows.keep.tolist(), rows.probability, strict=True):
            kept, job = self._keep(rows, row, probability)
            if job is None:
                instant.append(kept)
            else:
                waiting.append(row)
                batch = take_predictions(rows.batch, np.array([row]))
                self._waiting.append(_Waiting(job, replace(batch, kept=(replace(kept, row=0),))))
        batch = replace(rows.batch, kept=tuple(instant))
        if waiting:
            batch = take_predictions(batch, np.setdiff1d(np.arange(len(batch)), waiting))
        self._telemetry.kept.inc(len(rows.keep))
        if len(batch):
            self._outlet.offer_predictions(batch)

    def _keep(self, rows: Rows, row: int, probability: float) -> tuple[KeptRow, Job | None]:
        """A kept row, and the storing of its input where it has one."""
        exchange = rows.exchanges[row]
        spec = exchange.declaration.spec.input
        kept = KeptRow(row, probability, id_text=exchange.id_text)
        if spec.uri_parameter:
            found = parameters(list(exchange.parameters)).get(spec.uri_parameter)
            if found is not None:
                return replace(kept, input_uri=as_text(found)), None
        absence, job = self._store(exchange, int(rows.place[row]), int(rows.rows_of[row]))
        return replace(kept, absence=absence), job

    def _store(self, exchange: Exchange, row: int, rows: int) -> tuple[InputAbsence, Job | None]:
        spec = exchange.declaration.spec.input
        if self._keeper is None or exchange.request is None:
            return InputAbsence.NOT_STORED, None
        tensor = find_input(exchange.request, spec)
        if isinstance(tensor, InputAbsence):
            return tensor, None
        found = encode_row(tensor, spec.form, row, rows)
        if found.absence:
            return found.absence, None
        if len(found.content) > self._settings.blob_bytes_max:
            self._telemetry.blob("too_large")
            return InputAbsence.TOO_LARGE, None
        job = self._keeper.offer(found.content, found.media_type)
        if job is None:
            self._telemetry.blob("queue_full")
            return InputAbsence.QUEUE_FULL, None
        return InputAbsence.PRESENT, job

    def _settle(self) -> None:
        """Logs the kept rows whose input is stored, has failed, or has had its time."""
        now = self._clock.monotonic_seconds()
        patient = now < self._give_up
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            job = waiting.job
            if patient and not job.done and now < job.deadline:
                self._waiting.append(waiting)
                continue
            stored = job.done and bool(job.key)
            self._telemetry.blob("stored" if stored else "failed" if job.done else "late")
            kept = waiting.batch.kept[0]
            if stored:
                kept = replace(kept, input_ref=job.key)
            else:
                kept = replace(kept, absence=InputAbsence.STORE_FAILED)
            self._outlet.offer_predictions(replace(waiting.batch, kept=(kept,)))


def wants_input(form: InputForm) -> bool:
    """Whether a request must be held until it is known whether its input is kept."""
    return form is not InputForm.UNSPECIFIED
