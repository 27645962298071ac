"""What is wrong is refused with its reason, and nothing else is."""

import numpy as np
import plain
import pytest

from leadline.records.batches import RETRACTED
from leadline.records.errors import DeadLetterReason, StoppedError
from leadline.records.ids import pack_ids, partition_of
from leadline.wire.batches import (
    ROWS_MAX,
    UNOBSERVED_MAX,
    decode_labels,
    decode_predictions,
)
from leadline.wire.dead_letters import COPY_BYTES, decode_dead_letter, encode_dead_letter
from leadline.wire.rows import CLASSES_MAX

Reason = DeadLetterReason
LONG = "x" * 201


def refused(message, decode=decode_predictions):
    """The only refusal of a record, which is of the whole record."""
    value = message if isinstance(message, bytes) else message.SerializeToString()
    decoded = decode(value, 0, 1)
    assert decoded.batch is None
    assert len(decoded.rows) == 0
    (refusal,) = decoded.refusals
    assert refusal.row == -1
    assert refusal.detail
    return refusal.reason


WHOLE_PREDICTIONS = {
    "one id too few": ({"id": [1, 2, 3]}, Reason.COLUMN_LENGTH),
    "one time too many": ({"event_time_us": [1, 2, 3]}, Reason.COLUMN_LENGTH),
    "no classes": ({"predicted_class": []}, Reason.COLUMN_LENGTH),
    "a score too few": ({"score": [0.5] * 5}, Reason.COLUMN_LENGTH),
    "scores without a class count": ({"class_count": 0}, Reason.COLUMN_LENGTH),
    "top classes without their width": ({"top_class": [1, 2]}, Reason.COLUMN_LENGTH),
    "a width without top classes": ({"top_k": 2}, Reason.COLUMN_LENGTH),
    "top scores of another width": (
        {"top_k": 1, "top_class": [1, 2], "top_score": [0.5]},
        Reason.COLUMN_LENGTH,
    ),
    "vectors without their width": ({"vector": [1.0, 2.0]}, Reason.COLUMN_LENGTH),
    "a slice code too few": (
        {"slices": [{"name": "d", "value": ["a"], "code": [0]}]},
        Reason.COLUMN_LENGTH,
    ),
    "n too large for its columns": ({"n": 3}, Reason.COLUMN_LENGTH),
    "n is 0 but there are rows": ({"n": 0}, Reason.COLUMN_LENGTH),
    "a kept row past the end": ({"kept": [{"row": 2, "probability": 1}]}, Reason.COLUMN_LENGTH),
    "no reader": ({"reader": 0}, Reason.HEADER),
    "no model": ({"model": ""}, Reason.HEADER),
    "no version": ({"version": ""}, Reason.HEADER),
    "a slash in the model": ({"model": "a/b"}, Reason.HEADER),
    "a line break in the version": ({"version": "1\n2"}, Reason.HEADER),
    "a NUL in the task": ({"task": "a\0"}, Reason.HEADER),
    "a long model": ({"model": LONG}, Reason.HEADER),
    "no kind": ({"kind": 0}, Reason.HEADER),
    "a log rate above 1": ({"log_rate": 1.5}, Reason.HEADER),
    "a negative log rate": ({"log_rate": -0.5}, Reason.HEADER),
    "a log rate that is no number": ({"log_rate": float("nan")}, Reason.HEADER),
    "a kept row of probability 0": ({"kept": [{"row": 0}]}, Reason.HEADER),
    "an input_ref that is no key": (
        {"kept": [{"row": 0, "probability": 1, "input_ref": "r" * 301}]},
        Reason.HEADER,
    ),
    "four slices": (
        {"slices": [{"name": name, "value": ["a"], "code": [0, 0]} for name in "abcd"]},
        Reason.HEADER,
    ),
    "a slice twice": (
        {"slices": [{"name": "a", "value": ["a"], "code": [0, 0]}] * 2},
        Reason.HEADER,
    ),
    "a slice without a name": ({"slices": [{"value": ["a"], "code": [0, 0]}]}, Reason.HEADER),
    "a slice of a long name": (
        {"slices": [{"name": LONG, "value": ["a"], "code": [0, 0]}]},
        Reason.HEADER,
    ),
    "more lost than there can be": (
        {"unobserved": [{"reason": 1, "count": UNOBSERVED_MAX + 1}]},
        Reason.HEADER,
    ),
    "an unknown kind": ({"kind": 77}, Reason.UNKNOWN_ENUM),
    "a negative kind": ({"kind": -1}, Reason.UNKNOWN_ENUM),
    "an unknown absence": (
        {"kept": [{"row": 0, "probability": 1, "absence": 99}]},
        Reason.UNKNOWN_ENUM,
    ),
    "an unknown reason of loss": ({"unobserved": [{"reason": 99}]}, Reason.UNKNOWN_ENUM),
    "no reason of loss": ({"unobserved": [{"count": 1}]}, Reason.UNKNOWN_ENUM),
    "detections": ({"kind": 4}, Reason.KIND_UNSUPPORTED),
    "too many rows": ({"n": ROWS_MAX + 1}, Reason.TOO_LARGE),
}


