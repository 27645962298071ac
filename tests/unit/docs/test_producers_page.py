"""docs/producers.md, by the generated stubs alone: what it says is what its bytes hold."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from google.protobuf import text_format

from leadline.v1 import events_pb2

PAGE = (Path(__file__).parents[3] / "docs" / "producers.md").read_text(encoding="utf-8")
TEXTS = re.findall(r"```textproto\n(.*?)```", PAGE, re.S)
SCHEMAS = {"predictions": events_pb2.PredictionBatch, "labels": events_pb2.LabelBatch}


def example(name: str) -> bytes:
    found = re.search(rf"```hex {name}\n(.*?)```", PAGE, re.S)
    return bytes.fromhex("".join(found[1].split()))


@pytest.mark.parametrize(("at", "name"), [(0, "predictions"), (1, "labels")])
def test_the_example_is_decoded_and_made_again_byte_by_byte(at, name):
    written = text_format.Parse(TEXTS[at], SCHEMAS[name]())
    assert SCHEMAS[name].FromString(example(name)) == written
    assert written.SerializeToString(deterministic=True) == example(name)


def test_its_ids_are_those_of_the_texts_it_names():
    batch = events_pb2.PredictionBatch.FromString(example("predictions"))
    ids = b"".join(number.to_bytes(8, "big") for number in batch.id)
    expected = [hashlib.sha256(text).digest()[:16] for text in (b"order-17", b"order-18")]
    assert ids == b"".join(expected)
    assert list(events_pb2.LabelBatch.FromString(example("labels")).id) == list(batch.id)


def test_the_stated_size_is_the_size():
    assert f"As bytes, {len(example('predictions'))} of them" in PAGE


def test_every_byte_string_of_the_table_is_in_the_example():
    table = PAGE.split("Field by field:")[1].split("The labels, an hour later")[0]
    cells = re.findall(r"^\| `([0-9a-f …]+)` \|", table, re.M)
    assert len(cells) >= 14
    data = example("predictions").hex()
    for cell in cells:
        start = cell.partition("…")[0].replace(" ", "")
        assert start in data, cell


def test_services_take_the_example():
    from leadline.wire.batches import decode_labels, decode_predictions

    predictions = decode_predictions(example("predictions"), 0, 1)
    labels = decode_labels(example("labels"), 0, 1)
    assert predictions.refusals == labels.refusals == ()
    assert predictions.batch.header.task == labels.batch.header.task == "animals"
    assert predictions.batch.predicted.tolist() == [2, 0]


def plain_murmur2(data: bytes) -> int:
    """Kafka's, for 16 bytes, as the page's reader would write it."""
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ k >> 24) * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return h ^ h >> 15


def plain_splitmix64(x: int) -> int:
    z = (x + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def vectors() -> list[list[str]]:
    table = PAGE.split("## Test vectors")[1].split("## A worked example")[0]
    rows = [
        line.strip("|").split("|") for line in table.splitlines() if re.match(r"\| [1rt]", line)
    ]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@pytest.mark.parametrize("row", vectors(), ids=lambda row: row[0])
def test_vectors_follow_from_the_page_alone(row):
    _, digits, murmur, of_three, of_twelve, hashed, fraction = row
    each = bytes.fromhex(digits)
    assert plain_murmur2(each) == int(murmur)
    positive = int(murmur) & 0x7FFFFFFF
    assert (positive % 3, positive % 12) == (int(of_three), int(of_twelve))
    low = plain_splitmix64(int.from_bytes(each[8:], "big"))
    full = plain_splitmix64(int.from_bytes(each[:8], "big") ^ low)
    assert f"{full:016x}" == hashed
    assert f"{(full >> 11) * 2.0**-53:.6f}" == fraction


def test_ids_of_texts_and_rows_follow_from_the_page_alone():
    found = {row[0]: bytes.fromhex(row[1]) for row in vectors()}
    assert len(found) == 8
    for name, each in found.items():
        text = name.removeprefix("text `").rstrip("`")
        if name.startswith("text") and text.count("-") != 4:
            assert hashlib.sha256(text.encode()).digest()[:16] == each
    request = found["text `order-17"]
    for row in (1, 2):
        mixed = hashlib.sha256(request + row.to_bytes(4, "big")).digest()
        assert found[f"row {row} of `order-17"] == request[:8] + mixed[:8]


def test_small_facts_of_the_page():
    assert hashlib.sha256(b"cat\ndog\nfox").digest()[:8].hex() in PAGE
    assert f"{plain_splitmix64(0):016x}" in PAGE
    assert f"{plain_splitmix64(1):016x}" in PAGE
