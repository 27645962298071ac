"""A record of an event topic as plain values, for people: whatever of it can be read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError, Message

from leadline.records.ids import unpack_id
from leadline.v1 import events_pb2
from leadline.wire.batches import COLUMN_FIELDS, unframed

_VALUES_SHOWN = 32
"""Of one row's column: scores of a thousand classes help nobody on a terminal."""


def view_predictions(value: bytes, row: int = -1) -> dict[str, Any] | None:
    """The header and one row (-1: none) of a record of `predictions`; None if it does not parse."""
    message = _parsed(events_pb2.PredictionBatch(), value)
    if message is None:
        return None
    found = _view(message, row)
    if 0 <= row < message.n:
        for column in message.slices:
            code = column.code[row] if row < len(column.code) else None
            known = code is not None and code < len(column.value)
            found["row"][f"slice {column.name}"] = column.value[code] if known else code
        for kept in (kept for kept in message.kept if kept.row == row):
            found["row"]["kept"] = _scalars(kept)
    return found


def view_labels(value: bytes, row: int = -1) -> dict[str, Any] | None:
    """The header and one row (-1: none) of a record of `labels`; None if it does not parse."""
    message = _parsed(events_pb2.LabelBatch(), value)
    return None if message is None else _view(message, row)


def _parsed(message: Any, value: bytes) -> Any:  # noqa: ANN401 - of either class
    try:
        message.ParseFromString(unframed(value))
    except DecodeError:
        return None
    return message


def _view(message: Any, row: int) -> dict[str, Any]:  # noqa: ANN401 - as _parsed
    found: dict[str, Any] = {"header": _scalars(message)}
    columns = {
        field.name: getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
        if field.number in COLUMN_FIELDS
    }
    found["columns"] = {name: len(values) for name, values in columns.items() if values}
    found["row"] = {
        name: shown
        for name, values in columns.items()
        if 0 <= row < message.n and (shown := _cell(name, values, row, message.n)) is not None
    }
    return found


def _scalars(message: Message) -> dict[str, Any]:
    """The fields that are set and hold one value."""
    return {
        field.name: value.hex() if isinstance(value, bytes) else value
        for field, value in message.ListFields()
        if not field.is_repeated
    }


def _cell(name: str, values: Sequence[Any], row: int, rows: int) -> Any:  # noqa: ANN401
    """One row of a column; None when its length does not fit the number of rows."""
    if not values or len(values) % rows:
        return None
    width = len(values) // rows
    cell = list(values[row * width : (row + 1) * width])
    if name == "id" and width == 2:
        return str(uuid.UUID(bytes=unpack_id(*cell)))
    if width == 1:
        return cell[0]
    return cell if width <= _VALUES_SHOWN else [*cell[:_VALUES_SHOWN], "..."]
