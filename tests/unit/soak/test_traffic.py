"""What the soak's producer writes, and how the soak reads it: both against the services' codecs.

The two sides of the soak share no code with the services, so agreeing with them is no matter of
course; where they do not, one of the two is wrong.
"""

from collections import Counter

import pytest
from independent import RETRACTED, messages
from oracle_full import Rule, join
from soak.readback import HEADER, Raw, Reading, dead_letters, documents
from soak.traffic import LABELS, PREDICTIONS, Pace, Traffic

from leadline.records.errors import DeadLetterReason
from leadline.wire.batches import decode_labels, decode_predictions, encode_tick

PARTITIONS = 2
START_US = 1_800_000_000_000_000
STEP_US = 200_000
STEPS = 600
PACE = Pace(ids_per_second=60.0)


@pytest.fixture(scope="module")
def types():
    return messages()


def logs_of(types, seed, steps=STEPS):
    """{(topic, partition): [Raw]} as a log would hold it."""
    traffic = Traffic(seed, types, PARTITIONS, PACE, START_US)
    logs = {(t, p): [] for t in (PREDICTIONS, LABELS) for p in range(PARTITIONS)}
    for number in range(1, steps + 1):
        now_us = START_US + number * STEP_US
        for topic, partition, value in traffic.step(now_us):
            log = logs[topic, partition]
            log.append(Raw(len(log), now_us // 1000, value))
    return logs


@pytest.fixture(scope="module")
def logs(types):
    return logs_of(types, seed=1)


@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_what_is_read_and_refused_is_what_the_codecs_say(types, logs, partition):
    reading = Reading(types, partition, PARTITIONS)
    sides = [
        (PREDICTIONS, reading.predictions(logs[PREDICTIONS, partition]), decode_predictions),
        (LABELS, reading.labels(logs[LABELS, partition]), decode_labels),
    ]
    wanted = {}
    for topic, records, decode in sides:
        for raw, record in zip(logs[topic, partition], records, strict=True):
            decoded = decode(raw.value, partition, PARTITIONS)
            for refusal in decoded.refusals:
                wanted[topic, partition, raw.offset, refusal.row] = refusal.reason
            assert len(record.rows) == (0 if decoded.batch is None else len(decoded.batch))
            assert record.offset == raw.offset
    assert reading.refused == wanted
    assert len(set(wanted.values())) >= 8
    assert {DeadLetterReason.WRONG_PARTITION, DeadLetterReason.SCORE_NAN} <= set(wanted.values())


def test_rows_are_read_as_the_codecs_read_them(types, logs):
    raws = logs[PREDICTIONS, 0]
    for raw, record in zip(raws, Reading(types, 0, PARTITIONS).predictions(raws), strict=True):
        batch = decode_predictions(raw.value, 0, PARTITIONS).batch
        if batch is None:
            continue
        assert (record.model, record.version) == (batch.header.model, batch.header.version)
        assert (record.task, record.imported) == (batch.header.task, batch.header.imported)
        assert [row.predicted for row in record.rows] == batch.predicted.tolist()
        halves = [
            tuple(int.from_bytes(row.id[at : at + 8], "big") for at in (0, 8))
            for row in record.rows
        ]
        assert halves == [tuple(pair) for pair in batch.ids.tolist()]
        if batch.scores is not None:
            assert [list(row.scores) for row in record.rows] == batch.scores.tolist()
        for at, column in enumerate(batch.slices):
            said = [column.values[code] for code in column.codes.tolist()]
            assert [row.slices[at] for row in record.rows] == [(column.name, v) for v in said]


def test_a_tick_is_no_dead_letter_and_bytes_of_nobody_are(types):
    reading = Reading(types, 0, PARTITIONS)
    tick, empty = Raw(0, 1, encode_tick()), Raw(1, 2, b"")
    assert [record.refused for record in reading.predictions([tick, empty])] == [(), (HEADER,)]
    assert [record.refused for record in reading.labels([tick, empty])] == [(), (HEADER,)]


def test_everything_happens(types, logs):
    """Each kind of cell, by the oracle, with windows of which the traffic keeps either side."""
    rule = Rule(
        label_window_ms=40_000,
        prediction_window_ms=15_000,
        pair_window_ms=20_000,
        slices_per_version_max=5,
        pairs_max=1,
        default_labels={"clicks": 0},
    )
    reading = Reading(types, 0, PARTITIONS)
    predictions, labels = (
        reading.predictions(logs[PREDICTIONS, 0]),
        reading.labels(logs[LABELS, 0]),
    )
    truth = join(predictions, labels, [rule])
    kinds = Counter(kind for (kind, *_), count in truth.cells.items() if count)
    assert set(kinds) == {
        "PREDICTED", "CONFUSION", "RANK", "DELAY", "SCORES", "DUPLICATE", "SUPERSEDED",
        "STRATUM", "STRATUM_LABELLED",
        "DEFAULTED", "PAIR", "PAIR_OVERFLOW", "UNMATCHED", "CLAMPED", "UNOBSERVED", "DEAD",
    }  # fmt: skip
    rows = [row for record in predictions for row in record.rows]
    assert any(row.kept for row in rows)
    seen = Counter(
        (row.id, record.model, record.version) for record in predictions for row in record.rows
    )
    assert max(seen.values()) > 1
    assert any(row.true == RETRACTED for record in labels for row in record.rows)
    assert any(record.imported for record in labels)
    other = (("device", "(other)"), ("region", "(other)"))
    assert any(series[3] == other for _, series, *_ in truth.cells)


def test_the_seed_decides_the_traffic(types):
    assert logs_of(types, 5, steps=20) == logs_of(types, 5, steps=20)
    assert logs_of(types, 5, steps=20) != logs_of(types, 6, steps=20)


def test_dead_letters_and_documents_are_read(types):
    letter = types["DeadLetter"](topic="s.labels", partition=1, offset=7, row=-1, reason=3)
    assert dead_letters(types, [Raw(0, 1, letter.SerializeToString())]) == {("labels", 1, 7, -1): 3}
    assert documents([Raw(0, 1, b'{"a": 1}')]) == [{"a": 1}]
