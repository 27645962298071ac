"""The client: what a production service calls.

    caller's thread                       the client's thread
    prediction, label ──> row buffer ──gather──> batches ──> bounded queue ──> log

After construction nothing here blocks or raises into the caller: what cannot be logged is counted
by cause, and told once per cause to the logger `leadline.client`, with the remedy.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from leadline.client.buffer import (
    LabelRow,
    PredictionRow,
    RowBuffer,
    built_rows,
    label_batch,
)
from leadline.client.bulk import bulk_labels, bulk_predictions
from leadline.client.columns import Built, slice_value
from leadline.client.connect import check_url, connect
from leadline.client.edge import ClassName, Edge, Id, RefusedError, Time, identity, time_us
from leadline.records.batches import RETRACTED, TaskKind, UnobservedReason
from leadline.records.errors import UsageError
from leadline.records.ids import fresh_id
from leadline.records.models import ScoreForm, check_name
from leadline.runtime.clock import Clock, SystemClock
from leadline.runtime.producer import Producer, ProducerLimits

LOG_URL_VARIABLE = "LEADLINE_LOG_URL"

_FORMS = {
    "probabilities": ScoreForm.PROBABILITIES,
    "softmax": ScoreForm.LOGITS_SOFTMAX,
    "sigmoid": ScoreForm.LOGITS_SIGMOID,
}
_KINDS = {"multiclass": TaskKind.MULTICLASS, "binary": TaskKind.BINARY}


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What a client has done so far.

    Attributes:
        predictions: accepted from the caller, within the share that is logged.
        labels: accepted from the caller.
        refused: events that cannot be logged, by cause.
        sampled_out: predictions outside `log_rate`.
        queued_rows: waiting or being written.
        written_rows: durable in the log.
        dropped_rows: by reason: the queue was full, or the log failed.
        last_error: of the log; empty while it is well.
    """

    predictions: int = 0
    labels: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    sampled_out: int = 0
    queued_rows: int = 0
    written_rows: int = 0
    dropped_rows: dict[str, int] = field(default_factory=dict)
    last_error: str = ""


