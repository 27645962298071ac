"""A segment as a file: a header of JSON, then its columns, each at a multiple of 64 bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.metrics.cache.files import Buffer
from leadline.metrics.core.rows import LABEL, PREDICTION, Codes
from leadline.metrics.core.segment import Run, Segment

MAGIC = b"leadseg1"
ALIGNMENT = 64
_LENGTH = struct.Struct("<I")
_ROWS = {"predictions": PREDICTION, "labels": LABEL}


def encode_segment(segment: Segment) -> Iterator[Buffer]:
    """The file of a segment, but for `labelled`, which changes."""
    columns = list(_columns(segment))
    header = json.dumps(
        {
            "number": segment.number,
            "clocks": [segment.from_clock_ms, segment.to_clock_ms],
            "times": [[run.from_ms, run.to_ms] for run in segment.runs],
            "columns": [[name, len(column), *column.shape[1:]] for name, column in columns],
        }
    ).encode()
    head = MAGIC + _LENGTH.pack(len(header)) + header
    yield head + bytes(-len(head) % ALIGNMENT)
    for _, column in columns:
        content = np.ascontiguousarray(column)
        yield content.reshape(-1).view(np.uint8).data
        yield bytes(-content.nbytes % ALIGNMENT)


def decode_segment(content: Buffer, side: str, labelled: npt.NDArray[np.uint8]) -> Segment:
    """The segment of a file, its columns views of the content.

    Args:
        content: of `encode_segment`; its checksum was compared.
        side: "predictions" or "labels".
        labelled: the marks that belong to it.
    """
    (length,) = _LENGTH.unpack_from(content, len(MAGIC))
    begin = len(MAGIC) + _LENGTH.size
    header = json.loads(bytes(content[begin : begin + length]))
    at = begin + length
    found: dict[str, Any] = {}
    for name, size, *shape in header["columns"]:
        at += -at % ALIGNMENT
        dtype = _dtype(name, side)
        count = size * int(np.prod(shape, dtype=np.int64))
        found[name] = np.frombuffer(content, dtype, count, at).reshape(size, *shape)
        at += count * dtype.itemsize
    runs = [
        Run(found[f"hash{n}"], found[f"place{n}"], from_ms, to_ms)
        for n, (from_ms, to_ms) in enumerate(header["times"])
    ]
    from_clock_ms, to_clock_ms = header["clocks"]
    codes = {
        int(name[5:]): Codes(found.get(f"classes{name[5:]}"), column)
        for name, column in found.items()
        if name.startswith("codes")
    }
    return Segment(
        number=header["number"],
        from_clock_ms=from_clock_ms,
        to_clock_ms=to_clock_ms,
        low=found["low"],
        rows=found["rows"],
        runs=(runs[0], runs[1]),
        codes=codes,
        labelled=labelled,
    )


def _columns(segment: Segment) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield "low", segment.low
    yield "rows", segment.rows
    for number, run in enumerate(segment.runs):
        yield f"hash{number}", run.hash
        yield f"place{number}", run.place
    for form, codes in segment.codes.items():
        yield f"codes{form}", codes.codes
        if codes.classes is not None:
            yield f"classes{form}", codes.classes


def _dtype(name: str, side: str) -> np.dtype[Any]:
    if name.startswith(("hash", "low")):
        return np.dtype("<u8")
    if name.startswith("rows"):
        return _ROWS[side]
    return np.dtype("<u2" if name.startswith("codes") else "<u4")
