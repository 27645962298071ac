"""Reports of a real reader and of files: everything is there, and nothing is asked for."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from playwright.sync_api import sync_playwright
from scored_traffic import ROWS

import leadline
from leadline.__main__ import run
from leadline.cli.report_data import from_files
from leadline.cli.report_page import render
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

NAMES = ["ant", "bee", "cow & calf", "<dog>"]


def same(found, expected):
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


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


def test_a_report_of_a_version_without_labels_is_short(reader, tmp_path):
    path = tmp_path / "alone.html"
    assert run(["report", "alone", "--reader", reader, "--output", str(path)]) == 0
    page = offline(path.read_text())
    assert not {"curves", "matrix", "thresholds", "timeline"} & set(page.ids)
