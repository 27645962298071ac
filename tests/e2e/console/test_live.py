"""Live updates, keys and states."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from running import World

SUMMARY = "/models/digits/versions/2"
CELL = SUMMARY + "?true=5&pred=8"
SHIFT = """() => new Promise((done) => {
  const sum = [];
  const place = (s) => [s.node?.className, JSON.stringify(s.previousRect)];
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (e.value) sum.push([e.value, e.sources.map(place)]);
  }).observe({ type: 'layout-shift', buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""


def test_a_label_swaps_the_number_and_keeps_the_focus(own_console, visit):
    watched = visit(own_console.url + CELL)
    page = watched.page
    expect(page.get_by_text("19,605 labelled", exact=True)).to_be_visible()
    cell = page.locator("[data-matrix] tbody tr").nth(5).locator("a").nth(8)
    cell.focus()
    page.locator("#m-window > summary").evaluate("e => e.parentElement.open = true")
    own_console.change(lambda world: world.label("digits", 400))
    expect(page.get_by_text("20,005 labelled", exact=True)).to_be_visible()
    expect(cell).to_be_focused()
    expect(page.locator("#m-window")).to_have_attribute("open", "")
    assert watched.wrong == []


@pytest.mark.parametrize("path", ["/", SUMMARY, CELL])
def test_nothing_moves_while_a_page_loads_and_updates(own_console, visit, path):
    page = visit(own_console.url + path, viewport={"width": 1440, "height": 900}).page
    own_console.change(lambda world: world.label("digits", 400))
    expect(
        page.get_by_text("77\u202f%" if path == "/" else "20,005 labelled").first
    ).to_be_visible()
    assert page.evaluate(SHIFT) == []


def test_a_state_is_rendered_once_for_all_its_viewers(own_console, visit):
    pages = [visit(own_console.url + SUMMARY).page for _ in range(4)]
    before = own_console.world.calls["GetConfusionMatrix"]
    own_console.change(lambda world: world.label("digits", 10))
    for page in pages:
        expect(page.get_by_text("19,615 labelled", exact=True)).to_be_visible()
    assert own_console.world.calls["GetConfusionMatrix"] - before < 4 + 4


def test_paused_means_no_update_until_it_goes_on(own_console, visit):
    page = visit(own_console.url + SUMMARY).page
    expect(page.locator(".live")).to_contain_text("Live")
    page.keyboard.press("p")
    expect(page.locator(".live")).to_contain_text("Paused")
    own_console.change(lambda world: world.label("digits", 5))
    expect(page.get_by_text("19,605 labelled", exact=True)).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_text("19,610 labelled", exact=True)).to_be_visible()
    expect(page.locator(".live")).to_contain_text("Live")


def test_the_matrix_is_one_tab_stop_and_enter_opens_cases(console, visit):
    page = visit(console.url + CELL).page
    expect(page.locator("[data-matrix] a[tabindex='0']")).to_have_count(1)
    page.locator("[data-matrix] a[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(":focus")).to_have_text("4")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="True 4, predicted 7")).to_be_visible()
    expect(page.locator(":focus")).to_have_text("4")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Newest errors")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="True 4, predicted 7")).to_be_visible()


def test_j_and_k_step_through_the_cases(console, visit):
    page = visit(console.url + CELL).page
    shown = page.locator(".thumbs [aria-current]")
    first = shown.get_attribute("aria-label")
    page.keyboard.press("j")
    expect(shown).not_to_have_attribute("aria-label", first)
    page.keyboard.press("k")
    expect(shown).to_have_attribute("aria-label", first)


def test_keys_open_help_versions_and_the_list(console, visit):
    page = visit(console.url + SUMMARY).page
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("[")
    expect(page).to_have_url(console.url + "/models/digits/versions/1")
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Models", exact=True, level=1)).to_be_visible()


def test_single_keys_can_be_switched_off_and_never_act_in_fields(console, visit):
    page = visit(console.url + SUMMARY).page
    page.locator("#find").focus()
    page.keyboard.type("?p")
    expect(page.locator("#find")).to_have_value("?p")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("link", name="? for keys").click()
    page.get_by_role("button", name="Switch single keys off").click()
    expect(page.locator("html")).to_have_attribute("data-keys", "off")
    page.locator("body").press("?")
    page.locator("body").press("/")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#find")).not_to_be_focused()


def test_a_stopped_shard_says_its_cause_and_remedy(own_console, visit):
    own_console.change(
        lambda world: world.stop("main/3", "topic labels was re-created.", "accept the gap.")
    )
    watched = visit(own_console.url + SUMMARY)
    page = watched.page
    expect(page.get_by_text("5 of 6 shards")).to_be_visible()
    expect(page.get_by_text("Shard main/3", exact=False).first).to_be_visible()
    page.locator("#m-advice > summary").click()
    expect(page.get_by_text("accept the gap.")).to_be_visible()
    assert watched.wrong == []


def test_one_failed_card_leaves_the_others(own_console, visit):
    own_console.change(lambda world: world.failing.add("GetConfusionMatrix"))
    page = visit(own_console.url + SUMMARY).page
    expect(page.get_by_text("GetConfusionMatrix failed in the truth store.")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("89.7")
    expect(page.locator(".thumbs li")).to_have_count(24)
    own_console.change(lambda world: world.failing.clear())
    own_console.change(lambda world: world.tell())
    expect(page.locator("[data-matrix]")).to_be_visible()


def test_no_model_yet_shows_three_lines_that_change_that(start, visit):
    running = start(World([]))
    page = visit(running.url + "/").page
    expect(page.get_by_text("No model has sent anything yet.")).to_be_visible()
    expect(page.locator("#snippet")).to_contain_text("log.prediction(id, scores)")
    running.stop()


def test_a_window_that_holds_nothing_says_what_to_drop(console, visit):
    old = "?from=2020-01-01T00:00Z&to=2020-01-02T00:00Z&slice=device:mobile"
    page = visit(console.url + SUMMARY + old).page
    expect(page.get_by_text("Nothing fits.")).to_be_visible()
    page.locator(".waiting-card").get_by_role("link", name="Show all time").click()
    expect(page.locator("[data-matrix]")).to_be_visible()


def test_without_a_reader_the_frame_stands_and_the_page_fills_by_itself(own_console, visit, loop):
    world = own_console.world
    page = visit(own_console.url + SUMMARY).page
    expect(page.get_by_text("19,605 labelled", exact=True)).to_be_visible()
    loop.run(world.server.stop(0))
    expect(page.get_by_text("does not answer.", exact=False)).to_be_visible()
    expect(page.get_by_text("19,605 labelled", exact=True)).to_be_visible()
    expect(page.locator(".live")).to_contain_text("As of")
    for path in ("/models/filetype/versions/3.3", "/models/filetype"):
        other = visit(own_console.url + path).page
        expect(other.get_by_text("Nothing is lost", exact=False)).to_be_visible()


def test_a_console_that_is_gone_leaves_old_figures_and_tries_again(start, visit):
    running = start(World())
    page = visit(running.url + SUMMARY).page
    expect(page.locator(".live")).to_contain_text("Live")
    running.stop()
    expect(page.get_by_text("Connection to the console lost", exact=False)).to_be_visible()
    expect(page.get_by_text("Trying again in", exact=False)).to_be_visible()
    expect(page.locator("main")).to_have_class("stale")


@pytest.mark.parametrize("menu", ["Live", "As now"])
def test_a_link_can_be_copied_live_or_as_now(console, visit, menu):
    page = visit(console.url + CELL, permissions=["clipboard-read", "clipboard-write"]).page
    page.locator("#m-link > summary").click()
    page.locator("#m-link").get_by_role("link", name=menu).click()
    expect(page.locator("#announce")).to_have_text("Link copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(console.url + SUMMARY)
    assert ("at=main/0:88214701:44107350" in copied) == (menu == "As now")
