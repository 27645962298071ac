"""Reads the few fields that the gateway logs out of an inference message, without its tensors.

The answer and the request pass through as bytes. A scan walks the top-level fields by their tags
(https://protobuf.dev/programming-guides/encoding), notes where each begins and ends, and copies
nothing; a request of megabytes costs as much as a tiny one. Rules of the format that matter here:
fields come in any order, the last of a singular field wins, repeated fields may be packed, split or
unpacked, unknown fields are passed over.
"""

from __future__ import annotations

from typing import NamedTuple

FIELDS_MAX = 4096
"""Top-level fields of one message. A scan runs on the way of a request; without a bound a message
of millions of empty fields would hold up every other one. Beyond it the message is not read."""

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
DEPTH_MAX = 100
"""Nested groups, as in every protobuf library."""


class ScanError(ValueError):
    """The bytes are not a message, or have more fields than the bound."""


class Span(NamedTuple):
    """Where a field's value lies: data[start:stop]."""

    start: int
    stop: int


class Field(NamedTuple):
    """One field: its number, its wire type, and where its value lies."""

    number: int
    kind: int
    start: int
    stop: int


class RequestHead(NamedTuple):
    """What a ModelInferRequest says about itself.

    Attributes:
        parameters, inputs, outputs, raws: spans of the entries of the repeated fields, in order.
    """

    model: str
    version: str
    id: str
    parameters: list[Span]
    inputs: list[Span]
    outputs: list[Span]
    raws: list[Span]


class AnswerHead(NamedTuple):
    """What a ModelInferResponse says about itself; see RequestHead."""

    model: str
    version: str
    id: str
    parameters: list[Span]
    outputs: list[Span]
    raws: list[Span]


Parameter = str | int | float | bool


def fields(
    data: bytes, start: int = 0, stop: int | None = None, bound: int = FIELDS_MAX
) -> list[Field]:
    """The fields of the message in data[start:stop], in order.

    Raises:
        ScanError: the bytes end within a field, a tag is not legal, or there are too many fields.
    """
    end = len(data) if stop is None else stop
    found: list[Field] = []
    at = start
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = varint(data, at - 1)
            kind = tag & 7
            if kind == LENGTH:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = varint(data, at - 1)
                value, at = at, at + size
            else:
                value, at = at, _skip(data, at, tag, 0)
            if tag < 8 or at > end or len(found) >= bound:
                raise ScanError("not a message, or one of more fields than the bound")
            found.append(Field(tag >> 3, kind, value, at))
    except IndexError as error:
        raise ScanError("the message ends within a field") from error
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint that starts at `at`, as an unsigned number of 64 bits, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ScanError("a varint has more than 10 bytes")


def _skip(data: bytes, at: int, tag: int, depth: int) -> int:
    """Where the value that starts at `at` ends."""
    kind = tag & 7
    if kind == VARINT:
        return varint(data, at)[1]
    if kind == FIXED64:
        return at + 8
    if kind == FIXED32:
        return at + 4
    if kind == LENGTH:
        size, at = varint(data, at)
        return at + size
    if kind != GROUP or depth >= DEPTH_MAX:
        raise ScanError("a tag is not legal")
    while True:
        inner, at = varint(data, at)
        if inner & 7 == END_GROUP:
            if inner >> 3 != tag >> 3:
                raise ScanError("a group ends as another")
            return at
        at = _skip(data, at, inner, depth + 1)


def scan_request(data: bytes) -> RequestHead:
    """The head of a ModelInferRequest.

    Raises:
        ScanError: the bytes are not a message, or have too many fields.
    """
    texts = ["", "", ""]
    spans: tuple[list[Span], ...] = ([], [], [], [])
    for number, kind, start, stop in fields(data):
        if kind != LENGTH:
            continue
        if 4 <= number <= 7:
            spans[number - 4].append(Span(start, stop))
        elif number <= 3:
            texts[number - 1] = text(data, start, stop)
    return RequestHead(texts[0], texts[1], texts[2], *spans)


def scan_answer(data: bytes) -> AnswerHead:
    """The head of a ModelInferResponse.

    Raises:
        ScanError: the bytes are not a message, or have too many fields.
    """
    texts = ["", "", ""]
    spans: tuple[list[Span], ...] = ([], [], [])
    for number, kind, start, stop in fields(data):
        if kind != LENGTH:
            continue
        if 4 <= number <= 6:
            spans[number - 4].append(Span(start, stop))
        elif number <= 3:
            texts[number - 1] = text(data, start, stop)
    return AnswerHead(texts[0], texts[1], texts[2], *spans)


def text(data: bytes, start: int, stop: int) -> str:
    """A string field; bytes that are no UTF-8 become the replacement character."""
    return data[start:stop].decode("utf-8", "replace")


def parameters(entries: list[bytes]) -> dict[str, Parameter]:
    """The map of parameters, of which each entry is given as its bytes; the last of a key wins.

    An entry that is not legal or holds no value is left out.
    """
    found: dict[str, Parameter] = {}
    for entry in entries:
        try:
            key, value = _parameter(entry)
        except ScanError:
            continue
        if value is not None:
            found[key] = value
    return found


def _parameter(entry: bytes) -> tuple[str, Parameter | None]:
    key, value = "", None
    for number, kind, start, stop in fields(entry):
        if number == 1 and kind == LENGTH:
            key = text(entry, start, stop)
        elif number == 2 and kind == LENGTH:
            value = _parameter_value(entry, start, stop, value)
    return key, value


def _parameter_value(
    entry: bytes, start: int, stop: int, value: Parameter | None
) -> Parameter | None:
    """The value of an InferParameter, a oneof: the last that is set wins."""
    for number, kind, at, end in fields(entry, start, stop):
        if number == 1 and kind == VARINT:
            value = varint(entry, at)[0] != 0
        elif number == 2 and kind == VARINT:
            value = signed(varint(entry, at)[0])
        elif number == 3 and kind == LENGTH:
            value = text(entry, at, end)
        elif number == 4 and kind == FIXED64:
            value = double(entry[at:end])
        elif number == 5 and kind == VARINT:
            value = varint(entry, at)[0]
    return value


def signed(value: int) -> int:
    """A 64-bit number in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def double(data: bytes) -> float:
    """Eight little-endian bytes as a number."""
    return float(memoryview(data).cast("d")[0])


def as_text(value: Parameter) -> str:
    """A parameter as it stands in a slice or an id; booleans are true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
