"""Cells as bytes: what deltas and blocks are stored as.

Sorted cells fall into *runs*: cells of one kind, series and minute whose indices ascend in small
steps. A run states where it begins, a cell only its step. A body is a header and one zstandard
frame (level 1) of columns, one after the other:

    header   format u8 | CRC-32 of what follows u32                 little-endian
    lengths  cells u32 | runs u32 | large u32
    runs     kind, series, minute, index >> 32, index & 0xFFFFFFFF: one column of 5 x runs
    cells    step | count
    large    count
    column   width u8 (0, 1, 2, 4 or 8) | value u64 | width x length bytes

The five numbers of a run are differences to those of the run before (the first one's to 0), zigzag-
coded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...) within 32 bits; the column has all kinds first. A
step is the difference to the index before; where all bits of its width are set, a new run begins.
Counts are zigzag-coded; where there are large ones, 255 stands for the next of those. The bytes of
a wide column stand by significance, all lowest ones first: what is mostly zero lies together and
compresses to almost nothing. A column of equal values has width 0 and that value.

Cells in any order come back as they were; only sorted ones become small.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from leadline.records.cells import Cells, empty_cells, select
from leadline.records.errors import StoppedError

FORMAT = 2
_HEADER = struct.Struct("<BI")
_LENGTHS = struct.Struct("<III")
_COLUMN = struct.Struct("<BQ")
RUN_COLUMNS = 5
_WIDTHS = (1, 2, 4, 8)
_STEP_WIDTHS = (1, 2)
_RARE = 16
"""Escapes are worth their bytes where at most one of so many values needs one."""
_ESCAPE = 255
_DAMAGED = "Restore the database from a backup; owners then count on from there by themselves."

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.unsignedinteger[Any]]


class CellsCodec:
    """Turns cells into bytes and back. Cheap to make; for one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, cells: Cells) -> bytes:
        """The body of cells; smallest and fastest where they are normalised."""
        steps, starts = _steps(cells)
        counts, large = _counts(cells.count)
        packed = b"".join(map(_packed, (_differences(cells, starts), steps, counts, large)))
        lengths = _LENGTHS.pack(len(cells), len(starts), len(large))
        content = lengths + self._compressor.compress(packed)
        return _HEADER.pack(FORMAT, zlib.crc32(content)) + content

    def decode(self, body: bytes, from_minute: int = 0, to_minute: int = 2**32) -> Cells:
        """The cells of a body, in their order; only those of the minutes [from, to).

        Little is done for others where the minutes ascend, as in a block.

        Raises:
            StoppedError: the body is damaged, or was written by another version.
        """
        content = _checked(body)
        cells, runs, large = _LENGTHS.unpack_from(content)
        columns = _Columns(self._decompressor.decompress(content[_LENGTHS.size :]))
        kind, series, minute, high, low = _sums(columns.take(RUN_COLUMNS * runs), runs)
        steps, counts, larges = columns.take(cells), columns.take(cells), columns.take(large)
        columns.end()
        starts = _begins(steps, runs)
        wanted = _within(np.broadcast_to(minute, runs), from_minute, to_minute)
        if wanted.start >= wanted.stop:
            return empty_cells()
        ends = np.append(starts[1:], cells)[wanted]
        starts = starts[wanted]
        begin, end = int(starts[0]), int(ends[-1])
        large_begin = int(np.count_nonzero(counts[:begin] == _ESCAPE)) if large else 0
        large_end = large - int(np.count_nonzero(counts[end:] == _ESCAPE)) if large else 0
        lengths = ends - starts
        index = np.broadcast_to((high.astype(np.uint64) << np.uint64(32)) | low, runs)[wanted]
        found = Cells(
            _repeated(kind, wanted, lengths).astype(np.uint8),
            _repeated(series, wanted, lengths),
            _repeated(minute, wanted, lengths),
            _indices(steps[begin:end].astype(np.uint64), starts - begin, index),
            _joined_counts(counts[begin:end], larges[large_begin:large_end]),
        )
        return _only(found, from_minute, to_minute)


