"""Numbers for series, versions and tasks within one shard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from leadline.records.batches import U32, PredictionBatch
from leadline.records.cells import Series

OTHER = "(other)"
"""Slice value that stands for all values past the bound."""


class SeriesNumbers:
    """Gives each series its number, counting up from 0; the numbers are part of the truth.

    A version keeps at most `slices_max` different slice tuples; later ones are counted under
    "(other)". Which come first follows from the order of predictions alone, so it is a function of
    the vector.
    """

    def __init__(self, known: Mapping[Series, int], slices_max: int) -> None:
        self._numbers = dict(known)
        self._new: dict[Series, int] = {}
        self._slices_max = slices_max
        self._slices: dict[tuple[str, str], int] = {}
        for series in known:
            self._count(series)

    def number(self, series: Series) -> int:
        """The number of a series, given now if it is new."""
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = self._new[series] = len(self._numbers)
            self._count(series)
        return number

    def take_new(self) -> dict[Series, int]:
        """Series that got their number since the last call."""
        new, self._new = self._new, {}
        return new

    def of_rows(self, batch: PredictionBatch) -> U32:
        """Series number of each row of a batch of predictions, shape (n,)."""
        header = batch.header
        if not batch.slices:
            number = self.number(Series(header.model, header.version, header.task))
            return np.full(len(batch), number, np.uint32)
        codes = np.stack([column.codes for column in batch.slices], axis=1)
        tuples, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
        numbers = np.empty(len(tuples), np.uint32)
        for at in np.argsort(first):  # in the order of the log
            values = tuple(
                (column.name, column.values[int(code)])
                for column, code in zip(batch.slices, tuples[at], strict=True)
            )
            numbers[at] = self._bounded(Series(header.model, header.version, header.task, values))
        return numbers[inverse.reshape(-1)]

    def _bounded(self, series: Series) -> int:
        known = self._numbers.get(series)
        if known is not None:
            return known
        if self._slices.get((series.model, series.version), 0) >= self._slices_max:
            rest = tuple((column, OTHER) for column, _ in series.slices)
            series = Series(series.model, series.version, series.task, rest)
        return self.number(series)

    def _count(self, series: Series) -> None:
        if series.slices:
            key = (series.model, series.version)
            self._slices[key] = self._slices.get(key, 0) + 1


class Numbers:
    """Gives each name a small number that lives as long as the process."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._names: list[object] = []

    def number(self, name: object) -> int:
        """The number of a name."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def name(self, number: int) -> object:
        """The name of a number."""
        return self._names[number]
