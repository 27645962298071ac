"""Tables and comparisons of a real reader, against the same rows evaluated from memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scored_traffic import CLASSES, ROWS

import leadline
from leadline.__main__ import run
from leadline.cli.reader_client import open_reader
from leadline.records.errors import NotFoundError, UsageError
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

NAMES = ["ant", "bee", "cow & calf", "<dog>"]


@pytest.fixture
def ask(reader):
    def table(what, **options):
        return leadline.query("m", what, reader=reader, **{"version": "1", **options})

    return table


def same(found, expected):
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_figures_of_files_are_those_of_the_service(ask, evaluated):
    own = evaluated["1"]
    (row,) = ask("summary").to_dict("records")
    assert (row["predictions"], row["labelled"]) == (ROWS, own.figures.accuracy.trials)
    same(row["accuracy"], own.accuracy)
    same(row["macro_f1"], own.figures.macro.f1)
    frame = ask("classes").set_index("class_name")
    same(frame["recall"].tolist(), own.per_class()["recall"].tolist())
    cells = ask("confusion")
    dense = np.zeros((CLASSES, CLASSES), int)
    dense[cells["true_class"], cells["predicted_class"]] = cells["count"]
    assert dense.tolist() == own.confusion.tolist()


def test_areas_and_curves_are_those_of_the_service(ask, evaluated):
    own = evaluated["1"]
    for row in ask("areas").to_dict("records"):
        area = own.areas[row["class_name"]]
        for name, found in (("auc", area.auc), ("average_precision", area.average_precision)):
            told = [row[name], row[f"{name}_lower"], row[f"{name}_upper"]]
            same(told, [found.value, found.lower, found.upper])
    curves = ask("curves", of="bee")
    roc = curves[curves["curve"] == "roc"]
    thin = own.curves("bee")[0].thinned(200)
    same(roc["x"].tolist(), thin.x.tolist())
    same(roc["y"].tolist(), thin.y.tolist())


@pytest.mark.parametrize(
    "goal",
    [{}, {"need": "recall>=0.9"}, {"cost": (20, 1)}, {"cost": (1, 9), "need": "flagged<=30%"}],
)
def test_best_thresholds_are_those_of_the_service(ask, evaluated, goal):
    rows = ask("thresholds", **goal)
    assert rows["best"].all()
    for row, own in zip(
        rows.to_dict("records"), evaluated["1"].best_thresholds(**goal), strict=True
    ):
        assert row["class_name"] == own.class_name
        same(row["threshold"], own.threshold)
        same(row["recall"], own.choice.recall.value)
        same(row["optimism"], own.optimism)
        same(row["cost"], own.choice.cost)
    of_one = ask("thresholds", of="bee", **goal)
    assert of_one["best"].sum() == 1
    assert len(of_one) > 20


def test_calibration_and_weighted_rates_are_those_of_the_service(reader, ask, evaluated):
    own = evaluated["1"]
    bins = ask("calibration")
    same(bins["observed"].tolist(), [each.rate.value for each in own.calibration.bins])
    assert bins["labelled"].sum() == own.figures.accuracy.trials
    with open_reader(reader, 10.0) as client:
        scope = ev.Scope(name="models/m/versions/1")
        request = an.GetCalibrationRequest(scope=scope)
        told = client.ask(client.analysis.GetCalibration, request)
    for name, found in (("log_loss", told.log_loss), ("brier", told.brier)):
        mine = getattr(own.calibration, name)
        same([found.value, found.lower, found.upper], [mine.value, mine.lower, mine.upper])
    same(told.confidence_error.value, own.calibration.error.value)
    mine = own.weighted_accuracy
    same(told.accuracy.rate.value, mine.rate.value)
    same([told.accuracy.interval.lower, told.accuracy.interval.upper], list(mine.interval))


def test_advice_of_files_is_in_that_of_the_service(ask, evaluated):
    told = {row["text"] for row in ask("advice").to_dict("records")}
    assert {each.text for each in evaluated["1"].advice} <= told


def test_a_comparison_of_files_is_that_of_the_service(ask, traffic, evaluated):
    true = [
        int(number) if known else None
        for number, known in zip(traffic.true, traffic.labelled, strict=True)
    ]
    pair = (traffic.scores["1"], traffic.scores["2"])
    own = leadline.compare(true, *pair, NAMES, names=("1", "2"))
    rows = ask("comparison").to_dict("records")
    assert rows[0]["words"] == own.words
    same(rows[0]["difference"], own.difference)
    same([rows[0]["difference_lower"], rows[0]["difference_upper"]], list(own.interval))
    for row, each in zip(rows[1:], own.comparison.classes, strict=True):
        same(row["difference"], each.recall.difference)
        assert row["verdict"] == {"unsure": "undecided"}.get(each.verdict, each.verdict)


def test_every_table_is_one_and_says_where_it_holds(ask, traffic):
    from leadline.query_tables import TABLES

    for what in TABLES:
        frame = ask(what)
        assert len(frame) or what in {"cases", "slices"}
        if what != "cases":
            assert frame.attrs["basis"]["vector"]
    timeline = ask("timeline", window="2h")
    assert str(timeline["start_time"].dt.tz) == "UTC"
    assert timeline["predictions"].sum() == ROWS
    table = ask("classes", as_="arrow")
    assert table.column("class_name").to_pylist() == NAMES
    assert json.loads(table.schema.metadata[b"basis"])["labelled"] == str(traffic.labelled.sum())


@pytest.mark.parametrize(
    ("what", "options", "error", "words"),
    [
        ("nothing", {}, UsageError, "no table"),
        ("summary", {"as_": "polars"}, UsageError, "polars"),
        ("summary", {"window": "7x"}, UsageError, "window"),
        ("summary", {"version": "9"}, NotFoundError, "9"),
        ("curves", {"of": "emu"}, NotFoundError, "emu"),
        ("thresholds", {"need": "recall"}, UsageError, "constraint"),
    ],
)
def test_a_question_that_cannot_be_meant_is_told(ask, what, options, error, words):
    with pytest.raises(error, match=words) as told:
        ask(what, **options)
    assert told.value.remedy


@pytest.mark.parametrize(
    ("module", "as_", "words"), [("pandas", "pandas", "pandas"), ("pyarrow", "arrow", "pyarrow")]
)
def test_a_missing_library_is_told(ask, monkeypatch, module, as_, words):
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=words) as error:
        ask("summary", as_=as_)
    assert "pip install" in error.value.remedy


def told(capsys):
    return json.loads(capsys.readouterr().out)


def test_compare_says_which_is_better(reader, capsys):
    assert run(["compare", "m", "--champion", "1", "--reader", reader]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 is better than 1" in shown
    assert "champion" in shown
    for name in NAMES:
        assert name in shown


@pytest.mark.parametrize(
    ("champion", "conditions", "code"),
    [
        ("1", ["worse"], 0),
        ("1", ["worse", "better"], 3),
        ("2", ["worse"], 3),
        ("2", ["accuracy drop > 0.5 points"], 3),
        ("1", ["accuracy drop > 0.5 points", "recall[bee] drop > 2 points"], 0),
        ("2", ["recall[bee] drop > 2 points"], 3),
        ("2", ["macro_f1 drop >= 0.02"], 3),
    ],
)
def test_a_rollout_stops_by_its_exit_code(reader, capsys, champion, conditions, code):
    arguments = [part for text in conditions for part in ("--fail-if", text)]
    asked = ["compare", "m", "--champion", champion, "--reader", reader, *arguments, "--json"]
    assert run(asked) == code
    (found,) = told(capsys)["comparisons"]
    assert [each["condition"] for each in found["judgements"]] == conditions
    assert any(each["fails"] for each in found["judgements"]) == (code == 3)
    assert all(each["text"] for each in found["judgements"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-if", "slower"], "Allowed"),
        (["--fail-if", "recall[emu] drop > 1 points"], "emu"),
        (["--challenger", "1", "--champion", "1"], "itself"),
        (["--window", "7x"], "window"),
        (["--slice", "device"], "COLUMN=VALUE"),
        (["--margin", "200"], "margin"),
    ],
)
def test_a_comparison_that_cannot_be_meant_is_exit_code_2(reader, capsys, arguments, words):
    assert run(["compare", "m", "--reader", reader, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_version_alone_is_compared_with_nobody(reader, capsys):
    assert run(["compare", "alone", "--reader", reader]) == 0
    assert "No other version" in capsys.readouterr().out
    assert run(["compare", "alone", "--reader", reader, "--fail-if", "worse"]) == 2
    assert "--challenger" in capsys.readouterr().err


def test_a_rollout_without_a_challenger_does_not_pass(reader, capsys):
    asked = ["compare", "m", "--champion", "2", "--challenger", "9", "--fail-if", "worse"]
    assert run([*asked, "--reader", reader]) == 2
    assert "9" in capsys.readouterr().err
