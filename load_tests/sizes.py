"""What counting with curves and strata takes in bytes: of a commit, of a stored hour, in memory.

One version, one slice, one hour of event time. Every prediction is labelled, has all its scores (up
to 64 classes) or the best ten of them, and is mostly right. Bytes do not depend on the machine.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from load_tests.fold import batch
from load_tests.options import Options
from load_tests.result import Result

from leadline.metrics.core.fold import Pairs, fold_pairs, no_pairs
from leadline.records.cells import CellKind, Cells, merge, select
from leadline.records.scores import (
    BAND_NONE,
    DENSE_CLASSES_MAX,
    TOP_KEPT,
    confidence_bands,
    score_codes,
)
from leadline.runtime.store.cells_codec import CellsCodec

CLASSES = (2, 10, 214, 1_000)
COMMIT_PAIRS = 20_000
HOUR_PAIRS = 60_000
CELL_BYTES = 8 + 4 + 4 + 1 + 8
"""Of a cell in memory: index, series, minute, kind and count."""
SHARPNESS = 6.0
HOURLY = (CellKind.SCORES, CellKind.STRATUM_LABELLED)


def run(options: Options) -> Result:
    """All figures."""
    result = Result("sizes")
    codec = CellsCodec()
    for classes in CLASSES:
        top = TOP_KEPT if classes > DENSE_CLASSES_MAX else None
        for name, rows in (("a commit", COMMIT_PAIRS), ("a stored hour", HOUR_PAIRS)):
            size = options.size(rows, 500)
            cells = _cells(size, classes, top)
            kept = f"the best {top}" if top else "all"
            what = f"{classes:,} classes, {kept} scores, {name} of {size:,} labels"
            result.add(f"{what}: everything", [len(codec.encode(cells))], "bytes")
            hourly = select(cells, np.isin(cells.kind, HOURLY))
            result.add(f"{what}: curves and strata", [len(codec.encode(hourly))], "bytes")
            result.add(f"{what}: in memory", [len(cells) * CELL_BYTES], "bytes")
    return result


def _cells(rows: int, classes: int, top: int | None) -> Cells:
    """The cells of so many pairs within one hour."""
    rng = np.random.default_rng(rows + classes)
    pairs, scores = batch(rng, rows, classes, top, sharpness=SHARPNESS)
    minute = pairs.minute - pairs.minute % 60
    return merge([fold_pairs(_with_bands(replace(pairs, minute=minute), scores), no_pairs())])


def _with_bands(pairs: Pairs, scores: np.ndarray) -> Pairs:
    """The pairs with the confidence of their predictions."""
    own = scores[np.arange(len(scores)), pairs.predicted].astype(np.float32)
    band = confidence_bands(score_codes(own))
    assert band.max() < BAND_NONE
    return replace(pairs, band=band)