def _checked(body: bytes) -> memoryview:
    """What follows the checksum."""
    if len(body) < _HEADER.size:
        raise StoppedError(f"A stored body has {len(body)} bytes only.", _DAMAGED)
    version, checksum = _HEADER.unpack_from(body)
    if version != FORMAT:
        raise StoppedError(
            f"A stored body has format {version}; this version of Leadline reads {FORMAT}.",
            "Upgrade Leadline on this machine.",
        )
    content = memoryview(body)[_HEADER.size :]
    if len(content) < _LENGTHS.size or zlib.crc32(content) != checksum:
        raise StoppedError("A stored body is damaged: its checksum is wrong.", _DAMAGED)
    return content


def _steps(cells: Cells) -> tuple[Unsigned, I64]:
    """The step of each cell, all bits set where a run begins; and where runs begin."""
    size = len(cells)
    if not size:
        return np.empty(0, np.uint8), np.empty(0, np.int64)
    step = np.empty(size, np.uint64)
    np.subtract(cells.index[1:], cells.index[:-1], out=step[1:])  # wraps where it descends
    begins = np.empty(size, np.bool_)
    begins[0] = True
    np.not_equal(cells.kind[1:], cells.kind[:-1], out=begins[1:])
    begins[1:] |= cells.series[1:] != cells.series[:-1]
    begins[1:] |= cells.minute[1:] != cells.minute[:-1]
    rare = np.count_nonzero(begins) + size // _RARE
    for width in _STEP_WIDTHS:
        far = begins | (step >= np.uint64((1 << (8 * width)) - 1))
        if width == _STEP_WIDTHS[-1] or np.count_nonzero(far) <= rare:
            break
    starts = np.flatnonzero(far)
    tokens: Unsigned = step.astype(f"u{width}")
    tokens[starts] = (1 << (8 * width)) - 1
    return tokens, starts


def _indices(steps: U64, starts: I64, first: U64) -> U64:
    """The index of each cell, where `first` are those of the runs."""
    steps[starts] = 0
    within = np.add.reduceat(steps, starts)
    steps[starts[0]] = first[0]
    steps[starts[1:]] = first[1:] - first[:-1] - within[:-1]
    return np.cumsum(steps, out=steps)


def _differences(cells: Cells, starts: I64) -> U32:
    """The numbers of all runs as zigzag-coded differences, kind by kind."""
    index = cells.index[starts]
    found = np.zeros((RUN_COLUMNS, len(starts)), np.uint32)
    found[0] = cells.kind[starts]
    found[1] = cells.series[starts]
    found[2] = cells.minute[starts]
    found[3] = index >> np.uint64(32)
    found[4] = index & np.uint64(0xFFFF_FFFF)
    found[:, 1:] -= found[:, :-1].copy()
    sign = np.uint32(0) - (found >> np.uint32(31))
    found <<= np.uint32(1)
    found ^= sign
    return found.ravel()


def _sums(column: Unsigned, runs: int) -> list[U32]:
    """Undoes `_differences`: five columns; one that is the same in all runs has one number."""
    return [_summed(part) for part in column.reshape(RUN_COLUMNS, runs)]


def _summed(part: Unsigned) -> U32:
    if len(part) and not part[1:].any():
        part = part[:1]
    zigzag = part.astype(np.uint32)
    sign = np.uint32(0) - (zigzag & np.uint32(1))
    zigzag >>= np.uint32(1)
    zigzag ^= sign
    return np.cumsum(zigzag, dtype=np.uint32)


def _repeated(of_runs: U32, wanted: slice, lengths: I64) -> U32:
    """What the wanted runs have in common, cell by cell."""
    if len(of_runs) == 1:
        return np.full(lengths.sum(), of_runs[0])
    return np.repeat(of_runs[wanted], lengths)


