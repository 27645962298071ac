"""Figures of multiclass classification out of additive counts.

Counts in, figures out; nothing here knows of models, windows or time. Conventions:

- Rows are true classes, columns predicted ones. Counts are int64, sparse: a class number may be
  anything below 2**32, so nothing is ever sized by the largest one.
- A figure without a trial is None, never 0: the precision of a class that was never predicted, the
  recall of one that was never labelled, every mean of nothing.
- F1 is 2 TP / (2 TP + FP + FN): defined, and possibly 0, as soon as a class was labelled or
  predicted.
- Means run over the classes that were labelled, or predicted of a labelled input, at least once.
  A class that was labelled and never predicted enters the mean precision as 0, and one that was
  predicted and never labelled the mean recall as 0, so that ignoring a class cannot raise a mean:
  scikit-learn's `zero_division=0`.
- Every class has one label and one prediction, so micro precision, recall and F1 equal the
  accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.records.cells import RANK_NONE, RANKS_MAX, delay_bin_upper_ms, split_index
from leadline.records.intervals import wilson
from leadline.records.keys import sum_by_key

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

LABELS_FEW = 30
"""Below this many labels a class is not called the worst: its interval is wider than 0.3."""
TOP_KS = (2, 3, 5)
"""The k of the top-k accuracies, as far as there are more classes; top-1 is the accuracy."""
DENSE_CLASSES_A_CELL = 4
"""A table of at most so many classes a cell is quicker than sorting their numbers."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, 0 <= successes <= trials."""

    successes: int
    trials: int

    @property
    def value(self) -> float | None:
        """The share in [0, 1]; None without a trial."""
        return self.successes / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval; None without a trial."""
        return wilson(self.successes, self.trials)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts by index, sorted by index, without repetition or zero.

    Attributes:
        index: uint64 (m,).
        count: int64 (m,).
    """

    index: U64
    count: I64

    @property
    def total(self) -> int:
        """Sum of all counts."""
        return int(self.count.sum())


def tally(index: U64, count: I64) -> Tally:
    """The sums by index; `index` and `count` are columns of equal length in any order."""
    if (index[1:] > index[:-1]).all() and count.all():
        return Tally(index, count)
    halves = (index >> np.uint64(32)).astype(np.uint32), index.astype(np.uint32)
    (high, low), sums = sum_by_key(halves, count)
    return Tally(high.astype(np.uint64) << np.uint64(32) | low, sums)


