"""Figures by equal steps of time, out of margins that add up step by step.

A step needs of its confusion matrix the margins alone: three numbers a class, however many pairs
of classes there are. `Margins` folds cells to them; that is additive, so blocks are folded one by
one, and what did not change is not folded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import ClassCounts, Rate, macro_average
from leadline.metrics.core.merging import Merges, merged
from leadline.metrics.core.scope import Window
from leadline.records.cells import CellKind, Cells, count, merge, split_index

DAY = 1_440
TIMELINE_KINDS = (CellKind.PREDICTED, CellKind.CONFUSION, CellKind.DELAY)

SUPPORT, PREDICTED, CORRECT = range(3)
"""Row sum, column sum and diagonal of a class."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Folds cells of `TIMELINE_KINDS` to margins by steps of `step` minutes (at least 1).

        kind        minute          index
        PREDICTED   of its step     0
        CONFUSION   of its step     class << 32 | SUPPORT, PREDICTED or CORRECT
        DELAY       0               as it is

    A step begins at a multiple of its length. All cells are of series 0; those of other kinds are
    left out. Classes of `merges` count as one.
    """

    step: int
    merges: Merges = ()

    @property
    def whole_days(self) -> bool:
        """Steps of whole days do not ask for the time of day."""
        return self.step % DAY == 0

    def __call__(self, cells: Cells) -> Cells:
        """The margins, normalised."""
        cells = merged(cells, self.merges)
        minute = cells.minute - cells.minute % np.uint32(self.step)
        return merge([*_predictions(cells, minute), *_matrix(cells, minute), *_delays(cells)])


def _predictions(cells: Cells, minute: npt.NDArray[np.uint32]) -> Iterable[Cells]:
    mask = cells.kind == CellKind.PREDICTED
    if mask.any():
        yield count(CellKind.PREDICTED, 0, minute[mask], 0, cells.count[mask])


def _matrix(cells: Cells, minute: npt.NDArray[np.uint32]) -> Iterable[Cells]:
    mask = cells.kind == CellKind.CONFUSION
    if not mask.any():
        return
    index, minute, counts = cells.index[mask], minute[mask], cells.count[mask]
    true, predicted = index >> np.uint64(32), index & np.uint64(0xFFFF_FFFF)
    right = true == predicted
    for side, classes, at, weight in (
        (SUPPORT, true, minute, counts),
        (PREDICTED, predicted, minute, counts),
        (CORRECT, true[right], minute[right], counts[right]),
    ):
        margin = classes << np.uint64(32) | np.uint64(side)
        yield count(CellKind.CONFUSION, 0, at, margin, weight)


def _delays(cells: Cells) -> Iterable[Cells]:
    mask = cells.kind == CellKind.DELAY
    if mask.any():
        yield count(CellKind.DELAY, 0, 0, cells.index[mask], cells.count[mask])


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a timeline.

    Attributes:
        from_minute: start; the first step may begin before the window and holds only its part of
            it.
        predictions: all, labelled or not.
        accuracy: over the labelled ones.
        macro_f1: None without a label.
    """

    from_minute: int
    predictions: int
    accuracy: Rate
    macro_f1: float | None


def timeline(shards: Mapping[str, Cells], window: Window, step: int) -> tuple[Step, ...]:
    """Figures by equal steps of `step` minutes, aligned to multiples of it, empty steps included.

    Args:
        shards: `Margins(step)` of cells of the window and of the scope's series only.
        window: finite; the caller bounds `window.minutes / step`.
        step: minutes, at least 1.
    """
    cells = merge(shards.values())
    first = window.from_minute // step
    number = -(-window.to_minute // step) - first
    bounds = np.arange(first, first + number + 1) * step
    predicted = cells.kind == CellKind.PREDICTED
    predictions = np.zeros(number, np.int64)
    predictions[cells.minute[predicted] // step - first] = cells.count[predicted]
    minute, counts = _by_class(cells)
    ends = np.searchsorted(minute, bounds).tolist()
    return tuple(
        _step(at, seen, _rows(counts, begin, end))
        for at, seen, begin, end in zip(
            bounds[:-1].tolist(), predictions.tolist(), ends[:-1], ends[1:], strict=True
        )
    )


def _by_class(cells: Cells) -> tuple[npt.NDArray[np.int64], ClassCounts]:
    """The step and the margins of each class in each step, in the order of time."""
    labelled = cells.kind == CellKind.CONFUSION
    minute = cells.minute[labelled].astype(np.int64)
    number, side = split_index(cells.index[labelled])
    new = np.ones(len(minute), np.bool_)
    new[1:] = (minute[1:] != minute[:-1]) | (number[1:] != number[:-1])
    margins = np.zeros((3, int(np.count_nonzero(new))), np.int64)
    margins[side, np.cumsum(new) - 1] = cells.count[labelled]
    return minute[new], ClassCounts(number[new], *margins)


def _rows(counts: ClassCounts, begin: int, end: int) -> ClassCounts:
    part = slice(begin, end)
    return ClassCounts(
        counts.number[part], counts.support[part], counts.predicted[part], counts.correct[part]
    )


def _step(from_minute: int, predictions: int, counts: ClassCounts) -> Step:
    total = int(counts.support.sum())
    macro_f1 = macro_average(counts).f1 if total else None
    return Step(from_minute, predictions, Rate(int(counts.correct.sum()), total), macro_f1)
