"""The pages of analysis in front of the real reader, on a truth in SQLite."""

from __future__ import annotations

import asyncio
import csv
import io
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from scored_traffic import Traffic

from leadline.console.service import ConsoleService
from leadline.console.settings import ConsoleSettings
from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store
from leadline.testing.clock import ManualClock

pytestmark = pytest.mark.anyio
VERSION = "/models/m/versions/1"


@pytest.fixture
async def url(tmp_path):
    """A console of a reader of generated scores, at one vector."""
    clock = ManualClock(1_700_000_040_000_000)
    store = open_store(f"sqlite:{tmp_path / 'truth.sqlite'}")
    store.migrate()
    Traffic().write(store, clock.now_us() // 60_000_000)
    reader = ReaderService(
        ReaderSettings(listen_address="127.0.0.1:0", exporter_address=""),
        store=store,
        blobs=open_blobs(str(tmp_path / "blobs")),
        clock=clock,
        registry=CollectorRegistry(),
    )
    await reader.start()
    settings = ConsoleSettings(listen_address="127.0.0.1:0", reader_address=reader.address)
    console = ConsoleService(settings, clock=clock)
    await console.start()
    yield f"http://{console.address}"
    await console.close(grace_seconds=1.0)
    await reader.close(1.0)
    store.close()


async def get(url: str) -> str:
    def read() -> str:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()

    return await asyncio.to_thread(read)


async def test_each_page_holds_the_readers_figures(url):
    classes = await get(f"{url}{VERSION}/classes?window=all")
    assert "Macro AUC" in classes
    page = await get(f"{url}{VERSION}/thresholds?window=all&class=1&cost=9:1&threshold=0.3")
    assert "Best thresholds" in page
    assert "Chosen and judged on the same labels" in page
    assert "0.300" in page
    page = await get(f"{url}{VERSION}/calibration?window=all&class=1")
    assert "Weighted to all traffic" in page
    assert "Confidence ≥" in page
    assert "verdict-words" in await get(f"{url}{VERSION}/compare?window=all")


@pytest.mark.parametrize(
    "stem",
    ["classes", "scores", "curves", "thresholds", "reliability", "abstention", "comparison"],
)
async def test_each_card_is_exported(url, stem):
    text = await get(f"{url}{VERSION}/{stem}.csv?window=all&class=1")
    assert len(list(csv.DictReader(io.StringIO(text)))) > 0


async def test_counts_at_a_threshold_sum_to_the_labels(url):
    text = await get(f"{url}{VERSION}/thresholds.csv?window=all&class=1&threshold=0.3")
    rows = list(csv.DictReader(io.StringIO(text)))
    sums = {sum(int(row[k]) for k in ("tp", "fp", "fn", "tn")) for row in rows}
    assert len(sums) == 1
