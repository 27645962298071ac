"""A tick: a batch that holds nothing is no mistake, and nothing else is a tick."""

import plain
import pytest

from leadline.wire.batches import decode_labels, decode_predictions, encode_tick
from leadline.wire.many import decode_many_labels, decode_many_predictions

BOTH = [decode_predictions, decode_labels]


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize(
    "value",
    [
        encode_tick(),
        b"\x08\x01",
        b"\x08\x01\x10\x00",
        b"\x10\x00\x08\x01",
        b"\x00\x00\x00\x00\x07\x00" + encode_tick(),
    ],
)
def test_a_tick_decodes_to_nothing(decode, value):
    decoded = decode(value, 3, 12)
    assert (decoded.batch, decoded.rows.tolist(), decoded.refusals) == (None, [], ())


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x08\x00",
        b"\x10\x00",
        b"\x08\x02",  # a newer reader without names is garbage
        b"\x08\x01\x10\x01",  # a row
        b"\x08\x01\xa8\x06\x05",  # a field that this reader does not know
        b"\x08\x01" + plain.chunk(10, b"x"),
        b"\x08\x01" + plain.chunk(20, b"x" * 8) + plain.chunk(20, b""),
        b"\x08\x01" + plain.chunk(20, b"x"),
        b"\x08",
    ],
)
def test_what_holds_anything_is_no_tick(decode, value):
    (refusal,) = decode(value, 0, 1).refusals
    assert refusal.row == -1


@pytest.mark.parametrize("decode", [decode_many_predictions, decode_many_labels])
def test_ticks_among_many_leave_no_trace(decode):
    decoded = decode([encode_tick()] * 40, 0, 1)
    assert (decoded.rows, decoded.refusals, decoded.records) == ((), (), 40)
