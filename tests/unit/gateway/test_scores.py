"""Scores are converted as declared, never guessed; numpy is the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from leadline.gateway.core.scores import (
    choose_output,
    classify,
    label_rows,
    score_count,
    score_values,
)
from leadline.gateway.core.tensors import Tensor, TensorHead
from leadline.records.batches import TaskKind
from leadline.records.models import ModelSpec, OutputSpec, ScoreForm

MULTI = TaskKind.MULTICLASS
LOGITS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(2, 6)),
    elements=st.floats(-80, 80, width=32),
)


@given(LOGITS)
def test_softmax(rows):
    wide = rows.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    found = classify(rows, ScoreForm.LOGITS_SOFTMAX, MULTI)
    np.testing.assert_allclose(found.scores, powers / powers.sum(axis=1, keepdims=True), atol=2e-6)
    np.testing.assert_array_equal(found.predicted, rows.argmax(axis=1))
    assert found.good.all() and found.scored.all()
    ordered = np.sort(found.scores, axis=1)
    np.testing.assert_allclose(found.margin, ordered[:, -1] - ordered[:, -2], atol=1e-6)


@given(LOGITS)
def test_sigmoid(rows):
    found = classify(rows, ScoreForm.LOGITS_SIGMOID, MULTI)
    expected = 1 / (1 + np.exp(-rows.astype(np.float64)))
    np.testing.assert_allclose(found.scores, expected, atol=2e-6)
    np.testing.assert_array_equal(found.predicted, rows.argmax(axis=1))


def test_probabilities_out_of_range_are_not_logged():
    rows = np.array([[0.2, 0.8], [1.5, -0.5], [np.nan, 0.5], [0, 1 + 5e-7]], np.float32)
    found = classify(rows, ScoreForm.PROBABILITIES, MULTI)
    assert found.good.tolist() == [True, False, False, True]
    assert found.scores[found.good].max() <= 1.0


def test_an_undeclared_row_is_scored_only_within_range():
    rows = np.array([[0.2, 0.8], [1.5, -0.5], [np.nan, 0.5]], np.float32)
    found = classify(rows, ScoreForm.UNSPECIFIED, MULTI)
    assert found.good.tolist() == [True, True, False]
    assert found.scored.tolist() == [True, False, False]
    assert found.predicted[:2].tolist() == [1, 0]
    assert found.margin.tolist()[1:] == [1.0, 1.0]


@pytest.mark.parametrize("form", [ScoreForm.LOGITS_SOFTMAX, ScoreForm.LOGITS_SIGMOID])
def test_infinite_logits(form):
    rows = np.array([[-np.inf, 0.0], [np.inf, 0.0]], np.float32)
    found = classify(rows, form, MULTI)
    assert found.good[0]
    assert found.scores[0, 0] == 0.0
    assert found.good[1] == (form is ScoreForm.LOGITS_SIGMOID)


def test_a_binary_model_may_answer_with_one_column():
    rows = np.array([[0.2], [0.5], [0.9]], np.float32)
    found = classify(rows, ScoreForm.PROBABILITIES, TaskKind.BINARY)
    np.testing.assert_allclose(found.scores, [[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]], atol=1e-6)
    assert found.predicted.tolist() == [0, 0, 1]
    logits = classify(np.array([[3.0]], np.float32), ScoreForm.LOGITS_SIGMOID, TaskKind.BINARY)
    assert logits.predicted.tolist() == [1]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_each_float_type_is_read(datatype):
    dtype = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}[datatype]
    values = np.array([[0.25, 0.75], [0.5, 0.5]], dtype)
    tensor = Tensor("s", datatype, (2, 2), values.tobytes())
    assert score_count(tensor, ModelSpec("m")) == 2
    found = score_values([tensor, tensor])
    np.testing.assert_array_equal(found, np.concatenate([values, values]))


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((3,), 1), ((1, 3), 1), ((2, 3), 2), ((2, 3, 1, 1), 2), ((2, 2, 3), 0), ((), 0), ((0, 3), 0)],
)
def test_shapes(shape, rows):
    data = np.zeros(int(np.prod(shape)), "<f4").tobytes()
    assert score_count(Tensor("s", "FP32", shape, data), ModelSpec("m")) == rows


def test_more_columns_than_declared_classes_do_not_fit():
    tensor = Tensor("s", "FP32", (1, 3), b"\0" * 12)
    assert score_count(tensor, ModelSpec("m", classes=("a", "b", "c", "d"))) == 1
    assert score_count(tensor, ModelSpec("m", classes=("a", "b"))) == 0
    assert score_count(tensor, ModelSpec("m", kind=TaskKind.DETECTION)) == 0


def test_labels_alone():
    spec = ModelSpec("m", classes=("cat", "dog"), output=OutputSpec("", ScoreForm.LABELS))
    numbers = Tensor("y", "INT64", (3, 1), np.array([1, 0, 7], "<i8").tobytes())
    assert label_rows(numbers, spec) == [1, 0, -1]
    names = b"".join(len(name).to_bytes(4, "little") + name for name in (b"dog", b"cow"))
    assert label_rows(Tensor("y", "BYTES", (2,), names), spec) == [1, -1]
    assert label_rows(Tensor("y", "BYTES", (3,), names), spec) is None
    assert label_rows(Tensor("y", "FP32", (1,), b"\0\0\0\0"), spec) is None


def test_the_output_is_the_named_one_or_the_first_that_fits():
    heads = [
        TensorHead("label", "INT64", (1,), False, None),
        TensorHead("one", "FP32", (4, 1), False, None),
        TensorHead("scores", "FP32", (4, 3), False, None),
    ]

    def chosen(spec: ModelSpec, declared: bool = True) -> int | None:
        return choose_output(heads, spec, declared=declared)

    assert chosen(ModelSpec("m", output=OutputSpec("scores"))) == 2
    assert chosen(ModelSpec("m", output=OutputSpec("absent"))) is None
    assert chosen(ModelSpec("m")) == 1
    assert chosen(ModelSpec("m"), declared=False) == 2
    assert chosen(ModelSpec("m", output=OutputSpec("", ScoreForm.LABELS))) == 0
