"""The rules that records are counted by, and the exceptions of single records: facts of the log.

docs/counting.md says what each field means. Both are stored as rows of the truth and published to
the topic `rules`, so that the truth is a function of the topics alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

PAIRS = "pairs"
SCORES = "scores"
STRATA = "strata"
KINDS = frozenset({PAIRS, SCORES, STRATA})
"""Optional cell kinds that this version knows."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Rules:
    """One set of rules.

    Attributes:
        revision: chosen by people; a shard takes rules of a higher revision only.
        label_window_ms: how late a label may come.
        prediction_window_ms: how early a label may come.
        pair_window_ms: how far apart two versions' predictions may be; 0 to label_window_ms.
        event_time_bound_ms: event and label times are clamped to the append time +- this.
        slices_per_version_max: slice tuples of a version; later ones are "(other)".
        pairs_max: earlier predictions that one prediction is paired with.
        default_labels: by task, the class that is true when no label came.
        kinds: optional cell kinds that are counted.
    """

    revision: int = 0
    label_window_ms: int = 30 * DAY_MS
    prediction_window_ms: int = HOUR_MS
    pair_window_ms: int = HOUR_MS
    event_time_bound_ms: int = DAY_MS
    slices_per_version_max: int = 1_000
    pairs_max: int = 4
    default_labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    kinds: frozenset[str] = KINDS


@dataclass(frozen=True, slots=True)
class RulesRow:
    """Rules from a place of the log on.

    Attributes:
        number: counts up from 0 within a shard.
        from_p, from_l: first offsets of predictions and labels that live by them.
        rules: the rules.
    """

    number: int
    from_p: int
    from_l: int
    rules: Rules


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """Records whose append time must not be believed.

    Attributes:
        side: 0 predictions, 1 labels.
        from_offset, to_offset: the records in [from, to).
        append_ms: what their append time is taken to be.
    """

    side: int
    from_offset: int
    to_offset: int
    append_ms: int


class RulesHistory:
    """All rules of a shard, to be asked by offset.

    Args:
        rows: in the order of their numbers, at least one, the first from (0, 0).
    """

    def __init__(self, rows: Sequence[RulesRow]) -> None:
        self.rows = tuple(rows)
        self._from = ([row.from_p for row in rows], [row.from_l for row in rows])

    def at(self, side: int, offset: int) -> RulesRow:
        """The rules by which a record of a side lives."""
        return self.rows[bisect_right(self._from[side], offset) - 1]

    def numbers(self, side: int, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number of the rules of each record of a side, int64 (n,)."""
        return np.searchsorted(self._from[side], offsets, "right") - 1

    @property
    def newest(self) -> RulesRow:
        """The rules of the records to come."""
        return self.rows[-1]
