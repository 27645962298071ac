"""What the truth store costs: commits, folding deltas, rolling up, and questions over 30 days.

Processor seconds are those of this process: the database's own are not in them (SQLite's are, since
it runs within). Questions are asked of the store itself, without a reader: by the cell, and as
totals, which read the sums of days; before the roll-up and after it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
from load_tests import history
from load_tests.options import Options
from load_tests.result import Result

from leadline.records.cells import CellKind, empty_cells, merge
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import Commit, TruthKeeper
from leadline.runtime.store.resolution import DAY, Retention
from leadline.testing.servers.postgres import Postgres

GOAL_MS = 50.0
CLASSES = (10, 1_000)
PER_DAY = 33_333
"""A million labelled predictions in the window."""
DAYS = 30
DELTA_CELLS = 2_000
END = 1_790_000_000 // 60
KINDS = (CellKind.CONFUSION, CellKind.RANK, CellKind.PREDICTED, CellKind.DELAY)


def run(options: Options) -> Result:
    """Both databases."""
    result = Result("store_growth")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = Postgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        for kind in ("SQLite", "PostgreSQL"):
            for name, part in (("commits", _commits), ("growth", _growth)):
                for classes in CLASSES if part is _growth else (1_000,):
                    place = f"{name}{classes}"
                    url = f"sqlite:{folder}/{place}.sqlite"
                    if kind == "PostgreSQL":
                        url = _database(postgres, place)
                    store = open_store(url)
                    store.migrate()
                    part(result, options, store, kind, classes)
                    store.close()
    return result


def _database(postgres: Postgres, name: str) -> str:
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.uri_of(name)


def _commits(result: Result, options: Options, store: TruthKeeper, kind: str, classes: int) -> None:
    """Commits a second, wall clock, one after the other; and folding what they left."""
    rng = np.random.default_rng(1)
    draw = history.cells_of(rng, END, DELTA_CELLS, classes, 0)
    some = type(draw)(*(getattr(draw, name)[:DELTA_CELLS] for name in draw.__slots__))
    count = options.size(300, 10)
    for words, cells in (("empty", empty_cells()), (f"{len(some):,} cells", some)):
        rates = []
        for _ in range(options.runs(3)):
            state = store.shard(history.SHARD)
            began = time.perf_counter()
            for _ in range(count):
                after = replace(state, p=state.p + 1)
                store.commit(Commit(state, after, cells, {}))
                state = after
            rates.append(count / (time.perf_counter() - began))
        result.add(f"{kind}: commits, {words}", rates, "/s")
    seconds = _cpu(lambda: _until_done(lambda: store.compact(history.SHARD, 500)))
    folded = options.runs(3) * count * len(some)
    result.add(f"{kind}: folding", seconds / folded * 1e9, "ns/cell of a delta")


def _growth(result: Result, options: Options, store: TruthKeeper, kind: str, classes: int) -> None:
    """A month by the minute: questions, roll-up, questions again."""
    rng = np.random.default_rng(2)
    per_minute = options.size(PER_DAY, 200) / DAY
    days = options.size(DAYS, 4)
    for day in range(days, 0, -1):
        parts = [
            history.cells_of(rng, minute, int(n), classes, 0)
            for minute in range(END - day * DAY, END - (day - 1) * DAY)
            if (n := rng.poisson(per_minute))
        ]
        history.commit(store, merge(parts), END)
        _until_done(lambda: store.compact(history.SHARD, 50))
    name = f"{kind}, {classes:,} classes"
    minutes = _ask(result, options, store, f"{name}, by the minute", days)
    seconds = _cpu(lambda: _until_done(lambda: store.roll_up(history.SHARD, Retention())))
    result.add(f"{name}: roll-up", seconds / minutes * 1e9, "ns/cell by the minute")
    _ask(result, options, store, f"{name}, rolled up", days)


def _ask(result: Result, options: Options, store: TruthKeeper, name: str, days: int) -> int:
    """Milliseconds of processor time of a question over all days; returns the cells there are."""
    window = (END - days * DAY, END)
    found = 0
    for words, kinds in (("confusion", KINDS[:1]), ("4 kinds", KINDS)):
        for method in ("cells", "totals"):
            times = []
            for _ in range(options.runs(5)):
                with store.snapshot() as snapshot:
                    ask = getattr(snapshot, method)
                    began = time.process_time()
                    cells = ask({history.SHARD: [0]}, kinds, *window)[history.SHARD]
                    times.append((time.process_time() - began) * 1e3)
            if method == "cells":
                found = len(cells)
            goal = GOAL_MS if method == "totals" and "rolled" in name else None
            what = f"{name}: {method} of {days} days, {words}"
            result.add(what, times, "ms CPU", goal=goal, at_least=False)
    return found


def _until_done(step: Callable[[], int]) -> None:
    while step():
        pass


def _cpu(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
