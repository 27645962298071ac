"""Cases: kept predictions as they begin, and the labels that count for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from leadline.metrics.core.groups import BY_DEFAULT
from leadline.metrics.core.keys import ids_of
from leadline.metrics.core.match import Facts, Relabelled
from leadline.metrics.core.numbering import Numbers, SeriesNumbers
from leadline.metrics.core.rows import I64, Bools, Rows
from leadline.records.batches import PredictionBatch
from leadline.records.cases import Case, CaseLabel, CaseRelabel
from leadline.records.ids import sample_hash, unpack_id

TOP_SHOWN = 5
"""Classes with their scores that a case keeps for people."""
DEFAULT_SOURCE = "default"
"""Who says a default label."""


def cases_of_batch(
    batch: PredictionBatch, clock_ms: I64, event_us: I64
) -> Iterator[tuple[int, Case]]:
    """The kept rows of a batch as cases without a label: (row, case)."""
    if not batch.kept:
        return
    rows = [kept.row for kept in batch.kept]
    hashes = sample_hash(batch.ids[rows])
    for kept, hash_ in zip(batch.kept, hashes.tolist(), strict=True):
        row = kept.row
        top_classes, top_scores = _shown(batch, row)
        yield (
            row,
            Case(
                id=unpack_id(*batch.ids[row].tolist()),
                clock_ms=int(clock_ms[row]),
                model=batch.header.model,
                version=batch.header.version,
                task=batch.header.task,
                hash=hash_,
                event_time_us=int(event_us[row]),
                predicted=int(batch.predicted[row]),
                top_classes=top_classes,
                top_scores=top_scores,
                keep_probability=kept.probability,
                input_ref=kept.input_ref,
                input_uri=kept.input_uri,
                absence=kept.absence,
                id_text=kept.id_text,
                slices=tuple(
                    (column.name, column.values[int(column.codes[row])]) for column in batch.slices
                ),
            ),
        )


def new_cases(collected: Sequence[tuple[int, Case]], order: I64, duplicate: Bools) -> list[Case]:
    """Those that begin a generation.

    Args:
        collected: (row as it was added, case).
        order: int64 (n,), for each row of the step where it was as it was added.
        duplicate: bool (n,), by row of the step.
    """
    if not collected:
        return []
    added_duplicate = np.zeros(len(duplicate), np.bool_)
    added_duplicate[order] = duplicate
    return [case for row, case in collected if not added_duplicate[row]]


def relabels(
    parts: Sequence[Relabelled], series: SeriesNumbers, groups: Numbers, facts: Facts
) -> Iterator[CaseRelabel]:
    """Labels of cases that change."""
    for part in parts:
        ids = ids_of(part.keys).tolist()
        for at, label in enumerate(part.label.tolist()):
            row = part.rows[at]
            own = series[int(row["series"])]
            found = None
            if label >= 0:
                found = _given(row, part.labels[label], groups)
            elif label == BY_DEFAULT:
                found = _default(row, facts)
            yield CaseRelabel(
                own.model, own.version, own.task, unpack_id(*ids[at]), int(row["clock_ms"]), found
            )


def _given(row: Rows, label: Rows, groups: Numbers) -> CaseLabel:
    source = groups.names[int(label["group"])][2]  # type: ignore[index]
    return CaseLabel(
        true_class=int(label["true_class"]),
        source=str(source),
        label_time_us=int(label["time_us"]),
        delay_ms=int(label["arrival_ms"]) - int(row["event_ms"]),
        offset=int(label["offset"]),
    )


def _default(row: Rows, facts: Facts) -> CaseLabel:
    rule = int(row["rule"])
    closes_ms = int(row["clock_ms"]) + int(facts.rules.label_window_ms[rule])
    task = facts.task_of_series[int(row["series"])]
    return CaseLabel(
        true_class=int(facts.default[rule, task]),
        source=DEFAULT_SOURCE,
        label_time_us=closes_ms * 1000,
        delay_ms=closes_ms - int(row["event_ms"]),
        offset=-1,
    )


def _shown(batch: PredictionBatch, row: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The best classes of a row with their scores, best first."""
    if batch.scores is not None:
        scores = batch.scores[row]
        order = np.argsort(-scores, kind="stable")[:TOP_SHOWN]
        return tuple(order.tolist()), tuple(scores[order].tolist())
    if batch.top_classes is not None:
        classes = tuple(batch.top_classes[row, :TOP_SHOWN].tolist())
        if batch.top_scores is None:
            return classes, ()
        return classes, tuple(batch.top_scores[row, :TOP_SHOWN].tolist())
    return (int(batch.predicted[row]),), ()
