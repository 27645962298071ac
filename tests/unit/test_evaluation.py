"""leadline.evaluate against scikit-learn, with ties, gaps, one class and names."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

import leadline
from leadline.records.errors import UsageError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_figures_equal_scikit_learn(seed, classes):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, 300)
    scores = rng.dirichlet(np.ones(classes), 300).astype(np.float32)
    scores[np.arange(300), true] += rng.random(300).astype(np.float32)
    said = scores.argmax(axis=1)
    found = leadline.evaluate(true, scores)
    assert found.accuracy == pytest.approx(accuracy_score(true, said))
    assert found.confusion.tolist() == confusion_matrix(true, said, labels=range(classes)).tolist()
    for average in ("macro", "micro", "weighted"):
        ours = getattr(found.figures, average)
        theirs = precision_recall_fscore_support(true, said, average=average, zero_division=0)
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs[:3])
    for k, rate in found.figures.top_k:
        if k < classes:
            theirs = top_k_accuracy_score(true, scores, k=k, labels=range(classes))
            assert rate.value == pytest.approx(theirs)
    rows = found.per_class()
    theirs = precision_recall_fscore_support(
        true, said, labels=range(classes), zero_division=np.nan
    )
    np.testing.assert_allclose(rows["precision"], theirs[0])
    np.testing.assert_allclose(rows["recall"], theirs[1])
    assert rows["support"].tolist() == theirs[3].tolist()


def test_names_are_sorted_and_numbers_stand_for_themselves():
    named = leadline.evaluate(["dog", "cat", "dog"], ["dog", "dog", "cat"])
    assert named.classes == ("cat", "dog")
    assert named.confusion.tolist() == [[0, 1], [1, 1]]
    numbered = leadline.evaluate([0, 3], [3, 3])
    assert numbered.classes == ("0", "1", "2", "3")
    assert leadline.evaluate(["0", "3"], [0, 3.0]).accuracy == 1.0


def test_missing_labels_are_unlabelled():
    found = leadline.evaluate(["a", None, "b", ""], ["a", "a", "a", "b"])
    assert (found.figures.predictions, found.figures.accuracy.trials) == (4, 2)
    nan = leadline.evaluate([1.0, float("nan")], [1, 0])
    assert nan.figures.coverage.value == 0.5
    nothing = leadline.evaluate([None, None], ["a", "b"])
    assert nothing.accuracy is nothing.interval is None
    assert "-" in repr(nothing)


def test_scores_of_class_one_make_a_binary_model():
    found = leadline.evaluate([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.5])
    assert found.confusion.tolist() == [[2, 0], [1, 1]]


@pytest.mark.parametrize(
    ("true", "predicted", "classes"),
    [
        ([0, 1], [0], None),
        ([0], [[0.5]], None),
        ([0], [[float("nan"), 1]], None),
        (["cat"], [[0.5, 0.5]], None),
        ([2], [[0.5, 0.5]], ["a", "b"]),
        ([0], [[0.5, 0.5]], ["a", "b", "c"]),
        (["x"], ["a"], ["a", "b"]),
        ([-1], [0], None),
        ([0], [None], None),
    ],
)
def test_what_cannot_be_is_told_with_a_remedy(true, predicted, classes):
    with pytest.raises(UsageError) as error:
        leadline.evaluate(true, predicted, classes)
    assert error.value.remedy


def test_a_notebook_sees_names_that_are_no_markup():
    found = leadline.evaluate(["<b>", "a"], ["<b>", "<b>"])
    shown = found._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    many = leadline.evaluate(list(range(40)), [0] * 40)
    assert many._repr_html_().count("<tr>") < 25
    assert json.loads(found.to_json())["accuracy"]["trials"] == 2


def test_frames_carry_the_names():
    found = leadline.evaluate(["a", "b"], ["a", "a"])
    assert found.confusion_frame().loc["b", "a"] == 1
    assert found.confused() == [("b", "a", 1)]
