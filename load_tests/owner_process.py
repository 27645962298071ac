"""An owner in a process of its own, so that its processor time is nobody else's.

    python -m load_tests.owner_process WORDS_AS_JSON

It connects first and says so; then it counts until the truth stands at the ends it was given, says
what that took, and ends. With no ends it counts until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load_tests.measure import cpu_seconds, memory, peak_bytes
from prometheus_client import CollectorRegistry

from leadline.metrics.owner import OwnerService
from leadline.metrics.owner_settings import OwnerSettings
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.store.open import open_store

LOOK_SECONDS = 0.05
"""Between two looks at the vector; a look costs some 0.2 ms."""
GIVE_UP_SECONDS = 300.0


async def count(words: dict[str, Any]) -> None:
    """Counts and says what it took."""
    clock = SystemClock()
    settings = OwnerSettings(**words["settings"])
    log, store = open_log(settings.log_url, clock), open_store(settings.store_url)
    store.migrate()
    owner = OwnerService(
        settings,
        log=log,
        store=store,
        blobs=None,
        clock=clock,
        registry=CollectorRegistry(),
        on_failure=fail,
    )
    say(ready=True)
    began, cpu, before = time.perf_counter(), cpu_seconds(), memory()
    await owner.start()
    try:
        if words["ends"]:
            ends = {f"{settings.stream}/{at}": tuple(end) for at, end in words["ends"].items()}
            await reached(store, ends)
            wall, used, after = time.perf_counter() - began, cpu_seconds() - cpu, memory()
            peak = peak_bytes()
            say(wall_s=wall, cpu_s=used, grown=after.total - before.total, peak=peak)
        else:
            await asyncio.to_thread(sys.stdin.read)
            say(cpu_s=cpu_seconds() - cpu, wall_s=time.perf_counter() - began)
    finally:
        await owner.close(15.0)
        store.close()
        log.close()


def fail(words: str) -> None:
    """Ends the process at once; the cause is in its log."""
    print(words, file=sys.stderr, flush=True)
    os._exit(1)


async def reached(store: Any, ends: dict[str, tuple[int, int]]) -> None:
    """Returns when every shard stands at its end."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    left = dict(ends)
    while left:
        await asyncio.sleep(LOOK_SECONDS)
        for name in list(left):
            state = store.shard(name)
            if state.stopped:
                raise SystemExit(f"shard {name} stopped: {state.stopped}")
            if state.p >= left[name][0] and state.l >= left[name][1]:  # ticks may follow
                del left[name]
            else:
                break
        if time.monotonic() > deadline:
            raise SystemExit(f"not counted in {GIVE_UP_SECONDS:.0f} s: {left}")


def say(**words: Any) -> None:
    """One line of JSON to whoever started this process."""
    print(json.dumps(words), flush=True)


class Owner:
    """A running owner process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            RuntimeError: it ended without a word.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the owner ended with {self.process.wait(30)}")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def owner(
    settings: dict[str, Any], ends: dict[int, tuple[int, int]] | None = None
) -> Iterator[Owner]:
    """Starts an owner; it is told to end, and then ended, on leaving."""
    words = json.dumps({"settings": settings, "ends": ends or {}})
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "errors")
        with errors.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "load_tests.owner_process", words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        found = Owner(process)
        try:
            found.hear()
            yield found
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {errors.read_text()[-2000:]}") from error
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> None:
    """Is the owner."""
    asyncio.run(count(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
