"""The pending store: predictions and labels that wait for each other. A rebuildable cache.

Each side has a head in memory, in log order with an index by key, and segments cut from it: sorted,
immutable, on disk. The store keeps rows and decides nothing: what they mean is `match.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.index import KeyIndex
from leadline.metrics.core.keys import Keys, id_time_ms, ids_of
from leadline.metrics.core.rows import (
    I64,
    LABEL,
    NO_SCORES,
    PREDICTION,
    Bools,
    Codes,
    Form,
    Growing,
    NewLabels,
    NewPredictions,
    Rows,
    concatenated,
)
from leadline.metrics.core.segment import Run, Segment, outliers, runs_of
from leadline.records.ids import U64

HEAD = 1 << 30
"""Number that stands for the head where segments are meant: after all of them."""
CHAIN_MAX = 32
"""Rows of one key in a head that are found one by one; of more, the head is searched through."""


class Found(NamedTuple):
    """Rows found for keys.

    Attributes:
        query: int64 (m,), position of the key.
        source: int64 (m,), number of the segment, or HEAD.
        place: int64 (m,), row in the head, or in the segment's runs one behind another.
        rows: PREDICTION or LABEL (m,).
    """

    query: I64
    source: I64
    place: I64
    rows: Rows

    def take(self, at: I64) -> Found:
        """Some of them."""
        return Found(
            self.query.take(at), self.source.take(at), self.place.take(at), self.rows.take(at)
        )


class Side:
    """The waiting rows of one topic.

    Args:
        dtype: PREDICTION or LABEL.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.index = KeyIndex()
        self.rows = Growing(dtype)
        self.labelled = Growing(np.uint8)
        self.segments: list[Segment] = []
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.rows) + sum(map(len, self.segments))

    def find(
        self, keys: Keys, id_ms: U64 | None = None, *, apart_only: bool = False, from_ms: int = 0
    ) -> Found:
        """All rows of the keys, in no order.

        Args:
            keys: what is looked for.
            id_ms: of the keys: leaves out common runs of other times; None searches them all.
            apart_only: leaves the segments' common runs out.
            from_ms: leaves segments out that end before this log clock.
        """
        parts = [self.find_head(keys)]
        parts += self.find_segments(keys, id_ms, apart_only=apart_only, from_ms=from_ms)
        return joined_found(parts, self.dtype)

    def find_head(self, keys: Keys) -> Found:
        """The rows of the keys in the head."""
        newest = self.index.find(keys)
        query = np.flatnonzero(newest >= 0)
        place = newest[query]
        queries, places = [query], [place]
        for _ in range(CHAIN_MAX):
            place = self.index.before[place].astype(np.int64)
            on = place >= 0
            query, place = query[on], place[on]
            if not len(place):
                break
            queries.append(query)
            places.append(place)
        else:
            self._search_through(keys, query, place, queries, places)
        return self._head_found(np.concatenate(queries), np.concatenate(places))

    def _search_through(
        self, keys: Keys, query: I64, place: I64, queries: list[I64], places: list[I64]
    ) -> None:
        """The rest of long chains: all rows of the head before `place` with the query's key."""
        head = self.index.keys
        for one, before in zip(query.tolist(), place.tolist(), strict=True):
            same = head.hash[:before] == keys.hash[one]
            found = np.flatnonzero(same & (head.low[:before] == keys.low[one]))
            queries.append(np.full(len(found), one))
            places.append(found)

    def _head_found(self, query: I64, place: I64) -> Found:
        rows = self.rows.values.take(place)
        return Found(query, np.full(len(place), HEAD), place, rows)

    def find_segments(
        self, keys: Keys, id_ms: U64 | None, *, apart_only: bool = False, from_ms: int = 0
    ) -> Iterator[Found]:
        """The rows of the keys in the segments, a part for each run that has some."""
        if not self.segments or not len(keys.hash):
            return
        span = (0, 2**64 - 1) if id_ms is None else (int(id_ms.min()), int(id_ms.max()))
        wanted = [
            (segment, run)
            for segment in self.segments
            for number, run in enumerate(segment.runs)
            if run.from_ms <= span[1] and run.to_ms >= span[0] and len(run)
            if segment.to_clock_ms >= from_ms and not (apart_only and number == 0)
        ]
        if not wanted:
            return
        order = np.argsort(keys.hash)  # neighbours in a run are neighbours in the cache
        keys = keys.take(order)
        times = None if id_ms is None else id_ms[order]
        for segment, run in wanted:
            yield from _found_in(segment, run, keys, times, order)

    def mark(self, source: I64, place: I64) -> None:
        """Notes that these predictions may have labels."""
        head = source == HEAD
        self.labelled.values[place[head]] = 1
        if head.all():
            return
        for segment in self.segments:
            own = source == segment.number
            if own.any():
                segment.labelled[place[own]] = 1

    def marked(self, source: I64, place: I64) -> Bools:
        """Which predictions may have labels."""
        found: Bools = np.zeros(len(place), np.bool_)
        head = source == HEAD
        if head.all():
            head_marks: Bools = self.labelled.values.take(place) != 0
            return head_marks
        found[head] = self.labelled.values[place[head]] != 0
        for segment in self.segments:
            own = source == segment.number
            if own.any():
                found[own] = segment.labelled[place[own]] != 0
        return found

    def extend(self, keys: Keys, rows: Rows) -> Bools:
        """Adds rows to the head; returns for each whether its key was in the head before it."""
        first, count = len(self.rows), len(rows)
        rows["seq"] = np.arange(first, first + count, dtype=np.uint32)
        self.rows.append(rows)
        self.labelled.extend(count)[:] = 0
        return self.index.add(keys)

    def cut_back(self, size: int) -> None:
        """Forgets the head's rows from `size` on."""
        self.index.cut(size)
        self.rows.cut(size)
        self.labelled.cut(size)

    def forget(self, needed_ms: int) -> list[Segment]:
        """Drops the segments that end before a log clock, and returns them."""
        gone = []
        while self.segments and self.segments[0].to_clock_ms < needed_ms:
            gone.append(self.segments.pop(0))
        return gone

    def clear_head(self) -> None:
        """Empties the head."""
        self.index.clear()
        self.rows.cut(0)
        self.labelled.cut(0)


