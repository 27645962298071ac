"""All that waits for some ids, decided by the rules of docs/counting.md, before and after a step.

The state is a sum over ids, so what a step changes is the sum over the ids that it touches, after
minus before. `decide` takes every waiting row of those ids and finds for each generation the label
that counts before the step and after it, and what else is counted of it. It keeps no state: a
correction, a duplicate or a late default label is nothing but a difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leadline.metrics.core.rows import DUPLICATE, I64, Bools, Rows
from leadline.metrics.core.rule_table import NO_CLASS, RuleTable
from leadline.metrics.core.segment import expand
from leadline.records.batches import RETRACTED

NO_LABEL = -1
BY_DEFAULT = -2


class Clocks(NamedTuple):
    """The log clocks of both sides, and the earlier of the two."""

    predictions_ms: int
    labels_ms: int

    @property
    def both_ms(self) -> int:
        """What both have passed."""
        return min(self)


class Predictions(NamedTuple):
    """Waiting predictions of some groups; a group is an id within a task. Columns of length n.

    Attributes:
        group: int64, number of the group.
        order: int64, order in the log.
        version: int64, number of the (model, version).
        rows: PREDICTION; DUPLICATE is set in old ones, and found here in new ones.
        new: whether it came with this step.
        default: int64, default class of its task under its rule, NO_CLASS where there is none.
    """

    group: I64
    order: I64
    version: I64
    rows: Rows
    new: Bools
    default: I64


class Labels(NamedTuple):
    """Waiting labels of the same groups. Columns of length m.

    Attributes:
        rank: int64, of the source.
        rows: LABEL.
    """

    group: I64
    order: I64
    rank: I64
    rows: Rows
    new: Bools


class Decided(NamedTuple):
    """What a step means for the groups. Positions are those of the columns given.

    Attributes:
        duplicate: bool (n,), the new predictions that are duplicates.
        before, after: int64 (n,), position of the label that wins, BY_DEFAULT or NO_LABEL.
        superseded: int64 (n,), change of the labels in the window that do not win.
        unmatched: int64 (m,), change: -1, 0 or 1.
        first, second: int64 (k,), the pairs of versions (A, B).
        overflow: int64 (n,), pairs that a new B has beyond the bound.
    """

    duplicate: Bools
    before: I64
    after: I64
    superseded: I64
    unmatched: I64
    first: I64
    second: I64
    overflow: I64


def decide(
    predictions: Predictions, labels: Labels, rules: RuleTable, before: Clocks, after: Clocks
) -> Decided:
    """What changes for the groups of these rows."""
    duplicate = _duplicates(predictions, rules)
    generation = np.flatnonzero(
        ~np.where(predictions.new, duplicate, predictions.rows["flags"] & DUPLICATE != 0)
    )
    at, label = _in_window(predictions, labels, rules, generation)
    old = ~predictions.new[at] & ~labels.new[label]
    now = _winners(predictions, labels, at, label, after, rules)
    then = _winners(predictions, labels, at[old], label[old], before, rules)
    then[predictions.new] = NO_LABEL
    dead = np.ones(len(then), np.bool_)
    dead[generation] = False
    now[dead] = then[dead] = NO_LABEL
    first, second, overflow = _pairs(predictions, rules, generation)
    return Decided(
        duplicate=duplicate,
        before=then,
        after=now,
        superseded=_losers(at, len(then)) - _losers(at[old], len(then)),
        unmatched=_unmatched(labels, label, label[~predictions.new[at]]),
        first=first,
        second=second,
        overflow=overflow,
    )


def _duplicates(predictions: Predictions, rules: RuleTable) -> Bools:
    """New predictions that are at most a label window younger than an earlier one of their kind."""
    rows = predictions.rows
    order = np.lexsort((predictions.order, predictions.version, predictions.group))
    clock = rows["clock_ms"][order]
    until = clock + rules.label_window_ms[rows["rule"][order]]
    same = _same_as_before(predictions.group[order], predictions.version[order])
    latest = _running_max(until, same)
    found = np.zeros(len(order), np.bool_)
    found[order[1:]] = same[1:] & (latest[:-1] >= clock[1:])
    return found & predictions.new


def _same_as_before(*columns: I64) -> Bools:
    """Whether each row equals the one before it in all columns."""
    same = np.ones(len(columns[0]), np.bool_)
    same[:1] = False
    for column in columns:
        same[1:] &= column[1:] == column[:-1]
    return same


def _running_max(values: I64, same: Bools) -> I64:
    """The running maximum within stretches; a stretch goes on where `same`."""
    if not len(values):
        return values
    low = int(values.min())
    lift = np.cumsum(~same) * (int(values.max()) - low + 1)
    raised: I64 = np.maximum.accumulate(values - low + lift)
    return raised - lift + low


def _ranges(sorted_groups: I64, groups: I64) -> tuple[I64, I64]:
    """For each group the stretch of it in a sorted column."""
    return (
        np.searchsorted(sorted_groups, groups, "left"),
        np.searchsorted(sorted_groups, groups, "right"),
    )


def _in_window(
    predictions: Predictions, labels: Labels, rules: RuleTable, generation: I64
) -> tuple[I64, I64]:
    """All (generation, label) where the label is in the generation's window."""
    order = np.argsort(labels.group, kind="stable")
    owner, place = expand(*_ranges(labels.group[order], predictions.group[generation]))
    at, label = generation[owner], order[place]
    late = labels.rows["clock_ms"][label] - predictions.rows["clock_ms"][at]
    inside = late <= rules.label_window_ms[predictions.rows["rule"][at]]
    inside &= -late <= rules.prediction_window_ms[labels.rows["rule"][label]]
    return at[inside], label[inside]


