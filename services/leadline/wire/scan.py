"""Where the fields of a batch stand in its bytes, found without parsing the columns.

Only the way in which protobuf libraries write a batch is understood: `reader` = 1, then `n`, each
column once and packed. Of anything else `scan` says None, and `batches` decides: nothing is
guessed, and nothing is refused here.

    08 01 10 n | head: fields 3 to 19 | columns: fields 20 to 26
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from leadline.wire.batches import unframed

START = b"\x08\x01\x10"
"""Field `reader` = 1 and the tag of `n`."""
SLICES, KEPT = 12, 13
SPARSE = frozenset({SLICES, KEPT})
"""Fields of a prediction's head that differ from message to message."""
UNOBSERVED = 14
HEAD_FIELDS = range(3, 20)
LENGTH_BYTES_MAX = 5
"""Bytes of a length that are read; longer ones are no good batches."""
FIELDS_MAX, SLICE_PARTS_MAX = 1_024, 256
"""Fields of a head, and of a slice column in it, that are walked; more are parsed, not scanned."""
FIXED_BYTES = {1: 8, 5: 4}
"""Sizes of the wire types I64 and I32."""
COLUMN_OF_TAG = {bytes([(field << 3 | 2) & 0x7F | 0x80, 1]): field - 20 for field in range(20, 27)}
"""Column number of each tag, two bytes."""
CODE, SLICE_FIELDS = 0x1A, (0x0A, 0x12, 0x1A)
"""Tags in a slice column: its code; its name, values and code."""

Span = tuple[int, int]
NOWHERE: Span = (0, 0)


class Scan(NamedTuple):
    """Where the fields of one message stand.

    Attributes:
        n: its rows, at least 1.
        head: the fields of the header, one after the other, as written.
        sparse: slice columns and kept rows, as written.
        columns: (start, end) of each column's content, fields 20, 21, ...; NOWHERE when absent.
        codes: of each slice column's code, when `sparse` holds nothing but such columns in order.
    """

    n: int
    head: bytes
    sparse: bytes
    columns: tuple[Span, ...]
    codes: tuple[Span, ...]


def scan(value: bytes, heads: Container[bytes], likely: int, *, sparse: bool) -> Scan | None:
    """Where the fields of a message stand; None when it is written in an unusual way.

    Args:
        value: the record, perhaps with a schema registry's frame.
        heads: known heads, each a sequence of whole fields; found by their bytes.
        likely: length of the head that is tried first.
        sparse: whether fields 12 to 14 are those of a prediction.
    """
    at = len(value) - len(unframed(value)) if value.startswith(b"\x00") else 0
    if not value.startswith(START, at):
        return None
    n, at = varint(value, at + len(START))
    if n <= 0:
        return None
    head = value[at : at + likely]
    if likely and head in heads:
        columns = _columns(value, at + likely)
        if columns is not None:
            return Scan(n, head, b"", columns, ())
    return _scan_all(value, at, n, sparse=sparse)


def varint(value: bytes, at: int) -> tuple[int, int]:
    """A short varint and where it ends; -1 when it is long or cut off."""
    number = shift = 0
    for byte in value[at : at + LENGTH_BYTES_MAX]:
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    return -1, at


def _columns(value: bytes, at: int) -> tuple[Span, ...] | None:
    """The columns, when nothing else stands from here to the end."""
    spans = [NOWHERE] * len(COLUMN_OF_TAG)
    size, tags = len(value), COLUMN_OF_TAG
    while at < size:
        column = tags.get(value[at : at + 2])
        if column is None or spans[column] is not NOWHERE:
            return None
        length = value[at + 2] if at + 2 < size else -1
        start = at + 3
        if length > 0x7F:
            length, start = varint(value, at + 2)
        at = start + length
        if length < 0 or at > size:
            return None
        spans[column] = (start, at)
    return tuple(spans)


def _scan_all(value: bytes, at: int, n: int, *, sparse: bool) -> Scan | None:
    head: list[bytes] = []
    rare: list[bytes] = []
    codes: list[Span] | None = []
    walked = 0
    while at < len(value) and value[at : at + 2] not in COLUMN_OF_TAG:
        walked += 1
        field, start, end = _field(value, at)
        if field not in HEAD_FIELDS or (sparse and field == UNOBSERVED) or walked > FIELDS_MAX:
            return None
        if sparse and field in SPARSE:
            rare.append(value[at:end])
            code = _code(value, start, end) if field == SLICES else NOWHERE
            codes = None if codes is None or code is NOWHERE else [*codes, code]
        else:
            head.append(value[at:end])
        at = end
    columns = _columns(value, at)
    if columns is None:
        return None
    return Scan(n, b"".join(head), b"".join(rare), columns, tuple(codes or ()))


def _field(value: bytes, at: int) -> tuple[int, int, int]:
    """Number, start of the content and end of a field; number 0 when it is unusual."""
    tag, at = varint(value, at)
    kind, start = tag & 7, at
    if tag < 0:
        return 0, at, at
    if kind == 0:
        number, end = varint(value, at)
        return (0 if number < 0 else tag >> 3), start, end
    if kind == 2:
        length, start = varint(value, at)
        end = start + length
    elif kind in FIXED_BYTES:
        length, end = FIXED_BYTES[kind], start + FIXED_BYTES[kind]
    else:
        return 0, at, at
    return (0 if length < 0 or end > len(value) else tag >> 3), start, end


def _code(value: bytes, at: int, end: int) -> Span:
    """Where the code of a slice column stands; NOWHERE when it is written in an unusual way."""
    code, walked = NOWHERE, 0
    while at < end:
        walked += 1
        tag = value[at]
        length, start = varint(value, at + 1)
        at = start + length
        if tag not in SLICE_FIELDS or length < 0 or at > end or walked > SLICE_PARTS_MAX:
            return NOWHERE
        if tag == CODE and code != NOWHERE:
            return NOWHERE
        if tag == CODE:
            code = (start, at)
    return code
