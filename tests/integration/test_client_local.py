"""A round trip through the embedded log: what was logged is what is read."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from leadline.client import Log
from leadline.records.batches import RETRACTED, LabelBatch, PredictionBatch
from leadline.records.ids import id_from_text, row_id, unpack_id
from leadline.records.models import class_digest
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.testing.clock import ManualClock
from leadline.wire.batches import decode_labels, decode_predictions

CLASSES = ("zero", "one", "two")
PARTITIONS = 3
NOW_US = 1_700_000_000_000_000


@pytest.fixture
def url(tmp_path):
    url = f"local:{tmp_path / 'log.db'}"
    log = open_log(url, SystemClock())
    ensure_topics(log, Stream("main", PARTITIONS))
    log.close()
    return url


def read(url: str, topic: str) -> list[PredictionBatch | LabelBatch]:
    log = open_log(url, SystemClock())
    decode = decode_predictions if topic == PREDICTIONS else decode_labels
    found = []
    for partition in range(PARTITIONS):
        reader = log.reader(topic, partition)
        for record in reader.poll(10_000, 0):
            decoded = decode(record.value, partition, PARTITIONS)
            assert decoded.refusals == ()
            found.append(decoded.batch)
        reader.close()
    log.close()
    return found


def test_predictions_and_labels_arrive_as_they_were_logged(url):
    other = uuid.uuid4()
    with Log("digits", "2", to=url, classes=CLASSES, clock=ManualClock(NOW_US), strict=True) as log:
        log.prediction("a", [0.1, 0.2, 0.7], slices={"device": "phone"})
        log.prediction(other, np.array([0.9, 0.05, 0.05]), event_time=1_600_000_000)
        log.prediction(b"0123456789abcdef", predicted="one")
        log.label("a", "two")
        log.label(other, 1, label_time=1_600_000_100)
        log.retract("a")
        assert log.flush()
        assert log.stats().written_rows == 6
    rows = {
        unpack_id(*batch.ids[at]): (batch, at)
        for batch in read(url, PREDICTIONS)
        for at in range(len(batch))
    }
    batch, at = rows[id_from_text("a")]
    assert (batch.header.model, batch.header.version, batch.header.task) == (
        "digits",
        "2",
        "digits",
    )
    assert (batch.header.class_count, batch.header.class_digest) == (3, class_digest(CLASSES))
    assert (batch.predicted[at], batch.event_time_us[at]) == (2, NOW_US)
    assert batch.slices[0].values[batch.slices[0].codes[at]] == "phone"
    np.testing.assert_allclose(batch.scores[at], [0.1, 0.2, 0.7])
    batch, at = rows[other.bytes]
    assert (batch.predicted[at], batch.event_time_us[at]) == (0, 1_600_000_000_000_000)
    batch, at = rows[b"0123456789abcdef"]
    assert batch.predicted[at] == 1
    assert batch.scores is None
    labels = sorted(
        (unpack_id(*batch.ids[at]), int(batch.label_time_us[at]), int(batch.true_class[at]))
        for batch in read(url, LABELS)
        for at in range(len(batch))
    )
    assert labels == sorted(
        [
            (id_from_text("a"), NOW_US, 2),
            (id_from_text("a"), NOW_US, RETRACTED),
            (other.bytes, 1_600_000_100_000_000, 1),
        ]
    )


def test_a_request_of_many_rows_is_named_by_its_id_and_row(url):
    scores = np.eye(3, dtype=np.float32)
    with Log("digits", "2", to=url, keep_rate=1.0, strict=True) as log:
        log.predictions("request", scores, slices={"site": "a", "device": ["x", "y", "x"]})
        log.label("request", 1, row=1)
        log.labels("request", [0, None, 2])
        assert log.flush()
    expected = {row_id(id_from_text("request"), row): row for row in range(3)}
    found = {
        unpack_id(*batch.ids[at]): int(batch.predicted[at])
        for batch in read(url, PREDICTIONS)
        for at in range(len(batch))
    }
    assert found == expected
    assert {unpack_id(*row) for batch in read(url, LABELS) for row in batch.ids} == set(expected)
    kept = [kept for batch in read(url, PREDICTIONS) for kept in batch.kept]
    assert len(kept) == 3


def test_ten_thousand_rows_through_the_row_buffer_arrive_once(url):
    with Log("digits", "2", to=url) as log:
        for at in range(10_000):
            log.prediction(f"order-{at}", [0.2, 0.3, 0.5], slices={"shard": str(at % 7)})
            log.label(f"order-{at}", at % 3)
        assert log.flush(60)
        assert log.stats().dropped_rows == {}
    ids = [tuple(row) for batch in read(url, PREDICTIONS) for row in batch.ids.tolist()]
    assert len(ids) == len(set(ids)) == 10_000
    assert sum(len(batch) for batch in read(url, LABELS)) == 10_000
