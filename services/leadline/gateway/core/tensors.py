"""One tensor of a message: its name, type and shape, and where its values are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.gateway.core.scan import FIXED32, FIXED64, LENGTH, VARINT, Span, fields, text, varint

SHARED_MEMORY = b"shared_memory_region"
DIMENSIONS_MAX = 16

NUMPY_TYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Types of the protocol that numpy knows; BF16 and BYTES are read by hand."""
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
INTEGERS = frozenset(name for name in NUMPY_TYPES if "INT" in name)


class TensorHead(NamedTuple):
    """What a tensor's entry says.

    Attributes:
        shared: its values lie in shared memory.
        contents: its typed contents as little-endian bytes of its type; None when it has none.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    shared: bool
    contents: bytes | None


class Tensor(NamedTuple):
    """A tensor's type, shape and little-endian values, as in raw contents."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    def array(self) -> npt.NDArray[np.generic] | None:
        """The values in their shape; None when bytes, type and shape do not fit each other.

        BF16 becomes float32, which holds each of its values exactly.
        """
        return to_array(self.datatype, self.data, self.shape)


def to_array(datatype: str, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.generic] | None:
    """Little-endian values in a shape; None when they do not fit each other."""
    flat: npt.NDArray[np.generic]
    if datatype == "BF16" and len(data) % 2 == 0:
        wide = np.frombuffer(data, dtype="<u2").astype(np.uint32) << np.uint32(16)
        flat = wide.view(np.float32)
    elif (known := NUMPY_TYPES.get(datatype)) is not None and len(data) % known.itemsize == 0:
        flat = np.frombuffer(data, dtype=known)
    else:
        return None
    if any(size < 0 for size in shape) or flat.size != int(np.prod(shape, dtype=object)):
        return None
    return flat.reshape(shape)


def elements(data: bytes) -> list[bytes] | None:
    """The elements of a BYTES tensor: each is its length as 4 little-endian bytes, then itself."""
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        stop = at + 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : stop])
        at = stop
    return found if at == len(data) else None


def parse_tensor(entry: bytes) -> TensorHead:
    """An InferInputTensor, InferOutputTensor or InferRequestedOutputTensor.

    A requested output has no type and no shape: its parameters are field 2.

    Raises:
        ScanError: the bytes are not a message.
    """
    name = datatype = ""
    shape: list[int] = []
    shared = False
    contents: list[Span] = []
    for number, kind, start, stop in fields(entry):
        if number == 3 and kind in {LENGTH, VARINT}:
            shape += _varints(entry, start, stop)
        elif kind != LENGTH:
            continue
        elif number == 1:
            name = text(entry, start, stop)
        elif number == 2:
            datatype = text(entry, start, stop)
            shared = shared or SHARED_MEMORY in entry[start:stop]
        elif number == 4:
            shared = shared or SHARED_MEMORY in entry[start:stop]
        elif number == 5:
            contents.append(Span(start, stop))
    typed = _typed_contents(entry, contents, datatype) if contents else None
    return TensorHead(name, datatype, tuple(shape[:DIMENSIONS_MAX]), shared, typed)


def _varints(data: bytes, start: int, stop: int) -> list[int]:
    values = []
    at = start
    while at < stop:
        value, at = varint(data, at)
        values.append(value)
    return values


def _typed_contents(entry: bytes, spans: list[Span], datatype: str) -> bytes:
    """Values of InferTensorContents as little-endian bytes of the tensor's type."""
    pieces: list[bytes] = []
    for span in spans:
        for number, kind, start, stop in fields(entry, *span, bound=len(entry)):
            if number == 8 and kind == LENGTH:
                pieces += [(stop - start).to_bytes(4, "little"), entry[start:stop]]
            elif (number == 6 and kind in {LENGTH, FIXED32}) or (
                number == 7 and kind in {LENGTH, FIXED64}
            ):
                pieces.append(entry[start:stop])
            elif 1 <= number <= 5 and kind in {LENGTH, VARINT}:
                pieces.append(_integers(_varints(entry, start, stop), datatype))
    return b"".join(pieces)


def _integers(values: list[int], datatype: str) -> bytes:
    known = NUMPY_TYPES.get(datatype)
    if known is None or datatype in FLOATS:
        return b""
    return np.array(values, dtype=np.uint64).astype(known).tobytes()


def pick(
    data: bytes, heads: list[TensorHead], raws: list[Span], chosen: int
) -> tuple[Tensor | None, bool]:
    """Tensor number `chosen` of a message, and whether its values lie in shared memory.

    Raw contents stand in the tensors' order; a server may leave out those in shared memory. None
    when there are no values.
    """
    head = heads[chosen]
    if head.shared:
        return None, True
    if head.contents is not None:
        return Tensor(head.name, head.datatype, head.shape, head.contents), False
    place = chosen
    if len(raws) != len(heads):
        place = sum(not other.shared for other in heads[:chosen])
    if place >= len(raws):
        return None, False
    start, stop = raws[place]
    return Tensor(head.name, head.datatype, head.shape, data[start:stop]), False
