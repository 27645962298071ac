"""leadline.evaluate against scikit-learn, with ties, gaps, one class and names."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    roc_auc_score,
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


def traffic(rows=1200, classes=4, seed=2, skill=2.0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    logits = rng.normal(0, 1, (rows, classes))
    logits[np.arange(rows), true] += skill
    odds = np.exp(3 * logits)
    return true, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def inside(found, exact, slack=1e-12):
    return found.lower - slack <= exact <= found.upper + slack


@pytest.mark.parametrize("classes", [2, 4, 70])
def test_areas_hold_those_of_scikit_learn(classes):
    true, scores = traffic(classes=classes)
    scores[:50] = scores[50:100]  # ties
    found = leadline.evaluate(true, scores)
    assert len(found.areas) == len(set(true.tolist()))
    exact = []
    for name, each in found.areas.items():
        number = int(name)
        exact.append(roc_auc_score(true == number, scores[:, number]))
        assert inside(each.auc, exact[-1])
        precision = average_precision_score(true == number, scores[:, number])
        assert inside(each.average_precision, precision)
    assert inside(found.auc, np.mean(exact))
    if classes <= 64:  # of more only the ten best scores of a row are known
        assert found.auc.upper - found.auc.lower < 1e-3
    frame = found.per_class()
    assert frame["auc"].notna().sum() == len(found.areas)


def test_calibration_holds_that_of_scikit_learn():
    true, scores = traffic()
    found = leadline.evaluate(true, scores).calibration
    assert inside(found.log_loss, log_loss(true, scores), 1e-6)
    squares = ((scores - np.eye(4)[true]) ** 2).sum(axis=1).mean()
    assert inside(found.brier, squares, 1e-7)
    assert sum(each.rate.trials for each in found.bins) == len(true)


def test_the_best_threshold_is_that_of_a_search_over_all():
    true, scores = traffic()
    found = leadline.evaluate(true, scores)
    own, mine = scores[:, 1].astype(np.float64), true == 1
    best = found.best_threshold("1")
    every = [f1_score(mine, own >= cut) for cut in np.unique(own)]
    assert 0 <= max(every) - best.choice.f1 < 2e-3  # between scores of one code no cut is told
    assert best.choice.f1 == pytest.approx(f1_score(mine, own >= best.threshold))
    assert 0 < best.optimism < 0.05
    needed = found.best_threshold(1, need="recall>=0.95")
    assert recall_score(mine, own >= needed.threshold) >= 0.95
    precise = [
        precision_score(mine, own >= cut)
        for cut in np.unique(own)
        if recall_score(mine, own >= cut) >= 0.95
    ]
    assert needed.choice.precision.value == pytest.approx(max(precise), abs=2e-3)
    careful, bold = (found.best_threshold(1, cost=pair).threshold for pair in ((20, 1), (1, 20)))
    assert careful < bold
    nothing = found.best_threshold(1, need=["recall>=0.95", "flagged<=0.01"])
    assert (nothing.choice, nothing.threshold) == (None, None)
    assert "together" in nothing.reason
    assert len(found.best_thresholds()) == 4


@pytest.mark.parametrize("need", ["recall>0.5", "speed>=0.5", "recall>=2", "cost<=1", "recall>="])
def test_a_constraint_that_cannot_be_read_is_told(need):
    with pytest.raises(UsageError) as error:
        leadline.evaluate(*traffic(50)).best_threshold(0, need=need)
    assert error.value.remedy


def test_unlabelled_rows_weigh_in():
    true, scores = traffic(4000, skill=0.7)
    sure = scores.max(axis=1) > 0.9
    rng = np.random.default_rng(1)
    seen = rng.random(len(true)) < np.where(sure, 0.9, 0.2)
    given = [number if known else None for number, known in zip(true.tolist(), seen, strict=True)]
    found = leadline.evaluate(given, scores)
    weighted = found.weighted_accuracy
    exact = (scores.argmax(axis=1) == true).mean()
    assert weighted.interval[0] <= exact <= weighted.interval[1]
    assert found.accuracy > exact + 0.02  # the sure ones are labelled
    assert "labels_not_random" in [each.code for each in found.advice]
    told = json.loads(found.to_json())
    assert told["weighted_accuracy"]["differs"]
    assert told["thresholds"][0]["goal"] == "best F1"


def test_scores_that_are_no_probabilities_have_ranks_alone():
    true, scores = traffic(100)
    found = leadline.evaluate(true, 3 * scores - 1)
    assert found.accuracy == (scores.argmax(axis=1) == true).mean()
    assert found.auc is found.calibration is found.weighted_accuracy is None
    with pytest.raises(UsageError) as error:
        found.curves(0)
    assert "between 0 and 1" in error.value.remedy
    assert json.loads(found.to_json())["auc"] is None


def test_one_class_and_no_rows_have_no_areas():
    found = leadline.evaluate([1, 1], [[0.2, 0.8], [0.6, 0.4]])
    assert found.auc is None
    assert found.average_precision.value == 1
    none = leadline.evaluate([], np.empty((0, 3)))
    assert none.accuracy is none.auc is none.calibration is None
    assert none.to_dict()["thresholds"] == []


def test_two_models_are_compared_on_the_same_rows():
    true, one = traffic(1500, skill=1.0)
    _, two = traffic(1500, skill=2.0, seed=2)
    found = leadline.compare(true, one, two, names=("v1", "v2"))
    right = [each.argmax(axis=1) == true for each in (one, two)]
    assert found.difference == pytest.approx(right[1].mean() - right[0].mean())
    assert found.comparison.accuracy.only_champion == (right[0] & ~right[1]).sum()
    assert found.interval[0] <= found.fixed_interval[0] <= found.fixed_interval[1]
    assert found.verdict == "better"
    assert found.words.startswith("v2 is better than v1")
    frame = found.per_class()
    for number in range(4):
        recall = right[1][true == number].mean()
        assert frame.loc[str(number), "second_recall"] == pytest.approx(recall)
    assert not found.judge("accuracy drop > 0.5 points").fails
    assert leadline.compare(true, two, one).judge("accuracy drop > 0.5 points").fails
    assert found.to_dict()["verdict"] == "better"


def test_names_of_two_models_are_one_list():
    found = leadline.compare(["b", "c", None], ["b", "b", "b"], ["a", "c", "c"])
    assert found.classes == ("a", "b", "c")
    assert found.comparison.accuracy.champion.trials == 2
    assert found.difference == 0
    nothing = leadline.compare([None], [0], [1])
    assert (nothing.verdict, nothing.difference, nothing.interval) == ("undecided", None, None)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: leadline.compare([0, 1], [0, 1], [0]), "shape"),
        (lambda: leadline.compare([0], [0], [0], margin=1.5), "margin"),
        (lambda: leadline.compare([0], [0], [0]).judge("slower"), "condition"),
        (lambda: leadline.compare([0], [0], [0]).judge("recall[z] drop > 0"), "no class"),
    ],
)
def test_a_comparison_that_cannot_be_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()
