"""Each page in both themes and four widths, by rules that hold for all of them."""

from __future__ import annotations

import gzip
import json
import re
import urllib.request

import pytest
from axe_core_python.base import AXE_SCRIPT
from playwright.sync_api import expect

PAGES = {
    "overview": "/",
    "summary": "/models/digits/versions/2",
    "cell": "/models/digits/versions/2?true=5&pred=8&norm=true",
    "many classes": "/models/filetype/versions/3.3",
    "few labels": "/models/weld-defects/versions/4",
    "no labels": "/models/receipt-fields/versions/2",
    "text": "/models/review-sentiment/versions/3",
    "classes": "/models/digits/versions/2/classes?order=recall",
    "all of many classes": "/models/filetype/versions/3.3/classes",
    "thresholds": "/models/digits/versions/2/thresholds?class=9&cost=5:1&threshold=0.05"
    "&need=recall:0.95:precision",
    "calibration": "/models/digits/versions/2/calibration",
    "compare": "/models/digits/versions/2/compare",
}
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")


def fetch(url: str, **headers: str):
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, timeout=10)


class Axe:
    """The accessibility rules, run beside the page's own scripts: its CSP lets no other in."""

    def __init__(self, page) -> None:
        self._session = page.context.new_cdp_session(page)
        frame = self._session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        options = {"frameId": frame, "worldName": "axe"}
        self._world = self._session.send("Page.createIsolatedWorld", options)
        self._evaluate(AXE_SCRIPT)

    def violations(self, *rules: str) -> list[tuple[str, str]]:
        run = f"axe.run(document, {json.dumps({'runOnly': rules})})"
        found = json.loads(self._evaluate(f"{run}.then(r => JSON.stringify(r.violations))"))
        return [(v["id"], v["nodes"][0]["html"][:200]) for v in found]

    def _evaluate(self, expression: str):
        where = {"contextId": self._world["executionContextId"]}
        options = {"awaitPromise": True, "returnByValue": True, "expression": expression}
        return self._session.send("Runtime.evaluate", where | options)["result"].get("value")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean_in_every_width_and_both_themes(console, visit, name):
    watched = visit(console.url + PAGES[name], color_scheme="light")
    page = watched.page
    axe = Axe(page)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (800, 1280, 1440, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            expect(page.locator("h1")).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"sideways scroll at {width}: {wide}"
        rules = RULES if theme == "light" else ("color-contrast",)
        assert axe.violations(*rules) == []
    assert watched.wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_its_budget_and_its_headers(console, name):
    with fetch(console.url + PAGES[name], **{"Accept-Encoding": "gzip"}) as answer:
        body = answer.read()
        headers = answer.headers
    assert len(body) <= 15_000, f"{len(body)} bytes"
    html = gzip.decompress(body).decode()
    assert "style=" not in html
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_styles_and_scripts_keep_their_budgets(console):
    with fetch(console.url + "/") as answer:
        html = answer.read().decode()
    base = html.split('href="/static/')[1].split("/")[0]
    names = ("boot.js", "main.js", "swap.js", "live.js", "keys.js", "matrix.js", "copy.js")
    names += ("threshold.js",)
    sizes = [len(fetch(f"{console.url}/static/{base}/{n}").read()) for n in names]
    css = fetch(f"{console.url}/static/{base}/console.css").read()
    assert sum(sizes) <= 40_000
    assert len(gzip.compress(css)) <= 8_000


def test_without_script_every_control_leads_somewhere(console, visit):
    watched = visit(console.url + PAGES["summary"], java_script_enabled=False)
    page = watched.page
    page.get_by_role("link", name="218", exact=True).click()
    expect(page.get_by_role("heading", name="True 5, predicted 8")).to_be_visible()
    page.get_by_role("link", name="% of true").click()
    expect(page.locator("[data-matrix] a[aria-current]")).to_have_text("11.0")
    page.get_by_role("link", name="Next case").click()
    expect(page.locator(".thumbs [aria-current]")).to_have_count(1)
    page.locator("#m-slice > summary").click()
    page.locator("#m-slice").get_by_role("link", name="kiosk-b").click()
    expect(page.locator("#m-slice > summary")).to_contain_text("kiosk-b")
    expect(page.get_by_text("As of")).to_be_visible()
    page.locator("#m-window > summary").click()
    page.get_by_role("link", name="Last hour").click()
    expect(page).to_have_url(re.compile("window=1h.*slice=device:kiosk-b"))
    page.get_by_role("button", name="theme: system").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page).to_have_url(re.compile("window=1h"))
    assert watched.wrong == []


def test_every_link_of_a_page_reloads_to_itself(console):
    """The state that a link leads to is the state that the page there links to as its own."""
    start = console.url + PAGES["cell"]
    html = fetch(start).read().decode()
    links = {part.split('"')[0] for part in html.split('href="')[1:]}
    here = [link.replace("&amp;", "&") for link in links if link.startswith("/models/digits/v")]
    pages = [link for link in here if "." not in link.partition("?")[0]]
    assert len(pages) > 100
    for link in pages[::12]:
        again = fetch(console.url + link).read().decode()
        own = again.split('name="back" value="')[1].split('"')[0].replace("&amp;", "&")
        assert own == link


@pytest.mark.parametrize("kind", ["csv", "json", "svg"])
def test_cards_are_exported(console, kind):
    with fetch(f"{console.url}/models/digits/versions/2/matrix.{kind}") as answer:
        text = answer.read().decode()
        assert "attachment" in answer.headers["Content-Disposition"]
    if kind == "csv":
        assert text.splitlines()[6].split(",")[9] == "218"
    elif kind == "json":
        assert json.loads(text)["rows"][5]["8"] == 218
    else:
        assert text.startswith("<svg")
        assert ">218<" in text


def test_an_input_is_served_so_that_nothing_in_it_runs(console):
    page = fetch(console.url + PAGES["cell"]).read().decode()
    url = page.split('<img src="')[1].split('"')[0]
    with fetch(console.url + url) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.read().startswith(b"\x89PNG")


def test_a_models_name_leads_to_its_champion(console, visit):
    page = visit(console.url + "/models/digits?norm=true").page
    expect(page).to_have_url(console.url + "/models/digits/versions/2?norm=true")


def test_what_is_not_there_offers_the_nearest_names(console, visit):
    page = visit(console.url + "/models/digit/versions/2").page
    expect(page.get_by_text("There is no model 'digit'.")).to_be_visible()
    expect(page.locator("main").get_by_role("link", name="digits")).to_be_visible()


def test_finding_leads_to_the_only_model_that_fits(console, visit):
    page = visit(console.url + "/").page
    page.keyboard.press("/")
    page.keyboard.type("sentim")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("review-sentiment")


def test_the_list_is_filtered_by_state_and_name(console, visit):
    page = visit(console.url + "/").page
    page.locator(".chip", has_text="Few labels").click()
    expect(page.locator(".models tbody tr")).to_have_count(1)
    page.locator(".chip", has_text="All").click()
    expect(page.locator(".models tbody tr")).to_have_count(7)
    page.locator("#filter").fill("digi")
    page.locator("#filter").press("Enter")
    expect(page.locator(".models tbody tr")).to_have_count(1)
