"""One step of the join: what new predictions and labels change, given all that waits.

Most events are simple: a prediction whose id nobody has seen, a label whose id has one prediction
and no other label. They are decided here in a few array operations. Every other id is *complex*: all
its waiting rows are gathered and decided by the rules in full (`groups.py`). The two ways agree
where both apply; which one is taken is a matter of speed alone.

    new prediction is complex   its id has another prediction, or a label but a single new one
    new label is complex        its id has several predictions or labels, its one prediction may have
                                labels already, is a duplicate, or is of another task
    a generation is complex     when its window closes in this step and its task has a default label
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leadline.metrics.core import groups
from leadline.metrics.core.groups import BY_DEFAULT, NO_LABEL, Clocks, Decided
from leadline.metrics.core.keys import Keys, id_time_ms, ids_of, joined
from leadline.metrics.core.rows import (
    DUPLICATE,
    I64,
    KEPT,
    PREDICTION,
    Bools,
    NewLabels,
    NewPredictions,
    Rows,
)
from leadline.metrics.core.rule_table import NO_CLASS, RuleTable
from leadline.metrics.core.store import HEAD, Found, PendingStore, joined_found
from leadline.records.batches import RETRACTED, U32

NO_ARRIVAL = np.int64(-(2**62))
"""Stands for the arrival of a default label."""
MINUTE_MS = 60_000
MINUTE_US = 60_000_000


class Facts(NamedTuple):
    """What numbers in rows stand for, and the rules they live by.

    Attributes:
        rules: by number.
        task_of_series, version_of_series: int64 (series,).
        task_of_group, rank_of_group: int64 (label groups,).
        default: int64 (rules, tasks), NO_CLASS where there is none.
    """

    rules: RuleTable
    task_of_series: I64
    version_of_series: I64
    task_of_group: I64
    rank_of_group: I64
    default: I64


class Matched(NamedTuple):
    """Pairs of a true class and a prediction. Columns of length m.

    Attributes:
        found: the predictions.
        true_class: uint32.
        arrival_ms: int64, NO_ARRIVAL of a default label.
    """

    found: Found
    true_class: U32
    arrival_ms: I64


class Relabelled(NamedTuple):
    """Kept predictions whose label changed. Columns of length m.

    Attributes:
        keys: of their ids.
        rows: PREDICTION.
        label: int64, row of `labels` that counts now, BY_DEFAULT or NO_LABEL.
        labels: LABEL, what `label` points to.
    """

    keys: Keys
    rows: Rows
    label: I64
    labels: Rows


class Counted(NamedTuple):
    """Changes of a cell kind that has no true class: columns of length m.

    Attributes:
        series: int64, of a prediction, or number of the task.
        minute: int64.
        change: int64.
    """

    series: I64
    minute: I64
    change: I64


class VersionPairs(NamedTuple):
    """Changes of PAIR: columns of length m; the first row's prediction is A's, the second B's."""

    first: Rows
    second: Rows
    true_class: I64
    change: I64


class Outcome(NamedTuple):
    """What a step changes.

    Attributes:
        duplicate: bool (n,), the new predictions that begin no generation.
        added, taken_back: pairs that come and go, each in parts.
        superseded, overflow: by series of a prediction; unmatched: by task; each in parts.
        pairs, relabelled: in parts.
    """

    duplicate: Bools
    added: list[Matched]
    taken_back: list[Matched]
    superseded: list[Counted]
    overflow: list[Counted]
    unmatched: list[Counted]
    pairs: list[VersionPairs]
    relabelled: list[Relabelled]


