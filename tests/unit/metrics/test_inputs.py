"""Kept inputs as a person sees them."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from leadline.metrics.api.inputs import show
from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec

PIXELS = InputSpec(form=InputForm.IMAGE_ARRAY, layout="HW", scale=255.0)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def shown_pixels(array: np.ndarray, spec: InputSpec) -> np.ndarray:
    shown = show(npy(array), "application/x-npy", spec)
    assert shown.media_type == "image/png"
    return np.asarray(Image.open(io.BytesIO(shown.content)))


def test_an_array_becomes_a_picture_by_scale_and_offset():
    """Shown pixel = value * scale + offset, rounded, clipped to 0..255."""
    spec = InputSpec(form=InputForm.IMAGE_ARRAY, layout="HW", scale=2.0, offset=10.0)
    array = np.array([[0, 1.2, 200], [-50, np.nan, 5]], np.float32)
    assert shown_pixels(array, spec).tolist() == [[10, 12, 255], [0, 0, 20]]


@pytest.mark.parametrize(
    ("layout", "shape", "size"),
    [
        ("HW", (1, 28, 20), (28, 20)),
        ("CHW", (1, 28, 20), (28, 20)),
        ("CHW", (1, 3, 28, 20), (28, 20, 3)),
        ("HWC", (28, 20, 3), (28, 20, 3)),
        ("HWC", (1, 28, 20, 4), (28, 20, 4)),
        ("HWC", (28, 20, 1), (28, 20)),
    ],
)
def test_layouts(layout, shape, size):
    spec = InputSpec(form=InputForm.IMAGE_ARRAY, layout=layout)
    assert shown_pixels(np.zeros(shape, np.uint8), spec).shape == size


def test_channels_keep_their_order():
    spec = InputSpec(form=InputForm.IMAGE_ARRAY, layout="CHW")
    array = np.array([[[1]], [[2]], [[3]]], np.uint8)
    assert shown_pixels(array, spec).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 3), (5, 28, 28), (4001, 4001)])
def test_a_shape_that_is_no_picture_says_what_to_declare(shape):
    spec = InputSpec(form=InputForm.IMAGE_ARRAY, layout="CHW")
    with pytest.raises(UsageError) as refused:
        show(npy(np.zeros(shape, np.uint8)), "application/x-npy", spec)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif")],
)
def test_an_encoded_image_stays_as_it_is(name, media_type):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, name)
    shown = show(buffer.getvalue(), "application/octet-stream", PIXELS)
    assert (shown.media_type, shown.content) == (media_type, buffer.getvalue())


def test_text_is_shown_as_text():
    spec = InputSpec(form=InputForm.TEXT)
    assert show("grüß".encode(), "text/plain", spec).content.decode() == "grüß"
    assert show(npy(np.array([b"one", b"two"])), "application/x-npy", spec).content == b"one\ntwo"
    assert show(b"\xff", "text/plain", spec).media_type == "text/plain; charset=utf-8"


def test_numbers_are_shown_as_json():
    spec = InputSpec(form=InputForm.NUMBERS)
    shown = show(npy(np.array([[1.5, np.nan]], np.float32)), "application/x-npy", spec)
    assert shown.media_type == "application/json"
    assert json.loads(shown.content) == {"shape": [1, 2], "values": [1.5, None]}


def test_pickles_are_never_loaded():
    content = npy(np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError):
        show(content, "application/x-npy", InputSpec(form=InputForm.NUMBERS))


def test_other_bytes_stay_as_they_are_unless_declared_otherwise():
    shown = show(b"\x00\x01", "audio/wav", InputSpec())
    assert (shown.media_type, shown.content) == ("audio/wav", b"\x00\x01")
    with pytest.raises(UsageError):
        show(b"\x00\x01", "audio/wav", PIXELS)
