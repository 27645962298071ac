"""Reads the weights out of an ONNX file with nothing but numpy.

A class activation map needs the weights of a model's last layer, and neither the package `onnx`
nor `onnxruntime` is worth having for that. An ONNX file is one protobuf message; this reads the
few fields on the way to its initialisers and skips everything else:

    ModelProto.graph = 7  ->  GraphProto.initializer = 5  ->  TensorProto
    TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Field: TypeAlias = tuple[int, int | memoryview]


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Returns the file's float32 initialisers that hold raw data, by name, read-only.

    Raises:
        ValueError: the file is cut off or not protobuf.
    """
    weights: dict[str, NDArray[np.float32]] = {}
    try:
        for graph in _messages(memoryview(path.read_bytes()), _GRAPH):
            for tensor in _messages(graph, _INITIALIZER):
                _read_tensor(tensor, weights)
    except IndexError as error:
        raise ValueError(f"{path} is cut off or not ONNX") from error
    return weights


def _read_tensor(tensor: memoryview, weights: dict[str, NDArray[np.float32]]) -> None:
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(tensor):
        match number, value:
            case (n, int()) if n == _DIMS:
                shape.append(value)
            case (n, memoryview()) if n == _DIMS:  # packed
                position = 0
                while position < len(value):
                    size, position = _varint(value, position)
                    shape.append(size)
            case (n, int()) if n == _DATA_TYPE:
                kind = value
            case (n, memoryview()) if n == _NAME:
                name = bytes(value).decode("utf-8")
            case (n, memoryview()) if n == _RAW_DATA:
                raw = value
    if kind == _FLOAT and len(raw):
        weights[name] = np.frombuffer(raw, "<f4").reshape(shape)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[Field]:
    """Yields (field number, value): a number for varints, else the bytes.

    Raises:
        IndexError: the message ends within a field.
        ValueError: a wire type that protobuf 3 does not have.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} is not protobuf's")
        if position + size > len(message):
            raise IndexError(f"a field ends {position + size - len(message)} bytes past the end")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Returns the number that starts at `position` and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
