"""The rules of a shard as arrays, to be looked up by row."""

from __future__ import annotations

import numpy as np

from leadline.metrics.core.rows import I64, Bools
from leadline.records.rules import PAIRS, SCORES, STRATA, RulesRow

NO_CLASS = -1


class RuleTable:
    """What match and fold ask of the rules, by number of the rule.

    Args:
        rows: in the order of their numbers.

    Attributes:
        label_window_ms, prediction_window_ms, pair_window_ms, pairs_max: int64 (rules,).
        pairs, scores, strata: bool (rules,), whether the optional kind is counted.
        keep_predictions_ms, keep_labels_ms: how long rows must be kept behind both clocks.
    """

    def __init__(self, rows: tuple[RulesRow, ...]) -> None:
        rules = [row.rules for row in rows]
        self.label_window_ms = _column([one.label_window_ms for one in rules])
        self.prediction_window_ms = _column([one.prediction_window_ms for one in rules])
        self.pair_window_ms = _column([one.pair_window_ms for one in rules])
        self.pairs_max = _column([one.pairs_max for one in rules])
        self.pairs: Bools = np.array([PAIRS in one.kinds for one in rules])
        self.scores: Bools = np.array([SCORES in one.kinds for one in rules])
        self.strata: Bools = np.array([STRATA in one.kinds for one in rules])
        self._defaults = [one.default_labels for one in rules]
        label = int(self.label_window_ms.max())
        early = int(self.prediction_window_ms.max())
        self.keep_predictions_ms = label + max(early, int(self.pair_window_ms.max()))
        self.keep_labels_ms = label + early

    @property
    def has_defaults(self) -> bool:
        """Whether any rule has a default label."""
        return any(self._defaults)

    def default(self, tasks: tuple[str, ...]) -> I64:
        """The default class, int64 (rules, tasks); NO_CLASS where there is none."""
        table = np.full((len(self._defaults), len(tasks)), NO_CLASS, np.int64)
        for rule, defaults in enumerate(self._defaults):
            for task, true_class in defaults.items():
                if task in tasks:
                    table[rule, tasks.index(task)] = true_class
        return table


def _column(values: list[int]) -> I64:
    return np.array(values, np.int64)