def _within(minute: U32, from_minute: int, to_minute: int) -> slice:
    """All runs of some minutes, and as few others as a slice allows."""
    if not from_minute and to_minute >= 2**32:
        return slice(0, len(minute))
    at = np.flatnonzero((minute >= from_minute) & (minute < to_minute))
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def _only(cells: Cells, from_minute: int, to_minute: int) -> Cells:
    """The cells of some minutes, where a slice held others too."""
    first, last = int(cells.minute.min()), int(cells.minute.max())
    if from_minute <= first and last < to_minute:
        return cells
    return select(cells, (cells.minute >= from_minute) & (cells.minute < to_minute))


def _begins(steps: Unsigned, runs: int) -> I64:
    """Where runs begin."""
    starts = np.flatnonzero(steps == steps[0]) if len(steps) else np.empty(0, np.int64)
    if len(starts) != runs:
        raise StoppedError(f"A stored body has {len(starts)} runs, not {runs}.", _DAMAGED)
    return starts


def _counts(count: I64) -> tuple[Unsigned, U64]:
    """Zigzag-coded counts, and the large ones where they are few."""
    zigzag = ((count << 1) ^ (count >> 63)).view(np.uint64)
    large = zigzag >= np.uint64(_ESCAPE)
    number = np.count_nonzero(large)
    if not number or number * _RARE > len(count):
        return zigzag, zigzag[:0]
    narrow = zigzag.astype(np.uint8)
    narrow[large] = _ESCAPE
    return narrow, zigzag[large]


def _joined_counts(column: Unsigned, large: Unsigned) -> I64:
    small = column.dtype == np.uint8
    found = _SMALL.take(column) if small else _unzigzag(column.astype(np.uint64))
    if len(large):
        at = np.flatnonzero(column == _ESCAPE)
        if len(at) != len(large):
            raise StoppedError(f"A stored body has {len(at)} large counts.", _DAMAGED)
        found[at] = _unzigzag(large.astype(np.uint64))
    return found


def _unzigzag(zigzag: U64) -> I64:
    one = np.uint64(1)
    return ((zigzag >> one) ^ (np.uint64(0) - (zigzag & one))).view(np.int64)


_SMALL = _unzigzag(np.arange(256, dtype=np.uint64))
"""The number that each zigzag-coded byte stands for."""


def _packed(values: Unsigned) -> bytes:
    """One column, as narrow as its largest value allows."""
    if not len(values):
        return _COLUMN.pack(0, 0)
    largest = int(np.maximum.reduce(values))
    if largest == int(np.minimum.reduce(values)):
        return _COLUMN.pack(0, largest)
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    bits = values.dtype.type
    planes = [
        (values >> bits(8 * place) if place else values).astype(np.uint8) for place in range(width)
    ]
    return b"".join([_COLUMN.pack(width, 0), *(plane.tobytes() for plane in planes)])


class _Columns:
    """Reads columns one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, length: int) -> Unsigned:
        """The next column; its type is as narrow as its values."""
        if self._at + _COLUMN.size > len(self._content):
            raise StoppedError("A stored body ends within its columns.", _DAMAGED)
        width, value = _COLUMN.unpack_from(self._content, self._at)
        begin = self._at + _COLUMN.size
        self._at = begin + width * length
        if width not in (0, *_WIDTHS) or self._at > len(self._content):
            raise StoppedError("A stored body ends within a column.", _DAMAGED)
        if not width:
            return np.full(length, value, np.uint64)
        planes = np.frombuffer(self._content, np.uint8, width * length, begin)
        if width == 1:
            return planes
        found: Unsigned = planes[-length:].astype(f"u{width}")
        for place in range(width - 2, -1, -1):
            found <<= found.dtype.type(8)
            found |= planes[place * length : (place + 1) * length]
        return found

    def end(self) -> None:
        """Refuses what is left."""
        left = len(self._content) - self._at
        if left:
            raise StoppedError(f"A stored body has {left} bytes too many.", _DAMAGED)
