"""Advice: what raises it, what does not, and how it reads."""

import numpy as np
import pytest

from leadline.metrics.core.figures import NO_TALLY, Rate, confusion_from_dense, tally
from leadline.metrics.measures.advice import (
    Findings,
    LabelFlow,
    Reweighting,
    ThresholdGap,
    advice,
    labels_needed,
)
from leadline.records.intervals import wilson
from leadline.records.scores import BAND_NONE

NAMES = {0: "cat", 1: "dog", 2: "owl"}
GOOD = [[300, 5, 5], [5, 300, 5], [5, 5, 300]]


def found(matrix=GOOD, **given):
    return advice(Findings(confusion_from_dense(matrix), NAMES, **given))


def only(*args, **given):
    (one,) = found(*args, **given)
    return one


def test_a_good_model_needs_no_advice():
    assert found() == ()
    assert found(declared=3) == ()
    assert found([[0]]) == ()
    assert found([[5, 0], [2, 3]]) == (), "hardly any labels: a notice says so"


def test_few_labels_of_classes():
    one = only([[300, 5, 5], [2, 8, 2], [5, 5, 300]], declared=4)
    assert one.code == "few_labels_of_classes"
    assert one.text == "2 of 4 classes have fewer than 30 labels: class 3 (0), dog (12)."
    assert one.evidence == (
        "To know their recall within 5 points takes about so many more: class 3 (381), dog (345)."
    )
    lower, upper = wilson(8, 12)
    assert one.effect_size == pytest.approx((1 + upper - lower) / 2 / 4)


def test_few_labels_of_many_classes_are_not_all_named():
    one = only(np.diag([3] * 8 + [100]))
    assert one.text.startswith(
        "8 of 9 classes have fewer than 30 labels: cat (3), dog (3), owl (3),"
    )
    assert one.text.endswith("class 4 (3) and 3 more.")


@pytest.mark.parametrize("rate", [Rate(0, 0), Rate(45, 50), Rate(3, 3), Rate(10, 20)])
def test_labels_needed_against_a_scan(rate):
    share = (rate.successes + 2) / (rate.trials + 4)
    n = rate.trials or 1
    while np.ptp(wilson(share * n, n)) / 2 > 0.05:
        n += 1
    assert labels_needed(rate) == n - rate.trials


def test_nothing_more_is_needed_of_many():
    assert labels_needed(Rate(900, 1_000)) == 0


def test_a_class_recognised_as_another():
    one = only([[40, 70, 10], [5, 300, 5], [5, 5, 300]])
    assert one.code == "class_confused"
    assert one.text == "cat is mostly recognised as dog: 58 % of its 120 labels."
    assert one.evidence == "49 to 67 %; 88 % of its errors, recall 33 %."
    assert one.effect_size == pytest.approx(70 / 740)
    assert "often recognised as dog" in only([[80, 40, 0], [5, 300, 5], [5, 5, 300]]).text


def test_errors_that_are_spread_or_few_are_no_confusion():
    assert found([[60, 30, 30], [5, 300, 5], [5, 5, 300]]) == ()
    assert found([[90, 13, 0], [5, 300, 5], [5, 5, 300]]) == ()


def strata(*rows: tuple[int, int, int, int]):
    """STRATUM_LABELLED cells of (true, predicted, band, count)."""
    index = [true << 32 | predicted << 4 | band for true, predicted, band, _ in rows]
    return tally(np.array(index, np.uint64), np.array([row[3] for row in rows], np.int64))


SURE = [(1, 1, 14, 300), (0, 0, 14, 500), (2, 2, 12, 200)]


def test_suspected_labels():
    one = only(strata=strata(*SURE, (0, 1, 14, 12)))
    assert one.code == "suspected_labels"
    assert one.text == ("12 labels say cat where the model was at least 99 % sure of dog.")
    assert one.evidence == (
        "3.8 % of 312 such predictions (2.2 to 6.6 %), where at most 0.1 % is to be expected."
    )
    assert one.effect_size == pytest.approx(12 / 1_012)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 1, 14, 4)],  # too few
        [(0, 1, 11, 12)],  # not sure enough
        [(0, 1, BAND_NONE, 12)],  # nobody knows how sure
        [(0, 1, 14, 12), (1, 0, 14, 25), (1, 2, 12, 12)],  # the model is too sure everywhere
        [(0, 1, 12, 5), (1, 1, 12, 600)],  # as many as a calibrated model has
        [],
    ],
)
def test_no_suspicion(rows):
    assert found(strata=strata(*SURE, *rows)) == ()
    assert found(strata=NO_TALLY) == ()


def slow_contradictions(rows):
    """(true, predicted, count, sure ones) by a loop."""
    sure = [row for row in rows if 12 <= row[2] < BAND_NONE]
    return {
        (t, p): (
            sum(r[3] for r in sure if r[:2] == (t, p)),
            sum(r[3] for r in sure if r[1] == p),
        )
        for t, p, _, _ in sure
        if t != p
    }