def new_id(clock: Clock | None = None) -> str:
    """A fresh id as text: a UUIDv7, which sorts by time, so that its label is found fast."""
    now_ms = (clock or SystemClock()).now_us() // 1000
    digits = fresh_id(now_ms, os.urandom(10)).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Log:
    """Logs predictions and true labels of one model version. Safe to use from several threads.

    It may be made before a fork: in a child it makes its queue and its connection anew, and the
    parent's rows stay the parent's. Use it as a context manager or call `close`; otherwise what is
    queued is written at the end of the process, within `exit_seconds`.

    Args:
        model: as everyone knows it; may be empty where only labels are logged and `task` is given.
        version: of the model; may be empty where only labels are logged.
        to: "local:PATH" or "kafka://host:port,host:port"; by default LEADLINE_LOG_URL, read now.
        task: the label space; by default the model's name.
        classes: class names in the order of the model's outputs. Without them, class numbers.
        kind: "multiclass" or "binary".
        scores: what the scores are: "probabilities", or logits: "softmax" or "sigmoid".
        source: of the labels, for people: "annotator", "clicks".
        source_rank: labels of a higher rank always win over those of a lower one.
        log_rate: share of the predictions that is logged, decided by the id.
        keep_rate: share of the logged predictions that become cases, decided by the id.
        stream: which pair of topics.
        producer: who writes, for people.
        strict: raise what would be counted as refused: for tests.
        limits: bounds of the queue and of its writing.
        exit_seconds: bound on writing the rest at the end of the process.
        environ: where LEADLINE_LOG_URL is looked up; by default the process's own.
        clock: tells event times and paces the thread.

    Raises:
        UsageError: an argument cannot be right. The log itself is not touched here: it is opened by
            the client's thread, again and again until it answers.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        model: str = "",
        version: str = "",
        *,
        to: str | None = None,
        task: str = "",
        classes: Sequence[str] = (),
        kind: Literal["multiclass", "binary"] = "multiclass",
        scores: Literal["probabilities", "softmax", "sigmoid"] = "probabilities",
        source: str = "",
        source_rank: int = 0,
        log_rate: float = 1.0,
        keep_rate: float = 0.05,
        stream: str = "main",
        producer: str = "",
        strict: bool = False,
        limits: ProducerLimits | None = None,
        exit_seconds: float = 2.0,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        known = os.environ if environ is None else environ
        self._url = to or known.get(LOG_URL_VARIABLE, "")
        _check_arguments(self._url, model, version, task, kind, scores, (log_rate, keep_rate))
        self._edge = Edge(
            model=model,
            version=str(version),
            task=task or model,
            kind=_KINDS[kind],
            classes=tuple(classes),
            form=_FORMS[scores],
            source=source,
            source_rank=source_rank,
            log_rate=log_rate,
            keep_rate=keep_rate,
            producer=producer,
        )
        self._stream, self._strict = stream, strict
        self._limits, self._clock = limits or ProducerLimits(), clock or SystemClock()
        self._exit_seconds = exit_seconds
        self._closed = False
        self._open()
        atexit.register(self._at_exit)

    def prediction(
        self,
        id: Id,  # noqa: A002 - the word that callers know
        scores: Sequence[float] | npt.NDArray[Any] | float | None = None,
        *,
        predicted: ClassName | None = None,
        slices: Mapping[str, object] | None = None,
        event_time: Time = None,
        input_uri: str = "",
        row: int = 0,
    ) -> None:
        """Logs one prediction; never blocks, never raises.

        Args:
            id: text, 16 bytes or a UUID; labels name it.
            scores: one per class; a single number where the task is binary.
            predicted: the class, by name or number, where there are no scores, or where it is not
                the one with the best score.
            slices: at most 3 columns by which figures are cut: {"device": "phone"}.
            event_time: by default now.
            input_uri: where the input lives, for people who look at the case; never copied.
            row: of a request of many rows under one id.
        """
        try:
            self._check_process()
            names: tuple[str, ...] = ()
            values: tuple[str, ...] = ()
            if slices:
                names = tuple(slices)
                values = tuple([slice_value(name, slices[name]) for name in names])
            found = PredictionRow(
                identity(id, row),
                id if isinstance(id, str) else "",
                time_us(event_time, self._clock.now_us()),
                -1 if predicted is None else self._edge.class_number(predicted),
                b"" if scores is None else _score_bytes(scores),
                values,
                input_uri,
            )
            if self._strict:
                self._offer_rows({names: [found]}, [])
            else:
                self._buffer.add_prediction(found, names)
        except Exception as error:
            self._failed(error, 1)

    def label(
        self,
        id: Id,  # noqa: A002 - the word that callers know
        true_class: ClassName,
        *,
        label_time: Time = None,
        row: int = 0,
    ) -> None:
        """Logs the true class of a prediction, by name or number; never blocks, never raises.

        It may come before the prediction, and it may correct an earlier label: the later
        `label_time` wins among labels of equal source rank.
        """
        try:
            self._check_process()
            self._add_label(id, row, self._edge.class_number(true_class), label_time)
        except Exception as error:
            self._failed(error, 1)

    def retract(self, id: Id, *, label_time: Time = None, row: int = 0) -> None:  # noqa: A002
        """Takes the label of a prediction back; never blocks, never raises."""
        try:
            self._check_process()
            self._add_label(id, row, RETRACTED, label_time)
        except Exception as error:
            self._failed(error, 1)

    def predictions(
        self,
        ids: Sequence[Id] | Id,
        scores: npt.ArrayLike | None = None,
        *,
        predicted: Sequence[ClassName] | None = None,
        slices: Mapping[str, object] | None = None,
        event_time: Time | Sequence[Time] = None,
        input_uris: Sequence[str] | None = None,
    ) -> None:
        """Logs a batch of predictions; never blocks, never raises.

        Args:
            ids: one per row; or one id of the whole request, whose rows are then told apart by
                their number (`label(id, ..., row=i)`).
            scores: (n, classes).
            predicted: one per row, as in `prediction`.
            slices: by column one value, or one per row.
            event_time: one, or one per row.
            input_uris: one per row.
        """
        count = 1
        try:
            self._check_process()
            count = _rows_of(ids, scores, predicted)
            self._offer_built(
                bulk_predictions(
                    self._edge,
                    ids,
                    count,
                    scores=scores,
                    predicted=predicted,
                    slices=slices or {},
                    times=event_time,
                    input_uris=input_uris,
                    now_us=self._clock.now_us(),
                )
            )
        except Exception as error:
            self._failed(error, count)

    def labels(
        self,
        ids: Sequence[Id] | Id,
        true_classes: Sequence[ClassName | None],
        *,
        label_time: Time | Sequence[Time] = None,
    ) -> None:
        """Logs a batch of labels; None takes a label back. Never blocks, never raises."""
        try:
            self._check_process()
            batch, refused = bulk_labels(
                self._edge, ids, true_classes, label_time, self._clock.now_us()
            )
            if batch is not None and self._producer.offer_labels(batch):
                self._count("labels", len(batch))
            self._note_refused(refused)
        except Exception as error:
            self._failed(error, _length(true_classes))

    def stats(self) -> ClientStats:
        """The counts of this moment."""
        written = self._producer.stats()
        with self._lock:
            return ClientStats(
                predictions=self._counts.get("predictions", 0),
                labels=self._counts.get("labels", 0),
                refused=dict(self._refused),
                sampled_out=self._counts.get("sampled_out", 0),
                queued_rows=written.queued_rows,
                written_rows=written.written_rows,
                dropped_rows={
                    reason.name.lower(): count for reason, count in written.dropped_rows.items()
                },
                last_error=written.last_error,
            )

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Whether all that was logged before became durable within that time; blocks."""
        self._drain()
        return self._producer.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Writes what is queued for at most that long, then ends; later events are dropped."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._at_exit)
        if self._pid == os.getpid():
            self._drain()
            self._producer.close(timeout_seconds)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._producer = Producer(
            lambda: connect(self._url, self._stream, self._clock),
            self._limits,
            self._clock,
            gather=self._drain,
        )
        self._buffer = RowBuffer(self._producer.nudge, self._drain)
        self._producer.start()

    def _check_process(self) -> None:
        """Makes queue, thread and connection anew in a forked child."""
        if self._pid != os.getpid():
            self._open()

    def _add_label(self, id_: Id, row: int, true_class: int, label_time: Time) -> None:
        when = time_us(label_time, self._clock.now_us())
        self._buffer.add_label(LabelRow(identity(id_, row), when, true_class))

    def _drain(self) -> None:
        """Makes batches of the buffered rows and queues them."""
        self._offer_rows(*self._buffer.take())

    def _offer_rows(
        self, predictions: dict[tuple[str, ...], list[PredictionRow]], labels: list[LabelRow]
    ) -> None:
        for names, rows in predictions.items():
            for group, built in built_rows(rows, names, self._edge):
                if isinstance(built, Built):
                    self._offer_built(built)
                else:
                    self._note_refused([(0, built)] * len(group))
        if labels and self._producer.offer_labels(label_batch(labels, self._edge)):
            self._count("labels", len(labels))

    def _offer_built(self, built: Built) -> None:
        if built.batch is not None and self._producer.offer_predictions(built.batch):
            self._count("predictions", len(built.batch))
        if built.sampled_out:
            self._count("sampled_out", built.sampled_out)
        if built.refused:
            header = self._edge.prediction_header(0)
            lost = len(built.refused)
            self._producer.note_unobserved(header, UnobservedReason.SCORE_RANGE, lost)
            self._note_refused(built.refused)

    def _note_refused(self, refused: Sequence[tuple[int, RefusedError]]) -> None:
        """Counts refused rows; when strict, raises the first instead."""
        for _, why in refused:
            if self._strict:
                raise why
            self._note(why, 1)

    def _count(self, what: str, count: int) -> None:
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + count

    def _failed(self, error: Exception, count: int) -> None:
        """The end of a call that logged nothing: counted, and raised when strict."""
        self._note(error, count)
        if self._strict:
            raise error

    def _note(self, error: Exception, count: int) -> None:
        """Counts a refusal, and tells it once per cause."""
        cause = error.cause if isinstance(error, RefusedError) else type(error).__name__
        with self._lock:
            first = cause not in self._refused
            self._refused[cause] = self._refused.get(cause, 0) + count
        if first:
            remedy = error.remedy if isinstance(error, UsageError) else ""
            logging.getLogger("leadline.client").warning(
                "not logged: %s%s (told once for each cause; see stats())",
                error,
                f": {remedy}" if remedy else "",
            )

    def _at_exit(self) -> None:
        self.close(self._exit_seconds)


