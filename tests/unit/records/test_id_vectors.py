"""Ids, partitions and sampling against foreign implementations and published values."""

from __future__ import annotations

import uuid
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.ids import (
    CHUNK_ROWS,
    below_rate,
    fresh_id,
    id_from_text,
    murmur2,
    pack_ids,
    partition_of,
    row_id,
    sample_hash,
    splitmix64,
    unpack_id,
)


def kafkas_murmur2(data: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kafka.partitioner.default import murmur2 as theirs
    return theirs(data)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=20))
def test_murmur2_is_that_of_the_kafka_client(ids):
    ours = murmur2(pack_ids(ids)).tolist()
    assert ours == [kafkas_murmur2(each) & 0xFFFFFFFF for each in ids]
    for partitions in (1, 3, 12):
        expected = [(kafkas_murmur2(each) & 0x7FFFFFFF) % partitions for each in ids]
        assert partition_of(pack_ids(ids), partitions).tolist() == expected


def test_splitmix64_gives_the_published_sequence():
    # The generator seeded with 1234567: its state is the seed plus a multiple of the golden gamma.
    gamma, seed = 0x9E3779B97F4A7C15, 1234567
    states = np.array([(seed + at * gamma) % 2**64 for at in range(5)], np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(st.binary(min_size=16, max_size=16))
def test_the_sampling_hash_is_what_the_page_says(each):
    high, low = int.from_bytes(each[:8], "big"), int.from_bytes(each[8:], "big")

    def mix(x):
        z = (x + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    assert int(sample_hash(pack_ids([each]))[0]) == mix(high ^ mix(low))


def test_rates_of_zero_and_one_take_none_and_all():
    hashes = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    assert not below_rate(hashes, 0.0).any()
    assert below_rate(hashes, 1.0).all()
    assert below_rate(hashes, 0.5).tolist() == [True, True, False, False]


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_fresh_id_is_a_uuid7_of_its_time(unix_ms, randomness):
    value = uuid.UUID(bytes=fresh_id(unix_ms, randomness))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == unix_ms


@given(st.binary(min_size=16, max_size=16))
def test_packing_keeps_every_bit(each):
    assert unpack_id(*pack_ids([each])[0]) == each


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order-17", ""),
        ("01890a5d-ac96-774b-bcce-b302099a8057", "01890a5dac96774bbcceb302099a8057"),
        ("01890A5D-AC96-774B-BCCE-B302099A8057", "01890a5dac96774bbcceb302099a8057"),
    ],
)
def test_texts_have_the_documented_bytes(text, expected):
    import hashlib

    if "-" in text and len(text) == 36:
        assert id_from_text(text).hex() == expected
    else:
        assert id_from_text(text) == hashlib.sha256(text.encode()).digest()[:16]


def test_rows_of_a_request_share_its_first_half_and_differ():
    request = id_from_text("request")
    ids = [row_id(request, row) for row in range(1000)]
    assert ids[0] == request
    assert len(set(ids)) == 1000
    assert {each[:8] for each in ids} == {request[:8]}


@pytest.mark.parametrize("n", [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3])
def test_hashes_do_not_depend_on_how_many_there_are(n):
    ids = np.random.default_rng(n).integers(0, 2**64, (n, 2), np.uint64)
    before = ids.copy()
    ids.flags.writeable = False
    at = np.unique(np.linspace(0, max(n - 1, 0), 50, dtype=np.int64))[:n]
    for hashes in (murmur2, sample_hash, lambda some: partition_of(some, 7)):
        assert len(hashes(ids)) == n
        assert hashes(ids)[at].tolist() == [hashes(ids[row : row + 1])[0] for row in at]
    np.testing.assert_array_equal(ids, before)
    np.testing.assert_array_equal(splitmix64(ids[:, 1]), splitmix64(ids[:, 1].copy()))