def step(
    store: PendingStore,
    predictions: NewPredictions,
    labels: NewLabels,
    facts: Facts,
    before: Clocks,
    after: Clocks,
    *,
    again: bool = False,
) -> Outcome:
    """Adds the new rows to the store and tells what they change.

    `store.undo()` takes the rows out again.

    Args:
        store, predictions, labels, facts: what meets.
        before, after: the log clocks at the two ends of the step.
        again: rows are added again after a restart: the store may hold labels that these
            predictions had already, and what changes is of no interest.
    """
    store.mark_undo()
    first = (len(store.predictions.rows), len(store.labels.rows))
    outcome = Outcome(np.zeros(len(predictions.rows), np.bool_), [], [], [], [], [], [], [])
    store.add_predictions(predictions)
    seen_labels = store.add_labels(labels)
    strange = _strange_predictions(store, predictions, first, facts.rules, again=again)
    store.predictions.mark(np.full(len(strange), HEAD), first[0] + strange)
    single, odd = _single_predictions(store, labels, first[1], seen_labels, facts)
    closing = [] if again else _closing(store, facts, before, after)
    keys = _distinct([predictions.keys.take(strange), labels.keys.take(odd), *closing])
    if len(keys.hash):
        simple = _decide(store, keys, facts, before, after, first, outcome)
        single = single.take(simple[single.query])
    _simple(store, labels, single, facts, first[1], outcome)
    return outcome


def _strange_predictions(
    store: PendingStore,
    new: NewPredictions,
    first: tuple[int, int],
    rules: RuleTable,
    *,
    again: bool,
) -> I64:
    """New predictions that are complex by themselves."""
    if not len(new.rows):
        return np.empty(0, np.int64)
    before = store.predictions.index.before
    mine = before[first[0] :]
    strange = mine >= 0
    strange[mine[mine >= first[0]] - first[0]] = True
    for found in store.predictions.find_segments(new.keys, new.id_ms):
        strange[found.query] = True
    label = store.labels.index.find(new.keys)
    has = label >= 0
    if has.any():
        label = label[has]
        strange[has] |= (label < first[1]) | (store.labels.index.before[label] >= 0)
    early = int(rules.prediction_window_ms.max())
    from_ms = int(new.rows["clock_ms"][0]) - early
    for found in store.labels.find_segments(new.keys, None, apart_only=not again, from_ms=from_ms):
        strange[found.query] = True
    return np.flatnonzero(strange)


def _single_predictions(
    store: PendingStore, new: NewLabels, first: int, seen: Bools, facts: Facts
) -> tuple[Found, I64]:
    """The predictions of simple labels, and the labels that are complex by themselves."""
    side = store.predictions
    newest = side.index.find(new.keys)
    head = np.flatnonzero(newest >= 0)
    parts = [
        Found(head, np.full(len(head), HEAD), newest[head], side.rows.values.take(newest[head]))
    ]
    odd = seen.copy()
    twice = store.labels.index.before[first:]
    odd[twice[twice >= first] - first] = True
    odd[head[side.index.before[newest[head]] >= 0]] = True
    parts += side.find_segments(new.keys, new.id_ms)
    found = joined_found(parts, PREDICTION)
    if len(parts) > 1:
        odd |= np.bincount(found.query, minlength=len(odd)) > 1
    rows = found.rows
    strange = side.marked(found.source, found.place)
    strange |= rows["flags"] & DUPLICATE != 0
    task = facts.task_of_group[new.rows["group"][found.query]]
    strange |= facts.task_of_series[rows["series"]] != task
    odd[found.query[strange]] = True
    matched = np.zeros(len(odd), np.bool_)
    matched[found.query] = True
    return found.take(~odd[found.query]), np.flatnonzero(odd & matched)


def _closing(store: PendingStore, facts: Facts, before: Clocks, after: Clocks) -> list[Keys]:
    """Keys of the generations with a default label whose window closes in this step."""
    if not facts.rules.has_defaults or after.both_ms <= before.both_ms:
        return []
    found = []
    windows = facts.rules.label_window_ms
    side = store.predictions
    parts = [(side.index.keys, side.rows.values)]
    for segment in side.segments:
        if (
            segment.from_clock_ms + int(windows.min()) < after.both_ms
            and segment.to_clock_ms + int(windows.max()) >= before.both_ms
        ):
            parts += [(run.keys, run.rows) for run in segment.runs]
    for keys, rows in parts:
        closes = rows["clock_ms"] + windows[rows["rule"]]
        at = np.flatnonzero((closes >= before.both_ms) & (closes < after.both_ms))
        chosen = rows.take(at)
        default = facts.default[chosen["rule"], facts.task_of_series[chosen["series"]]]
        found.append(keys.take(at[default != NO_CLASS]))
    return found


