"""Ids, versions and the sampling by them."""

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.gateway.core.identity import (
    UNKNOWN_VERSION,
    canonical,
    id_text,
    returned,
    row_ids,
    version_of,
)
from leadline.gateway.core.sampling import decide
from leadline.records.ids import below_rate, id_from_text, pack_ids, row_id, sample_hash
from leadline.records.models import ModelSpec


@given(st.binary(min_size=16, max_size=16))
def test_the_canonical_text_names_the_same_id(identity):
    assert canonical(identity) == str(uuid.UUID(bytes=identity))
    assert id_from_text(canonical(identity)) == identity


@given(st.text(max_size=300))
def test_what_comes_back_names_the_same_id_and_fits_metadata(text):
    shown = returned(text)
    assert id_from_text(shown) == id_from_text(text)
    assert shown.isascii() and shown == shown.strip() and len(shown) <= 256


@pytest.mark.parametrize(
    ("id_from", "expected"),
    [
        ("fresh", ""),
        ("request", "r-1"),
        ("parameter:order", "17"),
        ("parameter:absent", ""),
        ("header:X-Trace", "t-9"),
        ("header:absent", ""),
    ],
)
def test_the_id_comes_from_where_it_is_declared(id_from, expected):
    metadata = {"x-trace": "t-9"}
    assert id_text(id_from, "r-1", {"order": 17}, metadata) == expected
    assert id_text(id_from, "r-1", {"order": 17}, {**metadata, "leadline-id": "own"}) == "own"


@pytest.mark.parametrize(
    ("version_from", "expected"),
    [
        ("answer", "3"),
        ("tag:2026-11", "2026-11"),
        ("parameter:git", "abc"),
        ("parameter:asked", "from-request"),
        ("parameter:absent", "3"),
    ],
)
def test_the_version_comes_from_where_it_is_declared(version_from, expected):
    found = version_of(version_from, "3", {"git": "abc"}, {"git": "x", "asked": "from-request"})
    assert found == expected


@pytest.mark.parametrize("version", ["", "a/b", "a\nb"])
def test_a_version_that_cannot_be_a_name_is_unknown(version):
    assert version_of("answer", version, {}, {}) == UNKNOWN_VERSION


def test_each_row_has_its_id():
    first = bytes(range(16))
    assert row_ids(first, 1) == [first]
    assert row_ids(first, 3) == [first, row_id(first, 1), row_id(first, 2)]


IDS = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=50).map(pack_ids)
RATES = st.sampled_from([0.0, 0.05, 0.3, 1.0])


@given(IDS, RATES.filter(bool), RATES, RATES)
def test_rows_are_kept_by_the_hash_of_their_id_alone(ids, log_rate, keep, low):
    spec = ModelSpec("m", log_rate=log_rate, keep_rate=keep, keep_rate_low_margin=low)
    margin = np.tile([0.1, 0.9], len(ids))[: len(ids)]
    decision = decide(ids, margin, spec)
    hashes = sample_hash(ids)
    np.testing.assert_array_equal(decision.logged, below_rate(hashes, log_rate))
    expected = np.where(margin < spec.low_margin, max(keep, low), keep)
    np.testing.assert_array_equal(decision.probability, expected)
    np.testing.assert_array_equal(decision.kept, below_rate(hashes, log_rate * expected))
    assert not (decision.kept & ~decision.logged).any()
