"""Random rows of scores with labels, and the SCORES cells that counting makes of them."""

from dataclasses import dataclass

import numpy as np

from leadline.metrics.core.figures import Tally, tally
from leadline.records.scores import TOP_KEPT, score_codes, top_codes


@dataclass
class Rows:
    """Scores float32 (rows, classes) in [0, 1], true classes (rows,)."""

    scores: np.ndarray
    true: np.ndarray

    @property
    def support(self) -> dict[int, int]:
        found, counts = np.unique(self.true, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def is_true(self, number: int) -> np.ndarray:
        return self.true == number


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits along the last axis, float32."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def erring(rng, rows, classes, sharpness, signal=2.2, noise=1.5) -> Rows:
    """Softmax scores of a model that errs; the sharper, the more confident it is all the same."""
    true = rng.integers(classes, size=rows)
    logits = rng.normal(0, noise, (rows, classes))
    logits[np.arange(rows), true] += signal
    return Rows(softmax(logits * sharpness), true)


def dense_cells(rows: Rows) -> Tally:
    """All scores, as counted for at most 64 classes."""
    codes = score_codes(rows.scores).astype(np.uint64)
    number = np.arange(rows.scores.shape[1], dtype=np.uint64)
    true = (rows.true[:, None] == number).astype(np.uint64)
    index = number << np.uint64(32) | true << np.uint64(16) | codes
    return tally(index.ravel(), np.ones(index.size, np.int64))


def top_cells(rows: Rows, k: int = TOP_KEPT) -> Tally:
    """The k best scores of each row."""
    classes, codes = top_codes(rows.scores, k)
    true = (classes == rows.true[:, None]).astype(np.uint64)
    index = classes.astype(np.uint64) << np.uint64(32) | true << np.uint64(16) | codes
    return tally(index.ravel(), np.ones(index.size, np.int64))
