"""From an output's values to predicted classes and probabilities. Nothing is guessed.

| declared form   | predicted              | scores                     | not logged            |
|-----------------|------------------------|----------------------------|-----------------------|
| probabilities   | the largest            | as they are                | NaN or outside [0, 1] |
| logits, softmax | the largest            | softmax of the row         | NaN or infinite       |
| logits, sigmoid | the largest            | sigmoid of each            | NaN                   |
| labels          | the number or the name | none                       | no class of the list  |
| undeclared      | the largest            | only rows within [0, 1]    | NaN                   |

A binary model may answer with one column, the score of class 1: probabilities below 0.5 predict
class 0. Of equal scores the lower class number is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.gateway.core.tensors import FLOATS, INTEGERS, Tensor, TensorHead, elements, to_array
from leadline.records.batches import F32, U32, TaskKind
from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec, ScoreForm

CLASSES_MAX = 1 << 20
"""Class numbers are below this even where no class list is declared; owners refuse larger ones."""
SLACK = 1e-6
"""A float32 softmax may leave [0, 1] by a rounding; such scores are clipped, not refused."""
FLOAT_BYTES = {"FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8}
COUNTED_KINDS = frozenset({TaskKind.BINARY, TaskKind.MULTICLASS})

Values = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows as they are logged.

    Attributes:
        good: bool (n,), rows that may be logged; the others are counted as SCORE_RANGE.
        predicted: uint32 (n,); meaningless where not good.
        scores: float32 (n, classes) in [0, 1], or None: labels alone.
        scored: bool (n,), rows whose scores may be logged.
        margin: float64 (n,), best score less the second, 1 where there are no scores.
    """

    good: Bools
    predicted: U32
    scores: F32 | None
    scored: Bools
    margin: npt.NDArray[np.float64]


def choose_output(heads: list[TensorHead], spec: ModelSpec, *, declared: bool) -> int | None:
    """Number of the output that is logged: the named one, else the first of a fitting type.

    Labels alone may be integers or names; scores are floating-point, and of an undeclared model
    have two or more columns, since one column has no classes to choose from.
    """
    labels = spec.output.form is ScoreForm.LABELS
    for at, head in enumerate(heads):
        if spec.output.name:
            fits = head.name == spec.output.name
        elif labels:
            fits = head.datatype in INTEGERS or head.datatype == "BYTES"
        else:
            fits = head.datatype in FLOATS and (declared or columns(head.shape) >= 2)
        if fits:
            return at
    return None


def columns(shape: tuple[int, ...]) -> int:
    """Classes of a row: [C] and [n, C] have C, also with trailing dimensions of 1."""
    folded = fold(shape)
    return folded[-1] if folded else 0


def fold(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without trailing dimensions of 1 beyond the second."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def score_count(tensor: Tensor, spec: ModelSpec) -> int:
    """Rows of an output of scores; 0 when type, shape, class count or size do not fit."""
    shape = fold(tensor.shape)
    size = FLOAT_BYTES.get(tensor.datatype)
    if size is None or spec.kind not in COUNTED_KINDS or len(shape) not in {1, 2} or min(shape) < 1:
        return 0
    width, rows = shape[-1], 1 if len(shape) == 1 else shape[0]
    if (width == 1 and spec.kind is not TaskKind.BINARY) or 0 < len(spec.classes) < width:
        return 0
    if (spec.kind is TaskKind.BINARY and width > 2) or len(tensor.data) != rows * width * size:
        return 0
    return rows


def score_values(tensors: list[Tensor]) -> Values:
    """Outputs of one type and width as (n, columns); each has a `score_count`, and one is given."""
    first = tensors[0]
    width = columns(first.shape)
    data = b"".join([tensor.data for tensor in tensors])
    rows = len(data) // (width * FLOAT_BYTES[first.datatype])
    flat = to_array(first.datatype, data, (rows, width))
    wide: Values = np.asarray(flat, np.float64 if first.datatype == "FP64" else np.float32)
    return wide


def label_rows(tensor: Tensor, spec: ModelSpec) -> list[int] | None:
    """An output of labels alone as class numbers, one a row; -1 where it is no class of the model.

    None when type or shape do not fit: [n] or [n, 1] of integers, or of class names.
    """
    shape = fold(tensor.shape)
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        return None
    if tensor.datatype == "BYTES":
        names = elements(tensor.data)
        if names is None or len(names) != shape[0]:
            return None
        return [_number_of(name, spec) for name in names]
    if tensor.datatype not in INTEGERS:
        return None
    array = tensor.array()
    if array is None:
        return None
    bound = len(spec.classes) or CLASSES_MAX
    return [int(value) if 0 <= int(value) < bound else -1 for value in array.reshape(-1)]


def _number_of(name: bytes, spec: ModelSpec) -> int:
    try:
        return spec.class_number(name.decode())
    except (UnicodeDecodeError, UsageError):
        return -1


def classify(rows: Values, form: ScoreForm, kind: TaskKind) -> Scored:
    """Rows of scores in the given form as predicted classes and probabilities; see the table."""
    finite = ~np.isnan(rows).any(axis=1)
    with np.errstate(all="ignore"):
        probabilities, good = _probabilities(rows, form)
    if kind is TaskKind.BINARY and rows.shape[1] == 1:
        probabilities = np.concatenate([1.0 - probabilities, probabilities], axis=1)
    good &= finite
    within = ((probabilities >= -SLACK) & (probabilities <= 1 + SLACK)).all(axis=1)
    scored = good & within
    if form is ScoreForm.PROBABILITIES:
        good = scored
    ranked = rows if rows.shape[1] > 1 else probabilities
    predicted = _argmax(ranked)
    scores = np.clip(probabilities, 0.0, 1.0).astype(np.float32)
    return Scored(good, predicted, scores, scored, _margins(probabilities, scored))


def _probabilities(rows: Values, form: ScoreForm) -> tuple[Values, Bools]:
    """Rows as probabilities, and which of them are possible in this form."""
    good = np.ones(len(rows), dtype=np.bool_)
    if form is ScoreForm.LOGITS_SIGMOID:
        return _sigmoid(rows), good
    if form is not ScoreForm.LOGITS_SOFTMAX:
        return rows, good
    if rows.shape[1] == 1:
        return _sigmoid(rows), good
    top = rows.max(axis=1, keepdims=True)
    powers = np.exp(rows - top)
    return powers / powers.sum(axis=1, keepdims=True), np.isfinite(top[:, 0])


def _sigmoid(rows: Values) -> Values:
    """1 / (1 + exp(-x)), without overflow on either side."""
    small = np.exp(-np.abs(rows))
    return np.where(rows >= 0, 1.0, small) / (1.0 + small)


def _argmax(rows: Values) -> U32:
    return np.asarray(rows.argmax(axis=1), dtype=np.uint32)


def _margins(probabilities: Values, scored: Bools) -> npt.NDArray[np.float64]:
    """Best score less the second; 1 where there are no scores or one column."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.where(scored, (top[:, 1] - top[:, 0]).astype(np.float64), 1.0)


def labelled(numbers: list[int]) -> Scored:
    """Labels alone, without scores."""
    values = np.array(numbers, dtype=np.int64)
    good = values >= 0
    predicted = np.where(good, values, 0).astype(np.uint32)
    nothing = np.zeros(len(values), dtype=np.bool_)
    return Scored(good, predicted, None, nothing, np.ones(len(values)))
