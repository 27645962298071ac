"""Reported labels and predictions as batches; what is wrong is refused row by row, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from leadline.gateway.core.observe import Declaration, header_of
from leadline.gateway.core.sampling import decide
from leadline.gateway.core.scores import CLASSES_MAX, Scored, classify
from leadline.records.batches import (
    RETRACTED,
    SLICE_LENGTH_MAX,
    InputAbsence,
    KeptRow,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    SliceColumn,
    TaskKind,
)
from leadline.records.errors import UsageError
from leadline.records.ids import ID_BYTES, id_from_text, pack_ids, row_id
from leadline.records.models import ModelSpec, ScoreForm, class_digest

TIME_MAX_US = 1 << 62


class Fault(NamedTuple):
    """A refused row, and why, with what to do."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label as it was reported; see ingest.proto."""

    id_bytes: bytes | None = None
    id_text: str = ""
    row: int = 0
    class_name: str | None = None
    class_number: int | None = None
    retracted: bool = False
    time_us: int | None = None


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A prediction as it was reported; see ingest.proto."""

    id_bytes: bytes | None = None
    id_text: str = ""
    class_name: str | None = None
    class_number: int | None = None
    score: tuple[float, ...] = ()
    slices: Mapping[str, str] = field(default_factory=dict)
    input_uri: str = ""
    time_us: int | None = None


def identity_of(id_bytes: bytes | None, id_text: str) -> bytes:
    """The 16 bytes of a reported id.

    Raises:
        UsageError: there is none, or its bytes are not 16.
    """
    if id_bytes is not None:
        if len(id_bytes) != ID_BYTES:
            raise UsageError(
                f"id_bytes has {len(id_bytes)} bytes; an id has 16. Send other ids as id_text."
            )
        return id_bytes
    if not id_text:
        raise UsageError("It has no id; send the id that the prediction has.")
    return id_from_text(id_text)


def class_of(name: str | None, number: int | None, spec: ModelSpec | None, task: str) -> int:
    """The number of a class given by name or number.

    Raises:
        UsageError: it is none of the task's classes, or a name where no list is declared.
    """
    if name is not None:
        if spec is None or not spec.classes:
            if name.isdigit() and int(name) < CLASSES_MAX:
                return int(name)
            raise UsageError(
                f"Task {task!r} has no declared class list, so {name!r} cannot be a number; send "
                "class_number, or declare the classes with `leadline models apply`."
            )
        return spec.class_number(name)
    if number is None:
        raise UsageError("It has no class; send class_name or class_number.")
    bound = len(spec.classes) if spec is not None and spec.classes else CLASSES_MAX
    if number >= bound:
        raise UsageError(f"Class {number} is not below {bound}, the number of classes of {task!r}.")
    return number


def label_batch(
    rows: Sequence[LabelRow],
    *,
    task: str,
    source: str,
    source_rank: int,
    spec: ModelSpec | None,
    now_us: int,
    producer: str,
) -> tuple[LabelBatch | None, list[Fault]]:
    """The good rows as one batch (None without any), and the refused ones."""
    ids: list[bytes] = []
    classes: list[int] = []
    times: list[int] = []
    faults: list[Fault] = []
    for at, row in enumerate(rows):
        try:
            identity = row_id(identity_of(row.id_bytes, row.id_text), row.row)
            value = (
                RETRACTED
                if row.retracted
                else class_of(row.class_name, row.class_number, spec, task)
            )
        except UsageError as error:
            faults.append(Fault(at, f"{error} {error.remedy}".strip()))
            continue
        ids.append(identity)
        classes.append(value)
        times.append(_time(row.time_us, now_us))
    if not ids:
        return None, faults
    names = spec.classes if spec is not None else ()
    header = LabelHeader(
        task=task,
        kind=spec.kind if spec is not None else TaskKind.MULTICLASS,
        class_count=len(names),
        class_digest=class_digest(names),
        source=source,
        source_rank=source_rank,
        producer=producer,
    )
    batch = LabelBatch(
        header,
        pack_ids(ids),
        np.array(times, dtype=np.int64),
        np.array(classes, dtype=np.uint32),
    )
    return batch, faults


def _time(given: int | None, now_us: int) -> int:
    return now_us if given is None else max(0, min(given, TIME_MAX_US))


class _Good(NamedTuple):
    row: PredictionRow
    identity: bytes
    predicted: int
    scores: tuple[float, ...]
    margin: float


def prediction_batch(
    rows: Sequence[PredictionRow],
    declaration: Declaration,
    version: str,
    *,
    now_us: int,
    producer: str,
) -> tuple[list[PredictionBatch], list[Fault]]:
    """The good rows as batches, one for each number of scores, and the refused ones.

    Rows outside the model's `log_rate` are good and in no batch.
    """
    good: dict[int, list[_Good]] = {}
    faults: list[Fault] = []
    for at, row in enumerate(rows):
        try:
            found = _good(row, declaration)
        except UsageError as error:
            faults.append(Fault(at, f"{error} {error.remedy}".strip()))
            continue
        good.setdefault(len(found.scores), []).append(found)
    batches = [
        _batch(group, width, declaration, version, now_us, producer)
        for width, group in good.items()
    ]
    return [batch for batch in batches if len(batch)], faults


def _good(row: PredictionRow, declaration: Declaration) -> _Good:
    """A row as it is logged.

    Raises:
        UsageError: it is refused.
    """
    spec = declaration.spec
    identity = identity_of(row.id_bytes, row.id_text)
    if not row.score:
        known = spec if declaration.declared else None
        predicted = class_of(row.class_name, row.class_number, known, spec.task)
        return _Good(row, identity, predicted, (), 1.0)
    scored = _score(row.score, spec)
    if not scored.good[0]:
        raise UsageError(
            "A score is outside [0, 1] or NaN: it looks like logits: declare it with "
            "`leadline models apply`."
        )
    scores: tuple[float, ...] = ()
    if scored.scored[0] and scored.scores is not None:
        scores = tuple(scored.scores[0].tolist())
    return _Good(row, identity, int(scored.predicted[0]), scores, float(scored.margin[0]))


def _score(score: tuple[float, ...], spec: ModelSpec) -> Scored:
    width = len(score)
    single = width == 1 and spec.kind is TaskKind.BINARY
    if 0 < len(spec.classes) < width or (width == 1 and not single):
        raise UsageError(
            f"It has {width} scores, and the model has {len(spec.classes) or 'unknown'} classes; "
            "send one score a class."
        )
    if spec.output.form is ScoreForm.LABELS:
        raise UsageError("The model is declared to answer with labels alone; send the class.")
    return classify(np.array([score], dtype=np.float32), spec.output.form, spec.kind)


def _batch(
    group: list[_Good],
    width: int,
    declaration: Declaration,
    version: str,
    now_us: int,
    producer: str,
) -> PredictionBatch:
    spec = declaration.spec
    ids = pack_ids([good.identity for good in group])
    margin = np.array([good.margin for good in group])
    decision = decide(ids, margin, spec)
    chosen = np.flatnonzero(decision.logged)
    kept = [
        _kept(int(at), group[row], float(decision.probability[row]))
        for at, row in enumerate(chosen.tolist())
        if decision.kept[row]
    ]
    times = [_time(good.row.time_us, now_us) for good in group]
    scores = np.array([good.scores for good in group], dtype=np.float32)[chosen] if width else None
    return PredictionBatch(
        header=header_of(declaration, version, width or len(spec.classes), producer),
        ids=ids[chosen],
        event_time_us=np.array(times, dtype=np.int64)[chosen],
        predicted=np.array([good.predicted for good in group], dtype=np.uint32)[chosen],
        scores=scores,
        slices=tuple(_slice(name, [group[row] for row in chosen]) for name in spec.slices),
        kept=tuple(kept),
    )


def _kept(at: int, good: _Good, probability: float) -> KeptRow:
    uri = good.row.input_uri
    absence = InputAbsence.PRESENT if uri else InputAbsence.NOT_STORED
    return KeptRow(at, probability, "", uri, absence, good.row.id_text)


def _slice(name: str, rows: list[_Good]) -> SliceColumn:
    numbers: dict[str, int] = {}
    values = [good.row.slices.get(name, "")[:SLICE_LENGTH_MAX] for good in rows]
    codes = [numbers.setdefault(value, len(numbers)) for value in values]
    return SliceColumn(name, tuple(numbers), np.array(codes, dtype=np.uint32))
