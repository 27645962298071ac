"""Cases: kept predictions with the label that counts for them."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.records.batches import InputAbsence


@dataclass(frozen=True, slots=True)
class CaseLabel:
    """The label that counts for a case.

    Attributes:
        true_class: class number.
        source: who said so.
        label_time_us: when it was decided, microseconds since 1970-01-01 UTC.
        delay_ms: from the prediction's event time to the label's arrival: its append time, or its
            own time where it was imported.
        offset: of the label's record in its partition.
    """

    true_class: int
    source: str
    label_time_us: int
    delay_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class Case:
    """One kept prediction that begins a generation; named by (model, version, task, id, clock_ms).

    Attributes:
        id: 16 bytes.
        clock_ms: log clock of the prediction; tells the generations of one id apart.
        hash: the coordinated sampling hash of the id, unsigned 64 bits.
        event_time_us: clamped event time, microseconds since 1970-01-01 UTC.
        top_classes: best first, at most 5.
        top_scores: probabilities of top_classes; empty when the model gave none.
        label: None while no label counts.
    """

    id: bytes
    model: str
    version: str
    task: str
    clock_ms: int
    hash: int
    event_time_us: int
    predicted: int
    top_classes: tuple[int, ...]
    top_scores: tuple[float, ...]
    keep_probability: float
    input_ref: str
    input_uri: str
    absence: InputAbsence
    id_text: str
    slices: tuple[tuple[str, str], ...]
    label: CaseLabel | None = None


@dataclass(frozen=True, slots=True)
class CaseRelabel:
    """Another label of a case, which may have been deleted by now.

    Attributes:
        label: the label that counts from now on; None when none does.
    """

    model: str
    version: str
    task: str
    id: bytes
    clock_ms: int
    label: CaseLabel | None
