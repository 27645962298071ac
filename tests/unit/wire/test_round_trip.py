"""What is written is read again, and is what a plain protobuf writer would have written."""

from itertools import pairwise

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.records.batches import (
    RETRACTED,
    InputAbsence,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
    TaskKind,
    UnobservedReason,
)
from leadline.records.ids import pack_ids
from leadline.wire.batches import (
    decode_labels,
    decode_predictions,
    encode_labels,
    encode_predictions,
)

NAMES = st.text("abcXYZ019-_. äλ中😀", min_size=1, max_size=20)
TEXTS = st.text(max_size=20)
RATES = st.floats(0.015625, 1.0, width=32)
IDS = st.binary(min_size=16, max_size=16)
TIMES = st.integers(0, 2**62)
KINDS = st.sampled_from([TaskKind.BINARY, TaskKind.MULTICLASS])


def floats(shape, low=0.0, high=1.0):
    number = st.floats(low, high, width=32)
    size = int(np.prod(shape))
    return st.lists(number, min_size=size, max_size=size).map(
        lambda numbers: np.array(numbers, np.float32).reshape(shape)
    )


def numbers(shape, below):
    size = int(np.prod(shape))
    return st.lists(st.integers(0, below - 1), min_size=size, max_size=size).map(
        lambda found: np.array(found, np.uint32).reshape(shape)
    )


@st.composite
def slice_columns(draw, n):
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    columns = []
    for name in names:
        values = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
        columns.append(SliceColumn(name, tuple(values), draw(numbers((n,), len(values)))))
    return tuple(columns)


@st.composite
def kept_rows(draw, n):
    rows = draw(st.lists(st.integers(0, n - 1), max_size=n, unique=True)) if n else []
    return tuple(
        KeptRow(
            row,
            draw(RATES),
            draw(TEXTS),
            draw(TEXTS),
            draw(st.sampled_from(InputAbsence)),
            draw(TEXTS),
        )
        for row in rows
    )


@st.composite
def prediction_batches(draw):
    n = draw(st.integers(0, 5))
    classes = draw(st.integers(2, 4))
    model = draw(NAMES)
    header = PredictionHeader(
        model=model,
        version=draw(NAMES),
        task=draw(st.one_of(st.just(model), NAMES)),
        kind=draw(KINDS),
        class_count=classes,
        class_digest=draw(st.integers(0, 2**64 - 1)),
        log_rate=draw(RATES),
        imported=draw(st.booleans()),
        producer=draw(TEXTS),
    )
    given_as = (
        draw(st.sampled_from(["dense", "top", "top without scores", "none"])) if n else "none"
    )
    k, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    top = given_as.startswith("top")
    losses = st.tuples(st.sampled_from(UnobservedReason), st.integers(0, 2**40))
    return PredictionBatch(
        header=header,
        ids=pack_ids(draw(st.lists(IDS, min_size=n, max_size=n))),
        event_time_us=np.array(draw(st.lists(TIMES, min_size=n, max_size=n)), np.int64),
        predicted=draw(numbers((n,), classes)),
        scores=draw(floats((n, classes))) if given_as == "dense" else None,
        top_classes=draw(numbers((n, k), classes)) if top else None,
        top_scores=draw(floats((n, k))) if given_as == "top" else None,
        vectors=draw(floats((n, width), -1e9, 1e9)) if n and draw(st.booleans()) else None,
        slices=draw(slice_columns(n)),
        kept=draw(kept_rows(n)),
        unobserved=tuple(draw(st.lists(losses, max_size=3))),
    )


@st.composite
def label_batches(draw):
    n = draw(st.integers(0, 5))
    classes = draw(st.one_of(st.just(0), st.integers(1, 5)))
    header = LabelHeader(
        task=draw(NAMES),
        kind=draw(KINDS),
        class_count=classes,
        class_digest=draw(st.integers(0, 2**64 - 1)),
        source=draw(TEXTS),
        source_rank=draw(st.integers(0, 2**32 - 1)),
        imported=draw(st.booleans()),
        producer=draw(TEXTS),
    )
    true = st.one_of(st.integers(0, max(classes, 1) - 1), st.just(RETRACTED))
    return LabelBatch(
        header=header,
        ids=pack_ids(draw(st.lists(IDS, min_size=n, max_size=n))),
        label_time_us=np.array(draw(st.lists(TIMES, min_size=n, max_size=n)), np.int64),
        true_class=np.array(draw(st.lists(true, min_size=n, max_size=n)), np.uint32),
    )


def assert_same_arrays(one, other, names):
    for name in names:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)


def assert_same_predictions(one, other):
    assert one.header == other.header
    arrays = ("ids", "event_time_us", "predicted", "scores", "top_classes", "top_scores", "vectors")
    assert_same_arrays(one, other, arrays)
    for left, right in zip(one.slices, other.slices, strict=True):
        assert (left.name, left.values) == (right.name, right.values)
        assert left.codes.tolist() == right.codes.tolist()
    assert one.kept == other.kept
    assert one.unobserved == other.unobserved


@settings(deadline=None)
@given(prediction_batches())
def test_predictions_come_back_as_they_were(batch):
    decoded = decode_predictions(encode_predictions(batch), 0, 1)
    assert decoded.refusals == ()
    assert decoded.rows.tolist() == list(range(len(batch)))
    assert_same_predictions(decoded.batch, batch)


