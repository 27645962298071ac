"""One suite for all truths: a test that asks for `store` runs on SQLite, PostgreSQL and in memory.

What a test asks of a database itself, the truth in memory lacks: such tests are expected to fail.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from leadline.records.cells import CellKind, Cells, Series, empty_cells, merge
from leadline.runtime.store.port import Commit, ShardState, TruthStore
from leadline.runtime.store.session import Database
from leadline.runtime.store.sql import open_database
from leadline.runtime.store.truth import SqlTruthStore
from leadline.testing.memory_truth import MemoryTruth

Rows = dict[tuple[int, int, int, int], int]


MEMORY = "memory"
LOOKS_INSIDE = {
    "test_a_closed_store_says_so": "it has nothing to close",
    "test_a_run_is_bounded_by_its_bytes_and_always_gets_on": "its deltas have no bytes",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the truth in memory lacks is expected to fail."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or callspec.params.get("store_url") != MEMORY:
            continue
        arguments = item._fixtureinfo.argnames
        why = LOOKS_INSIDE.get(item.originalname)
        if {"database", "store_url"} & set(arguments):
            why = "it has no database"
        if why:
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))


@pytest.fixture(params=["sqlite", "postgres", MEMORY])
def store_url(request: pytest.FixtureRequest, tmp_path) -> str:
    """An empty database of this test alone."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/truth.sqlite"
    if request.param == MEMORY:
        return MEMORY
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = open_database(store_url)
    yield opened
    opened.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, store_url: str) -> TruthStore:
    if store_url == MEMORY:
        return MemoryTruth()
    found = SqlTruthStore(request.getfixturevalue("database"))
    found.migrate()
    return found


class Owner:
    """An owner as simple as can be: counts `dp` predictions by adding cells whose counts sum to it.

    So the law "the sum of PREDICTED cells is p" holds at every vector.
    """

    def __init__(self, store: TruthStore, shard: str = "main/0") -> None:
        self.store = store
        self.state = store.shard(shard)

    def prepare(self, dp: int, minute: int = 100, dl: int = 0, **rows) -> Commit:
        state = self.state
        after = replace(state, p=state.p + dp, l=state.l + dl, committed_us=state.committed_us + 7)
        delta = cells({(CellKind.PREDICTED, i % 3, minute + i % 90, i % 5): 1 for i in range(dp)})
        return Commit(state, after, delta, rows.pop("new_series", {}), **rows)

    def commit(self, dp: int, **how) -> Commit:
        commit = self.prepare(dp, **how)
        self.store.commit(commit)
        self.state = commit.after
        return commit

    def add(self, delta: Cells, **rows) -> None:
        """Commits any cells."""
        after = replace(self.state, p=self.state.p + 1)
        self.store.commit(Commit(self.state, after, delta, {}, **rows))
        self.state = after


def cells(rows: Rows) -> Cells:
    """Normalised cells of {(kind, series, minute, index): count}."""
    if not rows:
        return empty_cells()
    kind, series, minute, index = zip(*rows, strict=True)
    columns = Cells(
        np.array(kind, np.uint8),
        np.array(series, np.uint32),
        np.array(minute, np.uint32),
        np.array(index, np.uint64),
        np.array(list(rows.values()), np.int64),
    )
    return merge([columns])


def rows_of(found: Cells) -> Rows:
    """The slow form of cells; fails when they are not sorted or name a cell twice."""
    keys = list(
        zip(
            found.kind.tolist(),
            found.series.tolist(),
            found.minute.tolist(),
            found.index.tolist(),
            strict=True,
        )
    )
    assert keys == sorted(set(keys)), "not normalised"
    assert all(found.count.tolist()), "a zero was kept"
    return dict(zip(keys, found.count.tolist(), strict=True))


def summed(parts: list[Rows]) -> Rows:
    """The obvious sum of all parts, without zeros."""
    total: Counter = Counter()
    for part in parts:
        for key, count in part.items():
            total[key] += count
    return {key: count for key, count in total.items() if count}


def counted(store: TruthStore, shard: str = "main/0") -> tuple[ShardState, int]:
    """The vector, and the sum of PREDICTED cells, in one snapshot."""
    with store.snapshot() as snapshot:
        state = next(state for state in snapshot.shards() if state.shard == shard)
        found = snapshot.cells({shard: range(3)}, [CellKind.PREDICTED])[shard]
        return state, int(found.count.sum())


@pytest.fixture
def new_owner(store: TruthStore) -> Callable[..., Owner]:
    return lambda shard="main/0", of=store: Owner(of, shard)


@pytest.fixture
def owner(new_owner: Callable[..., Owner]) -> Owner:
    return new_owner()


class Tools:
    """The functions above, for tests."""

    cells = staticmethod(cells)
    rows_of = staticmethod(rows_of)
    summed = staticmethod(summed)
    counted = staticmethod(counted)


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    return Tools


@pytest.fixture
def series() -> Series:
    return Series("digits", "1", "digits", (("device", "phone"),))