class PendingStore:
    """Both sides, and the scores of the predictions."""

    def __init__(self) -> None:
        self.predictions = Side(PREDICTION)
        self.labels = Side(LABEL)
        self.forms: list[Form] = [NO_SCORES]
        self._classes: dict[int, Growing] = {}
        self._codes: dict[int, Growing] = {}
        self._marks: tuple[int, int, dict[int, int]] = (0, 0, {})

    def empty(self) -> None:
        """Forgets everything."""
        for side in (self.predictions, self.labels):
            side.clear_head()
            side.segments.clear()
        self.forms = [NO_SCORES]
        self._codes.clear()
        self._classes.clear()
        self.mark_undo()

    def mark_undo(self) -> None:
        """What is added from here on can be taken back by `undo`."""
        sizes = {number: len(codes) for number, codes in self._codes.items()}
        self._marks = (len(self.predictions.rows), len(self.labels.rows), sizes)

    def undo(self) -> None:
        """Forgets what was added since `mark_undo`; marks of older predictions may stay."""
        predictions, labels, sizes = self._marks
        self.predictions.cut_back(predictions)
        self.labels.cut_back(labels)
        for number, codes in self._codes.items():
            codes.cut(sizes.get(number, 0))
            if number in self._classes:
                self._classes[number].cut(sizes.get(number, 0))

    def add_predictions(self, new: NewPredictions) -> Bools:
        """Adds to the head; returns for each whether its key was in the head before it."""
        rows = new.rows
        for form, codes in new.codes.items():
            number = self.form(form)
            first = len(self._codes[number])
            self._codes[number].extend(len(codes.codes))[:] = codes.codes
            if codes.classes is not None:
                self._classes[number].extend(len(codes.classes))[:] = codes.classes
            if first:
                rows["at"][rows["form"] == number] += np.uint32(first)
        return self.predictions.extend(new.keys, rows)

    def add_labels(self, new: NewLabels) -> Bools:
        """Adds to the head; returns for each whether its key was in the head before it."""
        return self.labels.extend(new.keys, new.rows)

    def form(self, form: Form) -> int:
        """Number of a form of scores."""
        if form in self.forms:
            return self.forms.index(form)
        self.forms.append(form)
        number = len(self.forms) - 1
        self._codes[number] = Growing(np.uint16, (form.width,))
        if not form.dense:
            self._classes[number] = Growing(np.uint32, (form.width,))
        return number

    def codes(self, found: Found) -> Iterator[tuple[Form, I64, Codes]]:
        """The kept scores of predictions: (form, positions in `found`, codes), by source."""
        forms = found.rows["form"]
        for number in distinct(forms):
            if not self.forms[number].width:
                continue
            of_form = np.flatnonzero(forms == number)
            sources = found.source[of_form]
            for source in distinct(sources):
                at = of_form[sources == source]
                kept = self._kept(source, number)
                yield self.forms[number], at, kept.take(found.rows["at"][at].astype(np.int64))

    def _kept(self, source: int, number: int) -> Codes:
        if source != HEAD:
            return self._segment(source).codes[number]
        classes = self._classes.get(number)
        return Codes(None if classes is None else classes.values, self._codes[number].values)

    def _segment(self, number: int) -> Segment:
        return next(one for one in self.predictions.segments if one.number == number)

    def cut_predictions(self, number: int) -> Segment:
        """The head of predictions as a segment of views; the head stays until `install`."""
        keys = self.predictions.index.keys
        id_ms = id_time_ms(ids_of(keys)[:, 0])
        apart = outliers(id_ms)
        common, other = runs_of(keys.hash, apart)
        times = id_ms[~apart]
        first = Run(common.hash, common.place, int(times.min()), int(times.max()))
        codes = {
            form: Codes(self._classes[form].values if form in self._classes else None, kept.values)
            for form, kept in self._codes.items()
            if len(kept)
        }
        return _cut(self.predictions, number, (first, other), codes)

    def cut_labels(self, number: int) -> Segment:
        """The head of labels as a segment of views; the head stays until `install`."""
        waiting = self.labels.rows.values["waiting"] != 0
        return _cut(self.labels, number, runs_of(self.labels.index.keys.hash, waiting), {})

    def install(self, side: Side, segment: Segment) -> None:
        """Puts a segment in the place of the head it was cut from."""
        side.segments.append(segment)
        self.clear(side)

    def clear(self, side: Side) -> None:
        """Empties the head of a side; what was added cannot be undone any more."""
        side.clear_head()
        if side is self.predictions:
            for column in (*self._codes.values(), *self._classes.values()):
                column.cut(0)
        self.mark_undo()


