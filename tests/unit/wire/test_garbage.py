"""Any bytes: a batch, a refusal or a stop, and never more work than their length is worth."""

import sys

import plain
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leadline.records.errors import StoppedError
from leadline.wire import batches
from leadline.wire.batches import decode_labels, decode_predictions, unframed

ANY = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
LINES_PER_BYTE, LINES_FREE = 4, 2_000
MEGABYTES = 8 * 1024 * 1024


def read(value):
    """Reads bytes as both topics would; fails on anything but the promised outcomes."""
    for decode in (decode_predictions, decode_labels):
        try:
            decoded = decode(value, 0, 1)
        except StoppedError:
            continue
        if decoded.batch is None:  # refused, or a tick
            assert [each.row for each in decoded.refusals] in ([-1], [])
        else:
            assert len(decoded.rows) == len(decoded.batch)


@ANY
@given(st.binary(max_size=400))
@example(b"\x08\x02\x10\x00\x1a\x01a\x22\x011")  # a newer reader, no rows, valid names
def test_random_bytes_are_refused_or_read(value):
    read(value)


FIELDS = st.one_of(st.integers(1, 27), st.integers(1, 2**29 - 1))
SMALL = st.sampled_from([0, 1, 2, 3, 4, 16, 2**31, 2**32 - 1, 2**63, 2**64 - 1])


@st.composite
def fields(draw):
    """One well-formed field of any number and wire type: garbage that parses."""
    number = draw(FIELDS)
    match draw(st.sampled_from([0, 1, 2, 2, 2, 5])):
        case 0:
            return plain.varint(number << 3) + plain.varint(draw(SMALL))
        case 1:
            return plain.varint(number << 3 | 1) + draw(st.binary(min_size=8, max_size=8))
        case 5:
            return plain.varint(number << 3 | 5) + draw(st.binary(min_size=4, max_size=4))
        case _:
            return plain.chunk(number, draw(st.binary(max_size=48)))


@ANY
@given(st.lists(fields(), max_size=12).map(b"".join))
def test_garbage_that_parses_is_refused_or_read(value):
    read(value)


GOOD = [
    plain.two_predictions(
        top_k=1,
        top_class=[2, 0],
        top_score=[0.5, 0.5],
        vector_width=1,
        vector=[1.0, 2.0],
        slices=[{"name": "d", "value": ["a", "b"], "code": [0, 1]}],
        kept=[{"row": 1, "probability": 0.5}],
        unobserved=[{"reason": 1, "count": 1}],
    ).SerializeToString(),
    plain.two_labels().SerializeToString(),
]


@ANY
@given(st.sampled_from(GOOD), st.data())
def test_a_good_batch_with_changed_bytes_is_refused_or_read(value, data):
    changed = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    read(bytes(changed[: data.draw(st.integers(0, len(changed)))] or changed))


@ANY
@given(st.sampled_from(GOOD), st.lists(fields(), max_size=4).map(b"".join))
def test_a_good_batch_with_more_behind_it_is_refused_or_read(value, more):
    read(value + more)


@pytest.mark.parametrize(
    "indices", [b"\x00", b"\x02\x00", b"\x04\x02\x00", b"\x06\x02\x80\x01\x00"]
)
def test_a_schema_registrys_frame_is_skipped(indices):
    value = GOOD[0]
    framed = b"\x00" + (4711).to_bytes(4, "big") + indices + value
    assert unframed(framed) == value
    decoded = decode_predictions(framed, 0, 1)
    assert (len(decoded.batch), decoded.refusals) == (2, ())


def test_a_message_without_a_frame_stays_as_it_is():
    for value in (*GOOD, b"", b"\x00", b"\x00\x00\x00\x00\x07"):
        assert unframed(value) is value


class Work:
    """Counts the lines that the codecs run: the same on every machine, unlike time."""

    def __init__(self):
        self.lines = 0

    def __enter__(self):
        self._former = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._former)

    def _call(self, frame, event, _):
        return self._line if frame.f_code.co_filename == batches.__file__ else None

    def _line(self, frame, event, _):
        self.lines += event == "line"
        return self._line


def lines_of(value):
    with Work() as work:
        read(value)
    return work.lines


def test_the_budget_sees_work_that_grows():
    """The control of the next test: rows that are kept cost lines, so the count is not blind."""
    kept = [{"row": 0, "probability": 0.5} for _ in range(1_000)]
    many = plain.two_predictions(kept=kept).SerializeToString()
    assert lines_of(many) > lines_of(GOOD[0]) + 1_000


@pytest.mark.parametrize(
    "value",
    {
        "an endless index count": b"\x00" + b"\xff" * MEGABYTES,
        "many indices": b"\x00\0\0\0\0" + plain.varint(2**64 - 2) + b"\x02" * MEGABYTES,
        "endless indices": b"\x00\0\0\0\0" + b"\x20" + b"\xff" * MEGABYTES,
        "frames in frames": b"\x00\0\0\0\0\0" * (MEGABYTES // 6),
        "zeros": bytes(MEGABYTES),
        "ones": b"\xff" * MEGABYTES,
        "nested groups": b"\x0b" * MEGABYTES,
        "a huge n": plain.two_predictions(n=2**32 - 1).SerializeToString(),
        "a huge class count": plain.two_predictions(class_count=2**32 - 1).SerializeToString(),
        "a huge width": plain.two_predictions(vector_width=2**32 - 1).SerializeToString(),
    }.items(),
    ids=lambda item: item[0],
)
def test_garbage_costs_no_work(value):
    assert lines_of(value[1]) < LINES_FREE


@ANY
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x00", *GOOD]))
def test_work_is_bounded_by_the_length(tail, head):
    value = head + tail
    assert lines_of(value) < LINES_FREE + LINES_PER_BYTE * len(value)
