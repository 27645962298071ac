"""The input of a kept row, as it goes to the blob store."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.gateway.core.scan import ScanError, scan_request
from leadline.gateway.core.tensors import Tensor, elements, parse_tensor, pick
from leadline.records.batches import InputAbsence
from leadline.records.models import InputForm, InputSpec

NPY = "application/x-npy"
TEXT = "text/plain; charset=utf-8"
UNKNOWN = "application/octet-stream"


class KeptInput(NamedTuple):
    """A row's input, encoded; or why there is none.

    Attributes:
        content: the bytes; empty when absent.
        media_type: what they are.
        absence: PRESENT, or why there are none.
    """

    content: bytes
    media_type: str
    absence: InputAbsence


def absent(why: InputAbsence) -> KeptInput:
    """No input, and why."""
    return KeptInput(b"", "", why)


def find_input(request: bytes, spec: InputSpec) -> Tensor | InputAbsence:
    """The declared input of a request, the first where none is named; or why it cannot be read."""
    try:
        head = scan_request(request)
        heads = [parse_tensor(request[start:stop]) for start, stop in head.inputs]
    except ScanError:
        return InputAbsence.NOT_STORED
    for at, found in enumerate(heads):
        if not spec.name or found.name == spec.name:
            tensor, shared = pick(request, heads, head.raws, at)
            if shared:
                return InputAbsence.SHARED_MEMORY
            return InputAbsence.NOT_STORED if tensor is None else tensor
    return InputAbsence.NOT_STORED


def encode_row(tensor: Tensor, form: InputForm, row: int, rows: int) -> KeptInput:
    """The input of one row of a request of many rows.

    Arrays become .npy bytes of the row's own shape, encoded images their bytes, text its UTF-8.
    An input whose first dimension is not the number of rows is the whole input of a request of one
    row; of more rows it cannot be divided, and is absent.
    """
    if form in {InputForm.IMAGE_ARRAY, InputForm.NUMBERS}:
        return _encode_array(tensor, row, rows)
    if form in {InputForm.ENCODED_IMAGE, InputForm.TEXT}:
        content = _row_bytes(tensor, row, rows)
        if content is None:
            return absent(InputAbsence.NOT_STORED)
        media_type = TEXT if form is InputForm.TEXT else sniff(content)
        return KeptInput(content, media_type, InputAbsence.PRESENT)
    return absent(InputAbsence.NOT_STORED)


def _encode_array(tensor: Tensor, row: int, rows: int) -> KeptInput:
    array = tensor.array()
    if array is None:
        return absent(InputAbsence.NOT_STORED)
    if array.ndim > 0 and array.shape[0] == rows:
        array = array[row]
    elif rows != 1:
        return absent(InputAbsence.NOT_STORED)
    return KeptInput(npy(array), NPY, InputAbsence.PRESENT)


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """The array in numpy's own file format, version 1.0: type and shape travel with the values."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def _row_bytes(tensor: Tensor, row: int, rows: int) -> bytes | None:
    """Bytes of one row: elements of a BYTES tensor (joined by newlines), or of UINT8."""
    if tensor.datatype == "BYTES":
        parts = elements(tensor.data)
        if not parts or len(parts) % rows:
            return None
        each = len(parts) // rows
        return b"\n".join(parts[row * each : (row + 1) * each])
    if tensor.datatype != "UINT8" or len(tensor.data) % rows:
        return None
    each = len(tensor.data) // rows
    return tensor.data[row * each : (row + 1) * each]


def sniff(content: bytes) -> str:
    """Media type of an encoded image, by its first bytes."""
    if content[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif"
    return UNKNOWN