def distinct(values: npt.NDArray[Any]) -> list[int]:
    """The different numbers in ascending order; of one number alone without sorting."""
    if not len(values):
        return []
    least, most = int(values.min()), int(values.max())
    if least == most:
        return [least]
    ordered = np.sort(values)
    found: list[int] = ordered[np.append(True, ordered[1:] != ordered[:-1])].tolist()
    return found


def joined_found(parts: list[Found], dtype: np.dtype[np.void]) -> Found:
    """Parts behind one another."""
    kept = [part for part in parts if len(part.query)]
    if len(kept) == 1:
        return kept[0]
    if not kept:
        none = np.empty(0, np.int64)
        return Found(none, none, none, np.empty(0, dtype))
    return Found(
        np.concatenate([part.query for part in kept]),
        np.concatenate([part.source for part in kept]),
        np.concatenate([part.place for part in kept]),
        concatenated([part.rows for part in kept]),
    )


def _found_in(
    segment: Segment, run: Run, keys: Keys, times: U64 | None, order: I64
) -> Iterator[Found]:
    """The rows of one run."""
    chosen = None
    if times is not None and not (
        run.from_ms <= int(times.min()) and int(times.max()) <= run.to_ms
    ):
        chosen = np.flatnonzero((times >= np.uint64(run.from_ms)) & (times <= np.uint64(run.to_ms)))
        keys = keys.take(chosen)
    query, place = run.find(keys, segment.low)
    if len(query):
        query = query if chosen is None else chosen[query]
        source = np.full(len(place), segment.number)
        yield Found(order[query], source, place, segment.rows.take(place))


def _cut(side: Side, number: int, runs: tuple[Run, Run], codes: dict[int, Codes]) -> Segment:
    rows = side.rows.values
    clock = rows["clock_ms"]
    return Segment(
        number=number,
        from_clock_ms=int(clock.min()),
        to_clock_ms=int(clock.max()),
        low=side.index.keys.low,
        rows=rows,
        runs=runs,
        codes=codes,
        labelled=side.labelled.values.copy(),
    )
