"""Commands, tables and reports of a real reader, against the same rows evaluated from memory."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from prometheus_client import CollectorRegistry
from scored_traffic import CLASSES, ROWS, Traffic

import leadline
from leadline.__main__ import run
from leadline.cli.reader_client import open_reader
from leadline.cli.report_data import from_files
from leadline.cli.report_page import render
from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings
from leadline.records.errors import NotFoundError, UsageError
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store
from leadline.testing.clock import ManualClock
from leadline.testing.truth import TruthWriter
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev
from leadline.v1 import models_pb2

NOW_US = 1_700_000_040_000_000
NAMES = ["ant", "bee", "cow & calf", "<dog>"]


@pytest.fixture(scope="module")
def traffic():
    return Traffic()


@pytest.fixture(scope="module")
def reader(tmp_path_factory, traffic):
    """The address of a reader over the truth of the traffic."""
    folder = tmp_path_factory.mktemp("truth")
    store = open_store(f"sqlite:{folder / 'truth.sqlite'}")
    store.migrate()
    traffic.write(store, NOW_US // 60_000_000)
    alone = TruthWriter(store)
    alone.predict(10**6, 1, NOW_US // 60_000_000, model="alone")
    alone.commit(append_ms=NOW_US // 1000)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async def start():  # gRPC's server belongs to the loop that it is made in
        made = ReaderService(
            ReaderSettings(listen_address="127.0.0.1:0", exporter_address=""),
            store=store,
            blobs=open_blobs(str(folder / "blobs")),
            clock=ManualClock(NOW_US),
            registry=CollectorRegistry(),
        )
        await made.start()
        return made

    service = wait(start())
    with open_reader(service.address, 10.0) as client:
        model = models_pb2.Model(name="models/m", kind=1, classes=NAMES)
        client.ask(client.models.ApplyModel, models_pb2.ApplyModelRequest(model=model))
    yield service.address
    wait(service.close(5.0))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    store.close()


@pytest.fixture(scope="module")
def evaluated(traffic):
    """Both versions, evaluated from memory."""
    true = [
        int(number) if known else None
        for number, known in zip(traffic.true, traffic.labelled, strict=True)
    ]
    return {v: leadline.evaluate(true, traffic.scores[v], NAMES) for v in ("1", "2")}


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


def test_a_version_alone_is_compared_with_nobody(reader, capsys, tmp_path):
    assert run(["compare", "alone", "--reader", reader]) == 0
    assert "No other version" in capsys.readouterr().out
    assert run(["compare", "alone", "--reader", reader, "--fail-if", "worse"]) == 2
    assert "--challenger" in capsys.readouterr().err
    path = tmp_path / "alone.html"
    assert run(["report", "alone", "--reader", reader, "--output", str(path)]) == 0
    page = offline(path.read_text())
    assert not {"curves", "matrix", "thresholds", "timeline"} & set(page.ids)


def test_a_rollout_without_a_challenger_does_not_pass(reader, capsys):
    asked = ["compare", "m", "--champion", "2", "--challenger", "9", "--fail-if", "worse"]
    assert run([*asked, "--reader", reader]) == 2
    assert "9" in capsys.readouterr().err


class Page(HTMLParser):
    """What a page asks for, and what it says."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.asked, self.said, self.ids = set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.asked += [
            value for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}
        ]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.said.append(data)


ALL = [
    "advice", "comparison", "timeline", "classes", "matrix", "curves", "thresholds", "calibration",
    "traffic", "basis",
]  # fmt: skip


def offline(text):
    """The page, after a look for anything that a browser would load or run."""
    page = Page(text)
    assert page.asked == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    for word in ("url(", "@import", "http://", "https://", "javascript:"):
        assert word not in text
    return page


@pytest.fixture
def written(reader, tmp_path):
    """Writes a report of the reader."""

    def write(name, *arguments):
        path = tmp_path / name
        asked = ["report", "m", "--version", "1", "--reader", reader, "--output", str(path)]
        assert run([*asked, *arguments]) == 0
        return path

    return write


def test_a_report_holds_everything_and_asks_for_nothing(written, evaluated):
    page = offline(written("m.html", "--vs", "2").read_text())
    assert [each for each in ALL if each not in page.ids] == []
    said = "".join(page.said)
    assert "2 is better than 1" in said
    assert f"{evaluated['1'].accuracy:.1%}".rstrip("%") in said
    assert "main/0" in said
    for name in NAMES:
        assert name in said


