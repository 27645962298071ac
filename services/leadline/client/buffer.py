"""Rows that wait to become batches. Safe to use from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from leadline.client.columns import Built, PredictionColumns, build_predictions
from leadline.client.edge import Edge, RefusedError
from leadline.records.batches import LabelBatch
from leadline.records.ids import pack_ids

ROWS_MAX = 512
"""Rows after which the caller makes a batch of them itself: some 0.3 ms, once in so many calls."""


class PredictionRow(NamedTuple):
    """One prediction, as it waits.

    Attributes:
        predicted: -1 where the best score decides.
        scores: float32 bytes in the caller's form; empty without scores.
        slices: values, in the order of the key's names.
    """

    identity: bytes
    text: str
    time_us: int
    predicted: int
    scores: bytes
    slices: tuple[str, ...]
    input_uri: str


class LabelRow(NamedTuple):
    """One label, as it waits."""

    identity: bytes
    time_us: int
    true_class: int


Names = tuple[str, ...]


class RowBuffer:
    """Two lists of rows.

    Args:
        nudge: called when the first row comes into an empty buffer.
        drain: called when the buffer is full.
    """

    def __init__(self, nudge: Callable[[], None], drain: Callable[[], None]) -> None:
        self._lock = threading.RLock()  # a signal handler may log while a call is in here
        self._nudge = nudge
        self._drain = drain
        self._predictions: dict[Names, list[PredictionRow]] = {}
        self._labels: list[LabelRow] = []
        self._rows = 0

    def add_prediction(self, row: PredictionRow, names: Names) -> None:
        """Takes a row; `names` are its slice columns."""
        with self._lock:
            rows = self._predictions.get(names)
            if rows is None:
                rows = self._predictions[names] = []
            rows.append(row)
            self._rows = count = self._rows + 1
        self._counted(count)

    def add_label(self, row: LabelRow) -> None:
        """Takes a row."""
        with self._lock:
            self._labels.append(row)
            self._rows = count = self._rows + 1
        self._counted(count)

    def take(self) -> tuple[dict[Names, list[PredictionRow]], list[LabelRow]]:
        """All rows; the buffer is empty afterwards."""
        with self._lock:
            predictions, self._predictions = self._predictions, {}
            labels, self._labels = self._labels, []
            self._rows = 0
        return predictions, labels

    def _counted(self, count: int) -> None:
        if count == 1:
            self._nudge()
        elif count >= ROWS_MAX:
            self._drain()


def built_rows(
    rows: list[PredictionRow], names: Names, edge: Edge
) -> list[tuple[list[PredictionRow], Built | RefusedError]]:
    """Batches of rows with the same slice columns, by the number of their scores.

    A number of scores that does not fit the class list refuses its rows alone.
    """
    by_size: dict[int, list[PredictionRow]] = {}
    for row in rows:
        by_size.setdefault(len(row.scores), []).append(row)
    found: list[tuple[list[PredictionRow], Built | RefusedError]] = []
    for size, group in by_size.items():
        try:
            found.append((group, build_predictions(_columns(group, names, size), edge)))
        except RefusedError as refused:
            found.append((group, refused))
    return found


def _columns(rows: list[PredictionRow], names: Names, size: int) -> PredictionColumns:
    scores = None
    if size:
        flat = np.frombuffer(b"".join([row.scores for row in rows]), np.float32)
        scores = flat.reshape(len(rows), -1)
    return PredictionColumns(
        ids=pack_ids([row.identity for row in rows]),
        texts=[row.text for row in rows],
        times_us=np.array([row.time_us for row in rows], np.int64),
        predicted=np.array([row.predicted for row in rows], np.int64),
        scores=scores,
        slices={name: [row.slices[at] for row in rows] for at, name in enumerate(names)},
        input_uris=[row.input_uri for row in rows],
    )


def label_batch(rows: list[LabelRow], edge: Edge) -> LabelBatch:
    """The batch of label rows; at least one."""
    return LabelBatch(
        header=edge.label_header(),
        ids=pack_ids([row.identity for row in rows]),
        label_time_us=np.array([row.time_us for row in rows], np.int64),
        true_class=np.array([row.true_class for row in rows], np.uint32),
    )
