"""From answered requests to rows for the log.

    Exchange ──read──> Reading ──group──> score together ──> Rows: log at once
       │ cannot be read                     │ out of range     └─> kept rows: wait for their input
       └────────> Missed <──────────────────┘

Requests of one model version are scored in one pass: numpy costs as much for one row as for many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from leadline.gateway.core import scores as scoring
from leadline.gateway.core.identity import row_ids, version_of
from leadline.gateway.core.sampling import Decision, decide
from leadline.gateway.core.scan import Parameter, ScanError, as_text, parameters, scan_answer
from leadline.gateway.core.tensors import Tensor, TensorHead, parse_tensor, pick
from leadline.records.batches import (
    I64,
    SLICE_LENGTH_MAX,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
    UnobservedReason,
)
from leadline.records.ids import U64, pack_ids
from leadline.records.models import ModelSpec, ScoreForm, class_digest

ParseTensor = Callable[[bytes], TensorHead]


@dataclass(frozen=True, slots=True)
class Declaration:
    """A model as the gateway reads its answers.

    Attributes:
        spec: the declaration; for an undeclared model the defaults.
        declared: whether someone declared it.
        digests: by number of classes, the digest of that many of the declared ones.
    """

    spec: ModelSpec
    declared: bool
    digests: dict[int, int]

    @classmethod
    def of(cls, name: str, spec: ModelSpec | None) -> Declaration:
        """The declaration, or the defaults for a model without one.

        Raises:
            UsageError: the name cannot stand in the log.
        """
        return cls(spec or ModelSpec(name=name), spec is not None, {})

    def digest(self, classes: int) -> int:
        """Digest of the first `classes` class names; 0 when they are not declared."""
        if classes not in self.digests:
            self.digests[classes] = class_digest(self.spec.classes[:classes])
        return self.digests[classes]


class Exchange(NamedTuple):
    """One answered request, as it is handed over.

    Attributes:
        identity: 16 bytes, the request's id.
        id_text: the id as the caller wrote it; empty when fresh.
        received_us: when the request came, microseconds since 1970-01-01 UTC.
        parameters: entries of the request's parameters, as bytes.
        requested: entries of its requested outputs, as bytes.
        request: the whole request, where its input may be kept; else None.
        answer: the whole answer.
    """

    declaration: Declaration
    identity: bytes
    id_text: str
    received_us: int
    parameters: tuple[bytes, ...]
    requested: tuple[bytes, ...]
    request: bytes | None
    answer: bytes

    def size(self) -> int:
        """Bytes that are held until it is read."""
        held = len(self.answer) + len(self.request or b"")
        return held + sum(map(len, self.parameters)) + sum(map(len, self.requested))


@dataclass(frozen=True, slots=True)
class Missed:
    """Requests (or rows) that are counted as unobserved; `words` is worth one warning."""

    declaration: Declaration
    version: str
    reason: UnobservedReason
    count: int
    words: str


class Reading(NamedTuple):
    """One exchange whose answer was read, not yet scored."""

    exchange: Exchange
    version: str
    tensor: Tensor
    parameters: dict[str, Parameter]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one model version.

    Attributes:
        batch: those to log; `kept` is still empty.
        keep: int64, the rows of `batch` that are kept as candidate cases.
        probability: with which each row of `keep` was kept.
        exchanges: by row, the exchange it came from.
        place: int64, by row, its row in that request.
        rows_of: by row, the rows of that request.
    """

    batch: PredictionBatch
    keep: I64
    probability: list[float]
    exchanges: list[Exchange]
    place: I64
    rows_of: I64


