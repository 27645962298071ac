"""Numbers for series, versions and tasks within one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from leadline.records.batches import I64, U32, PredictionBatch
from leadline.records.cells import Series

OTHER = "(other)"
"""Slice value that stands for all values past the bound."""


class Numbers:
    """Gives each name a small number that lives as long as the process."""

    def __init__(self, names: Sequence[object] = ()) -> None:
        self._names: list[object] = list(names)
        self._numbers = {name: number for number, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> tuple[object, ...]:
        """All names, by number."""
        return tuple(self._names)

    def number(self, name: object) -> int:
        """The number of a name."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number


class SeriesNumbers:
    """Gives each series its number, counting up from 0; the numbers are part of the truth.

    The slice tuples of a version get places 0, 1, 2 ... in the order in which they first appear,
    while it has fewer than `slices_max`; a row is counted under its own tuple when that has a place
    below the `slices_max` of the row's rule, else under "(other)".

    Args:
        known: as the truth has them.
    """

    def __init__(self, known: Mapping[Series, int]) -> None:
        self._reset(sorted(known, key=known.__getitem__))

    def _reset(self, known: Sequence[Series]) -> None:
        self._all: list[Series] = []
        self._numbers: dict[Series, int] = {}
        self._places: dict[Series, int] = {}  # by series without its task
        self._filled: dict[tuple[str, str], int] = {}
        self._committed = 0
        self.tasks, self.versions = Numbers(), Numbers()
        self._task_of: list[int] = []
        self._version_of: list[int] = []
        self._arrays: tuple[I64, I64] = (np.empty(0, np.int64), np.empty(0, np.int64))
        for series in known:
            self._add(series)
        self._committed = len(self._all)

    def number(self, series: Series) -> int:
        """The number of a series, given now if it is new."""
        number = self._numbers.get(series)
        return self._add(series) if number is None else number

    def __getitem__(self, number: int) -> Series:
        return self._all[number]

    @property
    def known(self) -> tuple[Series, ...]:
        """All series, by number."""
        return tuple(self._all)

    def new(self) -> dict[Series, int]:
        """Series that got their number since the last `commit`."""
        begin = self._committed
        return {series: begin + at for at, series in enumerate(self._all[begin:])}

    def commit(self) -> None:
        """What is new stands in the truth now."""
        self._committed = len(self._all)

    def undo(self) -> None:
        """Takes back the numbers given since the last `commit`."""
        if len(self._all) > self._committed:
            self._reset(self._all[: self._committed])

    def task_of(self) -> I64:
        """Number of the task of each series, int64 (series,)."""
        return self._columns()[0]

    def version_of(self) -> I64:
        """Number of the (model, version) of each series, int64 (series,)."""
        return self._columns()[1]

    def of_rows(self, batches: Sequence[tuple[PredictionBatch, I64]], slices_max: int) -> list[U32]:
        """Series number of each row of some batches, in the order of the batches.

        Args:
            batches: each with the place in the log of every row, which orders new tuples.
            slices_max: of the rule that the rows live by.
        """
        found: list[U32] = []
        wanted: list[tuple[int, int, Series, I64]] = []
        for number, (batch, order) in enumerate(batches):
            header = batch.header
            found.append(np.zeros(len(batch), np.uint32))
            if not batch.slices:
                series = Series(header.model, header.version, header.task)
                found[-1][:] = self.number(series)
                continue
            codes = np.stack([column.codes for column in batch.slices], axis=1)
            tuples, first, inverse = np.unique(
                codes, axis=0, return_index=True, return_inverse=True
            )
            for at, row in enumerate(first.tolist()):
                values = tuple(
                    (column.name, column.values[int(code)])
                    for column, code in zip(batch.slices, tuples[at], strict=True)
                )
                series = Series(header.model, header.version, header.task, values)
                rows = np.flatnonzero(inverse.reshape(-1) == at)
                wanted.append((int(order[row]), number, series, rows))
        for _, number, series, rows in sorted(wanted, key=lambda one: one[:2]):
            found[number][rows] = self._sliced(series, slices_max)
        return found

    def _sliced(self, series: Series, slices_max: int) -> int:
        """The number under which a series with slices is counted."""
        place = self._places.get(replace(series, task=""))
        if place is None and self._filled.get((series.model, series.version), 0) < slices_max:
            return self.number(series)
        if place is not None and place < slices_max:
            return self.number(series)
        rest = tuple((column, OTHER) for column, _ in series.slices)
        return self.number(Series(series.model, series.version, series.task, rest))

    def _add(self, series: Series) -> int:
        number = self._numbers[series] = len(self._all)
        self._all.append(series)
        version = (series.model, series.version)
        self._task_of.append(self.tasks.number(series.task))
        self._version_of.append(self.versions.number(version))
        place = replace(series, task="")
        others = all(value == OTHER for _, value in series.slices)
        if not others and place not in self._places:
            self._places[place] = self._filled.get(version, 0)
            self._filled[version] = self._places[place] + 1
        return number

    def _columns(self) -> tuple[I64, I64]:
        if len(self._arrays[0]) < len(self._all):
            self._arrays = (
                np.array(self._task_of, np.int64),
                np.array(self._version_of, np.int64),
            )
        return self._arrays