@settings(deadline=None)
@given(label_batches())
def test_labels_come_back_as_they_were(batch):
    decoded = decode_labels(encode_labels(batch), 0, 1)
    assert decoded.refusals == ()
    assert decoded.rows.tolist() == list(range(len(batch)))
    assert decoded.batch.header == batch.header
    assert_same_arrays(decoded.batch, batch, ("ids", "label_time_us", "true_class"))


@settings(deadline=None)
@given(prediction_batches())
def test_predictions_have_the_bytes_of_a_plain_writer(batch):
    assert encode_predictions(batch) == plain.prediction_message(batch).SerializeToString()


@settings(deadline=None)
@given(label_batches())
def test_labels_have_the_bytes_of_a_plain_writer(batch):
    assert encode_labels(batch) == plain.label_message(batch).SerializeToString()


def cut(parts):
    """Writes a column in chunks of whole numbers, empty ones among them."""

    def write(field, column, of):
        numbers = list(column)
        ends = [0, *sorted(part % (len(numbers) + 1) for part in parts), len(numbers)]
        pairs = pairwise(ends)
        return b"".join(plain.packed(field, numbers[low:high], of) for low, high in pairs)

    return write


def everything():
    """Three rows with every column."""
    return plain.two_predictions(
        top_k=2,
        top_class=[2, 1, 0, 1],
        top_score=[0.5, 0.25, 0.5, 0.25],
        vector_width=1,
        vector=[-3.5, 8.0],
    )


@pytest.mark.parametrize(
    "name",
    ["id", "event_time_us", "predicted_class", "score", "top_class", "top_score", "vector"],
)
@pytest.mark.parametrize("write", [cut([1]), cut([1, 1]), plain.unpacked])
def test_a_prediction_column_may_be_cut_or_unpacked(name, write):
    whole = everything()
    value = plain.rewritten(whole, name, write)
    assert value != whole.SerializeToString()
    found = decode_predictions(value, 0, 1)
    assert found.refusals == ()
    expected = decode_predictions(whole.SerializeToString(), 0, 1)
    assert_same_predictions(found.batch, expected.batch)


@pytest.mark.parametrize("name", ["id", "label_time_us", "true_class"])
@pytest.mark.parametrize("write", [cut([1]), cut([1, 1]), plain.unpacked])
def test_a_label_column_may_be_cut_or_unpacked(name, write):
    whole = plain.two_labels()
    found = decode_labels(plain.rewritten(whole, name, write), 0, 1)
    expected = decode_labels(whole.SerializeToString(), 0, 1)
    assert found.refusals == ()
    assert_same_arrays(found.batch, expected.batch, ("ids", "label_time_us", "true_class"))


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_scores_may_be_cut_anywhere(parts):
    whole = plain.two_predictions()
    value = plain.rewritten(whole, "score", cut([*parts, 5]))
    found = decode_predictions(value, 0, 1)
    assert found.batch.scores.ravel().tolist() == list(whole.score)


def test_top_scores_may_end_with_an_empty_chunk():
    whole = everything()
    value = plain.rewritten(whole, "top_score", cut([4]))
    found = decode_predictions(value, 0, 1)
    assert found.batch.top_scores.ravel().tolist() == list(whole.top_score)


def test_columns_are_views_of_the_message_when_it_is_packed():
    batch = decode_predictions(plain.two_predictions().SerializeToString(), 0, 1).batch
    assert not batch.scores.flags.writeable
    assert not batch.scores.flags.owndata


def test_ids_at_the_extremes_keep_every_bit():
    ids = [bytes(16), b"\xff" * 16, bytes(8) + b"\xff" * 8, b"\x80" + bytes(14) + b"\x01"]
    batch = LabelBatch(
        LabelHeader("t"), pack_ids(ids), np.zeros(4, np.int64), np.zeros(4, np.uint32)
    )
    found = decode_labels(encode_labels(batch), 0, 1).batch
    assert [
        int(high).to_bytes(8, "big") + int(low).to_bytes(8, "big") for high, low in found.ids
    ] == ids


def test_times_past_the_range_are_the_far_future():
    message = plain.two_predictions(event_time_us=[2**64 - 1, 2**63])
    found = decode_predictions(message.SerializeToString(), 0, 1).batch
    assert found.event_time_us.tolist() == [2**62, 2**62]


def test_a_batch_without_rows_carries_what_was_lost():
    message = plain.two_predictions(
        n=0,
        id=[],
        event_time_us=[],
        predicted_class=[],
        score=[],
        unobserved=[{"reason": 1, "count": 7}],
    )
    found = decode_predictions(message.SerializeToString(), 3, 12)
    assert found.refusals == ()
    assert len(found.batch) == 0
    assert found.batch.unobserved == ((UnobservedReason.QUEUE_FULL, 7),)


def test_labels_without_rows_are_no_mistake():
    message = plain.two_labels(n=0, id=[], label_time_us=[], true_class=[])
    found = decode_labels(message.SerializeToString(), 3, 12)
    assert (len(found.batch), found.refusals) == (0, ())


def test_a_message_without_task_and_log_rate_means_the_model_and_all():
    batch = decode_predictions(plain.two_predictions().SerializeToString(), 0, 1).batch
    assert (batch.header.task, batch.header.log_rate) == ("animals", 1.0)
