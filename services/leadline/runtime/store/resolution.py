"""How finely old cells are kept: minutes, then quarter-hours, hours and days.

A shard's `Rolled` says up to which minute its cells stand at which resolution. That is a fact of
the store and holds at once for whatever is read or written: cells that come late take the minute of
their bucket, and blocks that are still finer are summed up when they are read. Moving them is work
that may be done in any order and in portions of any size; no answer depends on how far it got.

    minutes     blocks of an hour      until `quarter`   are quarter-hours
    quarters    blocks of a day        until `hour`      are hours
    hours       blocks of a week       until `day`       are days
    days        blocks of 30 days      until `deleted`   are gone

Days that have ended, until `summed`, have their sums beside their finer cells, in the blocks of
days: a question over weeks reads those. When hours become days they are only deleted.

SCORES are counted by the hour, lie among the minutes, and become days at `scores`. ADDED and
RETRACTED are of all time, a resolution of its own: they stay.

Bounds are multiples of the finer blocks, so that each block has one resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leadline.records.cells import HISTORY_KINDS, CellKind, Cells, merge, select

ALL_TIME = 0
MINUTE, QUARTER, HOUR, DAY = 1, 15, 60, 1440
RESOLUTIONS = (MINUTE, QUARTER, HOUR, DAY)
BLOCK_MINUTES = {ALL_TIME: 1, MINUTE: HOUR, QUARTER: DAY, HOUR: 7 * DAY, DAY: 30 * DAY}
"""Minutes in a block of each resolution: 60, 96, 168 and 30 buckets, and the minute 0."""

QUARTER_STEP, HOUR_STEP, DAY_STEP, SCORES_STEP = 6 * HOUR, DAY, 7 * DAY, DAY
"""Bounds are multiples of these. A block is written anew each time that something is added to it: a
day of quarter-hours 4 times, a week of hours 7 times, 30 days 4 to 5 times."""
DELETED_STEP = BLOCK_MINUTES[DAY]
SUMMED_AFTER = 6 * HOUR
"""A day is summed so long after its end: most of its labels are there."""
UNSUMMED_KINDS = HISTORY_KINDS | {CellKind.SCORES}

_HISTORY = np.array(sorted(HISTORY_KINDS), np.uint8)
_UNSUMMED = np.array(sorted(UNSUMMED_KINDS), np.uint8)
_SCORES = np.uint8(CellKind.SCORES)
_SPANS = np.ones(DAY + 1, np.int64)
_SPANS[list(BLOCK_MINUTES)] = list(BLOCK_MINUTES.values())


@dataclass(frozen=True, slots=True)
class Retention:
    """How long cells are kept how finely, in minutes before the log clock.

    Attributes:
        minutes: of cells by the minute.
        quarters: by the quarter-hour, at least `minutes`.
        hours: by the hour, at least `quarters`.
        scores: of SCORES by the hour; later by the day.
        days: by the day, at least `hours`, after which cells are deleted; 0 keeps them for ever.
    """

    minutes: int = 2 * DAY
    quarters: int = 14 * DAY
    hours: int = 90 * DAY
    scores: int = 2 * DAY
    days: int = 0


@dataclass(frozen=True, slots=True)
class Rolled:
    """Up to which minute (exclusive) a shard's cells stand at which resolution.

    Attributes:
        quarter, hour, day: coarser from here back; quarter >= hour >= day.
        scores: SCORES are days from here back.
        deleted: nothing is kept from here back; at most `day` and `scores`.
        summed: days have their sums from here back; at least `day`.
    """

    quarter: int = 0
    hour: int = 0
    day: int = 0
    scores: int = 0
    deleted: int = 0
    summed: int = 0

    @property
    def newest(self) -> int:
        """From here on all cells stand as they were counted."""
        return max(self.quarter, self.scores, self.deleted)

    def resolution(self, kind: int, minute: int) -> int:
        """Minutes in the bucket of a cell."""
        if kind in HISTORY_KINDS:
            return MINUTE
        if kind == CellKind.SCORES:
            return DAY if minute < self.scores else HOUR
        return self._level(minute)

    def ceiling(self, kind: int, minute: int) -> int:
        """The first bound of a bucket at or after a minute: where a question is really cut."""
        step = self.resolution(kind, minute)
        return max(-(-minute // step) * step, 0 if kind in HISTORY_KINDS else self.deleted)

    def by_days(self, until: int) -> Rolled:
        """As if all before a bound of days stood as days."""
        quarter, hour = max(self.quarter, until), max(self.hour, until)
        return replace(self, quarter=quarter, hour=hour, day=max(self.day, until))

    def is_due(self, kind: int, resolution: int, start: int) -> bool:
        """Whether a stored block is finer than it should be, or holds what was deleted."""
        if kind in HISTORY_KINDS:
            return False
        if kind == CellKind.SCORES:
            wanted = DAY if start < self.scores else MINUTE
        else:
            wanted = self._level(start)
        return start < self.deleted or wanted != resolution

    def _level(self, minute: int) -> int:
        if minute < self.day:
            return DAY
        if minute < self.hour:
            return HOUR
        return QUARTER if minute < self.quarter else MINUTE


def planned(rolled: Rolled, retention: Retention, newest: int, oldest: int, window: int) -> Rolled:
    """Where a shard's bounds should be by now; they never fall.

    Args:
        rolled: where they are.
        retention: what is wanted.
        newest: the later of the two log clocks, in minutes.
        oldest: the earlier of them.
        window: minutes that a label may be late: cells live at least as long.
    """
    quarter = _moved(rolled.quarter, newest - retention.minutes, QUARTER_STEP)
    hour = min(quarter, _moved(rolled.hour, newest - retention.quarters, HOUR_STEP))
    day = min(hour, _moved(rolled.day, newest - retention.hours, DAY_STEP))
    scores = _moved(rolled.scores, newest - retention.scores, SCORES_STEP)
    hour, day = hour - hour % HOUR_STEP, min(day, rolled.summed)
    day -= day % DAY_STEP
    deleted = rolled.deleted
    if retention.days:
        kept = oldest - max(retention.days, window)
        deleted = _moved(deleted, min(kept, day, scores), DELETED_STEP)
    hour, day = max(hour, rolled.hour), max(day, rolled.day)
    return Rolled(quarter, hour, day, scores, deleted, rolled.summed)


def summed_by(newest: int) -> int:
    """Up to where days should have their sums, by the later of the two log clocks, in minutes."""
    return max(0, (newest - SUMMED_AFTER) // DAY * DAY)


def is_summed(cells: Cells) -> npt.NDArray[np.bool_]:
    """Which cells are of kinds whose days have sums: all but SCORES and those of history."""
    return ~np.isin(cells.kind, _UNSUMMED)


def bucketed(cells: Cells, rolled: Rolled) -> Cells:
    """Normalised cells at the resolution that holds; those of deleted times are left out."""
    if not len(cells) or not _reaches_back(cells, rolled):
        return cells
    if rolled.deleted:
        gone = (cells.minute < rolled.deleted) & ~np.isin(cells.kind, _HISTORY)
        cells = select(cells, ~gone) if gone.any() else cells
    steps = np.maximum(resolutions(cells, rolled), MINUTE)
    return merge([replace(cells, minute=cells.minute - cells.minute % steps)])


def resolutions(cells: Cells, rolled: Rolled) -> npt.NDArray[np.uint32]:
    """For each cell the resolution of its block."""
    found = np.full(len(cells), MINUTE, np.uint32)
    found[np.isin(cells.kind, _HISTORY)] = ALL_TIME
    if not len(cells) or not _reaches_back(cells, rolled):
        return found
    for step, until in ((QUARTER, rolled.quarter), (HOUR, rolled.hour), (DAY, rolled.day)):
        found[cells.minute < until] = step
    is_scores = cells.kind == _SCORES
    found[is_scores] = np.where(cells.minute[is_scores] < rolled.scores, DAY, MINUTE)
    found[np.isin(cells.kind, _HISTORY)] = ALL_TIME
    return found


def block_starts(cells: Cells, steps: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """For each cell of a resolution the first minute of its block."""
    minutes = cells.minute.astype(np.int64)
    return minutes - minutes % _SPANS[steps]


def _reaches_back(cells: Cells, rolled: Rolled) -> bool:
    return int(cells.minute.min()) < rolled.newest


def _moved(now: int, to: int, step: int) -> int:
    """A bound moved on to a multiple of the step, never back."""
    return max(now, to - to % step, 0)