def _winners(
    predictions: Predictions,
    labels: Labels,
    at: I64,
    label: I64,
    clocks: Clocks,
    rules: RuleTable,
) -> I64:
    """For each prediction the label that wins among those in its window."""
    winner = np.full(len(predictions.group), NO_LABEL)
    rows = predictions.rows
    closed = rows["clock_ms"] + rules.label_window_ms[rows["rule"]] < clocks.both_ms
    winner[closed & (predictions.default != NO_CLASS)] = BY_DEFAULT
    best_last = np.lexsort(
        (-labels.order[label], labels.rows["time_us"][label], labels.rank[label], at)
    )
    winner[at[best_last]] = label[best_last]  # of equal places the last assignment stays
    return winner


def _losers(at: I64, count: int) -> I64:
    """Labels in the window of each prediction that do not win."""
    return np.maximum(np.bincount(at, minlength=count) - 1, 0)


def _unmatched(labels: Labels, now: I64, then: I64) -> I64:
    """Change of each label: 1 when it is unmatched from now on, -1 when it was."""
    matched, was = np.zeros((2, len(labels.group)), np.bool_)
    matched[now] = True
    was[then] = True
    return (~matched).astype(np.int64) - (~was & ~labels.new)


def _pairs(predictions: Predictions, rules: RuleTable, generation: I64) -> tuple[I64, I64, I64]:
    """All pairs (A, B) of generations of two versions, and what a new B has beyond the bound."""
    rows = predictions.rows
    order = generation[np.lexsort((predictions.order[generation], predictions.group[generation]))]
    position = np.arange(len(order))
    begin, _ = _ranges(predictions.group[order], predictions.group[order])
    second_at, first_at = expand(begin, position)  # of each B the As before it, in log order
    first, second = order[first_at], order[second_at]
    rule = rows["rule"][first]
    fits = predictions.version[first] != predictions.version[second]
    fits &= rules.pairs[rule]
    fits &= rows["clock_ms"][second] - rows["clock_ms"][first] <= rules.pair_window_ms[rule]
    first, second, second_at = first[fits], second[fits], second_at[fits]
    nth = np.arange(len(second)) - np.searchsorted(second_at, second_at, "left")
    within = nth < rules.pairs_max[rows["rule"][second]]
    overflow = np.bincount(second[~within], minlength=len(rows))
    overflow[~predictions.new] = 0
    return first[within], second[within], overflow


def retracts(labels: Labels, winner: I64) -> Bools:
    """Where the label that wins (a position, or a negative word) takes the truth back."""
    found = winner >= 0
    found[found] = labels.rows["true_class"][winner[found]] == RETRACTED
    return found
