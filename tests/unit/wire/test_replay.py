"""What a replay sends of any bytes, and how they are shown: against a plain reading."""

import math

import numpy as np
import plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.records.batches import PredictionBatch, PredictionHeader
from leadline.records.errors import StoppedError
from leadline.records.ids import partition_of
from leadline.wire.batches import decode_labels, decode_predictions, encode_predictions
from leadline.wire.many import decode_many_labels, decode_many_predictions
from leadline.wire.replay import replay_labels, replay_predictions
from leadline.wire.view import view_labels, view_predictions

ANY = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
GOOD = [
    plain.two_predictions(
        top_k=1,
        top_class=[2, 0],
        top_score=[0.5, 0.5],
        slices=[{"name": "d", "value": ["a", "b"], "code": [0, 1]}],
        kept=[{"row": 1, "probability": 0.5}],
        unobserved=[{"reason": 1, "count": 1}],
    ).SerializeToString(),
    plain.two_labels().SerializeToString(),
]
SIDES = (
    (decode_predictions, decode_many_predictions, replay_predictions, view_predictions),
    (decode_labels, decode_many_labels, replay_labels, view_labels),
)


@st.composite
def changed(draw):
    """A good batch with some bytes overwritten, cut, doubled or put in."""
    value = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        match draw(st.sampled_from(["set", "cut", "double", "put"])):
            case "set" if value:
                value[at] = draw(st.integers(0, 255))
            case "cut":
                del value[at : at + draw(st.integers(1, 8))]
            case "double":
                value[at:at] = value[at : at + draw(st.integers(1, 8))]
            case _:
                value[at:at] = draw(st.binary(max_size=8))
    return bytes(value)


@ANY
@given(changed(), st.integers(1, 5))
def test_no_bytes_crash_what_reads_them(value, partitions):
    """A stop for a newer reader is an answer; any other error would stop a partition for ever."""
    for decode, decode_many, replay, view in SIDES:
        try:
            decode(value, 0, partitions)
        except StoppedError:
            assert decode_many([value], 0, partitions).stopped is not None
            continue
        decode_many([value, GOOD[0], value, GOOD[1]], 0, partitions)
        for rows in (None, [0], [1, 5, 10**9], []):
            sent = replay(value, rows, partitions)
            for partition, message, count in sent.messages:
                again = decode(message, partition, partitions)
                assert again.refusals == ()
                assert len(again.batch) == count
        for row in (-1, 0, 1, 10**9):
            view(value, row)


@ANY
@given(st.integers(0, 40), st.sets(st.integers(0, 45)), st.integers(1, 7), st.data())
def test_a_replay_sends_the_wanted_good_rows_to_their_partitions(n, wanted, partitions, data):
    bad = data.draw(st.sets(st.integers(0, max(0, n - 1)))) if n else set()
    ids = np.array([[row * 7919, row] for row in range(n)], np.uint64).reshape(-1, 2)
    scores = np.full((n, 2), 0.5, np.float32)
    for row in bad:
        scores[row] = math.nan
    batch = PredictionBatch(
        PredictionHeader("m", "1", "m", class_count=2),
        ids,
        np.arange(n, dtype=np.int64) * 1000,
        np.arange(n, dtype=np.uint32) % 2,
        scores=scores,
        unobserved=((1, 3),),
    )
    for rows in (wanted, None):
        sent = replay_predictions(encode_predictions(batch), rows, partitions)
        expected = sorted(set(range(n)) - bad if rows is None else (rows & set(range(n))) - bad)
        found, unobserved = [], []
        for partition, message, count in sent.messages:
            part = decode_predictions(message, partition, partitions).batch
            assert part.header.imported
            assert count == len(part)
            assert (partition_of(part.ids, partitions) == partition).all() or not count
            found += [int(low) for _, low in part.ids]
            assert part.event_time_us.tolist() == [int(low) * 1000 for _, low in part.ids]
            unobserved += part.unobserved
        assert sorted(found) == expected
        assert {each.row for each in sent.refused} == (bad if rows is None else bad & rows)
        assert unobserved == ([(1, 3)] if rows is None else [])
        assert sent.rows == len(expected)


def test_a_row_is_shown_as_its_producer_wrote_it():
    row = view_predictions(GOOD[0], 1)["row"]
    message = plain.two_predictions()
    assert row["predicted_class"] == message.predicted_class[1]
    assert row["event_time_us"] == message.event_time_us[1]
    assert row["slice d"] == "b"
    assert row["kept"]["probability"] == 0.5
    assert view_predictions(GOOD[0])["row"] == {}
    assert view_labels(b"\x07") is None
