"""Values of a file's cells: times, ids, scores, class lists. Pure but for the class list's file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leadline.client.edge import RefusedError, Time
from leadline.records.errors import UsageError
from leadline.runtime.class_file import read_classes

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def cell_time(value: Any, unit: str) -> Time:  # noqa: ANN401 - whatever a file holds
    """A time: ISO 8601 (UTC where it names no zone), or a number in the unit; None when empty.

    Raises:
        RefusedError: it is neither.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise RefusedError(
                    "time", f"{value!r:.60} is no time", "write ISO 8601, or a number (--time-unit)"
                ) from None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return float(value) * TIME_UNITS[unit]


def cell_id(value: Any) -> str | bytes:  # noqa: ANN401 - as above
    """An id: 16 bytes as they are, everything else as its text."""
    if isinstance(value, bytes):
        return value
    return "" if value is None else str(value)


def cell_class(value: Any) -> str | int | None:  # noqa: ANN401 - as above
    """A class name or number; None when empty."""
    if value is None or value == "" or (isinstance(value, float) and value != value):  # noqa: PLR0124
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        whole = text.removesuffix(".0")
        return whole if whole.isdecimal() else text
    return value if isinstance(value, int) else str(value)


def cell_scores(value: Any) -> list[float]:  # noqa: ANN401 - as above
    """A list of scores: a list, or a text of numbers between brackets or separators.

    Raises:
        RefusedError: it is none.
    """
    try:
        if isinstance(value, str):
            text = value.strip()
            value = json.loads(text) if text.startswith("[") else text.replace(";", " ").split()
        if isinstance(value, int | float):
            value = [value]
        return [float(each) for each in value]
    except (TypeError, ValueError):
        raise RefusedError(
            "scores", f"{value!r:.60} is no list of scores", "write [0.1, 0.9]"
        ) from None


def class_list(text: str, file: Path | None) -> tuple[str, ...]:
    """The class list of the options --classes and --classes-from.

    Raises:
        UsageError: both are given, or the file cannot be read.
    """
    if text and file is not None:
        raise UsageError("--classes and --classes-from are both given", "Give one of them")
    if file is not None:
        return read_classes(file)
    return tuple(name.strip() for name in text.split(",")) if text else ()
