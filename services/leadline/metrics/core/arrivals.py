"""From decoded batches to the rows that wait: times clamped, scores coded, order restored."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from leadline.metrics.core.keys import Keys, id_time_ms, joined, keys_of
from leadline.metrics.core.rows import (
    BAND_SHIFT,
    I64,
    KEPT,
    LABEL,
    NO_SCORES,
    PREDICTION,
    Bools,
    Codes,
    Form,
    NewLabels,
    NewPredictions,
    Rows,
    concatenated,
)
from leadline.records.batches import U32, LabelBatch, PredictionBatch
from leadline.records.ids import U64
from leadline.records.scores import (
    BAND_NONE,
    CODE_MASK,
    DENSE_CLASSES_MAX,
    TOP_KEPT,
    U8,
    confidence_bands,
    ranked_codes,
    score_codes,
    top_codes,
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where some records of one side stand. Columns by record.

    Attributes:
        offset: int64.
        append_ms: int64, what counts as the append time.
        clock_ms: int64, the log clock.
        rule: number of the rule that all of them live by.
    """

    offset: I64
    append_ms: I64
    clock_ms: I64
    rule: int


@dataclass(slots=True)
class _Part:
    keys: Keys
    id_ms: U64
    rows: Rows
    order: I64


@dataclass(slots=True)
class OpenPredictions:
    """Predictions of a step that is being collected."""

    parts: list[_Part] = field(default_factory=list)
    codes: dict[Form, list[Codes]] = field(default_factory=dict)
    coded: dict[Form, int] = field(default_factory=dict)
    records: int = 0

    def add(
        self,
        batch: PredictionBatch,
        record: I64,
        places: Places,
        series: U32,
        event_us: I64,
        form_number: int,
    ) -> None:
        """Takes the rows of one batch; `form_number` is the store's of `form_of(batch)`."""
        rows = np.zeros(len(batch), PREDICTION)
        rows["event_ms"] = event_us // 1000
        rows["clock_ms"] = places.clock_ms[record]
        rows["series"] = series
        rows["predicted"] = batch.predicted
        rows["rule"] = places.rule
        rows["form"] = form_number
        form = form_of(batch)
        codes = _codes(batch, form) if form.width else None
        rows["flags"] = _bands(batch, form, codes) << np.uint8(BAND_SHIFT)
        if batch.kept:
            rows["flags"][[kept.row for kept in batch.kept]] |= KEPT
        if codes is not None:
            begin = self.coded.get(form, 0)
            rows["at"] = np.arange(begin, begin + len(batch), dtype=np.uint32)
            self.codes.setdefault(form, []).append(codes)
            self.coded[form] = begin + len(batch)
        self.parts.append(_part(batch.ids, rows, self.records + record))

    def take(self) -> tuple[NewPredictions, I64]:
        """All rows in log order, and for each where it was among the rows as they were added."""
        keys, id_ms, rows, order = _in_order(self.parts, PREDICTION)
        codes = {form: _joined_codes(parts) for form, parts in self.codes.items()}
        return NewPredictions(keys, id_ms, rows, codes), order


@dataclass(slots=True)
class OpenLabels:
    """Labels of a step that is being collected."""

    parts: list[_Part] = field(default_factory=list)
    records: int = 0

    def add(self, batch: LabelBatch, record: I64, places: Places, group: int, time_us: I64) -> None:
        """Takes the rows of one batch of a (task, source rank, source) of that number."""
        rows = np.zeros(len(batch), LABEL)
        rows["time_us"] = time_us
        rows["clock_ms"] = places.clock_ms[record]
        arrival = time_us // 1000 if batch.header.imported else places.append_ms[record]
        rows["arrival_ms"] = arrival
        rows["offset"] = places.offset[record]
        rows["true_class"] = batch.true_class
        rows["group"] = group
        rows["rule"] = places.rule
        self.parts.append(_part(batch.ids, rows, self.records + record))

    def take(self) -> NewLabels:
        """All rows in log order."""
        keys, id_ms, rows, _ = _in_order(self.parts, LABEL)
        return NewLabels(keys, id_ms, rows)


def clamp(time_us: I64, append_ms: I64, bound_ms: int, *, imported: bool) -> tuple[I64, Bools]:
    """Times brought within the append time +- the bound, and which of them were changed.

    Imports are history: they are bounded only against the future (and against 1970).
    """
    append_us = append_ms * 1000
    low = np.int64(0) if imported else np.maximum(append_us - bound_ms * 1000, 0)
    clamped = np.clip(time_us, low, append_us + bound_ms * 1000)
    return clamped, clamped != time_us


def form_of(batch: PredictionBatch) -> Form:
    """How the scores of a batch are kept."""
    if batch.scores is not None:
        classes = batch.scores.shape[1]
        if classes <= DENSE_CLASSES_MAX:
            return Form(dense=True, width=classes)
        return Form(dense=False, width=TOP_KEPT)
    if batch.top_classes is None:
        return NO_SCORES
    width = min(batch.top_classes.shape[1], TOP_KEPT)
    return Form(dense=False, width=width, scored=batch.top_scores is not None)


def _codes(batch: PredictionBatch, form: Form) -> Codes:
    if batch.scores is not None:
        if form.dense:
            return Codes(None, ranked_codes(batch.scores))
        return Codes(*top_codes(batch.scores))
    assert batch.top_classes is not None  # noqa: S101 - form_of has looked
    classes = batch.top_classes[:, : form.width]
    if batch.top_scores is None:
        return Codes(classes, np.zeros(classes.shape, np.uint16))
    return Codes(classes, score_codes(batch.top_scores[:, : form.width]))


def _bands(batch: PredictionBatch, form: Form, codes: Codes | None) -> U8:
    """The band of confidence of each row: that of the kept score of its predicted class."""
    found = np.full(len(batch), BAND_NONE, np.uint8)
    if codes is None or not form.scored:
        return found
    predicted = batch.predicted
    if codes.classes is None:
        row = np.flatnonzero(predicted < form.width)
        own = codes.codes[row, predicted[row]]
    else:
        row, column = np.nonzero(codes.classes == predicted[:, None])
        own = codes.codes[row, column]
    found[row] = confidence_bands(own & np.uint16(CODE_MASK))
    return found


def _part(ids: U64, rows: Rows, order: I64) -> _Part:
    return _Part(keys_of(ids), id_time_ms(ids[:, 0]), rows, order)


def _in_order(parts: list[_Part], dtype: np.dtype[np.void]) -> tuple[Keys, U64, Rows, I64]:
    """The rows of all parts by record; rows of one record stand in one part, in order."""
    if not parts:
        empty = np.empty(0, np.int64)
        return joined([]), empty.view(np.uint64), np.empty(0, dtype), empty
    keys = joined([part.keys for part in parts])
    id_ms = concatenated([part.id_ms for part in parts])
    rows = concatenated([part.rows for part in parts])
    record = concatenated([part.order for part in parts])
    if (record[1:] >= record[:-1]).all():
        return keys, id_ms, rows, np.arange(len(rows))
    order = np.argsort(record, kind="stable")
    return keys.take(order), id_ms[order], rows.take(order), order


def _joined_codes(parts: list[Codes]) -> Codes:
    codes = concatenated([part.codes for part in parts])
    lists = [part.classes for part in parts if part.classes is not None]
    return Codes(concatenated(lists) if lists else None, codes)
