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
COLUMNS = 6
_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")
_COLUMN = struct.Struct("<BQ")
_WIDTHS = (0, 1, 2, 4, 8)
_DAMAGED = "Restore the database from a backup, or rebuild the shard from the log."

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class CellsCodec:
    """Turns cells into bytes and back. Cheap to make; for one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, cells: Cells) -> bytes:
        """The body of cells in any order."""
        values = _as_rows(cells)
        first = values[:, :1].copy()
        first[-1] = 0
        values[:-1, 1:] -= values[:-1, :-1].copy()
        values[:-1, :1] = 0
        zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
        largest = zigzag.max(axis=1, initial=0)
        columns = b"".join(map(_packed, zigzag, largest.tolist(), _firsts(first)))
        content = _LENGTH.pack(len(cells)) + self._compressor.compress(columns)
        return _HEADER.pack(VERSION, zlib.crc32(content)) + content

    def decode(self, body: bytes) -> Cells:
        """The cells of a body, in their order.

        Raises:
            StoppedError: the body is damaged, or was written by a newer version.
        """
        length, columns = self._columns(body)
        zigzag = np.zeros((COLUMNS, length), np.uint64)
        first, at = np.zeros((COLUMNS, 1), np.uint64), 0
        for number in range(COLUMNS):
            at = _unpack(columns, at, zigzag[number], first[number])
        if at != len(columns):
            raise StoppedError(f"A stored body has {len(columns) - at} bytes too many.", _DAMAGED)
        one = np.uint64(1)
        values = ((zigzag >> one) ^ (~(zigzag & one) + one)).view(np.int64)
        if length:
            values[:-1, :1] = first.view(np.int64)[:-1]
            np.cumsum(values[:-1], axis=1, out=values[:-1])
        return _as_cells(values)

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


def _as_rows(cells: Cells) -> I64:
    """The columns, in their order in a body, as the rows of one matrix."""
    values = np.empty((COLUMNS, len(cells)), np.int64)
    values[0] = cells.kind
    values[1] = cells.series
    values[2] = cells.minute
    values[3] = cells.index >> np.uint64(32)
    values[4] = cells.index & np.uint64(0xFFFF_FFFF)
    values[5] = cells.count
    return values


def _as_cells(values: I64) -> Cells:
    high, low = values[3].view(np.uint64), values[4].view(np.uint64)
    return Cells(
        values[0].astype(np.uint8),
        values[1].astype(np.uint32),
        values[2].astype(np.uint32),
        (high << np.uint64(32)) | low,
        values[5].copy(),  # so that the matrix is freed
    )


def _firsts(first: I64) -> list[int]:
    """The first value of each column; 0 where there is none."""
    return first[:, 0].tolist() if first.size else [0] * COLUMNS


def _packed(zigzag: U64, largest: int, first: int) -> bytes:
    """One column."""
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    if not width:
        return _COLUMN.pack(0, first)
    narrow = zigzag.astype(f"<u{width}")
    if width > 1:
        narrow = np.ascontiguousarray(narrow.view(np.uint8).reshape(-1, width).T)
    return _COLUMN.pack(width, first) + narrow.tobytes()


def _unpack(columns: bytes, at: int, zigzag: U64, first: U64) -> int:
    """Fills in the column that begins at `at`, with its first value; returns where it ends."""
    if at + _COLUMN.size > len(columns):
        raise StoppedError("A stored body ends within its columns.", _DAMAGED)
    width: int
    width, first[0] = _COLUMN.unpack_from(columns, at)
    at += _COLUMN.size
    end = at + width * len(zigzag)
    if width not in _WIDTHS or end > len(columns):
        raise StoppedError("A stored body ends within a column.", _DAMAGED)
    if width:
        planes = np.frombuffer(columns, np.uint8, end - at, at)
        if width > 1:
            planes = planes.reshape(width, -1).T.copy().view(f"<u{width}").reshape(-1)
        zigzag[:] = planes
    return end