def test_the_json_of_a_report_holds_all_numbers(written, evaluated):
    found = json.loads(written("m.json", "--vs", "2", "--need", "recall>=0.9").read_text())
    same(found["summary"]["accuracy"]["value"], evaluated["1"].accuracy)
    same(found["curves"]["macro_auc"]["value"], evaluated["1"].auc.value)
    assert len(found["weakest_classes"]["classes"]) == 3
    assert found["threshold_goal"] == "recall at least 0.9, best precision"
    assert all(each["best"]["recall"]["value"] >= 0.9 for each in found["thresholds"])
    assert found["comparison"]["comparisons"][0]["verdict"] == "VERDICT_BETTER"
    assert found["one_vector"]
    counted = [int(each["predictions"]) for each in found["timeline"]["points"]]
    assert sum(counted) == ROWS
    assert found["slices"]["slices"] == []


def test_a_window_is_that_of_the_first_answer(written):
    found = json.loads(written("m.json", "--window", "30m").read_text())
    intervals = {
        json.dumps(each["basis"]["interval"]) for each in (found["summary"], found["advice"])
    }
    assert len(intervals) == 1
    assert int(found["summary"]["basis"]["predictions"]) < ROWS
    assert found["comparison"] is None


@pytest.fixture
def browser(chromium):
    with sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=str(chromium.executable), args=list(chromium.arguments)
        )
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_a_report_offline(written, browser, scheme):
    path = written("m.html", "--vs", "2")
    for width in (1180, 400):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        asked, wrong = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, wrong=wrong: wrong.append(message.text))
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
        page.goto(f"file://{path}")
        assert page.locator("section").count() == len(ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert (asked, wrong) == ([f"file://{path}"], [])
        page.close()


def csv_of(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows_of(traffic, version):
    for at, row in enumerate(traffic.scores[version].tolist()):
        yield {
            "id": at,
            "label": int(traffic.true[at]) if traffic.labelled[at] else "",
            **{f"score_{number}": repr(score) for number, score in enumerate(row)},
        }


def test_a_report_of_files_has_the_figures_of_the_reader(written, traffic, tmp_path):
    files = {v: csv_of(tmp_path / f"{v}.csv", list(rows_of(traffic, v))) for v in ("1", "2")}
    path = tmp_path / "files.json"
    names = ["--classes", ",".join(NAMES)]
    assert (
        run(["report", "--from", files["1"], "--vs", files["2"], *names, "--output", str(path)])
        == 0
    )
    own = json.loads(path.read_text())
    served = json.loads(written("m.json", "--vs", "2").read_text())
    for part in ("curves", "weakest_classes", "calibration"):
        assert without_basis(own[part]) == without_basis(served[part])
    for one, other in zip(own["thresholds"], served["thresholds"], strict=True):
        assert without_basis(one) == without_basis(other)
    mine, theirs = (each["comparison"]["comparisons"][0] for each in (own, served))
    assert mine["words"] == theirs["words"]
    assert mine["classes"] == theirs["classes"]
    assert own["confusion_matrix"]["count"] == served["confusion_matrix"]["count"]


def without_basis(found):
    return {name: value for name, value in found.items() if name != "basis"}


@pytest.mark.parametrize(
    ("rows", "absent"),
    [
        ([{"label": "cat", "pred": "dog"}, {"label": "dog", "pred": "dog"}], "curves"),
        ([{"label": "", "pred": "dog"}], "matrix"),
        ([{"label": at % 70, "pred": (at * at) % 70} for at in range(700)], "thresholds"),
    ],
)
def test_a_report_of_little_is_short(tmp_path, rows, absent):
    path = tmp_path / "little.html"
    assert run(["report", "--from", csv_of(tmp_path / "a.csv", rows), "--output", str(path)]) == 0
    page = offline(path.read_text())
    assert absent not in page.ids
    assert {"classes", "basis"} <= set(page.ids)


def test_slices_and_notices_are_shown_as_text():
    result = leadline.evaluate(["a", "b", "b"], ["a", "b", "a"])
    objective = an.Objective(figure=an.Objective.FIGURE_F1), "best F1"
    report = from_files(result, "a.csv", objective, "today")
    phone = ev.SliceFigures(
        slice=ev.SliceValue(column="device", value="<phone>"),
        predictions=40,
        accuracy=ev.Rate(value=0.9, lower=0.7, upper=0.95, successes=36, trials=40),
    )
    report.summary.notices.add(code="x", text="Few <labels>.", remedy="Label more.")
    page = offline(render(replace(report, slices=ev.ListSlicesResponse(slices=[phone]))))
    assert {"slices", "notices"} <= set(page.ids)
    assert "device = <phone>" in page.said
    assert "Few <labels>. Label more." in page.said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m", "--output", "m.pdf"], ".html or .json"),
        (["--output", "m.html"], "Nothing to report on"),
        (["m", "--from", "a.csv", "--output", "m.html"], "not both"),
        (["m", "--output", "m.html", "--need", "recall"], "constraint"),
        (["m"], "--output"),
    ],
)
def test_a_report_that_cannot_be_meant_is_exit_code_2(capsys, arguments, words):
    assert run(["report", *arguments]) == 2
    assert words in capsys.readouterr().err
