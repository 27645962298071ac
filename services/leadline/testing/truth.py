"""Fills a truth store event by event, slowly and obviously, without a log or an owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leadline.records.cases import Case
from leadline.records.cells import RANK_NONE, CellKind, Cells, Series, delay_bin, merge
from leadline.runtime.store.port import Commit, TruthStore


@dataclass(slots=True)
class _Told:
    """A prediction that was written, with the label that counts for it."""

    series: Series
    minute: int
    predicted: int
    ranked: tuple[int, ...]
    label: tuple[int, int] | None = None


class TruthWriter:
    """Writes predictions and labels into one shard; nothing is visible before `commit`.

    Args:
        store: a migrated truth store.
        shard: where to count.
    """

    def __init__(self, store: TruthStore, shard: str = "main/0") -> None:
        self._store = store
        self._shard = shard
        self._told: dict[tuple[int, str, str], _Told] = {}
        self._new_series: dict[Series, int] = {}
        self._cells: list[tuple[int, int, int, int, int]] = []
        self._cases: list[Case] = []
        self._seen: dict[tuple[str, str], int] = {}
        self._read = [0, 0]

    def predict(
        self,
        number: int,
        predicted: int,
        minute: int,
        *,
        model: str = "digits",
        version: str = "1",
        slices: Sequence[tuple[str, str]] = (),
        ranked: Sequence[int] = (),
    ) -> None:
        """One prediction of the id `number` at an event minute.

        Args:
            number: the id.
            predicted: class number.
            minute: minutes since 1970-01-01 UTC.
            model: who predicts; the task is the model's own.
            version: of the model.
            slices: (column, value) pairs.
            ranked: the known classes, best first.
        """
        series = Series(model, version, model, tuple(slices))
        self._told[number, model, version] = _Told(series, minute, predicted, tuple(ranked))
        self.count(CellKind.PREDICTED, series, minute, predicted)
        seen = self._seen.get((model, version), 0)
        self._seen[model, version] = max(seen, minute)
        self._read[0] += 1

    def label(
        self,
        number: int,
        true_class: int | None,
        *,
        delay_ms: int = 1000,
        model: str = "digits",
        version: str = "1",
    ) -> None:
        """The label that counts for an id from now on; None takes the label back."""
        told = self._told[number, model, version]
        if told.label is not None:
            self._pair(told, *told.label, -1)
        told.label = None if true_class is None else (true_class, delay_ms)
        if told.label is not None:
            self._pair(told, *told.label, 1)
        self._read[1] += 1

    def count(
        self, kind: CellKind, series: Series, minute: int, index: int, count: int = 1
    ) -> None:
        """Adds to one cell."""
        known = self._store.shard_series(self._shard)
        number = known.get(series, self._new_series.get(series))
        if number is None:
            number = len(known) + len(self._new_series)
            self._new_series[series] = number
        self._cells.append((kind, number, minute, index, count))

    def keep(self, case: Case) -> None:
        """A kept case."""
        self._cases.append(case)

    def commit(self, append_ms: int = 0, **state: str | int) -> None:
        """Writes everything since the last commit, in one transaction.

        Args:
            append_ms: append time of the newest record of both topics.
            state: further fields of the shard's state, for example `stopped`.
        """
        before = self._store.shard(self._shard)
        after = replace(
            before,
            p=before.p + self._read[0],
            l=before.l + self._read[1],
            predictions_clock_ms=max(before.predictions_clock_ms, append_ms),
            labels_clock_ms=max(before.labels_clock_ms, append_ms),
            **state,  # type: ignore[arg-type]
        )
        self._store.commit(
            Commit(
                before, after, self._delta(), dict(self._new_series), self._cases, dict(self._seen)
            )
        )
        self._read, self._cells, self._cases, self._seen = [0, 0], [], [], {}
        self._new_series = {}

    def _pair(self, told: _Told, true_class: int, delay_ms: int, sign: int) -> None:
        rank = told.ranked.index(true_class) if true_class in told.ranked else RANK_NONE
        pair = true_class << 32 | told.predicted
        delay = int(delay_bin(np.array([delay_ms], np.int64))[0])
        self.count(CellKind.CONFUSION, told.series, told.minute, pair, sign)
        self.count(CellKind.RANK, told.series, told.minute, true_class << 32 | rank, sign)
        self.count(CellKind.DELAY, told.series, told.minute, delay, sign)
        kind = CellKind.ADDED if sign > 0 else CellKind.RETRACTED
        self.count(kind, told.series, 0, pair)

    def _delta(self) -> Cells:
        columns = list(zip(*self._cells, strict=True)) or [()] * 5
        types = (np.uint8, np.uint32, np.uint32, np.uint64, np.int64)
        kind, series, minute, index, count = (
            np.array(column, of) for column, of in zip(columns, types, strict=True)
        )
        return merge([Cells(kind, series, minute, index, count)])
