"""Which series are exported when there are more than a budget allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leadline.metrics.core.figures import ClassFigures, Tally
from leadline.records.cells import split_index

HYSTERESIS = 1.25
"""A class must have a quarter more errors than one that is shown to take its place."""


def choose_pairs(added: Tally, kept: frozenset[int], most: int) -> frozenset[int]:
    """Indices of the pairs of (true, predicted class) to export.

    All of them when they fit; else the `most` best: confusions before the diagonal, the frequent
    before the rare, then by class. Pairs of `kept` stay, so that series do not come and go, as long
    as that gives at most 2 x `most`.

    Args:
        added: all pairs there are, by the index of CONFUSION cells, counts that only grow.
        kept: what was chosen last time.
        most: the budget, at least 1.
    """
    if len(added.index) <= most:
        return frozenset(added.index.tolist())
    true, predicted = split_index(added.index)
    order = np.lexsort((added.index, -added.count, true == predicted))
    best = frozenset(added.index[order[:most]].tolist())
    both = best | (kept & frozenset(added.index.tolist()))
    return both if len(both) <= 2 * most else best


def choose_classes(
    classes: Sequence[ClassFigures], kept: frozenset[int], most: int
) -> tuple[ClassFigures, ...]:
    """At most `most` of the classes that were labelled or predicted, by number.

    All of them when they fit; else those with the most errors (missed or wrongly said), among
    equals the most labelled. A class of `kept` stays until another one has `HYSTERESIS` times its
    errors, so that series do not come and go with every label.

    Args:
        classes: of one version.
        kept: numbers of what was chosen last time.
        most: the budget, at least 1.
    """
    seen = [each for each in classes if each.support or each.predicted]
    best = sorted(seen, key=lambda each: _urgency(each, kept), reverse=True)[:most]
    return tuple(sorted(best, key=lambda each: each.number))


def _urgency(each: ClassFigures, kept: frozenset[int]) -> tuple[float, bool, int, int, int]:
    missed = each.support - each.recall.successes
    wrong = each.precision.trials - each.precision.successes
    stays = each.number in kept
    errors = (missed + wrong) * (HYSTERESIS if stays else 1.0)
    return errors, stays, each.support, each.predicted, -each.number


def outcomes(counts: Tally) -> tuple[int, int]:
    """(right, wrong) predictions over all pairs."""
    true, predicted = split_index(counts.index)
    right = int(counts.count[true == predicted].sum())
    return right, counts.total - right
