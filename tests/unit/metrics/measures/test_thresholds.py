"""Thresholds against slow loops over rows, choices under constraints, and their optimism."""

import numpy as np
import pytest
from score_cases import Rows, dense_cells, erring, softmax, top_cells

from leadline.metrics.core.figures import NO_TALLY, tally
from leadline.metrics.measures.scores import class_scores, from_codes
from leadline.metrics.measures.thresholds import (
    Choice,
    Constraint,
    Costs,
    Figure,
    Unmet,
    best_cost,
    best_f1,
    best_under,
    confidence_thresholds,
    optimism,
    threshold_table,
)
from leadline.records.intervals import wilson
from leadline.records.scores import CODES, band_bounds, confidence_bands, score_codes


def tables(rows: Rows, costs=None, cells=None, **options):
    found = class_scores(cells or dense_cells(rows), rows.support, len(rows.true), **options)
    return [(threshold_table(each, costs), each) for each in found]


def slow_row(true, scores, threshold, costs):
    """All figures at one threshold by looking at every row."""
    flagged = scores.astype(float) >= threshold
    tp, fp = int((flagged & true).sum()), int((flagged & ~true).sum())
    fn, tn = int(true.sum()) - tp, int((~true).sum()) - fp
    nan = float("nan")
    return (tp, fp, fn, tn), {
        Figure.PRECISION: tp / (tp + fp) if tp + fp else nan,
        Figure.RECALL: tp / (tp + fn) if tp + fn else nan,
        Figure.F1: 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else nan,
        Figure.FLAGGED: (tp + fp) / len(true),
        Figure.COST: (costs.fp * fp + costs.fn * fn) / len(true),
    }


def random_rows(rng) -> Rows:
    rows = erring(rng, int(rng.integers(1, 50)), 3, float(rng.choice([0.5, 3, 20])))
    if rng.random() < 0.3:
        rows.scores = np.round(rows.scores, 1)
    if rng.random() < 0.2:
        rows.true[:] = 1
    return rows


@pytest.mark.parametrize("seed", range(60))
def test_every_threshold_and_choice_equals_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    rows, costs = random_rows(rng), Costs(1.0, float(rng.choice([0.25, 1, 8])))
    for table, found in tables(rows, costs):
        true, scores = rows.is_true(found.number), rows.scores[:, found.number]
        slow = [slow_row(true, scores, each, costs) for each in table.threshold.tolist()]
        columns = zip(table.tp, table.fp, table.fn, table.tn, strict=True)
        assert [tuple(map(int, each)) for each in columns] == [counts for counts, _ in slow]
        for figure in Figure:
            expected = np.array([figures[figure] for _, figures in slow])
            assert np.array_equal(table.values(figure), expected, equal_nan=True)
        for constraints in random_constraints(rng):
            for objective in Figure:
                check_choice(table, slow, objective, constraints)


def random_constraints(rng):
    one = Constraint(Figure.RECALL, float(rng.choice([0.5, 0.95])))
    two = Constraint(Figure.FLAGGED, float(rng.choice([0.02, 0.4])), at_least=False)
    return [], [one], [two], [one, two], [Constraint(Figure.PRECISION, 0.7), two]


def check_choice(table, slow, objective, constraints):
    allowed = [
        (figures[objective], at)
        for at, (_, figures) in enumerate(slow)
        if figures[objective] == figures[objective]
        and all(
            figures[c.figure] >= c.bound if c.at_least else figures[c.figure] <= c.bound
            for c in constraints
        )
    ]
    found = best_under(table, objective, constraints)
    if not table.positives or not allowed:
        assert isinstance(found, Unmet)
        assert found.reason.endswith(".")
        return
    sign = 1 if objective in (Figure.FLAGGED, Figure.COST) else -1
    value, at = min(allowed, key=lambda each: (sign * each[0], each[1]))
    (tp, fp, fn, tn), figures = slow[at]
    assert found.threshold == table.threshold[at]
    assert found.value == value
    assert (found.precision.successes, found.precision.trials) == (tp, tp + fp)
    assert (found.recall.successes, found.recall.trials) == (tp, tp + fn)
    assert (found.flagged.successes, found.flagged.trials) == (tp + fp, tp + fp + fn + tn)
    assert found.recall.interval == wilson(tp, tp + fn)
    assert found.precision.interval == wilson(tp, tp + fp)
    assert (found.f1 is None) == (figures[Figure.F1] != figures[Figure.F1])
    assert found.cost == figures[Figure.COST]


def test_of_equals_the_higher_threshold_is_chosen():
    table = np.zeros((2, CODES), np.int64)
    codes = score_codes(np.array([0.2, 0.4, 0.6, 0.8], np.float32))
    table[1, codes[[1, 3]]] = 1, 1
    table[0, codes[[0, 2]]] = 1, 1
    found = best_under(threshold_table(from_codes(0, table)), Figure.COST)
    assert found.value == 1 / 4
    assert 0.77 < found.threshold <= 0.8


def test_flagging_nothing_may_be_the_cheapest():
    table = np.zeros((2, CODES), np.int64)
    table[0, 7_000], table[1, 6_000] = 10, 1
    found = best_cost(threshold_table(from_codes(0, table), Costs(fp=1, fn=2)))
    assert found.threshold == np.inf
    assert (found.value, found.precision.value, found.recall.value) == (2 / 11, None, 0)