def _distinct(parts: list[Keys]) -> Keys:
    """Each key once."""
    keys = joined(parts)
    order = np.lexsort((keys.low, keys.hash))
    keys = keys.take(order)
    new = np.ones(len(order), np.bool_)
    new[1:] = (keys.hash[1:] != keys.hash[:-1]) | (keys.low[1:] != keys.low[:-1])
    return keys.take(new)


def _decide(
    store: PendingStore,
    keys: Keys,
    facts: Facts,
    before: Clocks,
    after: Clocks,
    first: tuple[int, int],
    outcome: Outcome,
) -> Bools:
    """Decides complex ids into the outcome; returns which new labels are none of theirs."""
    found = store.predictions.find(keys, id_time_ms(ids_of(keys)[:, 0]))
    waiting = store.labels.find(keys)
    is_new = (found.source == HEAD) & (found.place >= first[0])
    label_new = (waiting.source == HEAD) & (waiting.place >= first[1])
    series, group = found.rows["series"], waiting.rows["group"]
    task = facts.task_of_series[series]
    tasks = len(facts.default[0])
    predictions = groups.Predictions(
        group=found.query * tasks + task,
        order=found.source << 32 | found.rows["seq"],
        version=facts.version_of_series[series],
        rows=found.rows,
        new=is_new,
        default=facts.default[found.rows["rule"], task],
    )
    labels = groups.Labels(
        group=waiting.query * tasks + facts.task_of_group[group],
        order=waiting.source << 32 | waiting.rows["seq"],
        rank=facts.rank_of_group[group],
        rows=waiting.rows,
        new=label_new,
    )
    decided = groups.decide(predictions, labels, facts.rules, before, after)
    _note(store, found, waiting, decided, is_new, first[0], outcome)
    _report(found, waiting, labels, predictions, decided, keys, facts, outcome)
    simple = np.ones(len(store.labels.rows) - first[1], np.bool_)
    simple[waiting.place[label_new] - first[1]] = False
    return simple


def _note(
    store: PendingStore,
    found: Found,
    waiting: Found,
    decided: Decided,
    is_new: Bools,
    first: int,
    outcome: Outcome,
) -> None:
    """Writes into the store's new rows what was decided about them."""
    again = found.place[decided.duplicate]
    store.predictions.rows.values["flags"][again] |= DUPLICATE
    outcome.duplicate[again - first] = True
    head = waiting.place[waiting.source == HEAD]
    store.labels.rows.values["waiting"][head] = 1
    if len(waiting.query):
        store.predictions.mark(found.source, found.place)


def _report(
    found: Found,
    waiting: Found,
    labels: groups.Labels,
    predictions: groups.Predictions,
    decided: Decided,
    keys: Keys,
    facts: Facts,
    outcome: Outcome,
) -> None:
    """Adds what was decided to the outcome."""
    minute = found.rows["event_ms"] // MINUTE_MS
    series = found.rows["series"].astype(np.int64)
    outcome.superseded.append(_counted(series, minute, decided.superseded))
    outcome.overflow.append(_counted(series, minute, decided.overflow))
    label_minute = waiting.rows["time_us"] // MINUTE_US
    task = facts.task_of_group[waiting.rows["group"]]
    outcome.unmatched.append(_counted(task, label_minute, decided.unmatched))
    changed = decided.before != decided.after
    truth = [
        _truth(winner, predictions, waiting.rows) for winner in (decided.before, decided.after)
    ]
    for winner, classes, parts in (
        (decided.before, truth[0], outcome.taken_back),
        (decided.after, truth[1], outcome.added),
    ):
        at = np.flatnonzero(changed & (classes >= 0))
        parts.append(_matched(found.take(at), classes[at], winner[at], waiting.rows))
    _report_pairs(found.rows, predictions, decided, truth, outcome)
    kept = np.flatnonzero(changed & (found.rows["flags"] & KEPT != 0))
    if len(kept):
        label = np.where(truth[1][kept] >= 0, decided.after[kept], NO_LABEL)
        outcome.relabelled.append(
            Relabelled(keys.take(found.query[kept]), found.rows.take(kept), label, waiting.rows)
        )


