"""Two versions of a model on the same inputs, with scores: rows, and the truth that they make."""

from collections import Counter

import numpy as np
from oracle_full import PredictionRow, band, score_code

from leadline.records.cells import CellKind, Series
from leadline.testing.truth import TruthWriter

CLASSES = 4
ROWS = 900
SECOND = 1
"""Number of the second version's series: they count up from 0."""


class Traffic:
    """Two versions on the same inputs; two of three are labelled, sure ones more often."""

    def __init__(self, seed=3):
        rng = np.random.default_rng(seed)
        self.true = rng.integers(0, CLASSES, ROWS)
        self.scores = {"1": self._scores(rng, 1.0), "2": self._scores(rng, 2.0)}
        sure = self.scores["1"].max(axis=1) > 0.6
        self.labelled = rng.random(ROWS) < np.where(sure, 0.9, 0.4)

    def _scores(self, rng, skill):
        logits = rng.normal(0, 1, (ROWS, CLASSES))
        logits[np.arange(ROWS), self.true] += skill
        odds = np.exp(1.5 * logits)
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

    def write(self, store, minute):
        writer = TruthWriter(store)
        cells = Counter()
        plain = {version: Series("m", version, "m") for version in self.scores}
        for version, scores in self.scores.items():
            for at, row in enumerate(scores.tolist()):
                said = int(np.argmax(row))
                writer.predict(at, said, minute - at // 20, model="m", version=version)
                if self.labelled[at]:
                    writer.label(at, int(self.true[at]), model="m", version=version)
                self._count(cells, version, at, row, said, minute - at // 20)
        for (kind, version, at, index), number in cells.items():
            writer.count(kind, plain[version], at, index, number)
        writer.commit(append_ms=minute * 60_000)

    def _count(self, cells, version, at, row, said, minute):
        hour, true = minute - minute % 60, int(self.true[at])
        sure = band(PredictionRow(b"", 0, said, scores=tuple(row)))
        cells[CellKind.STRATUM, version, hour, said << 32 | sure] += 1
        if not self.labelled[at]:
            return
        cells[CellKind.STRATUM_LABELLED, version, hour, true << 32 | said << 4 | sure] += 1
        for number, score in enumerate(row):
            index = number << 32 | (number == true) << 16 | score_code(score)
            cells[CellKind.SCORES, version, hour, index] += 1
        if version == "1":
            other = int(np.argmax(self.scores["2"][at]))
            index = true << 32 | SECOND << 2 | (said == true) << 1 | (other == true)
            cells[CellKind.PAIR, version, minute, index] += 1