def test_the_reason_is_told_in_words():
    rows = erring(np.random.default_rng(1), 400, 3, 1.0)
    table, _ = tables(rows)[0]
    strict = Constraint(Figure.PRECISION, 0.9), Constraint(Figure.RECALL, 0.95)
    assert best_under(table, Figure.F1, strict).reason == (
        "No threshold has precision at least 0.9 and recall at least 0.95 together."
    )
    never = best_under(table, Figure.F1, [Constraint(Figure.COST, 0.01, at_least=False)])
    assert never.reason.startswith("No threshold has cost at most 0.01: the lowest is 0.")
    (nobody,) = class_scores(NO_TALLY, {}, 0) or [from_codes(0, np.zeros((2, CODES), np.int64))]
    empty = threshold_table(nobody)
    assert best_f1(empty).reason == "There is no labelled row of the class."
    assert optimism(empty, Figure.F1, np.random.default_rng(0)) is None


@pytest.mark.parametrize("upper", [0.5, 1 / 11])
def test_with_missing_scores_only_exact_thresholds_are_told(upper):
    rows = erring(np.random.default_rng(2), 400, 40, 1.5, signal=4)
    seen = 0
    for table, found in tables(rows, cells=top_cells(rows), missing_upper=upper):
        true, scores = rows.is_true(found.number), rows.scores[:, found.number]
        assert table.floor == upper
        assert (table.threshold > upper).all()
        for at, threshold in enumerate(table.threshold.tolist()):
            counts, _ = slow_row(true, scores, threshold, Costs())
            assert (table.tp[at], table.fp[at], table.fn[at], table.tn[at]) == counts
            seen += 1
    assert seen > 100
    found = best_under(table, Figure.F1, [Constraint(Figure.FLAGGED, 0.9)])
    assert f"above {upper:g}, where all scores are known, has" in found.reason


def truth_of(rng, size):
    """Two classes that scores tell apart a little."""
    true = rng.integers(2, size=size)
    logits = np.stack([np.zeros(size), rng.normal(0, 1, size) + 0.8 * true], axis=1)
    return Rows(softmax(logits), true)


@pytest.mark.parametrize(
    ("objective", "costs"),
    [(Figure.F1, Costs()), (Figure.COST, Costs(1, 1)), (Figure.COST, Costs(3, 1))],
)
def test_the_excess_is_what_choices_lose_on_new_data(objective, costs):
    rng = np.random.default_rng(3)
    endless = truth_of(rng, 200_000)
    judge, _ = tables(endless, costs)[1]
    told, lost = [], []
    for _ in range(150):
        table, _ = tables(truth_of(rng, 60), costs)[1]
        chosen = best_under(table, objective)
        place = np.searchsorted(-judge.threshold, -chosen.threshold)
        sign = 1 if objective is Figure.F1 else -1
        lost.append(sign * (chosen.value - judge.values(objective)[place]))
        told.append(optimism(table, objective, rng, 60).excess)
    error = np.std(lost) / np.sqrt(len(lost))
    assert np.mean(lost) > 4 * error
    assert np.mean(told) == pytest.approx(np.mean(lost), abs=3 * error + 0.25 * np.mean(lost))


def test_the_excess_shrinks_with_the_sample_and_corrects_the_value():
    rng = np.random.default_rng(4)
    excess = []
    for size in (50, 500, 5_000):
        table, _ = tables(truth_of(rng, size))[1]
        chosen, found = best_f1(table), optimism(table, Figure.F1, rng)
        assert isinstance(chosen, Choice)
        assert found.corrected == pytest.approx(chosen.value - found.excess)
        assert found.resamples == 100
        excess.append(found.excess)
    assert excess[0] > excess[1] > excess[2] > 0


def test_constraints_are_met_on_resamples_too():
    rng = np.random.default_rng(5)
    table, _ = tables(truth_of(rng, 300))[1]
    limits = [Constraint(Figure.RECALL, 0.9)]
    found = optimism(table, Figure.PRECISION, rng, 50, limits)
    assert found.resamples == 50
    assert 0 <= found.corrected <= 1
    assert optimism(table, Figure.F1, rng, 5, [Constraint(Figure.RECALL, 2.0)]) is None


def test_abstaining_equals_a_slow_loop():
    rng = np.random.default_rng(6)
    rows = erring(rng, 3_000, 5, 2.0)
    predicted, best = rows.scores.argmax(axis=1), rows.scores.max(axis=1)
    band = confidence_bands(score_codes(best)).astype(np.int64)
    band[:20] = 15
    labelled = rng.random(3_000) < 0.3
    one = np.ones(3_000, np.int64)
    traffic = tally((predicted << 32 | band).astype(np.uint64), one)
    index = rows.true << 32 | predicted << 4 | band
    found = confidence_thresholds(traffic, tally(index[labelled].astype(np.uint64), one[labelled]))
    assert [each.threshold for each in found] == [band_bounds(number)[0] for number in range(15)]
    for number, each in enumerate(found):
        kept = (band >= number) & (band != 15)
        assert (each.coverage.successes, each.coverage.trials) == (kept.sum(), 3_000)
        right = kept & labelled & (rows.true == predicted)
        assert (each.accuracy.successes, each.accuracy.trials) == (
            right.sum(),
            (kept & labelled).sum(),
        )
    nothing = confidence_thresholds(NO_TALLY, NO_TALLY)
    assert nothing[0].coverage.value is None
    assert nothing[14].accuracy.value is None
