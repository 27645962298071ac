"""The producer: never blocks, never raises, loses nothing silently, stays within its bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from leadline.records.batches import (
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
    UnobservedReason,
)
from leadline.records.errors import TransientError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.local import LocalLog
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.runtime.producer import EventProducer, ProducerLimits
from leadline.testing.clock import ManualClock
from leadline.testing.faults import FaultyLog
from leadline.wire.batches import decode_labels, decode_predictions

STREAM = Stream("main", 4)
HEADER = PredictionHeader("digits", "2", "digits", class_count=3)
QUICK = ProducerLimits(
    linger_seconds=0.001, write_timeout_seconds=10, attempts_max=2, retry_seconds=0.001,
    report_seconds=0.01,
)  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FaultyLog]:
    inner = LocalLog(tmp_path / "log.db", SystemClock())
    ensure_topics(inner, STREAM)
    log = FaultyLog(inner, append_timeout_seconds=0.05)
    yield log
    log.heal()
    inner.close()


@pytest.fixture
def make(log: FaultyLog) -> Iterator[Callable[..., EventProducer]]:
    made: list[EventProducer] = []

    def build(limits: ProducerLimits = QUICK, *, start: bool = True) -> EventProducer:
        producer = EventProducer(log, STREAM, limits, SystemClock())
        made.append(producer)
        if start:
            producer.start()
        return producer

    yield build
    log.heal()
    for producer in made:
        producer.close(5)


def predictions(
    first: int, n: int, header: PredictionHeader = HEADER, slice_: str = ""
) -> PredictionBatch:
    ids = np.arange(first, first + n, dtype=np.uint64)
    return PredictionBatch(
        header=header,
        ids=np.stack([ids * np.uint64(0x9E3779B97F4A7C15), ids], axis=1),
        event_time_us=np.full(n, 1_700_000_000_000_000, np.int64),
        predicted=(ids % np.uint64(3)).astype(np.uint32),
        scores=np.full((n, 3), 1 / 3, np.float32),
        slices=(SliceColumn("device", (slice_,), np.zeros(n, np.uint32)),) if slice_ else (),
    )


def labels(first: int, n: int) -> LabelBatch:
    batch = predictions(first, n)
    return LabelBatch(
        LabelHeader("digits", class_count=3), batch.ids, batch.event_time_us, batch.predicted
    )


def read_predictions(log: FaultyLog) -> list[PredictionBatch]:
    return [
        decode_predictions(record.value, partition, STREAM.partitions).batch
        for partition in range(STREAM.partitions)
        for record in log.reader(PREDICTIONS, partition).poll(10_000, 0)
    ]  # type: ignore[return-value]


def ids_of(batches: list[PredictionBatch] | list[LabelBatch]) -> list[int]:
    return sorted(int(low) for batch in batches for low in batch.ids[:, 1])


def reported(batches: list[PredictionBatch], version: str = "2") -> dict[UnobservedReason, int]:
    total: dict[UnobservedReason, int] = {}
    for batch in batches:
        if batch.header.version == version:
            for reason, count in batch.unobserved:
                total[reason] = total.get(reason, 0) + count
    return total


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.002)


def test_every_row_arrives_once_in_its_partition_with_its_label(log, make):
    producer = make()
    for first in range(0, 500, 50):
        assert producer.offer_predictions(predictions(first, 50))
        assert producer.offer_labels(labels(first, 50))
    assert producer.flush(10)
    assert ids_of(read_predictions(log)) == list(range(500))
    found = [
        decode_labels(record.value, partition, 4)
        for partition in range(4)
        for record in log.reader(LABELS, partition).poll(10_000, 0)
    ]
    assert not any(decoded.refusals for decoded in found)
    assert ids_of([decoded.batch for decoded in found]) == list(range(500))
    stats = producer.stats()
    assert (stats.written_rows, stats.queued_rows, stats.queued_bytes) == (1000, 0, 0)
    assert stats.dropped_rows == {}
    assert stats.last_error == ""


def test_batches_of_one_header_travel_together_and_others_apart(log, make):
    producer = make(ProducerLimits(linger_seconds=5))
    other = PredictionHeader("digits", "3", "digits", class_count=3)
    for at in range(20):
        producer.offer_predictions(predictions(at * 10, 10, slice_=f"device{at % 3}"))
        producer.offer_predictions(predictions(1000 + at, 1, other))
    assert producer.flush(10)  # cuts the linger short
    batches = read_predictions(log)
    assert len(batches) <= 2 * STREAM.partitions
    assert {batch.header.version for batch in batches} == {"2", "3"}
    for batch in batches:
        for column in batch.slices:
            devices = [column.values[code] for code in column.codes]
            assert devices == [f"device{int(low) // 10 % 3}" for low in batch.ids[:, 1]]


def test_a_batch_larger_than_a_record_is_cut(log, make):
    producer = make(ProducerLimits(batch_rows_max=100, linger_seconds=0))
    producer.offer_predictions(predictions(0, 2_000))
    assert producer.flush(10)
    batches = read_predictions(log)
    assert max(len(batch) for batch in batches) <= 100
    assert ids_of(batches) == list(range(2_000))


def test_a_full_queue_drops_counts_and_reports_once_the_log_is_back(log, make):
    log.stall()
    producer = make(ProducerLimits(queued_rows_max=100, linger_seconds=0, report_seconds=0.01))
    taken = sum(producer.offer_predictions(predictions(at, 1)) for at in range(1000))
    assert taken == 100
    assert producer.stats().dropped_rows == {UnobservedReason.QUEUE_FULL: 900}
    log.heal()
    until(lambda: producer.flush(5))
    batches = read_predictions(log)
    assert set(ids_of(batches)) == set(range(100))
    assert reported(batches) == {UnobservedReason.QUEUE_FULL: 900}


def test_memory_is_bounded_in_bytes_while_the_log_is_stalled(log, make):
    log.stall()
    limits = ProducerLimits(queued_bytes_max=1 << 20, linger_seconds=0)
    producer = make(limits)
    for at in range(200):
        producer.offer_predictions(predictions(at * 1000, 1000))
    stats = producer.stats()
    assert stats.queued_bytes <= limits.queued_bytes_max
    assert stats.dropped_rows[UnobservedReason.QUEUE_FULL] > 100_000


def test_offers_do_not_wait_for_a_stalled_log(log, make):
    log.stall()
    producer = make()
    producer.offer_predictions(predictions(0, 1))
    assert log.await_stalled(10)
    before = time.perf_counter()
    for at in range(1, 1001):
        producer.offer_predictions(predictions(at, 1))
    assert time.perf_counter() - before < 1.0  # the stall itself would take longer than any test


def test_a_failed_write_is_tried_again_with_a_new_writer(log, make):
    log.fail_flushes(TransientError("broker gone"))
    producer = make()
    producer.offer_predictions(predictions(0, 20))
    assert producer.flush(10)
    assert set(ids_of(read_predictions(log))) == set(range(20))  # maybe twice, never not at all
    assert log.writers_opened == 2
    assert producer.stats().written_rows == 20
    assert producer.stats().failures == 1


def test_after_its_attempts_a_round_is_dropped_and_reported_as_log_failed(log, make):
    log.fail_appends(*[TransientError("no")] * QUICK.attempts_max)
    producer = make()
    producer.offer_predictions(predictions(0, 7))
    producer.offer_labels(labels(0, 5))
    assert not producer.flush(10)
    until(lambda: reported(read_predictions(log)) == {UnobservedReason.LOG_FAILED: 7})
    stats = producer.stats()
    assert stats.dropped_rows == {UnobservedReason.LOG_FAILED: 12}
    assert stats.dropped_labels == 5
    assert ids_of(read_predictions(log)) == []


def test_an_unexpected_error_is_counted_and_writing_goes_on(log, make, caplog):
    log.fail_appends(*[ZeroDivisionError("a bug in an adapter")] * QUICK.attempts_max)
    producer = make()
    producer.offer_predictions(predictions(0, 3))
    until(lambda: bool(producer.stats().dropped_rows))
    assert "unexpected" in caplog.text
    producer.offer_predictions(predictions(10, 3))
    assert producer.flush(10)
    assert ids_of(read_predictions(log)) == [10, 11, 12]


def test_what_the_log_refuses_for_good_is_dropped_at_once_and_alone(log, make):
    log.fail_appends(UsageError("too large"))
    producer = make(ProducerLimits(linger_seconds=0.01, report_seconds=0.01))
    producer.offer_predictions(predictions(0, 200))
    producer.flush(10)
    lost = producer.stats().dropped_rows[UnobservedReason.LOG_FAILED]
    assert 0 < lost < 200
    until(lambda: reported(read_predictions(log)) == {UnobservedReason.LOG_FAILED: lost})
    assert len(ids_of(read_predictions(log))) == 200 - lost
    assert log.writers_opened == 1


def test_what_is_no_batch_is_refused_without_raising(log, make):
    producer = make()
    assert not producer.offer_predictions(None)
    producer.offer_predictions(predictions(10, 2))
    assert producer.flush(10)
    assert producer.stats().failures == 1
    assert ids_of(read_predictions(log)) == [10, 11]


def test_a_malformed_batch_does_not_take_others_with_it(log, make):
    producer = make(ProducerLimits(linger_seconds=0.05))
    bad = predictions(0, 4)
    object.__setattr__(bad, "predicted", np.array(["no", "class", "at", "all"]))
    assert producer.offer_predictions(bad)
    other = PredictionHeader("digits", "3", "digits", class_count=3)
    assert producer.offer_predictions(predictions(10, 2, other))
    assert not producer.flush(10)
    assert ids_of(read_predictions(log)) == [10, 11]
    assert producer.stats().dropped_rows == {UnobservedReason.LOG_FAILED: 4}


def test_unobserved_requests_travel_with_the_next_batch_of_their_version(log, make):
    producer = make(ProducerLimits(linger_seconds=0.01, report_seconds=60))
    other = PredictionHeader("digits", "3", "digits")
    producer.note_unobserved(HEADER, UnobservedReason.STREAM, 3)
    producer.note_unobserved(HEADER, UnobservedReason.STREAM)
    producer.note_unobserved(other, UnobservedReason.SHARED_MEMORY)
    producer.offer_predictions(predictions(0, 50))
    until(lambda: len(ids_of(read_predictions(log))) == 50)
    assert reported(read_predictions(log)) == {UnobservedReason.STREAM: 4}
    assert reported(read_predictions(log), "3") == {}
    assert producer.flush(10)
    assert reported(read_predictions(log), "3") == {UnobservedReason.SHARED_MEMORY: 1}


def test_a_version_without_traffic_reports_after_a_while(log):
    clock = ManualClock()
    producer = EventProducer(log, STREAM, ProducerLimits(report_seconds=0.02), clock)
    producer.start()
    producer.note_unobserved(HEADER, UnobservedReason.SHARED_MEMORY, 2)
    assert read_predictions(log) == []
    clock.advance(1)
    until(lambda: reported(read_predictions(log)) == {UnobservedReason.SHARED_MEMORY: 2})
    assert len(read_predictions(log)) == 1
    producer.close(5)


def test_close_writes_what_is_queued_and_later_offers_are_dropped(log, make):
    producer = make(ProducerLimits(linger_seconds=60))
    producer.offer_predictions(predictions(0, 10))
    producer.close(10)
    assert ids_of(read_predictions(log)) == list(range(10))
    assert not producer.offer_predictions(predictions(20, 5))
    assert producer.stats().dropped_rows == {UnobservedReason.LOG_FAILED: 5}


def test_close_of_a_stalled_producer_ends_within_its_time_and_counts_the_rest(log, make):
    log.stall()
    producer = make(ProducerLimits(batch_rows_max=10, linger_seconds=0, write_timeout_seconds=0.3))
    producer.offer_predictions(predictions(0, 10))
    assert log.await_stalled(10)
    producer.offer_predictions(predictions(10, 30))
    before = time.perf_counter()
    producer.close(0.1)
    assert time.perf_counter() - before < 2
    until(lambda: producer.stats().dropped_rows == {UnobservedReason.LOG_FAILED: 40})
    assert producer.stats().queued_rows == 0


def test_many_threads_may_offer(log, make):
    producer = make()

    def offer(number: int) -> None:
        for at in range(100):
            producer.offer_predictions(predictions(number * 1000 + at, 1))

    threads = [threading.Thread(target=offer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(10)
    assert ids_of(read_predictions(log)) == sorted(
        n * 1000 + at for n in range(8) for at in range(100)
    )