def _truth(winner: I64, predictions: groups.Predictions, labels: Rows) -> I64:
    """The class that is true of each prediction; NO_CLASS while none is."""
    truth = np.full(len(winner), NO_CLASS)
    by_label = winner >= 0
    classes = labels["true_class"][winner[by_label]].astype(np.int64)
    truth[by_label] = np.where(classes == RETRACTED, NO_CLASS, classes)
    default = winner == BY_DEFAULT
    truth[default] = predictions.default[default]
    return truth


def _matched(found: Found, classes: I64, winner: I64, labels: Rows) -> Matched:
    arrival = np.full(len(winner), NO_ARRIVAL)
    by_label = winner >= 0
    arrival[by_label] = labels["arrival_ms"][winner[by_label]]
    return Matched(found, classes.astype(np.uint32), arrival)


def _report_pairs(
    rows: Rows,
    predictions: groups.Predictions,
    decided: Decided,
    truth: list[I64],
    outcome: Outcome,
) -> None:
    """PAIR cells that come and go."""
    first, second = decided.first, decided.second
    if not len(first):
        return
    then = np.where(predictions.new[second], NO_CLASS, truth[0][first])
    now = truth[1][first]
    for classes, change in ((then, -1), (now, 1)):
        at = np.flatnonzero((classes >= 0) & (then != now))
        outcome.pairs.append(
            VersionPairs(
                rows.take(first[at]), rows.take(second[at]), classes[at], np.full(len(at), change)
            )
        )


def _simple(
    store: PendingStore,
    labels: NewLabels,
    single: Found,
    facts: Facts,
    first: int,
    outcome: Outcome,
) -> None:
    """Decides simple labels: those of one prediction each, and those of none."""
    mine = labels.rows.take(single.query)
    late = mine["clock_ms"] - single.rows["clock_ms"]
    inside = late <= facts.rules.label_window_ms[single.rows["rule"]]
    inside &= -late <= facts.rules.prediction_window_ms[mine["rule"]]
    if not inside.all():
        single, mine = single.take(inside), mine.take(np.flatnonzero(inside))
    store.predictions.mark(single.source, single.place)
    paired = np.zeros(len(labels.rows), np.bool_)
    paired[single.query] = True
    waiting = store.labels.rows.values["waiting"][first:]
    alone = ~paired & (waiting == 0)
    at = np.flatnonzero(alone)
    waiting[at] = 1
    rows = labels.rows.take(at)
    outcome.unmatched.append(
        Counted(
            facts.task_of_group[rows["group"]], rows["time_us"] // MINUTE_US, np.ones(len(at), int)
        )
    )
    true = np.flatnonzero(mine["true_class"] != RETRACTED)
    if len(true) < len(mine):
        single, mine = single.take(true), mine.take(true)
    outcome.added.append(Matched(single, mine["true_class"], mine["arrival_ms"]))
    kept = np.flatnonzero(single.rows["flags"] & KEPT)
    if len(kept):
        outcome.relabelled.append(
            Relabelled(labels.keys.take(single.query[kept]), single.rows.take(kept), kept, mine)
        )


def _counted(series: I64, minute: I64, change: I64) -> Counted:
    at = np.flatnonzero(change)
    return Counted(series[at], minute[at], change[at])
