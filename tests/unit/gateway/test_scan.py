"""The scanner reads what any protobuf library writes, and never reads past a message."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from leadline.gateway.core import scan
from leadline.gateway.core.tensors import parse_tensor, pick, to_array

NAMES = st.text(max_size=20)
KEYS = st.sampled_from(["a", "b", "region", "ä"])
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=10),
    st.floats(allow_nan=False),
)
# Unknown fields, as a newer protocol may have them: varint, fixed, bytes, and a group with a group.
UNKNOWN = st.sampled_from(
    [
        b"\xf8\x3e\xac\x02",
        b"\xf9\x3e12345678",
        b"\xfa\x3e\x03abc",
        b"\xfd\x3e1234",
        b"\xfb\x3e\x0b\x08\x01\x0c\xfc\x3e",
    ]
)


def set_parameter(parameter: pb.InferParameter, value: object) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def bodies(message: pb.ModelInferRequest) -> list[bytes]:
    """The message as pieces of one field each; any order of them is the same message."""
    pieces = []
    for field, value in message.ListFields():
        if field.name == "parameters":
            for key in value:
                part = pb.ModelInferRequest()
                part.parameters[key].CopyFrom(value[key])
                pieces.append(part.SerializeToString())
        elif field.is_repeated:
            for item in value:
                part = pb.ModelInferRequest()
                getattr(part, field.name).append(item)
                pieces.append(part.SerializeToString())
        else:
            pieces.append(pb.ModelInferRequest(**{field.name: value}).SerializeToString())
    return pieces


@given(
    st.tuples(NAMES, NAMES, NAMES),
    st.dictionaries(KEYS, VALUES),
    st.lists(st.binary(max_size=300), max_size=3),
    st.lists(UNKNOWN, max_size=3),
    st.randoms(use_true_random=False),
)
def test_a_request_is_read_in_any_order(texts, given_parameters, raws, unknown, random):
    message = pb.ModelInferRequest(model_name=texts[0], model_version=texts[1], id=texts[2])
    message.raw_input_contents.extend(raws)
    message.inputs.add(name="x", datatype="FP32", shape=[1])
    for key, value in given_parameters.items():
        set_parameter(message.parameters[key], value)
    pieces = [*bodies(message), *unknown]
    random.shuffle(pieces)
    body = b"".join(pieces)
    expected = pb.ModelInferRequest.FromString(body)
    head = scan.scan_request(body)
    assert (head.model, head.version, head.id) == texts
    assert [body[a:b] for a, b in head.raws] == list(expected.raw_input_contents)
    assert len(head.inputs) == 1
    assert scan.parameters([body[a:b] for a, b in head.parameters]) == given_parameters


def test_the_last_of_a_field_and_of_a_parameter_wins():
    first = pb.ModelInferRequest(model_name="old", id="1")
    first.parameters["a"].int64_param = 1
    second = pb.ModelInferRequest(model_name="new")
    second.parameters["a"].string_param = "x"
    body = first.SerializeToString() + second.SerializeToString()
    head = scan.scan_request(body)
    assert (head.model, head.id) == ("new", "1")
    assert scan.parameters([body[a:b] for a, b in head.parameters]) == {"a": "x"}


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(body):
    for read in (scan.scan_request, scan.scan_answer, parse_tensor):
        try:
            read(body)
        except scan.ScanError:
            continue


@given(st.integers(1, 40), st.data())
def test_a_cut_message_is_refused_or_shorter(width, data):
    message = pb.ModelInferResponse(model_name="m", model_version="1")
    message.raw_output_contents.append(b"\0" * width)
    body = message.SerializeToString()
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    try:
        head = scan.scan_answer(cut)
    except scan.ScanError:
        return
    assert all(stop <= len(cut) for _, stop in head.raws)


def test_a_message_of_too_many_fields_is_not_read():
    with pytest.raises(scan.ScanError):
        scan.scan_request(b"\xf8\x3e\x01" * (scan.FIELDS_MAX + 1))


TYPED = {
    "FP32": ("fp32_contents", np.float32),
    "FP64": ("fp64_contents", np.float64),
    "INT64": ("int64_contents", np.int64),
    "INT32": ("int_contents", np.int32),
    "UINT8": ("uint_contents", np.uint8),
    "BOOL": ("bool_contents", np.bool_),
}


@pytest.mark.parametrize("datatype", TYPED)
@given(st.data())
def test_typed_contents_are_the_raw_ones(datatype, data):
    field, dtype = TYPED[datatype]
    values = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=9))
    if np.issubdtype(dtype, np.signedinteger):
        values = [-value for value in values]
    array = np.array(values, dtype)
    message = pb.ModelInferResponse()
    tensor = message.outputs.add(name="y", datatype=datatype, shape=array.shape)
    getattr(tensor.contents, field).extend(array.tolist())
    body = message.SerializeToString()
    head = scan.scan_answer(body)
    heads = [parse_tensor(body[a:b]) for a, b in head.outputs]
    found, shared = pick(body, heads, head.raws, 0)
    assert not shared
    np.testing.assert_array_equal(found.array(), array)


def test_unpacked_and_split_contents_are_joined():
    one, two = np.array([0.25], "<f4").tobytes(), np.array([0.5, 0.75], "<f4").tobytes()
    contents = b"\x35" + one + b"\x32" + bytes([len(two)]) + two  # unpacked, then packed
    entry = b"\x0a\x01y\x12\x04FP32\x18\x03\x2a" + bytes([len(contents)]) + contents
    expected = pb.ModelInferResponse.InferOutputTensor.FromString(entry)
    assert list(expected.contents.fp32_contents) == [0.25, 0.5, 0.75]
    head = parse_tensor(entry)
    assert head.shape == (3,)
    assert head.contents == one + two


def test_outputs_in_shared_memory_have_no_raw_contents():
    message = pb.ModelInferResponse()
    message.outputs.add(name="a").parameters["shared_memory_region"].string_param = "r"
    message.outputs.add(name="b", datatype="FP32", shape=[1])
    message.raw_output_contents.append(b"\0\0\0\0")
    body = message.SerializeToString()
    head = scan.scan_answer(body)
    heads = [parse_tensor(body[a:b]) for a, b in head.outputs]
    assert pick(body, heads, head.raws, 0) == (None, True)
    assert pick(body, heads, head.raws, 1)[0].data == b"\0\0\0\0"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_bfloat16_is_the_upper_half_of_a_float32(values):
    wide = np.array(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    halves = (wide >> np.uint32(16)).astype("<u2")
    found = to_array("BF16", halves.tobytes(), halves.shape)
    np.testing.assert_array_equal(found, wide.view(np.float32))


@pytest.mark.parametrize(
    ("datatype", "data", "shape"),
    [("FP32", b"123", (1,)), ("FP32", b"1234", (2,)), ("NONE", b"", (0,)), ("FP32", b"", (-1,))],
)
def test_values_that_do_not_fit_are_none(datatype, data, shape):
    assert to_array(datatype, data, shape) is None
