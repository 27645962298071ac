"""The pages of classes, thresholds, calibration and comparison in a browser."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from playwright.sync_api import expect
from test_pages import fetch

DIGITS = "/models/digits/versions/2"
THRESHOLDS = DIGITS + "/thresholds?class=9"


def test_the_tabs_lead_to_each_page_and_keep_the_window(console, visit):
    watched = visit(console.url + DIGITS + "?window=6h&true=5&pred=8")
    page = watched.page
    for name in ("Classes", "Thresholds", "Calibration", "Compare"):
        page.locator(".tabs").get_by_role("link", name=name).click()
        expect(page.locator(".tabs [aria-current]")).to_have_text(name)
        expect(page).to_have_url(f"{console.url}{DIGITS}/{name.lower()}?window=6h")
    assert watched.wrong == []


def test_classes_are_ordered_filtered_and_paged_by_link(console, visit):
    page = visit(console.url + "/models/filetype/versions/3.3/classes").page
    rows = page.locator(".classes tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("101 to 200 of 214")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(14)
    page.locator(".classes thead").get_by_role("link", name="Recall").click()
    expect(rows).to_have_count(100)
    first, second = (rows.nth(i).locator("td.rate").nth(1).inner_text() for i in (0, 1))
    assert float(first.split()[0]) <= float(second.split()[0])
    page.locator("#find-class").fill("type-00")
    page.locator("#find-class").press("Enter")
    expect(rows).to_have_count(10)


def test_a_class_leads_to_its_thresholds(console, visit):
    page = visit(console.url + DIGITS + "/classes").page
    page.locator(".classes tbody th a").nth(9).click()
    expect(page).to_have_url(re.compile(r"/thresholds\?class=9$"))
    expect(page.locator("#m-class > summary")).to_contain_text("9 against the rest")


@pytest.mark.parametrize("script", [True, False])
def test_thresholds_costs_and_constraints_are_forms(console, visit, script):
    watched = visit(console.url + THRESHOLDS, java_script_enabled=script)
    page = watched.page
    page.locator("#threshold").fill("0.2")
    page.locator("#threshold").press("Enter")
    expect(page.locator(".best .on")).to_contain_text("0.200")
    page.locator("#missed").fill("20")
    page.locator("#missed").press("Enter")
    expect(page.locator("[data-region=needs] input[name=cost]")).to_have_value("20:1")
    page.locator("#need-goal").select_option("cost")
    page.locator("[data-region=needs] button").click()
    expect(page.get_by_role("row", name="Recall ≥ 0.95, lowest cost")).to_be_visible()
    page.get_by_role("link", name="Show F1").click()
    expect(page.locator(".best .on").first).to_contain_text("F1")
    query = re.compile(r"class=9&threshold=0\.\d+&cost=20:1&need=recall:0\.95:cost$")
    expect(page).to_have_url(query)
    assert watched.wrong == []


def test_the_slider_moves_the_line_at_once_and_the_figures_after(console, visit):
    watched = visit(console.url + THRESHOLDS)
    page = watched.page
    slider = page.locator("[data-slider]")
    before = page.locator(".square td b").first.inner_text()
    history = page.evaluate("history.length")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"threshold=0\.\d+"))
    expect(page.locator(".square td b").first).not_to_have_text(before)
    shown = float(page.locator("#threshold").input_value())
    assert 0 < shown < 0.5
    expect(slider).to_be_focused()
    assert page.evaluate("history.length") == history
    assert watched.wrong == []


def test_the_square_counts_all_labels_and_agrees_with_the_export(console, visit):
    page = visit(console.url + THRESHOLDS + "&threshold=0.3").page
    cells = page.locator(".square td b").all_inner_texts()
    counts = [int(text.replace(",", "")) for text in cells]
    assert sum(counts) == 19_605
    text = fetch(f"{console.url}{DIGITS}/thresholds.csv?class=9&threshold=0.3").read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    asked = next(row for row in rows if row["row"] == "asked")
    assert [int(asked[k]) for k in ("tp", "fn", "fp", "tn")] == counts


def test_labels_move_every_page_live(own_console, visit):
    page = visit(own_console.url + DIGITS + "/calibration").page
    expect(page.get_by_text("19,605 labelled")).to_be_visible()
    own_console.change(lambda world: world.label("digits", 400))
    expect(page.get_by_text("20,005 labelled")).to_be_visible()


def test_a_verdict_comes_first_and_sides_can_be_swapped(console, visit):
    page = visit(console.url + DIGITS + "/compare").page
    expect(page.locator(".verdict-words")).to_contain_text("v1 is worse than v2")
    expect(page.locator(".recalls circle.worse").first).to_be_visible()
    page.locator("#m-vs > summary").click()
    page.get_by_role("link", name="Swap sides").click()
    expect(page.locator(".verdict-words")).to_contain_text("v2 is better than v1")


def test_an_undecided_comparison_says_what_it_needs(console, visit):
    page = visit(console.url + "/models/doc-language/versions/1/compare").page
    expect(page.locator(".verdict-words")).to_contain_text("No verdict yet")
    expect(page.get_by_text("4,200 more pairs")).to_be_visible()
    expect(page.locator(".undecided")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/models/churn-30d/versions/9/thresholds", "No scores logged"),
        ("/models/churn-30d/versions/9/calibration", "No scores logged"),
        ("/models/receipt-fields/versions/2/classes", "No labels yet"),
        ("/models/receipt-fields/versions/2/thresholds", "No labels yet"),
        ("/models/review-sentiment/versions/3/compare", "No other version"),
        ("/models/weld-defects/versions/4/thresholds", "Only 7 labelled"),
        (DIGITS + "/compare?vs=77", "v77 did not predict in this window"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(console, visit, path, words):
    watched = visit(console.url + path)
    expect(watched.page.locator("main")).to_contain_text(words)
    assert watched.wrong == []


def test_a_reader_that_is_too_old_is_told_in_words(own_console, visit):
    own_console.change(lambda world: setattr(world, "old", True))
    for tab in ("thresholds", "calibration", "compare"):
        watched = visit(f"{own_console.url}{DIGITS}/{tab}")
        expect(watched.page.locator("main")).to_contain_text("This reader is older")
        assert watched.wrong == []
    page = visit(f"{own_console.url}{DIGITS}/classes").page
    expect(page.locator(".classes tbody tr")).to_have_count(10)
    expect(page.locator("main")).to_contain_text("No areas: This reader is older")
    expect(visit(own_console.url + DIGITS).page.get_by_text("1.4 % of the")).to_be_visible()


def test_one_failed_part_leaves_the_others(own_console, visit):
    own_console.change(lambda world: world.failing.add("GetCurves"))
    page = visit(own_console.url + THRESHOLDS).page
    expect(page.get_by_text("GetCurves failed in the truth store.")).to_be_visible()
    expect(page.locator(".square td b").first).to_be_visible()


def test_advice_stands_first_with_evidence_and_remedy(console, visit):
    page = visit(console.url + DIGITS).page
    page.locator("#m-advice > summary").click()
    expect(page.get_by_text("No other pair has more errors")).to_be_visible()
    expect(page.get_by_text("add such 5s to the training data")).to_be_visible()
    expect(page.get_by_text("1.4 % of the predictions repeat")).to_be_visible()


@pytest.mark.parametrize(
    ("stem", "kinds"),
    [
        ("classes", "csv json"),
        ("scores", "csv json svg"),
        ("curves", "csv json svg"),
        ("thresholds", "csv json"),
        ("reliability", "csv json svg"),
        ("abstention", "csv json"),
        ("comparison", "csv json svg"),
        ("advice", "csv json"),
    ],
)
def test_every_card_of_analysis_is_exported(console, stem, kinds):
    for kind in kinds.split():
        with fetch(f"{console.url}{DIGITS}/{stem}.{kind}?class=9") as answer:
            text = answer.read().decode()
        if kind == "json":
            assert json.loads(text)["rows"]
        elif kind == "csv":
            assert len(text.splitlines()) > 1
        else:
            assert text.startswith("<svg")
            assert text.endswith("</svg>")
            assert "nan" not in text
