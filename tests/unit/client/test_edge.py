"""What callers write becomes what the log holds; nothing is guessed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import numpy as np
import pytest

from leadline.client.columns import PredictionColumns, build_predictions
from leadline.client.edge import Edge, RefusedError, identity, probabilities, time_us
from leadline.records.batches import InputAbsence, TaskKind
from leadline.records.ids import below_rate, id_from_text, pack_ids, row_id, sample_hash
from leadline.records.models import ScoreForm

EDGE = Edge("digits", "2", "digits", classes=("zero", "one", "two"))


def test_ids_are_text_bytes_or_uuids():
    value = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert identity("order-1") == id_from_text("order-1")
    assert identity(value) == identity(str(value)) == identity(value.bytes) == value.bytes
    assert identity("order-1", 3) == row_id(id_from_text("order-1"), 3)
    for wrong in ("", b"short", 17, None, 1.5):
        with pytest.raises(RefusedError) as refused:
            identity(wrong)
        assert refused.value.cause == "id"
        assert refused.value.remedy


def test_times_are_aware_datetimes_or_seconds():
    assert time_us(None, 42) == 42
    assert time_us(1_700_000_000.5, 0) == 1_700_000_000_500_000
    assert time_us(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), 0) == 1_700_000_000_000_000
    for wrong in (datetime(2023, 1, 1), float("nan"), -1, 1_700_000_000_000, "2023"):  # noqa: DTZ001
        with pytest.raises(RefusedError):
            time_us(wrong, 0)


def test_classes_are_names_or_numbers_of_the_list():
    numbers = [EDGE.class_number(value) for value in ("one", 2, "2", np.int64(1), 1.0, True)]
    assert numbers == [1, 2, 2, 1, 1, 1]
    for wrong in ("three", 3, -1, "-1", 1.5, None, [1]):
        with pytest.raises(RefusedError) as refused:
            EDGE.class_number(wrong)
        assert "zero, one, two" in str(refused.value)
    assert Edge("m", "1", "m").class_number("7") == 7
    with pytest.raises(RefusedError):
        Edge("m", "1", "m").class_number("seven")


def test_a_name_that_is_a_number_is_a_name_first():
    assert Edge("m", "1", "m", classes=("7", "3")).class_number("7") == 0


@pytest.mark.parametrize(
    ("form", "row", "expected"),
    [
        (ScoreForm.PROBABILITIES, [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        (ScoreForm.LOGITS_SOFTMAX, [0.0, 0.0, np.log(2)], [0.25, 0.25, 0.5]),
        (ScoreForm.LOGITS_SOFTMAX, [1000.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        (ScoreForm.LOGITS_SIGMOID, [0.0, -1000.0, 1000.0], [0.5, 0.0, 1.0]),
        (ScoreForm.PROBABILITIES, [1 + 5e-7, 0.0, 0.0], [1.0, 0.0, 0.0]),
    ],
)
def test_scores_become_probabilities(form, row, expected):
    edge = Edge("m", "1", "m", form=form)
    got, good = probabilities(np.array([row], np.float64), edge)
    assert good.all()
    np.testing.assert_allclose(got[0], expected, atol=1e-7)


def test_a_binary_model_may_give_the_score_of_class_one():
    edge = Edge("m", "1", "m", kind=TaskKind.BINARY)
    got, good = probabilities(np.array([[0.25]], np.float32), edge)
    assert good.all()
    np.testing.assert_allclose(got, [[0.75, 0.25]])
    logit = Edge("m", "1", "m", kind=TaskKind.BINARY, form=ScoreForm.LOGITS_SOFTMAX)
    np.testing.assert_allclose(probabilities(np.array([[0.0]]), logit)[0], [[0.5, 0.5]])


def columns(scores, predicted=None, n=None, slices=None):
    n = len(scores) if n is None else n
    ids = [id_from_text(f"row-{row}") for row in range(n)]
    return PredictionColumns(
        ids=pack_ids(ids),
        texts=[f"row-{row}" for row in range(n)],
        times_us=np.arange(n),
        predicted=np.full(n, -1, np.int64) if predicted is None else np.array(predicted, np.int64),
        scores=None if scores is None else np.array(scores, np.float32),
        slices=slices or {},
        input_uris=[f"s3://inputs/{row}" for row in range(n)],
    )


def test_rows_out_of_range_are_refused_alone():
    good = [0.1, 0.2, 0.7]
    built = build_predictions(columns([good, [-3, 0, 9], good, [np.nan, 0, 1]]), EDGE)
    assert built.batch.event_time_us.tolist() == [0, 2]
    assert built.batch.predicted.tolist() == [2, 2]
    assert [(row, why.cause) for row, why in built.refused] == [
        (1, "score_range"),
        (3, "score_range"),
    ]


def test_a_stated_class_stands_over_the_best_score():
    built = build_predictions(columns([[0.1, 0.2, 0.7]] * 2, [0, -1]), EDGE)
    assert built.batch.predicted.tolist() == [0, 2]


def test_without_scores_a_class_is_needed():
    built = build_predictions(columns(None, [1, -1], n=2), EDGE)
    assert built.batch.predicted.tolist() == [1]
    assert built.batch.scores is None
    assert built.batch.header.class_count == 3
    assert [why.cause for _, why in built.refused] == ["no_prediction"]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_number_of_scores_is_that_of_the_classes(width):
    with pytest.raises(RefusedError) as refused:
        build_predictions(columns([[0.5] * width]), EDGE)
    assert refused.value.cause == "score_count"


def test_more_slices_than_are_counted_are_refused():
    with pytest.raises(RefusedError):
        build_predictions(columns([[1, 0, 0]], slices={f"s{at}": ["x"] for at in range(4)}), EDGE)


def test_the_share_that_is_logged_and_kept_is_decided_by_the_id_alone():
    n = 4000
    edge = Edge("m", "1", "m", log_rate=0.5, keep_rate=0.1)
    built = build_predictions(columns([[0.4, 0.6]] * n), edge)
    hashes = sample_hash(columns([[0.4, 0.6]] * n).ids)
    logged = np.flatnonzero(below_rate(hashes, 0.5))
    assert built.batch.event_time_us.tolist() == logged.tolist()
    assert built.sampled_out == n - len(logged)
    kept = {logged[kept.row] for kept in built.batch.kept}
    assert kept == set(np.flatnonzero(below_rate(hashes, 0.05)).tolist())
    assert 0.07 < len(kept) / len(logged) < 0.13
    one = built.batch.kept[0]
    assert one.probability == pytest.approx(0.1)
    assert one.absence is InputAbsence.NOT_STORED
    assert one.id_text == f"row-{logged[one.row]}"
    assert one.input_uri == f"s3://inputs/{logged[one.row]}"
