"""View models of the pages of analysis, each against what is obvious by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.console import convert_analysis
from leadline.console.core import analysis as a
from leadline.console.core import calibration as cal
from leadline.console.core import figures as f
from leadline.console.core import gaps, plot, words
from leadline.console.core import thresholds as th
from leadline.console.core.classes import classes_view, f1_rate
from leadline.console.core.compare import compare_view
from leadline.console.core.overview import version_advice
from leadline.console.core.states import state_of
from leadline.console.core.urlstate import Need, View
from leadline.console.core.wilson import wilson
from leadline.v1 import analysis_pb2 as an

HOUR = 3_600_000_000


def figures(number: int, tp: int, fp: int, fn: int) -> f.ClassFigures:
    total = 2 * tp + fp + fn
    f1 = 2 * tp / total if total else None
    precision, recall = wilson(tp, tp + fp), wilson(tp, tp + fn)
    return f.ClassFigures(number, f"c{number}", tp + fn, tp + fp, precision, recall, f1)


def summary(*classes: f.ClassFigures, labelled: int = 100) -> f.Summary:
    basis = f.Basis(predictions=200, labelled=labelled, start_us=0, end_us=HOUR)
    found = f.Summary(
        "m", "2", "multiclass", len(classes), basis, wilson(labelled * 4 // 5, labelled)
    )
    return replace(found, classes=classes)


def row(tp: int, fp: int, fn: int, tn: int, threshold: float = 0.5) -> a.ThresholdRow:
    n = tp + fp + fn + tn
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
    rates = wilson(tp, tp + fp), wilson(tp, tp + fn), f1, None, wilson(tp + fp, n)
    return a.ThresholdRow(threshold, tp, fp, fn, tn, *rates, (5 * fn + fp) / max(n, 1))


# axes


@given(st.floats(0, 1))
def test_a_score_has_a_place_on_the_axis_whatever_it_is(score):
    assert 0 <= plot.LogOdds().place(score) <= 100


def test_the_axis_is_symmetric_and_its_ticks_are_apart():
    axis = plot.LogOdds()
    assert axis.place(0.5) == 50
    assert axis.place(0.9) + axis.place(0.1) == pytest.approx(100)
    ticks = axis.ticks()
    assert [t.text for t in ticks] == [
        *("0.0001", "0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999", "0.9999")
    ]
    assert all(y.at - x.at >= plot.TICK_GAP for x, y in itertools.pairwise(ticks))


def test_open_ends_of_a_distribution_are_one_step_wide():
    inner = [1 / (1 + math.exp(-z)) for z in (-2, -1, 0, 1)]
    axis = plot.axis_of([0, *inner, 1])
    assert (axis.low, axis.high) == (pytest.approx(-3), pytest.approx(2))
    assert plot.axis_of([]) == plot.LogOdds()


# words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.077, "+7.7"), (-0.021, "\u22122.1"), (0.0001, "\u00b10.0"), (None, "\u2014")],
)
def test_a_difference_has_its_sign(value, text):
    assert words.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.500"), (0.9995, "0.99950"), (0.00004, "0.000040"), (1.0, "1.000")]
)
def test_a_score_near_an_end_keeps_its_digits(value, text):
    assert words.score(value) == text


def test_bounds_that_meet_are_exact():
    assert words.within(0.9, 0.9, 0.9) == "exact"
    assert words.within(0.9, 0.89998, 0.90001) == "\u00b10.00002"


# thresholds


def test_scores_are_split_where_the_threshold_stands():
    edges = tuple(1 / (1 + math.exp(-z)) for z in (-3, -2, -1, 0, 1, 2, 3))
    found = a.Distribution(edges, (1, 0, 2, 3, 4, 9), (8, 5, 0, 2, 1, 0))
    view = th.scores_view(found, 0.5)
    assert [b.over for b in view.bars] == [False] * 3 + [True] * 3
    assert max(b.up for b in view.bars) == 1.0
    assert view.at == 50.0


def test_scores_without_any_row_draw_nothing():
    assert th.scores_view(a.Distribution(), 0.5).bars == ()


def test_the_square_sums_to_all_and_tells_differences_of_the_same_labels_only():
    own, same, other = row(80, 10, 20, 90), row(75, 5, 25, 95), row(75, 5, 25, 94)
    deltas = [s.delta for s in th.squares(own, same)]
    assert deltas == ["+5", "\u22125", "+5", "\u22125"]
    assert all(s.delta == "" for s in th.squares(own, other))


def test_argmax_is_a_row_like_any_other():
    found = th.argmax_row(figures(1, 30, 10, 20), 200, (5.0, 1.0))
    assert (found.tp, found.fp, found.fn, found.tn) == (30, 10, 20, 140)
    assert found.cost == pytest.approx((5 * 20 + 10) / 200)
    assert found.flagged.value == pytest.approx(0.2)


def test_a_figure_is_worse_only_when_its_whole_interval_is():
    sure, unsure = row(800, 10, 200, 900), row(8, 1, 2, 9)
    reference = row(900, 10, 100, 900)
    assert th.lines(sure, reference)[0].css == "worse"
    assert th.lines(unsure, reference)[0].css == ""


def test_a_constraint_that_none_satisfies_says_why_in_the_table():
    basis = a.ScoreBasis(scored=10)
    found = {"need": a.Thresholds(basis, 1, "c1", reason="None reaches it.")}
    need = Need("flagged", 0.02, "recall")
    table = th.best_rows({}, found, need, 0.5)
    assert [(b.text, b.reason) for b in table] == [
        ("Flagged \u2264 0.02, best recall", "None reaches it.")
    ]


def test_few_labels_are_said_of_the_smaller_side():
    few = a.ClassCurves(1, "c1", 7, 500)
    assert "Only 7 labelled" in th.few_words(few)
    assert th.few_words(a.ClassCurves(1, "c1", 30, 30)) == ""


def test_optimism_is_told_only_where_it_is_some():
    best = row(1, 0, 0, 1)
    basis = a.ScoreBasis()
    found = {"f1": a.Thresholds(basis, 1, "", best=best, optimism=0.002)}
    assert "0.2 points too high" in th.optimism_words(found)
    found["f1"] = replace(found["f1"], optimism=-0.002)
    assert th.optimism_words(found) == ""


def test_costs_beyond_four_times_the_lowest_are_cut():
    rows = tuple(
        replace(row(1, 1, 1, 1, t), cost=c) for t, c in ((0.1, 9.0), (0.5, 1.0), (0.9, 2.0))
    )
    line, _, top = th.cost_line(a.Thresholds(a.ScoreBasis(), 1, "", rows))
    assert top == 4.0
    assert line.count("L") == 2
    assert th.cost_line(a.Thresholds(a.ScoreBasis(), 1, ""))[2] == 0.0


# classes


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_f1_lies_in_its_interval(tp, fp, fn):
    found = f1_rate(figures(0, tp, fp, fn))
    if tp + fp + fn == 0:
        assert found.value is None
        return
    assert found.value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert 0 <= found.lower <= found.value + 1e-12
    assert found.value <= found.upper + 1e-12 <= 1 + 1e-9


def many(count: int) -> f.Summary:
    return summary(*(figures(i, 40 + i % 7, i % 5, i % 11) for i in range(count)))


def test_a_thousand_classes_are_cut_to_parts_that_cover_them_once():
    seen = [
        r.number
        for part in range(1, 11)
        for r in classes_view(many(1000), None, None, View(part=part, order="recall")).rows
    ]
    assert sorted(seen) == list(range(1000))


def test_orders_put_what_needs_a_look_first_and_what_is_unknown_last():
    given_ = summary(figures(0, 50, 0, 0), figures(1, 40, 0, 10), figures(2, 0, 0, 0))
    order = [r.number for r in classes_view(given_, None, None, View(order="recall")).rows]
    assert order == [1, 0, 2]
    by_support = classes_view(given_, None, None, View(order="support")).rows
    assert [r.number for r in by_support] == [0, 1, 2]


def test_a_part_beyond_the_last_is_the_last_and_no_fit_is_empty():
    assert classes_view(many(150), None, None, View(part=9)).part == 2
    assert classes_view(many(150), None, None, View(find="zebra")).rows == ()


def test_a_class_that_is_surely_taken_for_another_says_so():
    given_ = summary(figures(0, 60, 0, 40), figures(1, 100, 0, 0))
    matrix = f.Matrix(("c0", "c1"), {(0, 0): 60, (0, 1): 40, (1, 1): 100})
    rows = classes_view(given_, matrix, None, View()).rows
    assert rows[0].advice == "40\u202f% taken for c1"
    assert rows[0].cell == (0, 1)
    assert rows[1].advice == ""


# calibration


def band(mean: float, right: int, trials: int) -> a.Bin:
    return a.Bin(a.Bounded(mean, mean - 1e-4, mean + 1e-4), wilson(right, trials))


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ([], "Too few labels yet"),
        ([band(0.9, 10, 11)], "Too few labels yet"),
        ([band(0.9, 900, 1000), band(0.6, 600, 1000)], "No band is off"),
        ([band(0.9, 700, 1000), band(0.6, 600, 1000)], "Too high in 1 of 2 bands"),
        ([band(0.9, 990, 1000)], "Too low in 1 of 1 band"),
        ([band(0.9, 990, 1000), band(0.6, 300, 1000)], "Too high in 1 and too low in 1"),
    ],
)
def test_reliability_is_said_in_a_sentence(bands, said):
    assert cal.reliability(tuple(bands), None).verdict.startswith(said)


def calibration(**changes) -> a.Calibration:
    return replace(a.Calibration(a.ScoreBasis(scored=100)), **changes)


def test_labels_that_are_no_random_sample_are_warned_of():
    differs = a.Stratified(
        wilson(90, 100), a.Bounded(0.7, 0.7, 0.7), (0.65, 0.75), 0.1, differs=True
    )
    found = calibration(accuracy=differs)
    rows = cal.compared(found, None, "")
    said = cal.warnings(rows, found)
    assert "not a random sample" in said[0]
    assert "10\u202f% of the predictions" in said[1]
    same = calibration(accuracy=replace(differs, differs=False, unlabelled_share=0.0))
    assert cal.warnings(cal.compared(same, None, ""), same) == ()


def test_abstention_leaves_out_lines_that_answer_as_much():
    rates = [(0.0, 1000), (0.1, 999), (0.5, 900), (0.9, 400)]
    found = calibration(
        abstention=tuple(a.Abstention(c, wilson(n // 2, n), wilson(n, 1000)) for c, n in rates)
    )
    assert [r.confidence for r in cal.abstention(found)] == ["0", "0.5", "0.9"]


# comparison


def comparison(**changes) -> a.Comparison:
    one = a.ClassComparison(0, "c0", wilson(80, 100), wilson(60, 100), -0.2, (-0.3, -0.1), a.WORSE)
    two = replace(one, number=1, name="c1", difference=0.01, interval=(-0.05, 0.07))
    found = a.Comparison(
        *("1", "2", True, 1000, wilson(800, 1000), wilson(850, 1000), 0.05, (0.02, 0.08)),
        *((0.03, 0.07), 50, 100, a.BETTER, "v2 is better.", None),
        (one, replace(two, verdict=a.UNDECIDED)),
    )
    return replace(found, **changes)


def view_of(shown: a.Comparison):
    return compare_view(a.Comparisons(f.Basis(), (shown,)), shown, None, None)


def test_pairs_sum_to_all_inputs():
    view = view_of(comparison())
    assert [int(c.text) for c in view.cells] == [750, 50, 100, 100]
    assert "right in 66.7" in view.pairs or "right in 67" in view.pairs


def test_a_class_is_coloured_only_by_its_corrected_verdict():
    lines = {c.name: c for c in view_of(comparison()).classes}
    assert lines["c0"].css == "worse"
    assert lines["c1"].css == "unsure"
    assert lines["c1"].interval.endswith("unsure")


def test_an_undecided_comparison_says_how_many_more():
    span = (-0.01, 0.03)
    found = comparison(verdict=a.UNDECIDED, difference=0.01, interval=span, samples_needed=4200)
    view = view_of(found)
    assert "4,200 more pairs" in view.needed
    low, dot, high, zero = view.undecided
    assert low < zero < dot < high
    assert "both versions must predict" in view_of(replace(found, samples=0)).needed
    assert view_of(comparison()).needed == ""


def test_two_samples_have_no_square():
    view = view_of(comparison(paired=False))
    assert view.cells == ()
    assert view.pairs == ""


def test_many_classes_keep_those_that_surely_changed():
    classes = [
        a.ClassComparison(i, str(i), wilson(9, 10), wilson(9, 10), 0.0, None, a.UNDECIDED)
        for i in range(200)
    ]
    classes[150] = replace(classes[150], verdict=a.WORSE, difference=-0.3)
    view = view_of(comparison(classes=tuple(classes)))
    assert view.classes[0].name == "150"
    assert view.hidden == 140


# gaps and advice


def test_gaps_in_the_order_in_which_they_are_filled():
    one = figures(0, 50, 0, 0)
    nothing = replace(summary(one), basis=f.Basis())
    assert gaps.label_gap(nothing).title == "Nothing in this window"
    assert gaps.label_gap(summary(one, labelled=0)).title == "No labels yet"
    assert gaps.label_gap(summary(one, labelled=50)).title == "One class only"
    assert gaps.label_gap(summary(one, figures(1, 50, 0, 0))) is None
    assert gaps.score_gap(a.ScoreBasis()).title == "No scores logged"
    assert gaps.score_gap(a.ScoreBasis(scored=1)) is None
    assert gaps.compare_gap("2", "m", 0).title == "No other version"
    assert gaps.compare_gap("2", "m", 1) is None


def test_hours_are_told_only_where_they_are_not_the_window():
    basis = f.Basis(start_us=HOUR // 2, end_us=3 * HOUR // 2)
    assert gaps.hours_words(a.ScoreBasis(basis, 0, 2 * HOUR)).endswith("00:00 to 02:00")
    assert gaps.hours_words(a.ScoreBasis(replace(basis, start_us=0, end_us=HOUR), 0, HOUR)) == ""


def test_advice_replaces_the_notice_of_its_code():
    given_ = replace(
        summary(figures(0, 50, 0, 0)),
        notices=(f.Notice("clamped", "Old.", ""), f.Notice("kept", "Kept.", "")),
        last_label_us=0,
    )
    told = (a.AdviceItem("clamped", "New.", "Because.", 0.2, "Do it."),)
    state = state_of(given_, None, 0)
    found = version_advice(given_, None, state, told)
    assert [x.text for x in found] == ["New.", "Kept."]
    assert (found[0].evidence, found[0].effect) == ("Because.", "20\u202f%")


# messages


def test_absent_figures_stay_absent():
    found = convert_analysis.curves(an.GetCurvesResponse(classes=[an.ClassCurves(class_number=3)]))
    assert found.classes[0].auc is None
    assert found.classes[0].name == "3"
    assert found.macro_auc is None
    assert convert_analysis.thresholds(an.GetThresholdsResponse()).best is None
    answer = an.CompareVersionsResponse(
        comparisons=[an.Comparison(challenger="models/m/versions/9")]
    )
    one = convert_analysis.comparisons(answer).comparisons[0]
    assert (one.challenger, one.verdict, one.difference) == ("9", a.UNDECIDED, None)
