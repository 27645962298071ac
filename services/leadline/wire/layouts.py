"""Records of equal length that are written alike: their columns are read by one strided view.

The first record is scanned; from it come the places where values stand. Records whose other bytes,
every one of them, are equal to those of a scanned record hold the same fields with other values:
they need no parsing. Records of other models, say, differ in those bytes: they are grouped by
them, and one of each group is scanned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.records.batches import I64
from leadline.records.ids import U64, splitmix64
from leadline.wire.scan import Scan, Span

U8 = npt.NDArray[np.uint8]
WORD = 8
"""Bytes that are compared at a time."""


class Alike(NamedTuple):
    """Records of one length, grouped by the bytes that are no values.

    Attributes:
        examples: position of the first record of each group.
        group: int64 (n,), for each record its group, or -1.
    """

    examples: list[int]
    group: I64


@dataclass(frozen=True, slots=True)
class Matrix:
    """Records of one length below one another.

    Attributes:
        content: uint8 (n, a multiple of WORD): the records, each with zeros behind it.
    """

    content: U8

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Matrix:
        """The records, which have equal lengths and are at least one."""
        padding = bytes(-len(values[0]) % WORD)
        flat = padding.join([*values, b""]) if padding else b"".join(values)
        return cls(np.frombuffer(flat, np.uint8).reshape(len(values), -1))

    def alike(self, spans: Sequence[Span]) -> Alike:
        """The records grouped by all bytes outside the spans."""
        mask = np.full(self.content.shape[1], 0xFF, np.uint8)
        for start, end in spans:
            mask[start:end] = 0
        words: U64 = mask.view(np.uint64)
        used = np.flatnonzero(words)
        fixed: U64 = self.content.view(np.uint64)[:, used] & words[used]
        if (fixed == fixed[0]).all():
            return Alike([0], np.zeros(len(fixed), np.int64))
        keys = fixed @ (splitmix64(used.astype(np.uint64)) | np.uint64(1))
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        same = (fixed == fixed[first[group]]).all(axis=1)  # equal keys alone prove nothing
        return Alike(first.tolist(), np.where(same, group, -1))

    def column(self, span: Span, rows: npt.NDArray[np.bool_] | None) -> bytes:
        """What stands in a span of the records, or of some of them, one after the other."""
        start, end = span
        if start == end:
            return b""
        whole = self.content
        items = np.ndarray(
            len(whole), f"V{end - start}", whole.data, start, strides=(whole.strides[0],)
        )
        return (items if rows is None else items[rows]).tobytes()


def value_spans(scan: Scan) -> tuple[Span, ...] | None:
    """Where values stand in a scanned record; None when that is not known for all of them."""
    if scan.sparse and not scan.codes:
        return None
    return scan.columns + scan.codes


def same_places(one: Scan, other: Scan) -> bool:
    """Whether two records hold equally many rows, and all values at the same, known places."""
    places = value_spans(one)
    return places is not None and one.n == other.n and places == value_spans(other)
