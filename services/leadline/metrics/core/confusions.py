"""Which classes are taken for which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadline.metrics.core.figures import Confusion, Rate


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Inputs of one class that were taken for another.

    Attributes:
        true: class.
        predicted: another class.
        share: of the labelled predictions of the true class, those taken for the other.
        reverse: how often the other class is taken for this one.
    """

    true: int
    predicted: int
    share: Rate
    reverse: int


def confused_pairs(matrix: Confusion, most: int) -> tuple[ConfusedPair, ...]:
    """The pairs of different classes with the highest counts, at most `most`; equals by class."""
    wrong = np.flatnonzero(matrix.true != matrix.predicted)
    order = wrong[np.argsort(-matrix.count[wrong], kind="stable")][:most]
    pairs = zip(
        matrix.true[order].tolist(),
        matrix.predicted[order].tolist(),
        matrix.count[order].tolist(),
        strict=True,
    )
    return tuple(
        ConfusedPair(
            true, predicted, Rate(count, _row(matrix, true)), _cell(matrix, predicted, true)
        )
        for true, predicted, count in pairs
    )


def _row(matrix: Confusion, true: int) -> int:
    begin, end = np.searchsorted(matrix.true, [true, true + 1])
    return int(matrix.count[begin:end].sum())


def _cell(matrix: Confusion, true: int, predicted: int) -> int:
    begin, end = np.searchsorted(matrix.true, [true, true + 1])
    place = begin + int(np.searchsorted(matrix.predicted[begin:end], predicted))
    if place < end and matrix.predicted[place] == predicted:
        return int(matrix.count[place])
    return 0