@pytest.mark.parametrize("what", WHOLE_PREDICTIONS)
def test_a_record_of_predictions_is_refused(what):
    changes, reason = WHOLE_PREDICTIONS[what]
    assert refused(plain.two_predictions(**changes)) is reason


WHOLE_LABELS = {
    "one id too few": ({"id": [1, 2, 3]}, Reason.COLUMN_LENGTH),
    "n too small": ({"n": 1}, Reason.COLUMN_LENGTH),
    "no times": ({"label_time_us": []}, Reason.COLUMN_LENGTH),
    "a class too many": ({"true_class": [0, 1, 2]}, Reason.COLUMN_LENGTH),
    "no reader": ({"reader": 0}, Reason.HEADER),
    "no task": ({"task": ""}, Reason.HEADER),
    "a slash in the task": ({"task": "a/b"}, Reason.HEADER),
    "no kind": ({"kind": 0}, Reason.HEADER),
    "an unknown kind": ({"kind": 77}, Reason.UNKNOWN_ENUM),
    "regression": ({"kind": 5}, Reason.KIND_UNSUPPORTED),
    "too many rows": ({"n": 2**32 - 1}, Reason.TOO_LARGE),
}


@pytest.mark.parametrize("what", WHOLE_LABELS)
def test_a_record_of_labels_is_refused(what):
    changes, reason = WHOLE_LABELS[what]
    assert refused(plain.two_labels(**changes), decode_labels) is reason


def test_the_good_messages_are_good():
    """The control of all refusals here: only the change is what is wrong."""
    assert decode_predictions(plain.two_predictions().SerializeToString(), 0, 1).refusals == ()
    assert decode_labels(plain.two_labels().SerializeToString(), 0, 1).refusals == ()


@pytest.mark.parametrize(
    "value",
    [
        b"\x07",  # wire type 7
        b"\x0a\xff",  # a length past the end
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a tag of 11 bytes
        plain.two_predictions().SerializeToString()[:-1],
        plain.chunk(11, b"\xff\xfe"),  # a text that is no UTF-8
    ],
)
def test_what_is_no_message_is_unparsable(value):
    assert refused(value) is Reason.UNPARSABLE


@pytest.mark.parametrize("value", [b"", b"\x08\x00"])
def test_an_empty_message_has_no_reader(value):
    assert refused(value) is Reason.HEADER
    assert refused(value, decode_labels) is Reason.HEADER


def test_a_batch_in_the_other_topic_is_refused():
    assert refused(plain.two_labels()) is Reason.HEADER
    assert refused(plain.two_predictions(), decode_labels) is Reason.HEADER


def rows_refused(message, partition=0, partitions=1, decode=decode_predictions):
    """(row, reason) of each refused row, and the batch of the others."""
    decoded = decode(message.SerializeToString(), partition, partitions)
    return [(each.row, each.reason) for each in decoded.refusals], decoded


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (NAN, Reason.SCORE_NAN),
        (INF, Reason.SCORE_NAN),
        (-INF, Reason.SCORE_NAN),
        (-0.25, Reason.SCORE_RANGE),
        (1.0000001, Reason.SCORE_RANGE),
        (12.5, Reason.SCORE_RANGE),
        (-0.0, None),
        (0.0, None),
        (1.0, None),
    ],
)
@pytest.mark.parametrize("where", ["score", "top_score"])
def test_a_score_is_a_probability(score, reason, where):
    if where == "score":
        message = plain.two_predictions(score=[0.5, 0.5, 0.0, score, 0.0, 0.0])
    else:
        message = plain.two_predictions(score=[], top_k=1, top_class=[2, 0], top_score=[0.5, score])
    found, decoded = rows_refused(message)
    assert found == ([] if reason is None else [(1, reason)])
    assert len(decoded.batch) == 2 - len(found)


