"""From what a step changes to cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from leadline.metrics.core.fold import NO_DELAY, Pairs, Scored, fold_pairs, no_pairs, ranks_of
from leadline.metrics.core.match import (
    MINUTE_MS,
    NO_ARRIVAL,
    Counted,
    Matched,
    Outcome,
    VersionPairs,
)
from leadline.metrics.core.numbering import SeriesNumbers
from leadline.metrics.core.rows import BAND_SHIFT, I64, PREDICTION, Form, Rows
from leadline.metrics.core.rule_table import RuleTable
from leadline.metrics.core.store import Found, PendingStore, distinct, joined_found
from leadline.records.batches import U32
from leadline.records.cells import STRATUM_CLASSES_MAX, CellKind, Cells, Series, count


def cells_of_outcome(
    store: PendingStore, series: SeriesNumbers, rules: RuleTable, outcome: Outcome
) -> Iterator[Cells]:
    """Normalised cells of each part of an outcome."""
    yield fold_pairs(_pairs(store, rules, outcome.added), _pairs(store, rules, outcome.taken_back))
    yield from _counted(CellKind.SUPERSEDED, outcome.superseded)
    yield from _counted(CellKind.PAIR_OVERFLOW, outcome.overflow)
    tasks = series.tasks.names
    for part in outcome.unmatched:
        if len(part.series):
            known = distinct(part.series)
            numbers = [series.number(Series(task=str(tasks[task]))) for task in known]
            own = np.array(numbers, np.int64)[np.searchsorted(known, part.series)]
            yield from _counted(CellKind.UNMATCHED, [part._replace(series=own)])
    for pairs in outcome.pairs:
        yield from _version_pairs(series, pairs)


def _pairs(store: PendingStore, rules: RuleTable, parts: list[Matched]) -> Pairs:
    kept = [part for part in parts if len(part.true_class)]
    if not kept:
        return no_pairs()
    found = joined_found([part.found for part in kept], PREDICTION)
    true_class: U32 = np.concatenate([part.true_class for part in kept])
    arrival_ms: I64 = np.concatenate([part.arrival_ms for part in kept])
    rows = found.rows
    event_ms = np.ascontiguousarray(rows["event_ms"])
    predicted = np.ascontiguousarray(rows["predicted"])
    scored = list(_scored(store, found))
    rank = ranks_of(true_class, None, predicted)
    for _, part in scored:
        at = slice(None) if part.at is None else part.at
        own = Scored(None, part.classes, part.codes)
        rank[at] = ranks_of(true_class[at], own, predicted[at])
    return Pairs(
        series=np.ascontiguousarray(rows["series"]),
        minute=(event_ms // MINUTE_MS).astype(np.uint32),
        predicted=predicted,
        true_class=true_class,
        rank=rank,
        delay_ms=np.where(arrival_ms == NO_ARRIVAL, NO_DELAY, arrival_ms - event_ms),
        scored=tuple(_counting(rows, rules, scored)),
        **_strata(rows, rules),
    )


def _strata(rows: Rows, rules: RuleTable) -> dict[str, Any]:
    """The columns `band` and `in_strata` of pairs."""
    at = strata_rows(rows, rules)
    if at is not None and not len(at):
        return {}
    return {"band": rows["flags"] >> np.uint8(BAND_SHIFT), "in_strata": at}


def strata_rows(rows: Rows, rules: RuleTable) -> I64 | None:
    """Numbers of the predictions whose strata count; None for all."""
    counts = rows["predicted"] < STRATUM_CLASSES_MAX
    if not rules.strata.all():
        counts &= rules.strata[rows["rule"]]
    return None if counts.all() else np.flatnonzero(counts)


def _scored(store: PendingStore, found: Found) -> Iterator[tuple[Form, Scored]]:
    for form, at, codes in store.codes(found):
        everything = len(at) == len(found.query)
        yield form, Scored(None if everything else at, codes.classes, codes.codes)


def _counting(rows: Rows, rules: RuleTable, scored: list[tuple[Form, Scored]]) -> Iterator[Scored]:
    """The scores that count: where there are any, and the rule has the kind."""
    for form, part in scored:
        if not form.scored:
            continue
        if rules.scores.all():
            yield part
            continue
        at = np.arange(len(rows)) if part.at is None else part.at
        mine = np.flatnonzero(rules.scores[rows["rule"][at]])
        classes = None if part.classes is None else part.classes[mine]
        yield Scored(at[mine], classes, part.codes[mine])


def _counted(kind: CellKind, parts: list[Counted]) -> Iterator[Cells]:
    for part in parts:
        if len(part.series):
            yield count(
                kind, part.series.astype(np.uint32), part.minute.astype(np.uint32), 0, part.change
            )


def _version_pairs(series: SeriesNumbers, pairs: VersionPairs) -> Iterator[Cells]:
    if not len(pairs.true_class):
        return
    known, place = np.unique(pairs.second["series"], return_inverse=True)
    plain = []
    for number in known.tolist():
        own = series[number]
        plain.append(series.number(Series(own.model, own.version, own.task)))
    second = np.array(plain, np.uint64)[place]
    right = pairs.first["predicted"] == pairs.true_class
    other = pairs.second["predicted"] == pairs.true_class
    index = pairs.true_class.astype(np.uint64) << np.uint64(32) | second << np.uint64(2)
    index |= right.astype(np.uint64) << np.uint64(1) | other.astype(np.uint64)
    minute = (pairs.first["event_ms"] // MINUTE_MS).astype(np.uint32)
    yield count(
        CellKind.PAIR, np.ascontiguousarray(pairs.first["series"]), minute, index, pairs.change
    )
