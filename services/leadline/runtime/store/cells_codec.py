"""Cells as bytes: what deltas and blocks are stored as.

A body is a header and one zstandard frame (level 1) of six columns, one after the other:

    header   version u8 | CRC-32 of what follows u32 | cells u32        little-endian
    columns  kind | series | minute | index >> 32 | index & 0xFFFFFFFF | count
    column   width u8 (0, 1, 2, 4 or 8) | first u64 | width x cells bytes

All columns but `count` hold the difference to the cell before, since neighbours are alike; `first`
is the first cell's value. Every number is zigzag-coded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...) in
the column's width, and the bytes of a column stand by significance, all lowest ones first: what is
mostly zero lies together and compresses to almost nothing. A column of equal values has width 0.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
import zstandard

from leadline.records.cells import Cells
from leadline.records.errors import StoppedError

VERSION = 1
_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")
_COLUMN = struct.Struct("<BQ")
_WIDTHS = {0: np.uint8, 1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
_DAMAGED = "Restore the database from a backup, or rebuild the shard from the log."

I64 = npt.NDArray[np.int64]


class CellsCodec:
    """Turns cells into bytes and back. Cheap to make; for one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, cells: Cells) -> bytes:
        """The body of cells in any order."""
        columns = b"".join(
            [
                _packed_differences(cells.kind.astype(np.int64)),
                _packed_differences(cells.series.astype(np.int64)),
                _packed_differences(cells.minute.astype(np.int64)),
                _packed_differences((cells.index >> np.uint64(32)).astype(np.int64)),
                _packed_differences((cells.index & np.uint64(0xFFFF_FFFF)).astype(np.int64)),
                _packed(cells.count, 0),
            ]
        )
        content = _LENGTH.pack(len(cells)) + self._compressor.compress(columns)
        return _HEADER.pack(VERSION, zlib.crc32(content)) + content

    def decode(self, body: bytes) -> Cells:
        """The cells of a body, in their order.

        Raises:
            StoppedError: the body is damaged, or was written by a newer version.
        """
        length, columns = self._columns(body)
        found, at = [], 0
        for _ in range(5):
            first, differences, at = _unpacked(columns, at, length)
            found.append(_summed(first, differences, length))
        _, counts, at = _unpacked(columns, at, length)
        if at != len(columns):
            raise StoppedError(f"A stored body has {len(columns) - at} bytes too many.", _DAMAGED)
        kind, series, minute, high, low = found
        return Cells(
            kind.astype(np.uint8),
            series.astype(np.uint32),
            minute.astype(np.uint32),
            (high.view(np.uint64) << np.uint64(32)) | low.view(np.uint64),
            np.zeros(length, np.int64) if counts is None else counts.astype(np.int64, copy=False),
        )

    def _columns(self, body: bytes) -> tuple[int, bytes]:
        """Number of cells, and the columns' bytes."""
        if len(body) < _HEADER.size:
            raise StoppedError(f"A stored body has {len(body)} bytes only.", _DAMAGED)
        version, checksum = _HEADER.unpack_from(body)
        if version != VERSION:
            raise StoppedError(
                f"A stored body has format {version}; this version of Leadline reads {VERSION}.",
                "Upgrade Leadline on this machine.",
            )
        content = memoryview(body)[_HEADER.size :]
        if len(content) < _LENGTH.size or zlib.crc32(content) != checksum:
            raise StoppedError("A stored body is damaged: its checksum is wrong.", _DAMAGED)
        (length,) = _LENGTH.unpack_from(content)
        return length, self._decompressor.decompress(content[_LENGTH.size :])


def _packed_differences(values: I64) -> bytes:
    if not len(values):
        return _packed(values, 0)
    differences = np.empty_like(values)
    differences[0] = 0
    np.subtract(values[1:], values[:-1], out=differences[1:])
    return _packed(differences, int(values[0]))


def _packed(values: I64, first: int) -> bytes:
    """One column."""
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    largest = int(zigzag.max()) if len(zigzag) else 0
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    if not width:
        return _COLUMN.pack(0, first)
    narrow = zigzag.astype(f"<u{width}")
    planes = narrow.view(np.uint8).reshape(len(narrow), width).T
    return _COLUMN.pack(width, first) + planes.tobytes()


def _unpacked(
    columns: bytes, at: int, length: int
) -> tuple[int, npt.NDArray[np.signedinteger] | None, int]:
    """First value, numbers (None: all zero) and end of the column that begins at `at`."""
    if at + _COLUMN.size > len(columns):
        raise StoppedError("A stored body ends within its columns.", _DAMAGED)
    width, first = _COLUMN.unpack_from(columns, at)
    at += _COLUMN.size
    if width not in _WIDTHS or at + width * length > len(columns):
        raise StoppedError("A stored body ends within a column.", _DAMAGED)
    if not width:
        return first, None, at
    planes = np.frombuffer(columns, np.uint8, width * length, at).reshape(width, length)
    zigzag = planes.T.copy().view(f"<u{width}").reshape(length)
    one = zigzag.dtype.type(1)
    values = (zigzag >> one) ^ (~(zigzag & one) + one)
    return first, values.view(_SIGNED[width]), at + width * length


def _summed(first: int, differences: npt.NDArray[np.signedinteger] | None, length: int) -> I64:
    if differences is None:
        return np.full(length, first, np.int64)
    sums = np.cumsum(differences, dtype=np.int64)
    sums += first
    return sums
