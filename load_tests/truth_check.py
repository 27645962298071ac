"""Whether a truth store holds what was expected, number by number."""

from __future__ import annotations

import numpy as np
from load_tests.traffic import CLASSES, Expected

from leadline.records.cells import CellKind, split_index
from leadline.runtime.log.port import Stream
from leadline.runtime.store.open import open_store

KINDS = (
    CellKind.PREDICTED,
    CellKind.CONFUSION,
    CellKind.DUPLICATE,
    CellKind.SUPERSEDED,
    CellKind.UNMATCHED,
)


def check(store_url: str, stream: Stream, expected: Expected) -> None:
    """Compares the whole truth of a stream with the expected counts.

    Raises:
        AssertionError: they differ; a speed without the right result is worth nothing.
    """
    store = open_store(store_url)
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    totals = dict.fromkeys(KINDS, 0)
    with store.snapshot() as snapshot:
        for shard, cells in snapshot.cells(None, KINDS).items():
            if not shard.startswith(f"{stream.name}/"):
                continue
            for kind in KINDS:
                totals[kind] += int(cells.count[cells.kind == kind].sum())
            pairs = cells.kind == CellKind.CONFUSION
            np.add.at(matrix, split_index(cells.index[pairs]), cells.count[pairs])
    store.close()
    found = (totals[CellKind.DUPLICATE], totals[CellKind.SUPERSEDED], totals[CellKind.UNMATCHED])
    wanted = (expected.duplicates, expected.superseded, expected.unmatched)
    assert np.array_equal(matrix, expected.matrix), f"{matrix}\n{expected.matrix}"
    assert found == wanted, f"duplicates, superseded, unmatched: {found}, not {wanted}"
    assert totals[CellKind.PREDICTED] == expected.predictions - expected.duplicates
