"""A reader in a process of its own.

    python -m load_tests.reader_process SETTINGS_AS_JSON

It says its address, answers until its standard input is closed, and says what it used.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from load_tests.measure import cpu_seconds, memory
from prometheus_client import CollectorRegistry

from leadline.metrics.reader_service import ReaderService
from leadline.metrics.settings import ReaderSettings
from leadline.runtime.clock import SystemClock
from leadline.runtime.store.open import open_store


async def serve(words: dict[str, Any]) -> None:
    """Answers until nobody asks any more."""
    settings = ReaderSettings(listen_address="127.0.0.1:0", exporter_address="", **words)
    store = open_store(settings.store_url)
    service = ReaderService(
        settings, store=store, blobs=None, clock=SystemClock(), registry=CollectorRegistry()
    )
    await service.start()
    print(json.dumps({"address": service.address}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"cpu_s": cpu_seconds(), "resident": memory().total}), flush=True)
    await service.close(1.0)
    store.close()


@contextmanager
def reader(settings: dict[str, Any]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Starts a reader; its address and its process. Ended on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-m", "load_tests.reader_process", json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"], process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