NO_TALLY = Tally(np.empty(0, np.uint64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Confusion:
    """A sparse confusion matrix, sorted by (true, predicted), without repetition or zero.

    Attributes:
        true: int64 (m,), the row.
        predicted: int64 (m,), the column.
        count: int64 (m,).
    """

    true: I64
    predicted: I64
    count: I64

    @property
    def total(self) -> int:
        """Labelled predictions."""
        return int(self.count.sum())

    @property
    def correct(self) -> int:
        """Sum of the diagonal."""
        return int(self.count[self.true == self.predicted].sum())


def confusion_of(cells: Tally) -> Confusion:
    """The matrix of CONFUSION indices (true class << 32 | predicted class)."""
    true, predicted = split_index(cells.index)
    return Confusion(true, predicted, cells.count)


def confusion_from_dense(matrix: npt.ArrayLike) -> Confusion:
    """The sparse form of a square matrix of counts, rows true.

    >>> confusion_from_dense([[5, 1], [0, 2]]).correct
    7
    """
    dense = np.asarray(matrix, np.int64)
    true, predicted = np.nonzero(dense)
    return Confusion(true.astype(np.int64), predicted.astype(np.int64), dense[true, predicted])


@dataclass(frozen=True, slots=True)
class Average:
    """A mean over classes; None where there is nothing to average."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of one class.

    Attributes:
        number: the class.
        support: labelled predictions of this true class.
        predicted: all predictions of this class, labelled or not.
        precision: among labelled predictions of this class, the right ones.
        recall: among labelled predictions of this true class, the right ones.
        f1: None when the class was neither labelled nor predicted of a labelled input.
    """

    number: int
    support: int
    predicted: int
    precision: Rate
    recall: Rate
    f1: float | None


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Margins of a confusion matrix, columns of equal length, by class number.

    Attributes:
        number: int64, classes that were labelled or predicted of a labelled input.
        support: int64, row sums.
        predicted: int64, column sums.
        correct: int64, the diagonal.
    """

    number: I64
    support: I64
    predicted: I64
    correct: I64

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """F1 of each class; all are defined."""
        return 2.0 * self.correct / (self.support + self.predicted)


def class_counts(matrix: Confusion) -> ClassCounts:
    """The margins of a matrix."""
    number, row, column = _places(matrix)
    support, predicted, correct = np.zeros((3, len(number)), np.int64)
    np.add.at(support, row, matrix.count)
    np.add.at(predicted, column, matrix.count)
    diagonal = row == column
    np.add.at(correct, row[diagonal], matrix.count[diagonal])
    return ClassCounts(number, support, predicted, correct)


def _places(matrix: Confusion) -> tuple[I64, I64, I64]:
    """The classes of a matrix, ascending, and the place of each row and column among them."""
    cells = len(matrix.count)
    last = max(int(matrix.true.max()), int(matrix.predicted.max())) if cells else -1
    if last < DENSE_CLASSES_A_CELL * cells:
        seen = np.zeros(last + 1, np.bool_)
        seen[matrix.true] = seen[matrix.predicted] = True
        place = np.cumsum(seen) - 1
        return np.flatnonzero(seen), place[matrix.true], place[matrix.predicted]
    number = np.unique(np.concatenate([matrix.true, matrix.predicted]))
    return (
        number,
        np.searchsorted(number, matrix.true),
        np.searchsorted(number, matrix.predicted),
    )


def macro_average(counts: ClassCounts) -> Average:
    """Unweighted mean over classes."""
    return _average(counts, np.ones(len(counts.number)))


def weighted_average(counts: ClassCounts) -> Average:
    """Mean over classes weighted by support."""
    return _average(counts, counts.support.astype(np.float64))


def micro_average(matrix: Confusion) -> Average:
    """Over all labelled predictions alike: each figure is the accuracy."""
    accuracy = Rate(matrix.correct, matrix.total).value
    return Average(accuracy, accuracy, accuracy)


def _average(counts: ClassCounts, weight: npt.NDArray[np.float64]) -> Average:
    if not weight.sum():
        return Average(None, None, None)
    precision = counts.correct / np.maximum(counts.predicted, 1)
    recall = counts.correct / np.maximum(counts.support, 1)
    means = (float(np.average(each, weights=weight)) for each in (precision, recall, counts.f1))
    return Average(*means)


def class_figures(counts: ClassCounts, predicted: Tally, declared: int) -> tuple[ClassFigures, ...]:
    """Figures of every class that is declared, labelled or predicted, by number.

    Args:
        counts: margins over labelled predictions.
        predicted: all predictions by class, labelled or not.
        declared: length of the class list; 0 when there is none.
    """
    labelled = dict(zip(counts.number.tolist(), range(len(counts.number)), strict=True))
    everything = dict(zip(predicted.index.tolist(), predicted.count.tolist(), strict=True))
    support, column = counts.support.tolist(), counts.predicted.tolist()
    correct, f1 = counts.correct.tolist(), counts.f1.tolist()
    found = []
    for number in sorted(set(range(declared)) | labelled.keys() | everything.keys()):
        at = labelled.get(number)
        seen = everything.get(number, 0)
        if at is None:
            found.append(ClassFigures(number, 0, seen, Rate(0, 0), Rate(0, 0), None))
            continue
        precision, recall = Rate(correct[at], column[at]), Rate(correct[at], support[at])
        found.append(ClassFigures(number, support[at], seen, precision, recall, f1[at]))
    return tuple(found)


def worst_class(counts: ClassCounts, labels_min: int = LABELS_FEW) -> int | None:
    """The class of the lowest recall among those with enough labels; the lowest number of equals.

    None when no class has `labels_min` labels.
    """
    enough = counts.support >= labels_min
    if not enough.any():
        return None
    recall = np.where(enough, counts.correct / np.maximum(counts.support, 1), np.inf)
    return int(counts.number[np.argmin(recall)])


def top_k(ranks: Tally, ks: tuple[int, ...] = TOP_KS) -> tuple[tuple[int, Rate], ...]:
    """(k, share whose true class is among the best k scores), over predictions with known scores.

    `ranks` has the indices of RANK cells. A k is left out when it cannot be told: some true class
    was not among the known scores (RANK_NONE), and no known rank reaches k; then the model may have
    logged fewer than k scores. It is also left out where no rank is known at all.
    """
    _, rank = split_index(ranks.index)
    known = rank < RANK_NONE
    if not known.any():
        return ()
    complete = bool(known.all())
    deepest = int(rank[known].max())
    total = ranks.total
    return tuple(
        (k, Rate(int(ranks.count[rank < k].sum()), total))
        for k in ks
        if k <= RANKS_MAX and (complete or k <= deepest + 1)
    )


@dataclass(frozen=True, slots=True)
class Delay:
    """How late labels came, from the prediction's event time to the label's append time.

    Attributes:
        p50_seconds, p95_seconds: upper bounds of the bins that hold the quantiles: at most 1/8
            above the true quantile. None without a label.
        count: labels.
        bins: (upper bound in seconds, count) of the bins that are not empty, ascending.
    """

    p50_seconds: float | None
    p95_seconds: float | None
    count: int
    bins: tuple[tuple[float, int], ...]


def delay_of(bins: Tally) -> Delay:
    """Delays out of DELAY cells."""
    upper = delay_bin_upper_ms(bins.index) / 1000
    total = bins.total
    columns = tuple(zip(upper.tolist(), bins.count.tolist(), strict=True))
    return Delay(_quantile(bins, upper, 0.5), _quantile(bins, upper, 0.95), total, columns)


def _quantile(bins: Tally, upper: npt.NDArray[np.float64], share: float) -> float | None:
    """Upper bound of the first bin at which at least `share` of the counts is reached."""
    if not bins.total:
        return None
    reached = np.cumsum(bins.count) >= share * bins.total
    return float(upper[np.argmax(reached)])


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one scope.

    Attributes:
        predictions: all, labelled or not.
        accuracy: over labelled predictions.
        top_k: (k, rate), see `top_k`.
        classes: declared, labelled or predicted classes, by number.
        worst_class: see `worst_class`.
    """

    predictions: int
    accuracy: Rate
    top_k: tuple[tuple[int, Rate], ...]
    macro: Average
    micro: Average
    weighted: Average
    classes: tuple[ClassFigures, ...]
    worst_class: int | None
    delay: Delay

    @property
    def coverage(self) -> Rate:
        """Share of the predictions that are labelled."""
        return Rate(self.accuracy.trials, self.predictions)


def figures(
    predicted: Tally, matrix: Confusion, ranks: Tally, delays: Tally, declared: int = 0
) -> Figures:
    """All figures out of the counts of one scope.

    Args:
        predicted: all predictions by class.
        matrix: labelled predictions.
        ranks: with the indices of RANK cells.
        delays: with the indices of DELAY cells.
        declared: length of the class list; 0 when there is none.
    """
    counts = class_counts(matrix)
    classes = class_figures(counts, predicted, declared)
    ks = tuple(k for k in TOP_KS if not classes or k <= classes[-1].number)
    return Figures(
        predictions=predicted.total,
        accuracy=Rate(matrix.correct, matrix.total),
        top_k=top_k(ranks, ks),
        macro=macro_average(counts),
        micro=micro_average(matrix),
        weighted=weighted_average(counts),
        classes=classes,
        worst_class=worst_class(counts),
        delay=delay_of(delays),
    )