def test_contradictions_against_a_loop():
    rng = np.random.default_rng(0)
    rows = [
        (t, p, band, int(rng.integers(50, 60)) if t == p else int(rng.integers(0, 9)))
        for t in range(6)
        for p in range(6)
        for band in range(10, 16)
    ]
    rows = [row for row in rows if row[3]]
    assert found(strata=strata(*rows)) == (), "wrong everywhere alike"
    rows = [row for row in rows if row[:3] != (5, 2, 13)] + [(5, 2, 13, 600)]
    slow = slow_contradictions(rows)[5, 2]
    assert only(strata=strata(*rows)).text.startswith(f"{slow[0]} labels say class 5")
    assert f" of {slow[1]:,} such predictions" in only(strata=strata(*rows)).evidence


def test_labels_stopped():
    one = only(flow=LabelFlow(Rate(400, 1_000), Rate(0, 300), 10_800))
    assert one.code == "labels_stopped"
    assert one.text == "No label has come for 3 h."
    assert one.evidence == (
        "0 of the latest 300 predictions that should have a label have one; before, 40 % had "
        "(37 to 43 %)."
    )
    assert one.effect_size == 1


def test_labels_became_fewer():
    one = only(flow=LabelFlow(Rate(400, 1_000), Rate(30, 300)))
    assert one.code == "labels_fewer"
    assert one.text == "Labels became fewer: 10 % of the predictions now, 40 % before."
    assert one.effect_size == pytest.approx(0.75)


@pytest.mark.parametrize(
    "flow",
    [
        LabelFlow(Rate(400, 1_000), Rate(0, 49)),
        LabelFlow(Rate(20, 49), Rate(0, 300)),
        LabelFlow(Rate(0, 1_000), Rate(0, 300)),
        LabelFlow(Rate(400, 1_000), Rate(100, 300)),
        LabelFlow(Rate(5, 1_000), Rate(0, 100)),
    ],
)
def test_labels_still_come(flow):
    assert found(flow=flow) == ()


def test_threshold_far_from_the_best():
    gap = ThresholdGap(1, 0.5, 0.31, 0.8, 0.84, 0.012, 900)
    one = only(thresholds=[gap])
    assert one.text == (
        "The threshold 0.5 of dog is far from the best, 0.31: "
        "its F1 would be about 2.8 points higher."
    )
    assert "F1 0.800 now and 0.840 there on the same 900 labels" in one.evidence
    assert one.effect_size == pytest.approx(0.028)
    assert found(thresholds=[ThresholdGap(1, 0.5, 0.31, 0.8, 0.84, 0.035, 900)]) == ()
    assert found(thresholds=[ThresholdGap(1, 0.5, 0.31, 0.8, 0.9, 0.01, 29)]) == ()


def test_labels_that_are_no_random_sample():
    one = only(reweighted=[Reweighting("accuracy", Rate(940, 1_000), 0.9, (0.88, 0.92))])
    assert one.text == (
        "On all traffic the accuracy is probably worse than on what is labelled: 90 % against 94 %."
    )
    assert one.evidence == (
        "88 to 92 % reweighted by predicted class and confidence, 92 to 95 % of 1,000 labels."
    )
    for value, interval in ((0.93, (0.9, 0.935)), (0.9, (0.86, 0.945))):
        given = Reweighting("accuracy", Rate(940, 1_000), value, interval)
        assert found(reweighted=[given]) == ()


def test_a_slice_much_worse_than_the_rest():
    slices = [("kiosk-a", Rate(940, 1_000)), ("kiosk-b", Rate(147, 200)), ("c", Rate(10, 20))]
    one = only(slices=slices)
    assert one.text == ("kiosk-b is much worse than the rest: 74 % right against 93 %.")
    assert one.evidence.startswith("19.6 points (12.")
    assert one.evidence.endswith("for all 3 slices together) on 200 of 1,220 labels.")
    assert found(slices=slices[:1]) == ()
    assert found(slices=[("a", Rate(94, 100)), ("b", Rate(88, 100))]) == ()


def test_the_largest_effect_comes_first_and_each_kind_is_bounded():
    gaps = [ThresholdGap(at, 0.5, 0.3, 0.5, 0.6 + at / 100, 0.0, 100) for at in range(9)]
    all_found = found(
        thresholds=gaps, flow=LabelFlow(Rate(400, 1_000), Rate(0, 300)), strata=strata(*SURE)
    )
    effects = [each.effect_size for each in all_found]
    assert effects == sorted(effects, reverse=True)
    assert [each.code for each in all_found] == ["labels_stopped"] + ["threshold_far"] * 5
    assert "class 8" in all_found[1].text
    assert all(0 <= effect <= 1 for effect in effects)
