"""What is kept of each prediction and label while it waits: fixed rows, and score codes by form.

A row is 40 bytes of a prediction or 48 of a label, beside the 16 bytes of its key; `take` of whole
rows costs a quarter of one column after another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.keys import Keys
from leadline.records.batches import U32
from leadline.records.ids import U64

Rows = npt.NDArray[np.void]
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

DUPLICATE = 1
"""Flag of a prediction that is no generation."""
KEPT = 2
"""Flag of a prediction that is a candidate case."""
BAND_SHIFT = 4
"""The upper half of the flags is the band of confidence (records/scores.py)."""

PREDICTION = np.dtype(
    [
        ("event_ms", "<i8"),  # clamped
        ("clock_ms", "<i8"),
        ("series", "<u4"),
        ("predicted", "<u4"),
        ("at", "<u4"),  # row in the codes of its form
        ("seq", "<u4"),  # order within its head or segment
        ("rule", "<u2"),
        ("form", "<u2"),
        ("flags", "u1"),
        ("unused", "u1", (3,)),
    ]
)
LABEL = np.dtype(
    [
        ("time_us", "<i8"),  # clamped
        ("clock_ms", "<i8"),
        ("arrival_ms", "<i8"),
        ("offset", "<i8"),
        ("true_class", "<u4"),
        ("group", "<u4"),  # number of its (task, source rank, source)
        ("seq", "<u4"),
        ("rule", "<u2"),
        ("waiting", "u1"),  # it had no pair when it came
        ("unused", "u1"),
    ]
)


class Form(NamedTuple):
    """How the scores of a row are kept.

    Attributes:
        dense: codes of all classes in the order of the classes, each with its rank above 13 bits;
            else classes and codes, best first.
        width: codes of a row; 0 keeps none.
        scored: whether the codes mean anything; else only the order of the classes is known.
    """

    dense: bool
    width: int
    scored: bool = True


NO_SCORES = Form(dense=True, width=0)


class Codes(NamedTuple):
    """Kept scores of rows of one form.

    Attributes:
        classes: uint32 (n, width); None for dense ones.
        codes: uint16 (n, width).
    """

    classes: U32 | None
    codes: U16

    def take(self, rows: I64) -> Codes:
        """Some rows."""
        classes = None if self.classes is None else _take_whole(self.classes, rows)
        return Codes(classes, _take_whole(self.codes, rows))


def _take_whole(table: npt.NDArray[Any], rows: I64) -> npt.NDArray[Any]:
    """table[rows] of a contiguous table with columns, each row moved as one piece."""
    width = table.shape[1] * table.itemsize
    whole = table.reshape(-1).view(f"V{width}").take(rows)
    return whole.view(table.dtype).reshape(len(rows), -1)


GROWTH = 8
"""A full array is replaced by one so many times as long: what is not written takes no memory."""


class Growing:
    """An array that grows at its end and can be cut there.

    Args:
        shape: of one row.
    """

    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._values: npt.NDArray[Any] = np.empty((1024, *shape), dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> npt.NDArray[Any]:
        """What it holds: a view until it grows."""
        return self._values[: self._size]

    def extend(self, count: int) -> npt.NDArray[Any]:
        """A view of `count` new rows at the end, to be filled."""
        begin, end = self._size, self._size + count
        if end > len(self._values):
            shape = (max(end, GROWTH * len(self._values)), *self._values.shape[1:])
            wide = np.empty(shape, self._values.dtype)
            plain(wide)[:begin] = plain(self._values)[:begin]
            self._values = wide
        self._size = end
        return self._values[begin:end]

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Adds rows at the end."""
        plain(self.extend(len(rows)))[:] = plain(rows)

    def cut(self, size: int) -> None:
        """Forgets what is behind `size` rows."""
        self._size = size


def plain(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Structured rows as pieces of bytes, which numpy moves many times faster."""
    return rows if rows.dtype.names is None else rows.view(f"V{rows.dtype.itemsize}")


def concatenated(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays of one dtype behind one another; at least one."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([plain(part) for part in parts]).view(parts[0].dtype)


class NewPredictions(NamedTuple):
    """Predictions of one step in log order.

    Attributes:
        keys: of the ids.
        id_ms: uint64 (n,), `id_time_ms` of the ids.
        rows: PREDICTION (n,); `at` counts within the step, `seq` and DUPLICATE are not set yet.
        codes: by form, in log order.
    """

    keys: Keys
    id_ms: U64
    rows: Rows
    codes: dict[Form, Codes]


class NewLabels(NamedTuple):
    """Labels of one step in log order: LABEL (n,) rows without `seq` and `waiting`."""

    keys: Keys
    id_ms: U64
    rows: Rows
