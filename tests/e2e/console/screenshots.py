"""Pictures of the console for the documentation.

    python tests/e2e/console/screenshots.py docs/images http://127.0.0.1:8430 --cell 5,8

Without a URL the pictures show the generated world of the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

from leadline.testing.servers.chromium import find_chromium

sys.path.insert(0, str(Path(__file__).parent))

COLOURS = 256
BYTES_MAX = 150_000


async def shoot(browser: Browser, url: str, target: Path, *, dark: bool) -> None:
    """One picture of 1440 x 900, reduced to a palette."""
    page = await browser.new_page(
        viewport={"width": 1440, "height": 900}, color_scheme="dark" if dark else "light"
    )
    await page.goto(url, wait_until="load")
    await page.locator("[data-region=live]").wait_for()
    picture = Image.open(io.BytesIO(await page.screenshot()))
    picture.convert("RGB").save(target, optimize=True)
    if target.stat().st_size > BYTES_MAX:
        picture.convert("RGB").quantize(COLOURS, kmeans=1).save(target, optimize=True)
    await page.close()


async def shoot_all(url: str, folder: Path, model: str, cell: str) -> None:
    """The pictures of the documentation."""
    true, pred = cell.split(",")
    summary = f"{url}/models/{model}"
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as play:
        found = find_chromium()
        browser = await play.chromium.launch(
            executable_path=str(found.executable), args=list(found.arguments)
        )
        await shoot(browser, f"{url}/", folder / "console-overview.png", dark=False)
        selected = f"{summary}?true={true}&pred={pred}"
        await shoot(browser, selected, folder / "console-model.png", dark=False)
        shares = f"{selected}&norm=true"
        await shoot(browser, shares, folder / "console-model-dark.png", dark=True)
        page = await browser.new_page()
        await page.goto(summary)
        version = page.url
        await page.close()
        for name, path in analysis_pages(true):
            target = folder / f"console-{name}.png"
            await shoot(browser, f"{version}{path}", target, dark=False)
        await browser.close()


def analysis_pages(label: str) -> tuple[tuple[str, str], ...]:
    """(name, path behind the version's) of the pages of analysis, those of one class of `label`."""
    chosen = f"class={label}&cost=5:1&threshold=0.05&need=recall:0.9:precision"
    return (
        ("classes", "/classes"),
        ("thresholds", f"/thresholds?{chosen}"),
        ("calibration", f"/calibration?class={label}"),
        ("compare", "/compare"),
    )


async def generated(folder: Path, model: str, cell: str) -> None:
    """Pictures of the generated world."""
    from running import running_console
    from world import World

    async with running_console(World()) as url:
        await shoot_all(url, folder, model, cell)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("url", nargs="?", help="a running console; none: a generated world")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--cell", default="5,8", help="true,predicted as class numbers")
    given = parser.parse_args()
    if given.url:
        asyncio.run(shoot_all(given.url.rstrip("/"), given.folder, given.model, given.cell))
    else:
        asyncio.run(generated(given.folder, given.model, given.cell))


if __name__ == "__main__":
    main()
