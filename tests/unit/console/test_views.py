from __future__ import annotations

from dataclasses import replace

import pytest

from leadline.console.core import figures as f
from leadline.console.core.headline import figures
from leadline.console.core.matrix import matrix_view
from leadline.console.core.overview import nearest, overview, version_advice
from leadline.console.core.pane import pane_view, selected_case
from leadline.console.core.states import labels_needed, state_of
from leadline.console.core.svg import matrix_svg
from leadline.console.core.urlstate import View
from leadline.console.core.waiting import waiting_view
from leadline.console.core.wilson import wilson

SECOND = 1_000_000
NOW = 1_000_000 * SECOND
HOUR = 3600 * SECOND


def summary(right: int = 90, labelled: int = 100, predictions: int = 200, **changes) -> f.Summary:
    made = f.Summary(
        model="digits",
        version="2",
        kind="multiclass",
        class_count=2,
        basis=f.Basis(
            vector=(f.Position("main/0", 5, 4),),
            predictions=predictions,
            labelled=labelled,
            coverage=wilson(labelled, predictions),
        ),
        accuracy=wilson(right, labelled),
        macro_f1=0.9,
        classes=(
            f.ClassFigures(
                0,
                "cat",
                labelled,
                predictions,
                wilson(right, labelled),
                wilson(right, labelled),
                0.9,
            ),
        ),
        worst_class=0 if labelled >= 30 else None,
        last_prediction_us=NOW,
        last_label_us=NOW if labelled else None,
    )
    return replace(made, **changes)


def status(stopped: str = "") -> f.Status:
    return f.Status((f.Shard("main/0", NOW - HOUR, stopped, "mend it"),), NOW)


@pytest.mark.parametrize(
    ("given", "stopped", "key"),
    [
        (summary(), "", "live"),
        (summary(), "topic was cut", "stopped"),
        (summary(0, 0, 0), "", "quiet"),
        (summary(0, 0), "", "no-labels"),
        (summary(20, 23), "", "few"),
        (summary(last_label_us=NOW - 48 * HOUR), "", "labels-stopped"),
        (summary(notices=(f.Notice("few_labels", "few", ""),)), "", "live"),
        (summary(notices=(f.Notice("duplicate_ids", "1.4 % repeat", ""),)), "", "live"),
        (summary(notices=(f.Notice("fell", "it fell", ""),)), "", "attention"),
    ],
)
def test_the_first_state_that_holds(given, stopped, key):
    assert state_of(given, status(stopped), NOW).key == key


def test_slow_labels_are_not_stopped_labels():
    slow = summary(last_label_us=NOW - 48 * HOUR, delay_p95_seconds=86_400.0)
    assert state_of(slow, status(), NOW).key == "live"


def test_advice_starts_with_what_stopped():
    given = summary(20, 23, notices=(f.Notice("fell", "it fell: by 4 points", "look"),))
    state = state_of(given, status("topic was cut"), NOW)
    found = version_advice(given, status("topic was cut"), state)
    assert [a.icon for a in found] == ["stop", "warn"]
    few = version_advice(given, status(), state_of(given, status(), NOW))
    assert [a.icon for a in few] == ["half", "warn"]
    assert few[1].parts == ("it fell:", "by 4 points")


def test_labels_needed_narrow_the_interval_to_five_points():
    given = summary(20, 23)
    n = labels_needed(given) + 23
    rate = wilson(round(n * 20 / 23), n)
    assert rate.upper is not None
    assert rate.lower is not None
    assert (rate.upper - rate.lower) / 2 == pytest.approx(0.05, abs=0.003)


def test_figures_have_their_sample_beside_them():
    found = {
        figure.title: figure
        for figure in figures(summary(), f.Matrix(("cat", "dog"), {(0, 0): 90, (0, 1): 10}))
    }
    assert found["Accuracy, labelled"].value == "90.0"
    assert found["Accuracy, labelled"].note == "10 errors in 100"
    assert found["Worst class: cat"].note == "recall, 100 labelled"
    assert found["Commonest error: cat as dog"].cell == (0, 1)
    assert found["Labelled"].aside == "100 of 200"


def test_few_labels_are_grey_and_say_how_many():
    found = figures(summary(20, 23), None)
    assert found[0].grey
    assert found[0].note == "only 20 of 23"
    assert figures(summary(0, 0), None)[0].value == "—"


def case(number: int, **changes) -> f.Case:
    made = f.Case(
        id=f"{number:032x}",
        id_text="",
        event_us=NOW,
        predicted=1,
        scores=((1, 0.963), (0, 0.011)),
        true=0,
        label_source="annotator",
        label_delay_seconds=3540.0,
        keep_probability=1 / 6,
        slices=(("device", "kiosk-b"),),
        absence="",
        input_uri="",
        others=(f.Other("1", 1, 0.97),),
    )
    return replace(made, **changes)


MATRIX = f.Matrix(("cat", "dog"), {(0, 0): 90, (0, 1): 10})


def test_the_pane_tells_about_the_cell_and_the_case():
    cases = f.Cases(tuple(case(i) for i in range(30)), 36)
    view = View(true=0, pred=1, case=case(25).id)
    pane = pane_view(cases, selected_case(cases, view), MATRIX.names, MATRIX, summary(), view)
    assert pane.title == "True cat, predicted dog"
    assert pane.lead[:2] == ("10", "of 100 true cats: 10.0\u202f%")
    assert pane.kept == "25\u201330 of 36 pictures; 1 error in 6 is kept"
    assert [b.role for b in pane.bars] == ["pred.", "true"]
    assert [x.value for x in pane.facts[:3]] == [
        "13:46:40 · kiosk-b",
        "cat, annotator · 59\u202fmin later",
        "dog (0.97)",
    ]
    assert (pane.before, pane.after) == (case(24).id, case(26).id)


def test_an_empty_cell_says_what_was_counted():
    view = View(true=0, pred=1)
    pane = pane_view(f.Cases((), 0), None, MATRIX.names, MATRIX, summary(), view)
    assert pane.empty == "10 predictions were counted here; none of their inputs was kept."
    nothing = pane_view(f.Cases((), 0), None, MATRIX.names, MATRIX, summary(), View(true=1, pred=0))
    assert nothing.empty == "Nothing was counted here in this window."


def test_before_the_first_label_predictions_are_shown():
    waiting = waiting_view(summary(0, 0))
    assert waiting is not None
    assert waiting.predictions == "200 predictions"
    assert waiting.bars[0].title == "cat: 200, 100\u202f%"
    assert waiting_view(summary()) is None


def test_the_list_is_ordered_by_state_and_filtered():
    models = (summary(), summary(20, 23, model="weld"))
    whole = overview((), models, {}, status(), NOW, ("", ""))
    assert [row.name for row in whole.rows] == ["weld", "digits"]
    assert [(c.key, c.count) for c in whole.chips] == [("", 2), ("few", 1), ("live", 1)]
    part = overview((), models, {}, status(), NOW, ("few", "we"))
    assert [row.name for row in part.rows] == ["weld"]
    assert part.rows[0].worst_value == "20 of 23"


def test_nearest_names():
    known = ["digits", "filetype", "weld-defects"]
    assert nearest("digit", known)[0] == "digits"
    assert nearest("weld", known)[0] == "weld-defects"
    assert nearest("zzzzzz", known) == []


def test_an_exported_picture_escapes_names():
    matrix = f.Matrix(("<b>", "dog"), {(0, 1): 3})
    assert "<b>" not in matrix_svg(matrix_view(matrix, None, View()), "x & y")
