"""What a caller calls classes and scores, as class numbers and float32 columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.records.errors import UsageError

UNLABELLED = -1
"""The class number of a row without a label."""
Column = Sequence[Any] | npt.NDArray[Any]


def column_of(values: Column) -> npt.NDArray[Any]:
    """The values as an array; texts beside None stay what they are."""
    column = np.asarray(values)
    if column.dtype.kind in "US":  # None beside texts must stay None
        column = np.asarray(values, object)
    return column


def scores_of(given: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Rows of scores, (n, classes); None where `given` holds classes.

    Raises:
        UsageError: there is one column, or a NaN.
    """
    if given.ndim == 1:
        if given.dtype.kind != "f" or not np.isfinite(given).all() or (given % 1 == 0).all():
            return None
        given = np.stack([1 - given, given], axis=1)
    scores: npt.NDArray[np.float32] = given.astype(np.float32)
    if scores.shape[1] < 2 or np.isnan(scores).any():
        raise UsageError("scores need two or more columns without NaN", "give one column per class")
    return scores


def names_of(
    classes: Sequence[str] | None, truth: list[Any], answers: list[Any], width: int
) -> tuple[str, ...]:
    """Class names by number.

    Args:
        classes: as the caller gave them.
        truth: true classes.
        answers: predicted classes; empty where scores decide.
        width: columns of scores; 0 without scores.

    Raises:
        UsageError: the names do not fit the scores, or a value is no class.
    """
    if classes is not None:
        names = tuple(str(name) for name in classes)
        if width and width != len(names):
            raise UsageError(f"{len(names)} classes for {width} columns of scores", "give as many")
        return names
    values = [value for value in [*truth, *answers] if not _is_empty(value)]
    texts = {value for value in values if isinstance(value, str)}
    if any(not text.isdecimal() for text in texts):
        if width:
            raise UsageError(
                "labels are names, scores are columns", "say which is which: classes=[...]"
            )
        return tuple(sorted({str(value) for value in values}))
    if bad := [value for value in values if not _is_number(value)]:
        raise UsageError(f"{bad[0]!r} is no class", "give a name or a number from 0 on")
    top = max((int(value) for value in values), default=-1)
    return tuple(str(number) for number in range(max(width, top + 1)))


def distinct(column: npt.NDArray[Any]) -> list[Any]:
    """The values of a column, numbers once each."""
    found: list[Any] = (np.unique(column) if column.dtype.kind in "iuf" else column).tolist()
    return found


def numbers_of(column: npt.NDArray[Any], names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The class number of each value; UNLABELLED for None, NaN and the empty text.

    Raises:
        UsageError: a value is no class.
    """
    known = {name: number for number, name in enumerate(names)}
    if column.dtype.kind in "iuf":  # each number is looked up once
        values, at = np.unique(column, return_inverse=True)
        return np.array([_number(value, known) for value in values.tolist()], np.int64)[at]
    return np.array([_number(value, known) for value in column.tolist()], np.int64)


def _number(value: object, numbers: dict[str, int]) -> int:
    if _is_empty(value):
        return UNLABELLED
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    if _is_number(value) and 0 <= int(value) < len(numbers):  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload,no-any-return]
    known = ", ".join(list(numbers)[:8])
    raise UsageError(f"{value!r} is no class; there are: {known}", "correct it, or give classes=")


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, int | float) and float(value).is_integer() and value >= 0