def read(exchange: Exchange, parse: ParseTensor) -> Reading | Missed:
    """Finds what is logged of an answer; `parse` is `parse_tensor`, or a memory of its results."""
    declaration = exchange.declaration
    spec = declaration.spec
    answer = exchange.answer
    version = ""
    try:
        head = scan_answer(answer)
        asked = parameters(list(exchange.parameters)) if exchange.parameters else {}
        told: dict[str, Parameter] = {}
        if head.parameters and spec.version_from.startswith("parameter:"):
            told = parameters([answer[start:stop] for start, stop in head.parameters])
        version = version_of(spec.version_from, head.version, told, asked)
        heads = [parse(answer[start:stop]) for start, stop in head.outputs]
        chosen = scoring.choose_output(heads, spec, declared=declaration.declared)
        if chosen is None:
            return _missing(declaration, version, "the answer does not hold it")
        tensor, shared = pick(answer, heads, head.raws, chosen)
        if shared or _requested_shared(exchange.requested, heads[chosen].name, tensor):
            return Missed(declaration, version, UnobservedReason.SHARED_MEMORY, 1, "")
        if tensor is None:
            return _missing(declaration, version, "the answer holds no values for it")
        return Reading(exchange, version, tensor, asked)
    except ScanError as error:
        return _missing(declaration, version, str(error))


def _requested_shared(requested: tuple[bytes, ...], name: str, tensor: Tensor | None) -> bool:
    """Whether an output without values was asked to be placed in shared memory."""
    if not requested or (tensor is not None and tensor.data):
        return False
    heads = [parse_tensor(entry) for entry in requested]
    return any(head.name == name and head.shared for head in heads)


def _missing(declaration: Declaration, version: str, why: str) -> Missed:
    spec = declaration.spec
    output = spec.output.name or "a floating-point output of class scores"
    words = (
        f"Model {spec.name!r}: answers are not logged: {output!r} is expected, and {why}. "
        "Declare the output with `leadline models apply`."
    )
    return Missed(declaration, version, UnobservedReason.OUTPUT_MISSING, 1, words)


def assemble(readings: Iterable[Reading], producer: str) -> tuple[list[Rows], list[Missed]]:
    """Scores readings, those of one model version together, and decides which rows are logged."""
    groups: dict[tuple[object, ...], list[Reading]] = {}
    for reading in readings:
        shape = scoring.columns(reading.tensor.shape)
        labels = reading.exchange.declaration.spec.output.form is ScoreForm.LABELS
        key = (
            id(reading.exchange.declaration),
            reading.version,
            reading.tensor.datatype,
            0 if labels else shape,
        )
        groups.setdefault(key, []).append(reading)
    rows: list[Rows] = []
    missed: list[Missed] = []
    for group in groups.values():
        found, lost = _assemble_group(group, producer)
        rows += found
        missed += lost
    return rows, missed


def _assemble_group(group: list[Reading], producer: str) -> tuple[list[Rows], list[Missed]]:
    declaration, version = group[0].exchange.declaration, group[0].version
    scored, counted, wrong = _score(group, declaration.spec)
    missed = []
    if wrong:
        lost = _missing(declaration, version, "its type, shape or number of classes is another")
        missed.append(replace(lost, count=wrong))
    if scored is None:
        return [], missed
    if bad := int((~scored.good).sum()):
        missed.append(_out_of_range(declaration, version, bad))
    exchanges = [reading.exchange for reading, rows in counted for _ in range(rows)]
    pieces = [
        identity
        for reading, rows in counted
        for identity in row_ids(reading.exchange.identity, rows)
    ]
    ids = pack_ids(pieces)
    decision = decide(ids, scored.margin, declaration.spec)
    source = _Source(
        group=counted,
        exchanges=exchanges,
        place=np.concatenate([np.arange(rows) for _, rows in counted]),
        rows_of=np.repeat([rows for _, rows in counted], [rows for _, rows in counted]),
        header=_header(declaration, version, scored, producer),
    )
    logged = scored.good & decision.logged
    parts = [logged] if scored.scores is None else [logged & scored.scored, logged & ~scored.scored]
    found = [
        _rows(source, ids, scored, decision, np.flatnonzero(part)) for part in parts if part.any()
    ]
    return found, missed


def _score(
    group: list[Reading], spec: ModelSpec
) -> tuple[scoring.Scored | None, list[tuple[Reading, int]], int]:
    """Scores of all rows of a group, the rows of each reading, and the readings that do not fit."""
    if spec.output.form is ScoreForm.LABELS:
        return _score_labels(group, spec)
    counted = [(reading, scoring.score_count(reading.tensor, spec)) for reading in group]
    counted = [(reading, rows) for reading, rows in counted if rows]
    wrong = len(group) - len(counted)
    if not counted:
        return None, [], wrong
    values = scoring.score_values([reading.tensor for reading, _ in counted])
    return scoring.classify(values, spec.output.form, spec.kind), counted, wrong


