"""One step of the join: what new predictions and labels change, given all that waits.

Most events are simple: a prediction whose id nobody has seen, a label whose id has one prediction
and no other label. They are decided here in a few array operations. Every other id is *complex*:
all its waiting rows are gathered and decided by the rules in full (`groups.py`). The two ways agree
where both apply; which one is taken is a matter of speed alone.

    new prediction   complex when its id has another prediction, or more than one label
    new label        complex when its id has several predictions or labels, or its one prediction
                     may have labels already, is a duplicate, or is of another task
    any generation   complex when its window closes in this step and its task has a default label
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from leadline.metrics.core import groups
from leadline.metrics.core.groups import BY_DEFAULT, NO_LABEL, Clocks, Decided
from leadline.metrics.core.keys import Keys, id_time_ms, ids_of, joined
from leadline.metrics.core.rows import (
    DUPLICATE,
    I64,
    KEPT,
    LABEL,
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
    clocks: tuple[Clocks, Clocks],
    *,
    again: bool = False,
) -> Outcome:
    """Adds the new rows to the store and tells what they change; `store.undo()` takes them out.

    Args:
        store: what waits.
        predictions: in log order.
        labels: in log order.
        facts: what the numbers in rows stand for.
        clocks: the log clocks before and after the step.
        again: rows are added again after a restart: the store may hold labels that these
            predictions had already, and what changes is of no interest.
    """
    return _Step(store, predictions, labels, facts, clocks, again=again).run()


class _Step:
    """One step while it is decided; the arguments are those of `step`."""

    def __init__(
        self,
        store: PendingStore,
        predictions: NewPredictions,
        labels: NewLabels,
        facts: Facts,
        clocks: tuple[Clocks, Clocks],
        *,
        again: bool,
    ) -> None:
        self._store, self._facts = store, facts
        self._new, self._labels = predictions, labels
        self._before, self._after = clocks
        self._again = again
        self._first = (len(store.predictions.rows), len(store.labels.rows))
        none = np.zeros(len(predictions.rows), np.bool_)
        self._outcome = Outcome(none, [], [], [], [], [], [], [])

    def run(self) -> Outcome:
        store = self._store
        store.mark_undo()
        store.add_predictions(self._new)
        seen = store.add_labels(self._labels)
        strange, early = self._strange_predictions()
        store.predictions.mark(np.full(len(strange), HEAD), self._first[0] + strange)
        single, odd = self._single_predictions(seen)
        keys = _distinct(
            [self._new.keys.take(strange), self._labels.keys.take(odd), *self._closing()]
        )
        if len(keys.hash):
            simple, simple_label = self._decide(keys)
            single = single.take(np.flatnonzero(simple_label[single.query]))
            early = early.take(np.flatnonzero(simple[early.query]))
        self._count_simple(single)
        self._count_early(early)
        return self._outcome

    # ------------------------------------------------------------------ which are complex

    def _strange_predictions(self) -> tuple[I64, Found]:
        """New predictions that are complex by themselves, and the single labels waiting for others.

        Of a label `query` is the new prediction that it waited for.
        """
        if not len(self._new.rows):
            return np.empty(0, np.int64), joined_found([], LABEL)
        store, (first, first_label) = self._store, self._first
        before = store.predictions.index.before[first:]
        strange = before >= 0
        strange[before[before >= first] - first] = True
        for found in store.predictions.find_segments(self._new.keys, self._new.id_ms):
            strange[found.query] = True
        label = store.labels.index.find(self._new.keys)
        query = np.flatnonzero(label >= 0)
        label = label[query]
        several = store.labels.index.before[label] >= 0
        strange[query[several]] = True
        alone = ~several & (label < first_label)
        query, label = query[alone], label[alone]
        rows = store.labels.rows.values.take(label)
        task = self._facts.task_of_series[self._new.rows["series"][query]]
        other = self._facts.task_of_group[rows["group"]] != task
        strange[query[other | (rows["waiting"] == 0)]] = True
        early_ms = int(self._facts.rules.prediction_window_ms.max())
        for found in store.labels.find_segments(
            self._new.keys,
            None,
            apart_only=not self._again,
            from_ms=int(self._new.rows["clock_ms"][0]) - early_ms,
        ):
            strange[found.query] = True
        early = Found(query, np.full(len(query), HEAD), label, rows)
        return np.flatnonzero(strange), early.take(np.flatnonzero(~strange[query]))

    def _single_predictions(self, seen: Bools) -> tuple[Found, I64]:
        """The predictions of simple labels, and the labels that are complex by themselves.

        Args:
            seen: which labels' ids have an earlier label in the head.
        """
        side, labels, first = self._store.predictions, self._labels, self._first[1]
        newest = side.index.find(labels.keys)
        head = np.flatnonzero(newest >= 0)
        place = newest[head]
        rows = side.rows.values.take(place)
        parts = [Found(head, np.full(len(head), HEAD), place, rows)]
        parts += side.find_segments(labels.keys, labels.id_ms)
        found = joined_found(parts, PREDICTION)
        odd = seen.copy()
        before = self._store.labels.index.before[first:]
        odd[before[before >= first] - first] = True
        odd[head[side.index.before[place] >= 0]] = True
        if len(parts) > 1:
            odd |= np.bincount(found.query, minlength=len(odd)) > 1
        strange = side.marked(found.source, found.place)
        strange |= found.rows["flags"] & DUPLICATE != 0
        task = self._facts.task_of_group[labels.rows["group"][found.query]]
        strange |= self._facts.task_of_series[found.rows["series"]] != task
        odd[found.query[strange]] = True
        matched = np.zeros(len(odd), np.bool_)
        matched[found.query] = True
        return found.take(np.flatnonzero(~odd[found.query])), np.flatnonzero(odd & matched)

    def _closing(self) -> Iterator[Keys]:
        """Keys of the generations with a default label whose window closes in this step."""
        facts, begin, end = self._facts, self._before.both_ms, self._after.both_ms
        if self._again or not facts.rules.has_defaults or end <= begin:
            return
        windows, side = facts.rules.label_window_ms, self._store.predictions
        parts = [(side.index.keys, side.rows.values)]
        for segment in side.segments:
            if (
                segment.from_clock_ms + int(windows.min()) < end
                and segment.to_clock_ms + int(windows.max()) >= begin
            ):
                parts += segment.parts()
        for keys, rows in parts:
            closes = rows["clock_ms"] + windows[rows["rule"]]
            at = np.flatnonzero((closes >= begin) & (closes < end))
            chosen = rows.take(at)
            default = facts.default[chosen["rule"], facts.task_of_series[chosen["series"]]]
            yield keys.take(at[default != NO_CLASS])

    # ------------------------------------------------------------------ complex ids

    def _decide(self, keys: Keys) -> tuple[Bools, Bools]:
        """Decides complex ids; returns which new predictions and labels are none of theirs."""
        store, facts, (first, first_label) = self._store, self._facts, self._first
        found = store.predictions.find(keys, id_time_ms(ids_of(keys)[:, 0]))
        waiting = store.labels.find(keys)
        is_new = (found.source == HEAD) & (found.place >= first)
        label_new = (waiting.source == HEAD) & (waiting.place >= first_label)
        series, group = found.rows["series"], waiting.rows["group"]
        task, tasks = facts.task_of_series[series], len(facts.default[0])
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
        decided = groups.decide(predictions, labels, facts.rules, self._before, self._after)
        self._note(found, waiting, decided)
        self._report(found, waiting, predictions, decided)
        self._report_cases(keys, found, waiting, predictions, decided)
        simple = np.ones(len(self._new.rows), np.bool_)
        simple[found.place[is_new] - first] = False
        simple_label = np.ones(len(self._labels.rows), np.bool_)
        simple_label[waiting.place[label_new] - first_label] = False
        return simple, simple_label

    def _note(self, found: Found, waiting: Found, decided: Decided) -> None:
        """Writes into the store's rows what was decided about them."""
        store = self._store
        again = found.place[decided.duplicate]
        store.predictions.rows.values["flags"][again] |= DUPLICATE
        self._outcome.duplicate[again - self._first[0]] = True
        store.labels.rows.values["waiting"][waiting.place[waiting.source == HEAD]] = 1
        if len(waiting.query):
            store.predictions.mark(found.source, found.place)

    def _report(
        self, found: Found, waiting: Found, predictions: groups.Predictions, decided: Decided
    ) -> None:
        """Adds what was decided to the outcome."""
        outcome = self._outcome
        minute = found.rows["event_ms"] // MINUTE_MS
        series = found.rows["series"].astype(np.int64)
        outcome.superseded.append(_counted(series, minute, decided.superseded))
        outcome.overflow.append(_counted(series, minute, decided.overflow))
        task = self._facts.task_of_group[waiting.rows["group"]]
        label_minute = waiting.rows["time_us"] // MINUTE_US
        outcome.unmatched.append(_counted(task, label_minute, decided.unmatched))
        changed = decided.before != decided.after
        then = _truth(decided.before, predictions, waiting.rows)
        now = _truth(decided.after, predictions, waiting.rows)
        for winner, truth, parts in (
            (decided.before, then, outcome.taken_back),
            (decided.after, now, outcome.added),
        ):
            at = np.flatnonzero(changed & (truth != NO_CLASS))
            parts.append(_matched(found.take(at), truth[at], winner[at], waiting.rows))
        first, second = decided.first, decided.second
        paired = np.where(predictions.new[second], NO_CLASS, then[first])
        for truth, change in ((paired, -1), (now[first], 1)):
            at = np.flatnonzero((truth != NO_CLASS) & (paired != now[first]))
            changes = np.full(len(at), change)
            outcome.pairs.append(
                VersionPairs(
                    found.rows.take(first[at]), found.rows.take(second[at]), truth[at], changes
                )
            )

    def _report_cases(
        self,
        keys: Keys,
        found: Found,
        waiting: Found,
        predictions: groups.Predictions,
        decided: Decided,
    ) -> None:
        """Kept predictions whose label changed."""
        kept = (decided.before != decided.after) & (found.rows["flags"] & KEPT != 0)
        at = np.flatnonzero(kept)
        if len(at):
            now = _truth(decided.after, predictions, waiting.rows)[at]
            label = np.where(now != NO_CLASS, decided.after[at], NO_LABEL)
            self._outcome.relabelled.append(
                Relabelled(keys.take(found.query[at]), found.rows.take(at), label, waiting.rows)
            )

    # ------------------------------------------------------------------ simple pairs

    def _count_early(self, early: Found) -> None:
        """Single labels that waited for a new prediction: those in its window wait no longer."""
        if not len(early.query):
            return
        rules, first = self._facts.rules, self._first[0]
        rows = self._store.predictions.rows.values.take(first + early.query)
        late = early.rows["clock_ms"] - rows["clock_ms"]
        inside = late <= rules.label_window_ms[rows["rule"]]
        inside &= -late <= rules.prediction_window_ms[early.rows["rule"]]
        at = np.flatnonzero(inside)
        early, rows = early.take(at), rows.take(at)
        head = np.full(len(at), HEAD)
        self._store.predictions.mark(head, first + early.query)
        task = self._facts.task_of_group[early.rows["group"]]
        minute = early.rows["time_us"] // MINUTE_US
        self._outcome.unmatched.append(Counted(task, minute, np.full(len(at), -1)))
        found = Found(early.query, head, first + early.query, rows)
        self._add_pairs(self._new.keys, found, early.rows)

    def _add_pairs(self, keys: Keys, found: Found, labels: Rows) -> None:
        """Predictions with the label that is theirs from now on; `query` counts in `keys`."""
        true = np.flatnonzero(labels["true_class"] != RETRACTED)
        if len(true) < len(labels):
            found, labels = found.take(true), labels.take(true)
        self._outcome.added.append(Matched(found, labels["true_class"], labels["arrival_ms"]))
        kept = np.flatnonzero(found.rows["flags"] & KEPT)
        if len(kept):
            own = keys.take(found.query[kept])
            self._outcome.relabelled.append(Relabelled(own, found.rows.take(kept), kept, labels))

    def _count_simple(self, single: Found) -> None:
        """Decides simple labels: those of one prediction each, and those of none."""
        facts, labels = self._facts, self._labels
        mine = labels.rows.take(single.query)
        late = mine["clock_ms"] - single.rows["clock_ms"]
        inside = late <= facts.rules.label_window_ms[single.rows["rule"]]
        inside &= -late <= facts.rules.prediction_window_ms[mine["rule"]]
        if not inside.all():
            at = np.flatnonzero(inside)
            single, mine = single.take(at), mine.take(at)
        self._store.predictions.mark(single.source, single.place)
        self._count_unmatched(single)
        self._add_pairs(labels.keys, single, mine)

    def _count_unmatched(self, single: Found) -> None:
        """Simple labels that are in the window of no prediction; they wait."""
        waiting = self._store.labels.rows.values["waiting"][self._first[1] :]
        alone = waiting == 0  # complex ones are marked by now
        alone[single.query] = False
        at = np.flatnonzero(alone)
        if not len(at):
            return
        waiting[at] = 1
        rows = self._labels.rows.take(at)
        task = self._facts.task_of_group[rows["group"]]
        minute = rows["time_us"] // MINUTE_US
        self._outcome.unmatched.append(Counted(task, minute, np.ones(len(at), np.int64)))


def _distinct(parts: list[Keys]) -> Keys:
    """Each key once."""
    keys = joined(parts)
    keys = keys.take(np.lexsort((keys.low, keys.hash)))
    new = np.ones(len(keys.hash), np.bool_)
    new[1:] = (keys.hash[1:] != keys.hash[:-1]) | (keys.low[1:] != keys.low[:-1])
    return keys.take(np.flatnonzero(new))


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


def _counted(series: I64, minute: I64, change: I64) -> Counted:
    at = np.flatnonzero(change)
    return Counted(series[at], minute[at], change[at])
