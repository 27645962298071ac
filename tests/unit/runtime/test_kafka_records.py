"""Records of Kafka's batches, against the client's own way of reading them."""

import random

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from leadline.runtime.log.kafka_records import records_of

NO_CODEC, GZIP = 0, 1
LOG_APPEND_TIME = 0x08


def batch_of(rows, codec=NO_CODEC, *, log_time=True):
    """A batch as a broker would hand it out; rows are (offset delta, key, value, headers)."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 26)
    for delta, key, value, headers in rows:
        builder.append(delta, 1_700_000_000_000 + 977 * delta, key, value, headers)
    content = bytearray(builder.build())
    if log_time:
        content[22] |= LOG_APPEND_TIME
    return content


def opened(content):
    return DefaultRecordBatch(bytes(content))


def by_the_client(content):
    """The reference: each record as the client gives it."""
    return [
        (row.offset, row.timestamp if row.timestamp_type == 1 else -1, row.value or b"")
        for row in opened(content)
    ]


def random_rows(seed):
    rng = random.Random(seed)
    delta, rows = 0, []
    for _ in range(rng.choice([1, 2, 100, 300])):
        sizes = [0, 1, 63, 64, 127, 128, 8_191, 8_192, rng.randrange(300)]
        key, value = (
            rng.choice([None, rng.randbytes(rng.choice(sizes))]) for _ in ("key", "value")
        )
        headers = [("name", rng.randbytes(3))] * rng.choice([0, 0, 0, 2, 70])
        rows.append((delta, key, value, headers))
        delta += rng.choice([1, 1, 1, 2, 70, 9_000])  # compaction leaves gaps
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_records_are_those_of_the_client(seed):
    content = batch_of(random_rows(seed), (NO_CODEC, GZIP)[seed % 2], log_time=bool(seed % 3))
    assert [tuple(row) for row in records_of(opened(content))] == by_the_client(content)


def test_a_batch_that_is_cut_off_is_corrupt():
    content = batch_of([(0, b"k", b"v" * 300, []), (1, b"k", b"v" * 300, [])])
    whole = records_of(opened(content))
    assert len(whole) == 2
    for size in range(61, len(content), 7):
        with pytest.raises(CorruptRecordError):
            records_of(opened(content[:size]))


def test_bytes_behind_the_last_record_are_corrupt():
    with pytest.raises(CorruptRecordError, match="too many"):
        records_of(opened(batch_of([(0, None, b"v", [])]) + b"more"))


@pytest.mark.parametrize("length", [0, 1, 10, 62])
def test_a_record_that_is_longer_than_it_says_is_corrupt(length):
    content = batch_of([(0, None, b"v" * 50, [])])
    content[61] = length << 1
    with pytest.raises(CorruptRecordError):
        records_of(opened(content))
