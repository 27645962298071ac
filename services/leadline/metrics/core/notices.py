"""What a reader should know before trusting a figure, in words, with what to do.

Each rule is a function of the counts of one scope; `notices` asks them in the order in which a
person should read. A share is judged only among at least `EVENTS_MIN` events, so that the first
few requests after a start raise nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadline.metrics.core.figures import LABELS_FEW
from leadline.metrics.core.scope import Position
from leadline.metrics.core.view import Counts
from leadline.records.batches import UnobservedReason

EVENTS_MIN = 50
"""Below so many events a share says nothing yet."""
SHARE_SMALL = 0.01
"""Duplicates, clamped times and unobserved requests above this share are no accident."""
UNMATCHED_SHARE = 0.2
"""Labels often come first; when a fifth of them waits, ids probably do not fit."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know.

    Attributes:
        code: a stable word for scripts.
        text: what was found, one sentence.
        remedy: what to do, one sentence.
    """

    code: str
    text: str
    remedy: str


MERGED = Notice(
    "merged_classes",
    "Classes are merged: the scores of a merged class cannot be known, so top-k, curves, "
    "thresholds and calibration of it are left out.",
    "Ask without merges for what rests on scores.",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules judge.

    Attributes:
        counts: of the scope.
        predictions, labelled: of the scope.
        declared: whether the model has a declaration.
        id_from: where the declaration takes ids from; empty when not declared.
        vector: all shards.
    """

    model: str
    counts: Counts
    predictions: int
    labelled: int
    declared: bool
    id_from: str
    vector: Sequence[Position]


_UNOBSERVED = {
    UnobservedReason.QUEUE_FULL: (
        "the producer's queue was full",
        "Lower log_rate, or give the log more throughput.",
    ),
    UnobservedReason.LOG_FAILED: (
        "the log did not take them in time",
        "Check that the log is reachable and its disk is not full.",
    ),
    UnobservedReason.SHARED_MEMORY: (
        "their outputs are in shared memory",
        "Log these predictions with leadline.client, or let the outputs travel in the answer.",
    ),
    UnobservedReason.STREAM: (
        "they are streams, which pass unread",
        "Log these predictions with leadline.client.",
    ),
    UnobservedReason.OUTPUT_MISSING: (
        "the answer lacks the declared output",
        "Name the output that holds the scores: output.name in the model's declaration.",
    ),
    UnobservedReason.SCORE_RANGE: (
        "scores are outside [0, 1]",
        "They look like logits: declare the output's form: softmax or sigmoid.",
    ),
    UnobservedReason.OPTED_OUT: (
        "the requests asked not to be logged",
        "Nothing, if that is meant; the figures speak for the other requests only.",
    ),
}


def notices(facts: Facts) -> tuple[Notice, ...]:
    """What applies to the scope, the gravest first."""
    rules = (
        _stopped,
        _duplicates,
        _unobserved,
        _unmatched,
        _clamped,
        _defaulted,
        _labels,
        _undeclared,
    )
    return tuple(notice for rule in rules for notice in rule(facts))


def _stopped(facts: Facts) -> Iterator[Notice]:
    stopped = [each for each in facts.vector if each.stopped]
    if stopped:
        first = stopped[0]
        yield Notice(
            "shard_stopped",
            f"{len(stopped)} of {len(facts.vector)} shards stand still; {first.shard}: "
            f"{first.stopped}",
            first.remedy or "See GetStatus for the cause of each shard.",
        )


def _duplicates(facts: Facts) -> Iterator[Notice]:
    duplicates = facts.counts.duplicates
    share = _share(duplicates, facts.predictions + duplicates)
    if share > SHARE_SMALL:
        where = "" if facts.id_from in {"", "fresh"} else f" (now id_from: {facts.id_from})"
        yield Notice(
            "duplicate_ids",
            f"{_percent(share)} of the predictions repeat an id and are not counted: "
            "request ids often collide.",
            f"Use fresh ids (id_from: fresh){where}, and label by the id that is returned.",
        )


def _unobserved(facts: Facts) -> Iterator[Notice]:
    total = sum(count for _, count in facts.counts.unobserved)
    share = _share(total, facts.predictions + total)
    if share <= SHARE_SMALL:
        return
    reason, count = max(facts.counts.unobserved, key=lambda each: each[1])
    known = set(UnobservedReason)
    cause, remedy = (
        _UNOBSERVED[UnobservedReason(reason)]
        if reason in known
        else (f"reason {reason}", "Upgrade the metric service to one that knows this reason.")
    )
    yield Notice(
        "unobserved",
        f"{_percent(share)} of the requests were answered and not logged, "
        f"{count} of {total} because {cause}.",
        remedy,
    )


def _unmatched(facts: Facts) -> Iterator[Notice]:
    unmatched = facts.counts.unmatched
    share = _share(unmatched, unmatched + facts.labelled)
    if share > UNMATCHED_SHARE:
        yield Notice(
            "unmatched_labels",
            f"{unmatched} labels of this task ({_percent(share)}) wait for a prediction "
            "of their id.",
            "Check that labels carry the id under which the prediction was logged; early labels "
            "need nothing.",
        )


def _clamped(facts: Facts) -> Iterator[Notice]:
    clamped = facts.counts.clamped
    share = _share(clamped, facts.predictions + facts.labelled)
    if share > SHARE_SMALL:
        yield Notice(
            "clamped_times",
            f"{clamped} events ({_percent(share)}) have a time far from when the log took them, "
            "and were moved to the bound.",
            "Set the producers' clocks, or mark history as imported.",
        )


def _defaulted(facts: Facts) -> Iterator[Notice]:
    defaulted = facts.counts.defaulted
    if defaulted:
        yield Notice(
            "default_labels",
            f"{defaulted} of the {facts.labelled} labels are the task's default: for these "
            "predictions no label came in its window.",
            "Nothing, if a missing label means that class; else take the default label out of the "
            "rules.",
        )


def _labels(facts: Facts) -> Iterator[Notice]:
    if not facts.predictions or facts.labelled >= LABELS_FEW:
        return
    if not facts.labelled:
        yield Notice(
            "no_labels",
            f"None of the {facts.predictions} predictions is labelled yet.",
            "Send labels with ReportLabels, `leadline labels import`, or to the topic `labels`.",
        )
        return
    yield Notice(
        "few_labels",
        f"Only {facts.labelled} labels: the figures may change much.",
        f"Wait for {LABELS_FEW - facts.labelled} more labels, or choose a longer window.",
    )


def _undeclared(facts: Facts) -> Iterator[Notice]:
    if not facts.declared:
        yield Notice(
            "undeclared_model",
            "The model is counted by class number, since it is not declared.",
            f"Declare {facts.model!r} with `leadline models apply FILE` to name its classes.",
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole >= EVENTS_MIN else 0.0


def _percent(share: float) -> str:
    """A share in words, rounded as a person would.

    >>> _percent(0.0123), _percent(0.27), _percent(0.9999)
    ('1.2 %', '27 %', '99.99 %')
    """
    if 0.1 <= share <= 0.99:
        return f"{share * 100:.0f} %"
    return f"{share * 100:.2f} %" if share > 0.99 else f"{share * 100:.1f} %"
