"""The join's words, and the port of the store in which its two halves wait for each other.

Rules (docs/design.md, rule 4), as far as they are built:

- A prediction is identified by (id, model, version); a later one of the same is a duplicate.
- A label is identified by (id, task) and counts for every version of the task that saw the id.
- Among the labels of an id the highest version wins, a version being (source rank, label time); the
  first offset wins among equals. Every label that does not win is *superseded*.
- A label whose id has no prediction yet is *unmatched*; it stops being so when one arrives.
- A winning label that retracts makes its predictions unlabelled.

    arrives      while              what changes
    prediction   identity is known  duplicate +1
    prediction   labels wait        unmatched -1 for each; superseded +1 for all but the winner
    prediction   a label wins       its pair +1
    label        no prediction      unmatched +1
    label        it wins            the former winner's pairs -1 and superseded +1; its own pairs +1
    label        it does not win    superseded +1

The store answers each arrival with what changes, as columns; it counts nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from leadline.records.batches import I64, U32
from leadline.records.cells import RANKS_MAX
from leadline.records.ids import U64

NO_CLASS = 0xFFFF_FFFF
"""Fills `ranked` where fewer than RANKS_MAX classes have a known rank."""
NO_CASE = -1


@dataclass(frozen=True, slots=True)
class PredictionArrivals:
    """Predictions of one identity's model version, in log order.

    Attributes:
        task: number of the label space.
        version: number of the (model, version).
        ids: uint64 (n, 2).
        series: uint32 (n,), series number of each row.
        minute: uint32 (n,), minute of the clamped event time.
        event_ms: int64 (n,), clamped event time.
        predicted: uint32 (n,).
        ranked: uint32 (n, RANKS_MAX), classes best first, NO_CLASS behind.
        case: int64 (n,), number of the kept case, NO_CASE for most.
    """

    task: int
    version: int
    ids: U64
    series: U32
    minute: U32
    event_ms: I64
    predicted: U32
    ranked: U32
    case: I64


@dataclass(frozen=True, slots=True)
class LabelArrivals:
    """Labels of one task from one source, in log order.

    Attributes:
        task: number of the label space.
        rank: of the source.
        source: number of the source's name.
        offset: of the record in its partition.
        ids: uint64 (n, 2).
        time_us: int64 (n,), clamped label time.
        arrival_ms: int64 (n,), when each became known: the record's append time; of an import,
            which is history, the label's own time.
        true_class: uint32 (n,); RETRACTED takes the label back.
    """

    task: int
    rank: int
    source: int
    offset: int
    ids: U64
    time_us: I64
    arrival_ms: I64
    true_class: U32


class WinningLabel(NamedTuple):
    """The label that counts for an id.

    Attributes:
        offset: of its record.
        time_us: clamped label time.
        arrival_ms: when it became known.
    """

    rank: int
    time_us: int
    true_class: int
    source: int
    offset: int
    arrival_ms: int

    def beats(self, other: WinningLabel) -> bool:
        """Whether this label, read later, outranks the other."""
        return (self.rank, self.time_us) > (other.rank, other.time_us)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Counted pairs that come or go, in columns of length m.

    Attributes:
        sign: int64, +1 or -1.
        series, minute, predicted: uint32, the prediction's.
        ranked: uint32 (m, RANKS_MAX), the prediction's.
        true_class: uint32, never RETRACTED.
        delay_ms: int64, from the prediction's event time to the label's arrival.
    """

    sign: I64
    series: U32
    minute: U32
    predicted: U32
    ranked: U32
    true_class: U32
    delay_ms: I64


@dataclass(frozen=True, slots=True)
class Changes:
    """What an arrival changes.

    Attributes:
        pairs: pairs that come or go.
        duplicate: bool (n,), the arriving predictions that are duplicates; empty for labels.
        unmatched: (minute, +1 or -1) of each label that becomes unmatched or stops being so.
        superseded: (minute, +1) of each label that is outranked.
        relabelled: (case number, its label now) of kept cases; None while no label counts.
    """

    pairs: Pairs
    duplicate: npt.NDArray[np.bool_]
    unmatched: list[tuple[int, int]]
    superseded: list[tuple[int, int]]
    relabelled: list[tuple[int, WinningLabel | None]]


class PendingStore(Protocol):
    """Where predictions and labels wait for each other: a rebuildable cache, never the truth."""

    def add_predictions(self, arrivals: PredictionArrivals) -> Changes:
        """Takes predictions in log order."""

    def add_labels(self, arrivals: LabelArrivals) -> Changes:
        """Takes labels in log order."""

    def __len__(self) -> int:
        """Predictions that are held."""


def ranked_classes(scores: npt.NDArray[np.float32] | None, top: U32 | None, predicted: U32) -> U32:
    """The classes of each row, best first: uint32 (n, RANKS_MAX), NO_CLASS behind.

    Equal scores are ordered by class number. Without scores only the predicted class is ranked.
    """
    if scores is not None:
        order = np.argsort(-scores, axis=1, kind="stable")[:, :RANKS_MAX].astype(np.uint32)
    elif top is not None:
        order = top[:, :RANKS_MAX]
    else:
        order = predicted[:, None]
    ranked = np.full((len(predicted), RANKS_MAX), NO_CLASS, np.uint32)
    ranked[:, : order.shape[1]] = order
    return ranked