def _score_labels(
    group: list[Reading], spec: ModelSpec
) -> tuple[scoring.Scored | None, list[tuple[Reading, int]], int]:
    counted: list[tuple[Reading, int]] = []
    numbers: list[int] = []
    for reading in group:
        if found := scoring.label_rows(reading.tensor, spec):
            numbers += found
            counted.append((reading, len(found)))
    scored = scoring.labelled(numbers) if counted else None
    return scored, counted, len(group) - len(counted)


def _out_of_range(declaration: Declaration, version: str, rows: int) -> Missed:
    spec = declaration.spec
    if spec.output.form is ScoreForm.LABELS:
        words = f"Model {spec.name!r}: a label is no class of the declared list; declare the class."
        return Missed(declaration, version, UnobservedReason.OUTPUT_MISSING, rows, words)
    words = (
        f"Model {spec.name!r}: scores lie outside [0, 1] or are NaN: it looks like logits: "
        "declare it (output.form: logits_softmax or logits_sigmoid) with `leadline models apply`."
    )
    if spec.output.form is not ScoreForm.PROBABILITIES:
        words = f"Model {spec.name!r}: scores are NaN or infinite; such rows are not logged."
    return Missed(declaration, version, UnobservedReason.SCORE_RANGE, rows, words)


def _header(
    declaration: Declaration, version: str, scored: scoring.Scored, producer: str
) -> PredictionHeader:
    classes = len(declaration.spec.classes)
    if scored.scores is not None:
        classes = scored.scores.shape[1]
    return header_of(declaration, version, classes, producer)


def header_of(
    declaration: Declaration, version: str, classes: int, producer: str
) -> PredictionHeader:
    """The header of a model version that answers with that many classes."""
    spec = declaration.spec
    return PredictionHeader(
        model=spec.name,
        version=version,
        task=spec.task,
        kind=spec.kind,
        class_count=classes,
        class_digest=declaration.digest(classes),
        log_rate=spec.log_rate,
        producer=producer,
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the rows of a group came from."""

    group: list[tuple[Reading, int]]
    exchanges: list[Exchange]
    place: I64
    rows_of: I64
    header: PredictionHeader


def _rows(
    source: _Source, ids: U64, scored: scoring.Scored, decision: Decision, chosen: I64
) -> Rows:
    received = np.array([exchange.received_us for exchange in source.exchanges], dtype=np.int64)
    with_scores = scored.scores is not None and bool(scored.scored[chosen].all())
    batch = PredictionBatch(
        header=source.header,
        ids=ids[chosen],
        event_time_us=received[chosen],
        predicted=scored.predicted[chosen],
        scores=scored.scores[chosen] if scored.scores is not None and with_scores else None,
        slices=_slices(source.group, chosen),
    )
    keep = np.flatnonzero(decision.kept[chosen])
    return Rows(
        batch=batch,
        keep=keep,
        probability=decision.probability[chosen][keep].tolist(),
        exchanges=[source.exchanges[row] for row in chosen.tolist()],
        place=source.place[chosen],
        rows_of=source.rows_of[chosen],
    )


def _slices(group: list[tuple[Reading, int]], chosen: I64) -> tuple[SliceColumn, ...]:
    """The declared slice columns; a request without the parameter has the empty value.

    A value is cut at SLICE_LENGTH_MAX: longer ones would be refused, and the prediction lost.
    """
    columns = []
    for name in group[0][0].exchange.declaration.spec.slices:
        numbers: dict[str, int] = {}
        codes: list[int] = []
        for reading, rows in group:
            value = as_text(reading.parameters.get(name, ""))[:SLICE_LENGTH_MAX]
            codes += [numbers.setdefault(value, len(numbers))] * rows
        columns.append(SliceColumn(name, tuple(numbers), np.array(codes, np.uint32)[chosen]))
    return tuple(columns)
