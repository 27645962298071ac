"""Batches out of a caller's columns. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from leadline.client.columns import Built, PredictionColumns, build_predictions, slice_value
from leadline.client.edge import ClassName, Edge, Id, RefusedError, Time, identity, time_us
from leadline.records.batches import I64, RETRACTED, LabelBatch
from leadline.records.columns import take_labels
from leadline.records.ids import pack_ids

Item = TypeVar("Item")


def bulk_predictions(  # noqa: PLR0913 - columns, by keyword
    edge: Edge,
    ids: Sequence[Id] | Id,
    count: int,
    *,
    scores: npt.ArrayLike | None,
    predicted: Sequence[ClassName] | None,
    slices: Mapping[str, object],
    times: Time | Sequence[Time],
    input_uris: Sequence[str] | None,
    now_us: int,
) -> Built:
    """The batch of `count` predictions.

    Raises:
        RefusedError: nothing of it can be logged: a column has another length, or an id is none.
    """
    columns = PredictionColumns(
        ids=pack_ids(identities(ids, count)),
        texts=_texts(ids, count),
        times_us=_times(times, count, now_us),
        predicted=_classes(edge, predicted, count),
        scores=None if scores is None else _matrix(scores, count),
        slices={name: _values(name, value, count) for name, value in slices.items()},
        input_uris=("",) * count if input_uris is None else _sized(input_uris, count, "input_uris"),
    )
    return build_predictions(columns, edge)


def bulk_labels(
    edge: Edge,
    ids: Sequence[Id] | Id,
    true_classes: Sequence[ClassName | None],
    times: Time | Sequence[Time],
    now_us: int,
) -> tuple[LabelBatch | None, list[tuple[int, RefusedError]]]:
    """The batch of what can be logged (None: nothing), and what cannot, by row.

    Raises:
        RefusedError: a column has another length, or an id is none.
    """
    count = len(true_classes)
    numbers = np.zeros(count, np.uint32)
    refused: list[tuple[int, RefusedError]] = []
    for row, value in enumerate(true_classes):
        try:
            numbers[row] = RETRACTED if value is None else edge.class_number(value)
        except RefusedError as why:
            refused.append((row, why))
    batch = LabelBatch(
        header=edge.label_header(),
        ids=pack_ids(identities(ids, count)),
        label_time_us=_times(times, count, now_us),
        true_class=numbers,
    )
    good = np.ones(count, np.bool_)
    good[[row for row, _ in refused]] = False
    if not good.any():
        return None, refused
    return (take_labels(batch, np.flatnonzero(good)) if refused else batch), refused


def identities(ids: Sequence[Id] | Id, count: int) -> list[bytes]:
    """16 bytes per row; one id alone is the id of a request of `count` rows."""
    if isinstance(ids, str | bytes | uuid.UUID):
        return [identity(ids, row) for row in range(count)]
    return [identity(each) for each in _sized(ids, count, "ids")]


def _texts(ids: Sequence[Id] | Id, count: int) -> list[str]:
    if isinstance(ids, str | bytes | uuid.UUID):
        return [ids if isinstance(ids, str) else ""] + [""] * (count - 1)
    return [each if isinstance(each, str) else "" for each in ids]


def _times(times: Time | Sequence[Time], count: int, now_us: int) -> I64:
    if isinstance(times, Sequence | np.ndarray):
        column: Sequence[Time] = list(times)
        each = [time_us(value, now_us) for value in _sized(column, count, "times")]
        return np.array(each, np.int64)
    return np.full(count, time_us(times, now_us), np.int64)


def _classes(edge: Edge, predicted: Sequence[ClassName] | None, count: int) -> I64:
    if predicted is None:
        return np.full(count, -1, np.int64)
    numbers = [edge.class_number(each) for each in _sized(predicted, count, "predicted")]
    return np.array(numbers, np.int64)


def _matrix(scores: npt.ArrayLike, count: int) -> npt.NDArray[np.float32]:
    matrix = np.array(scores, np.float32)  # a copy: the caller may use its buffer again
    if matrix.ndim == 1:
        matrix = matrix.reshape(count, -1)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise RefusedError(
            "score_count",
            f"scores have the shape {matrix.shape}",
            "give an array of shape (rows, classes)",
        )
    return matrix


def _values(name: str, value: object, count: int) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return [slice_value(name, value)] * count
    column: Sequence[object] = list(value)
    return [slice_value(name, each) for each in _sized(column, count, f"slice {name!r}")]


def _sized(column: Sequence[Item], count: int, what: str) -> Sequence[Item]:
    if len(column) != count:
        raise RefusedError(
            "lengths", f"{what}: {len(column)} values for {count} rows", "give one for each row"
        )
    return column