def test_a_logit_is_told_how_to_be_declared():
    _, decoded = rows_refused(plain.two_predictions(score=[3.5] * 6))
    assert "logit" in decoded.refusals[0].detail
    assert "declare" in decoded.refusals[0].detail


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"predicted_class": [3, 0]}, [0]),
        ({"predicted_class": [2, 2**32 - 1]}, [1]),
        ({"score": [], "top_k": 1, "top_class": [2, 3]}, [1]),
        ({"score": [], "class_count": 0, "predicted_class": [CLASSES_MAX, CLASSES_MAX - 1]}, [0]),
    ],
)
def test_a_class_lies_below_the_class_count(changes, bad):
    found, _ = rows_refused(plain.two_predictions(**changes))
    assert found == [(row, Reason.CLASS_RANGE) for row in bad]


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"true_class": [3, 2]}, [0]),
        ({"true_class": [RETRACTED, RETRACTED - 1]}, [1]),
        ({"class_count": 0, "true_class": [CLASSES_MAX - 1, CLASSES_MAX]}, [1]),
    ],
)
def test_a_true_class_lies_below_the_class_count_or_takes_back(changes, bad):
    found, _ = rows_refused(plain.two_labels(**changes), decode=decode_labels)
    assert found == [(row, Reason.CLASS_RANGE) for row in bad]


def test_a_slice_code_lies_in_its_dictionary():
    slices = [{"name": "device", "value": ["phone"], "code": [1, 0]}]
    found, decoded = rows_refused(plain.two_predictions(slices=slices))
    assert found == [(0, Reason.SLICE_CODE)]
    assert "device" in decoded.refusals[0].detail


def test_a_slice_without_values_has_no_rows():
    slices = [{"name": "device", "value": [], "code": [0, 0]}]
    found, decoded = rows_refused(plain.two_predictions(slices=slices))
    assert found == [(0, Reason.SLICE_CODE), (1, Reason.SLICE_CODE)]
    assert len(decoded.batch) == 0


def test_a_slice_value_is_short():
    slices = [{"name": "device", "value": ["y" * 200, LONG], "code": [0, 1]}]
    found, _ = rows_refused(plain.two_predictions(slices=slices))
    assert found == [(1, Reason.TOO_LARGE)]


@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_a_row_of_another_partition_would_never_meet_its_label(partitions):
    ids = pack_ids([number.to_bytes(16, "big") for number in range(20)])
    flat, of_row = ids.ravel().tolist(), partition_of(ids, partitions).tolist()
    n = len(ids)
    predictions = plain.two_predictions(
        n=n, id=flat, event_time_us=[0] * n, predicted_class=[0] * n, score=[]
    )
    labels = plain.two_labels(n=n, id=flat, label_time_us=[0] * n, true_class=[0] * n)
    wrong = [(row, Reason.WRONG_PARTITION) for row in range(n) if of_row[row] != 0]
    assert rows_refused(predictions, 0, partitions)[0] == wrong
    assert rows_refused(labels, 0, partitions, decode_labels)[0] == wrong
    assert bool(wrong) == (partitions > 1)


def test_a_row_is_refused_once_with_the_first_cause():
    message = plain.two_predictions(predicted_class=[9, 0], score=[NAN, 7.0, 0.0, 0.5, 0.5, 0.0])
    found, _ = rows_refused(message)
    assert found == [(0, Reason.CLASS_RANGE)]


def five_rows():
    """Rows 1 and 3 are wrong; rows 1, 2 and 4 are kept."""
    return plain.two_predictions(
        n=5,
        id=range(10),
        event_time_us=[10, 11, 12, 13, 14],
        predicted_class=[0, 9, 2, 9, 1],
        score=[0.5] * 15,
        top_k=1,
        top_class=[0, 1, 2, 0, 1],
        top_score=[0.5] * 5,
        vector_width=2,
        vector=range(10),
        slices=[{"name": "device", "value": ["a", "b"], "code": [0, 1, 1, 0, 1]}],
        kept=[{"row": row, "probability": 0.5, "id_text": f"row {row}"} for row in (1, 2, 4)],
        unobserved=[{"reason": 1, "count": 3}],
    )


