"""Two models on the same rows: which one is better, by the test that the services use."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leadline.evaluation.columns import UNLABELLED, Column
from leadline.evaluation.plain import bounds_list, need_pandas, rate_dict
from leadline.evaluation.result import Evaluation, evaluate
from leadline.metrics.core.version_pairs import PairCounts
from leadline.metrics.measures.comparison import ClassChange, Comparison
from leadline.metrics.measures.comparison import compare as judged
from leadline.metrics.measures.conditions import Judgement, judge, parse_condition
from leadline.metrics.measures.uncertainty import Interval
from leadline.records.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.005
"""Differences of accuracy below half a point are called the same."""


@dataclass(frozen=True)
class VersionComparison:
    """A second model against a first one, paired on the same labelled rows.

    Attributes:
        comparison: the verdict with its evidence, as the services give it.
        first, second: figures of each model by itself.
        classes: names by number.
    """

    comparison: Comparison
    first: Evaluation
    second: Evaluation
    classes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Of the second one: "better", "worse", "same" or "undecided"."""
        return self.comparison.verdict

    @property
    def words(self) -> str:
        """The verdict with its evidence, in a sentence."""
        return self.comparison.words()

    @property
    def difference(self) -> float | None:
        """Accuracy of the second minus that of the first, in [-1, 1]; None without a label."""
        return self.comparison.accuracy.difference

    @property
    def interval(self) -> Interval | None:
        """Of the difference; holds at every look at rows that keep coming."""
        return self.comparison.interval

    @property
    def fixed_interval(self) -> Interval | None:
        """Of the difference, for one look at a number of rows fixed before (Tango's, 95 %)."""
        return self.comparison.accuracy.fixed_interval

    def judge(self, condition: str) -> Judgement:
        """Whether a condition holds, such as "accuracy drop > 0.5 points".

        Raises:
            UsageError: it cannot be read, or names a class that there is not.
        """
        numbers = {name: number for number, name in enumerate(self.classes)}
        try:
            return judge(parse_condition(condition), self.comparison, numbers)
        except ValueError as error:
            raise UsageError(str(error).rstrip("."), "Correct the condition") from error

    def per_class(self) -> pd.DataFrame:
        """One row a true class: support, recall of both, difference, verdict; needs pandas.

        Raises:
            UsageError: pandas is not installed.
        """
        rows = [
            {
                "class": self.classes[each.number],
                "support": each.recall.champion.trials,
                "first_recall": each.recall.champion.value,
                "second_recall": each.recall.challenger.value,
                "difference": each.recall.difference,
                "verdict": each.verdict,
            }
            for each in self.comparison.classes
        ]
        columns = ["class", "support", "first_recall", "second_recall", "difference", "verdict"]
        return need_pandas().DataFrame(rows, columns=columns).set_index("class")

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        found = self.comparison
        return {
            "champion": found.champion_name,
            "challenger": found.challenger_name,
            "paired": found.accuracy.kind == "paired",
            "pairs": found.accuracy.champion.trials,
            "verdict": found.verdict,
            "words": found.words(),
            "champion_accuracy": rate_dict(found.accuracy.champion),
            "challenger_accuracy": rate_dict(found.accuracy.challenger),
            "difference": found.accuracy.difference,
            "interval": bounds_list(found.interval),
            "fixed_interval": bounds_list(found.accuracy.fixed_interval),
            "only_champion_right": found.accuracy.only_champion,
            "only_challenger_right": found.accuracy.only_challenger,
            "mcnemar_p_value": None if found.mcnemar is None else found.mcnemar.exact,
            "samples_needed": found.needed,
            "classes": [self._class_dict(each) for each in found.classes],
        }

    def _class_dict(self, each: ClassChange) -> dict[str, Any]:
        return {
            "class_number": each.number,
            "class_name": self.classes[each.number],
            "champion_recall": rate_dict(each.recall.champion),
            "challenger_recall": rate_dict(each.recall.challenger),
            "difference": each.recall.difference,
            "interval": bounds_list(each.recall.fixed_interval),
            "verdict": each.verdict,
        }

    def _repr_html_(self) -> str:
        """The verdict, for notebooks."""
        return f"<p>{html.escape(self.words)}</p>"

    def __repr__(self) -> str:
        return f"<VersionComparison: {self.words}>"


def compare(
    y_true: Column,
    first: Column,
    second: Column,
    classes: Sequence[str] | None = None,
    *,
    names: tuple[str, str] = ("first", "second"),
    margin: float = MARGIN,
) -> VersionComparison:
    """Whether the second of two models is better, on the same rows.

    Args:
        y_true: (n,), class names or numbers; None or NaN where there is no label.
        first: predictions or scores of the model in charge, as of `evaluate`.
        second: those of the other one.
        classes: names by number. Needed where one gives names, the other scores.
        names: of both, for sentences.
        margin: a difference of accuracy within it is called the same; in [0, 1).

    Raises:
        UsageError: the lengths differ, or a value is no class.

    Example:
        >>> compare([0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 1, 1]).difference
        0.25
    """
    if not 0 <= margin < 1:
        raise UsageError(f"margin {margin:g}", "A margin is a share: at least 0 and below 1")
    one, two = (evaluate(y_true, each, classes) for each in (first, second))
    if len(one.rows.predicted) != len(two.rows.predicted):
        raise UsageError("the models have different numbers of rows", "give the same rows to both")
    named = sorted({*one.classes, *two.classes})
    if one.classes != two.classes and not all(name.isdecimal() for name in named):
        return compare(y_true, first, second, named, names=names, margin=margin)
    return compared(one, two, names, margin)


def compared(
    first: Evaluation, second: Evaluation, names: tuple[str, str], margin: float = MARGIN
) -> VersionComparison:
    """The comparison of two evaluations of the same rows in the same order."""
    found = judged(
        names,
        _pairs(first.rows.true, first.rows.predicted, second.rows.predicted),
        first.matrix,
        second.matrix,
        margin=margin,
        kind="paired",
    )
    longer = first if len(first.classes) >= len(second.classes) else second
    return VersionComparison(found, first, second, longer.classes)


def _pairs(
    true: npt.NDArray[np.int64], one: npt.NDArray[np.uint32], two: npt.NDArray[np.uint32]
) -> PairCounts:
    """Who was right, by true class, over labelled rows."""
    labelled = true != UNLABELLED
    classes, at = np.unique(true[labelled], return_inverse=True)
    right, other = (each[labelled] == true[labelled] for each in (one, two))
    columns = [
        np.bincount(at[chosen], minlength=len(classes)).astype(np.int64)
        for chosen in (right & other, right & ~other, ~right & other, ~right & ~other)
    ]
    return PairCounts(classes, *columns)
