"""Kept inputs as they go to the blob store."""

import io

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from leadline.gateway.core.inputs import NPY, TEXT, encode_row, find_input, sniff
from leadline.gateway.core.tensors import Tensor
from leadline.records.batches import InputAbsence
from leadline.records.models import InputForm, InputSpec

PIXELS = np.arange(12, dtype="<u1").reshape(2, 2, 3)
IMAGES = Tensor("image", "UINT8", PIXELS.shape, PIXELS.tobytes())


def texts(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


@pytest.mark.parametrize("form", [InputForm.IMAGE_ARRAY, InputForm.NUMBERS])
@pytest.mark.parametrize("row", [0, 1])
def test_an_array_keeps_the_shape_of_its_row(form, row):
    found = encode_row(IMAGES, form, row, 2)
    assert (found.media_type, found.absence) == (NPY, InputAbsence.PRESENT)
    np.testing.assert_array_equal(np.load(io.BytesIO(found.content)), PIXELS[row])


def test_an_input_without_a_batch_is_whole():
    found = encode_row(IMAGES, InputForm.NUMBERS, 0, 1)
    np.testing.assert_array_equal(np.load(io.BytesIO(found.content)), PIXELS)


def test_an_input_that_cannot_be_divided_is_absent():
    assert encode_row(IMAGES, InputForm.NUMBERS, 0, 3).absence is InputAbsence.NOT_STORED
    damaged = Tensor("x", "FP32", (2, 2), b"123")
    assert encode_row(damaged, InputForm.NUMBERS, 0, 2).absence is InputAbsence.NOT_STORED


def test_text_and_encoded_images_are_their_bytes():
    words = Tensor("t", "BYTES", (2, 1), texts("grün".encode(), b"two"))
    assert encode_row(words, InputForm.TEXT, 0, 2)[:2] == ("grün".encode(), TEXT)
    png = b"\x89PNG\r\n\x1a\n..."
    pictures = Tensor("p", "BYTES", (2,), texts(b"\xff\xd8\xff.", png))
    assert encode_row(pictures, InputForm.ENCODED_IMAGE, 0, 2).media_type == "image/jpeg"
    assert encode_row(pictures, InputForm.ENCODED_IMAGE, 1, 2)[:2] == (png, "image/png")
    raw = Tensor("p", "UINT8", (1, len(png)), png)
    assert encode_row(raw, InputForm.ENCODED_IMAGE, 0, 1)[:2] == (png, "image/png")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"RIFF1234WEBP", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"", "application/octet-stream"),
    ],
)
def test_images_are_known_by_their_first_bytes(content, media_type):
    assert sniff(content) == media_type


def test_the_declared_input_is_found():
    message = pb.ModelInferRequest()
    message.inputs.add(name="mask", datatype="UINT8", shape=[1])
    shared = message.inputs.add(name="far", datatype="UINT8", shape=[1])
    shared.parameters["shared_memory_region"].string_param = "r"
    message.inputs.add(name="image", datatype="UINT8", shape=[2])
    message.raw_input_contents.extend([b"m", b"im"])
    body = message.SerializeToString()
    assert find_input(body, InputSpec("image")).data == b"im"
    assert find_input(body, InputSpec()).data == b"m"
    assert find_input(body, InputSpec("far")) is InputAbsence.SHARED_MEMORY
    assert find_input(body, InputSpec("absent")) is InputAbsence.NOT_STORED
    assert find_input(b"\xff", InputSpec()) is InputAbsence.NOT_STORED