def test_the_other_rows_go_on_and_kept_rows_move_with_them():
    found, decoded = rows_refused(five_rows())
    batch = decoded.batch
    assert [row for row, _ in found] == [1, 3]
    assert decoded.rows.tolist() == [0, 2, 4]
    assert batch.ids.tolist() == [[0, 1], [4, 5], [8, 9]]
    assert batch.event_time_us.tolist() == [10, 12, 14]
    assert batch.predicted.tolist() == [0, 2, 1]
    assert batch.scores.shape == (3, 3)
    assert batch.top_classes.tolist() == [[0], [2], [1]]
    assert batch.vectors.tolist() == [[0, 1], [4, 5], [8, 9]]
    assert [batch.slices[0].values[code] for code in batch.slices[0].codes] == ["a", "b", "b"]
    assert [(kept.row, kept.id_text) for kept in batch.kept] == [(1, "row 2"), (2, "row 4")]
    assert batch.unobserved == ((1, 3),)


def test_a_batch_of_bad_rows_alone_still_says_what_was_lost():
    message = five_rows()
    message.predicted_class[:] = [9] * 5
    found, decoded = rows_refused(message)
    assert len(found) == 5
    assert (len(decoded.batch), decoded.batch.kept) == (0, ())
    assert decoded.batch.unobserved == ((1, 3),)


def test_the_other_labels_go_on():
    found, decoded = rows_refused(plain.two_labels(true_class=[9, 1]), decode=decode_labels)
    assert found == [(0, Reason.CLASS_RANGE)]
    assert decoded.rows.tolist() == [1]
    assert decoded.batch.ids.tolist() == [[3, 4]]
    np.testing.assert_array_equal(decoded.batch.true_class, [1])


def test_every_reason_is_one_of_the_published_ones():
    from leadline.v1 import events_pb2

    published = events_pb2.DeadLetterReason.items()
    ours = {f"DEAD_LETTER_REASON_{reason.name}": int(reason) for reason in Reason}
    assert dict(published) == {"DEAD_LETTER_REASON_UNSPECIFIED": 0, **ours}


NEWER = {"reader": 2, "kind": 77}


def test_a_newer_batch_stops_rather_than_being_passed_over():
    for message, decode in (
        (plain.two_predictions(**NEWER), decode_predictions),
        (plain.two_labels(**NEWER), decode_labels),
    ):
        with pytest.raises(StoppedError, match="reader 2") as caught:
            decode(message.SerializeToString(), 0, 1)
        assert "Upgrade" in caught.value.remedy


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (plain.two_predictions(**NEWER, n=3), Reason.COLUMN_LENGTH),
        (plain.two_predictions(**NEWER, version=""), Reason.HEADER),
        (plain.two_predictions(**NEWER, model="a\x01"), Reason.HEADER),
        (plain.two_predictions(reader=2**32 - 1, n=ROWS_MAX + 1), Reason.TOO_LARGE),
    ],
)
def test_garbage_that_asks_for_a_newer_reader_stops_nothing(message, reason):
    assert refused(message) is reason


def test_a_dead_letter_names_the_record_and_keeps_its_beginning():
    value = bytes(range(256)) * 40
    (refusal,) = decode_predictions(b"\x07" + value, 0, 1).refusals
    letter = decode_dead_letter(
        encode_dead_letter(
            topic="predictions",
            partition=3,
            offset=2**40,
            append_time_ms=1_700_000_000_000,
            value=b"\x07" + value,
            refusal=refusal,
        )
    )
    assert (letter.topic, letter.partition, letter.offset, letter.row) == (
        "predictions",
        3,
        2**40,
        -1,
    )
    assert letter.reason == Reason.UNPARSABLE
    assert letter.copy == (b"\x07" + value)[:COPY_BYTES]
    assert letter.size == len(value) + 1
    assert letter.append_time_ms == 1_700_000_000_000
    assert letter.detail == refusal.detail
