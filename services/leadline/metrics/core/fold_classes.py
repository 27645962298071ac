"""CONFUSION, RANK, ADDED and RETRACTED cells: four sums over the same columns.

Where a table of (series, minute, true class, predicted class, rank) is small, pairs are counted in
it once and it is added up along its axes. Else equal rows are summed first, and what is left of
them is counted four times.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.records.batches import I64, U32
from leadline.records.cells import CellKind, Cells, count, empty_cells, pair_index
from leadline.records.keys import DENSE_CELLS_A_ROW, Packing, Sums, sum_by_key

TABLE_CELLS_MIN = 1 << 14
"""A table of so many cells is used for however few rows: it is scanned in some microseconds."""
MINUTE, PREDICTED, RANK = 1, 3, 4
"""Numbers of the columns that one of the kinds leaves out."""


class ClassRows(NamedTuple):
    """Pairs, in the columns that the four kinds are made of."""

    series: U32
    minute: U32
    true_class: U32
    predicted: U32
    rank: npt.NDArray[np.uint8]


class ClassCells(NamedTuple):
    """Normalised cells of each kind."""

    confusion: Cells
    rank: Cells
    added: Cells
    retracted: Cells


def class_cells(came: ClassRows, went: ClassRows) -> ClassCells:
    """CONFUSION and RANK are the difference, ADDED what came and RETRACTED what went."""
    given = [rows for rows in (came, went) if len(rows.series)]
    if not given:
        return ClassCells(*[empty_cells()] * 4)
    packing = Packing(given)
    rows = sum(len(each.series) for each in given)
    cells = max(DENSE_CELLS_A_ROW * rows, TABLE_CELLS_MIN)
    if 1 << packing.width <= cells:
        return _by_table(packing, came, went)
    return _by_rows(came, went)


def _by_table(packing: Packing, came: ClassRows, went: ClassRows) -> ClassCells:
    plus, minus = (_table(packing, rows) for rows in (came, went))
    both = plus - minus if len(plus) and len(minus) else plus if len(plus) else -minus
    return ClassCells(
        _cells(CellKind.CONFUSION, packing.sums(both, without=(RANK,))),
        _cells(CellKind.RANK, packing.sums(both, without=(PREDICTED,))),
        _history(CellKind.ADDED, packing, plus),
        _history(CellKind.RETRACTED, packing, minus),
    )


def _table(packing: Packing, rows: ClassRows) -> I64:
    """How many rows have each key; no table where there are no rows."""
    if not len(rows.series):
        return np.empty(0, np.int64)
    return np.bincount(packing.pack(rows, np.int64), minlength=1 << packing.width)


def _history(kind: CellKind, packing: Packing, table: I64) -> Cells:
    if not len(table):
        return empty_cells()
    (series, true_class, predicted), sums = packing.sums(table, without=(MINUTE, RANK))
    return _cells(kind, ((series, np.zeros_like(series), true_class, predicted), sums))


def _cells(kind: CellKind, found: Sums) -> Cells:
    (series, minute, true_class, second), sums = found
    return Cells(
        np.full(len(sums), kind, np.uint8),
        series.astype(np.uint32, copy=False),
        minute.astype(np.uint32, copy=False),
        pair_index(true_class.astype(np.uint32), second.astype(np.uint32)),
        sums,
    )


def _by_rows(came: ClassRows, went: ClassRows) -> ClassCells:
    plus, minus = sum_by_key(came), sum_by_key(went, -1)
    columns = [np.concatenate(each) for each in zip(plus[0], minus[0], strict=True)]
    series, minute, true_class, predicted, rank = (
        column.astype(np.uint32, copy=False) for column in columns
    )
    sums = np.concatenate((plus[1], minus[1]))
    confusion = pair_index(true_class, predicted)
    first = slice(len(plus[1]))
    second = slice(len(plus[1]), None)
    return ClassCells(
        count(CellKind.CONFUSION, series, minute, confusion, sums),
        count(CellKind.RANK, series, minute, pair_index(true_class, rank), sums),
        count(CellKind.ADDED, series[first], 0, confusion[first], sums[first]),
        count(CellKind.RETRACTED, series[second], 0, confusion[second], -sums[second]),
    )
