"""A kept input as a person sees it.

declared form     stored bytes          shown
encoded image     JPEG, PNG, WebP, GIF  as they are
image array       .npy                  PNG, by layout, scale and offset
text              anything              text/plain
numbers           .npy                  JSON, {"shape": [...], "values": [...]}
not declared      by their look: an encoded image, a .npy of numbers, text, else as they are
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec

NPY_MAGIC = b"\x93NUMPY"
PIXELS_MAX = 16_000_000
"""4,000 x 4,000: a larger array would cost more memory than a picture is worth."""
VALUES_MAX = 10_000
"""Numbers shown of one input; more are not read by a person."""
_IMAGE_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What goes to the caller."""

    media_type: str
    content: bytes


def show(content: bytes, media_type: str, spec: InputSpec) -> Shown:
    """The input as a person sees it.

    Args:
        content: the bytes that were kept.
        media_type: as they were stored; decides where neither declaration nor bytes do.
        spec: the declaration of the input.

    Raises:
        UsageError: the bytes do not fit the declaration; the remedy says what to declare.
    """
    if (image := image_type(content)) is not None:
        return Shown(image, content)
    if content.startswith(NPY_MAGIC):
        array = _load(content)
        if spec.form is InputForm.IMAGE_ARRAY:
            return Shown("image/png", png(array, spec))
        if spec.form is InputForm.TEXT or array.dtype.kind in "SU":
            return Shown("text/plain; charset=utf-8", _text(array))
        return Shown("application/json", _numbers(array))
    if spec.form is InputForm.TEXT or media_type.startswith("text/"):
        text = content.decode("utf-8", "replace")
        return Shown("text/plain; charset=utf-8", text.encode())
    if spec.form in (InputForm.IMAGE_ARRAY, InputForm.ENCODED_IMAGE):
        raise UsageError(
            f"The kept input is no {spec.form.name.lower().replace('_', ' ')}.",
            "Correct input.form in the model's declaration, or ask for the raw input.",
        )
    return Shown(media_type or "application/octet-stream", content)


def image_type(content: bytes) -> str | None:
    """The media type of an encoded image by its first bytes; None for anything else."""
    for magic, media_type in _IMAGE_TYPES:
        if content.startswith(magic):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def png(array: npt.NDArray[np.generic], spec: InputSpec) -> bytes:
    """An array of pixels as PNG: value * scale + offset, rounded and clipped to 0..255.

    Args:
        array: HW, HWC or CHW by `spec.layout` (C 1, 3 or 4), with any leading axes of length 1.
        spec: layout, scale and offset.

    Raises:
        UsageError: the array has another shape, or more than `PIXELS_MAX` pixels.
    """
    from PIL import Image  # noqa: PLC0415 - only readers that show images need pillow

    pixels = _channels_last(array, spec.layout)
    if pixels.shape[0] * pixels.shape[1] > PIXELS_MAX:
        raise UsageError("The kept input has too many pixels to show.", "Ask for the raw input.")
    values = pixels.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
    shown = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    if shown.shape[2] == 1:
        shown = shown[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG")
    return buffer.getvalue()


def _channels_last(array: npt.NDArray[np.generic], layout: str) -> npt.NDArray[np.generic]:
    """The array as (height, width, channels)."""
    axes = len(layout) or 2
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2 and array.size:
        return array[:, :, np.newaxis]
    if array.ndim == 3 and array.size:
        if layout == "CHW":
            array = np.moveaxis(array, 0, 2)
        if layout in {"CHW", "HWC"} and array.shape[2] in {1, 3, 4}:
            return array
    raise UsageError(
        f"An input of shape {array.shape} is no image of layout {layout or 'HW'!r}.",
        "Correct input.layout in the model's declaration: HW, HWC or CHW.",
    )


def _load(content: bytes) -> npt.NDArray[np.generic]:
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise UsageError("The kept input is a damaged array.", "Ask for the raw input.") from error
    return np.asarray(found)


def _text(array: npt.NDArray[np.generic]) -> bytes:
    values = array.ravel()[:VALUES_MAX].tolist()
    texts = [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values
    ]
    return "\n".join(texts).encode()


def _numbers(array: npt.NDArray[np.generic]) -> bytes:
    """JSON of the shape and the first `VALUES_MAX` values, row by row; NaN becomes null."""
    flat = array.ravel()[:VALUES_MAX].tolist()
    values = [None if isinstance(each, float) and not np.isfinite(each) else each for each in flat]
    return json.dumps({"shape": list(array.shape), "values": values}, default=str).encode()