def _check_arguments(
    url: str,
    model: str,
    version: str,
    task: str,
    kind: str,
    scores: str,
    rates: tuple[float, float],
) -> None:
    if not url:
        raise UsageError(
            "no log is given",
            f'set {LOG_URL_VARIABLE}, or to="local:PATH" or to="kafka://host:port"',
        )
    check_url(url)
    if not model and not task:
        raise UsageError("neither a model nor a task is given", 'use Log(model="...")')
    for what, name in (("model", model), ("version", str(version)), ("task", task)):
        if name:
            check_name(what, name)
    for what, value, allowed in (("kind", kind, _KINDS), ("scores", scores, _FORMS)):
        if value not in allowed:
            raise UsageError(f"{what} = {value!r}", f"use one of: {', '.join(allowed)}")
    if not 0 < rates[0] <= 1 or not 0 <= rates[1] <= 1:
        raise UsageError("log_rate lies in (0, 1], keep_rate in [0, 1]")


def _score_bytes(scores: Sequence[float] | npt.NDArray[Any] | float) -> bytes:
    row = np.asarray(scores, np.float32)
    if row.ndim > 1 or not row.size:
        raise RefusedError(
            "score_count",
            f"scores of one prediction have the shape {row.shape}",
            "give one score per class; `predictions` takes many rows",
        )
    return row.tobytes()


def _rows_of(ids: object, scores: npt.ArrayLike | None, predicted: Sequence[object] | None) -> int:
    for column in (scores, predicted):
        if column is not None:
            return len(column)  # type: ignore[arg-type]
    return 1 if isinstance(ids, str | bytes) else _length(ids)


def _length(column: object) -> int:
    """Rows that a call was meant to log; 1 where that cannot be told."""
    try:
        return len(column)  # type: ignore[arg-type]
    except TypeError:
        return 1
