"""All figures of rows that are at hand, worked out when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leadline.evaluation import plain, scored
from leadline.evaluation.columns import Column, column_of, distinct, names_of, numbers_of, scores_of
from leadline.evaluation.counts import RowCounts, count_rows
from leadline.evaluation.goals import goal
from leadline.evaluation.notebook import render_html
from leadline.evaluation.scored import BestThreshold, Calibration, ClassAreas
from leadline.metrics.core.figures import NO_TALLY, Confusion, Figures, confusion_of, figures
from leadline.metrics.measures.advice import Advice
from leadline.metrics.measures.curves import Bounded, Curve, macro
from leadline.metrics.measures.scores import ClassScores
from leadline.metrics.measures.strata import PostStratified, Reweighted
from leadline.records.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

OPTIMISM_CLASSES_MAX = 20
"""With more classes `best_thresholds` leaves the optimism out: each costs some ten milliseconds."""
NO_AREAS = ClassAreas(None, None)


@dataclass(frozen=True, slots=True)
class Rows:
    """Class numbers of the rows.

    Attributes:
        true: int64 (n,), UNLABELLED where there is no label.
        predicted: uint32 (n,).
    """

    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Evaluation:
    """Figures, their matrix and the class names.

    Figures of scores are None or empty without scores, and where the scores are no probabilities.
    They come with bounds between which the figure of the scores as given certainly lies.

    Attributes:
        figures: all figures of predicted classes, as the reader answers them.
        matrix: sparse confusion matrix, rows true.
        classes: names by number; numbers as text where no names are known.
        counts: the cells behind all figures.
        rows: class numbers by row.
    """

    figures: Figures
    matrix: Confusion
    classes: tuple[str, ...]
    counts: RowCounts
    rows: Rows

    @property
    def accuracy(self) -> float | None:
        """Share of labelled predictions that are right; None without a label."""
        return self.figures.accuracy.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the accuracy."""
        return self.figures.accuracy.interval

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """The matrix, (classes, classes), rows true, columns predicted."""
        size = len(self.classes)
        dense = np.zeros((size, size), np.int64)
        dense[self.matrix.true, self.matrix.predicted] = self.matrix.count
        return dense

    def confused(self, most: int = 10) -> list[tuple[str, str, int]]:
        """(true, predicted, count) of the most frequent errors, the commonest first."""
        wrong = self.matrix.true != self.matrix.predicted
        true, predicted = self.matrix.true[wrong], self.matrix.predicted[wrong]
        count = self.matrix.count[wrong]
        best = np.argsort(-count, kind="stable")[:most]
        return [
            (self.classes[true[at]], self.classes[predicted[at]], int(count[at])) for at in best
        ]

    @cached_property
    def scores(self) -> list[ClassScores]:
        """The scores of every class with labels, as counts by code; empty without scores."""
        return scored.scores_by_class(self.counts, self.figures)

    @cached_property
    def areas(self) -> dict[str, ClassAreas]:
        """Areas of each class with labels, one class against the rest."""
        found = scored.areas(self.scores)
        return {self.classes[number]: each for number, each in found.items()}

    @property
    def auc(self) -> Bounded | None:
        """Mean area under the ROC curves of the classes."""
        return macro([each.auc for each in self.areas.values()])

    @property
    def average_precision(self) -> Bounded | None:
        """Mean average precision of the classes."""
        return macro([each.average_precision for each in self.areas.values()])

    def curves(self, of: str | int) -> tuple[Curve | None, Curve | None]:
        """The ROC and the precision-recall curve of a class.

        Raises:
            UsageError: the class has no scores here.
        """
        return scored.both_curves(self._scores_of(of))

    @cached_property
    def calibration(self) -> Calibration | None:
        """Log loss, Brier score, calibration error and reliability; None without scores."""
        return scored.calibration_of(self.counts, self.scores)

    def best_threshold(
        self,
        of: str | int,
        need: str | Sequence[str] = (),
        cost: tuple[float, float] | None = None,
    ) -> BestThreshold:
        """The best threshold of a class: by F1, under constraints, or by costs.

        Args:
            of: the class, by name or number.
            need: constraints that all must hold, "recall>=0.95": then the best precision.
            cost: of a missed one and of a false alarm: then the lowest cost.

        Raises:
            UsageError: the class has no scores here, or a constraint cannot be read.
        """
        scores = self._scores_of(of)
        return scored.best_threshold(scores, self.classes[scores.number], goal(need, cost))

    def best_thresholds(
        self, need: str | Sequence[str] = (), cost: tuple[float, float] | None = None
    ) -> list[BestThreshold]:
        """The best threshold of every class; see `best_threshold`."""
        aim, few = goal(need, cost), len(self.scores) <= OPTIMISM_CLASSES_MAX
        return [
            scored.best_threshold(each, self.classes[each.number], aim, with_optimism=few)
            for each in self.scores
        ]

    @cached_property
    def all_traffic(self) -> PostStratified | None:
        """Rates of all rows, labelled or not, by predicted class and confidence.

        Labels are rarely a random sample: where the doubtful rows were labelled first, the plain
        accuracy is too low. None without scores or labels.
        """
        return scored.all_traffic(self.counts)

    @property
    def weighted_accuracy(self) -> Reweighted | None:
        """The accuracy of all rows beside that of the labelled; see `all_traffic`."""
        return None if self.all_traffic is None else self.all_traffic.accuracy

    @cached_property
    def advice(self) -> tuple[Advice, ...]:
        """What to do, the largest effect first."""
        return scored.advice_of(self.counts, self.classes)

    def per_class(self) -> pd.DataFrame:
        """One row a class: support, predicted, precision, recall, f1; needs pandas.

        With scores, `auc` and `average_precision` too.

        Raises:
            UsageError: pandas is not installed.
        """
        rows = []
        for each in self.figures.classes:
            name = self.classes[each.number]
            row = {
                "class": name,
                "support": each.support,
                "predicted": each.predicted,
                "precision": each.precision.value,
                "recall": each.recall.value,
                "f1": each.f1,
            }
            if self.scores:
                area = self.areas.get(name, NO_AREAS)
                row["auc"] = area.auc.value if area.auc else None
                precision = area.average_precision
                row["average_precision"] = precision.value if precision else None
            rows.append(row)
        return plain.need_pandas().DataFrame(rows).set_index("class")

    def confusion_frame(self) -> pd.DataFrame:
        """The matrix with class names; needs pandas.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas = plain.need_pandas()
        true = pandas.Index(self.classes, name="true")
        return pandas.DataFrame(
            self.confusion, index=true, columns=pandas.Index(self.classes, name="predicted")
        )

    def to_dict(
        self, need: str | Sequence[str] = (), cost: tuple[float, float] | None = None
    ) -> dict[str, Any]:
        """All figures as plain values, for JSON; thresholds as of `best_thresholds`."""
        found = self.figures
        weighted = self.weighted_accuracy
        return {
            "predictions": found.predictions,
            "labelled": found.accuracy.trials,
            "label_coverage": plain.rate_dict(found.coverage),
            "accuracy": plain.rate_dict(found.accuracy),
            "top_k": {str(k): plain.rate_dict(rate) for k, rate in found.top_k},
            "macro": plain.average_dict(found.macro),
            "micro": plain.average_dict(found.micro),
            "weighted": plain.average_dict(found.weighted),
            "auc": plain.bounded_dict(self.auc),
            "average_precision": plain.bounded_dict(self.average_precision),
            "classes": list(self._class_dicts()),
            "worst_class": found.worst_class,
            "confusion": {
                "true_class": self.matrix.true.tolist(),
                "predicted_class": self.matrix.predicted.tolist(),
                "count": self.matrix.count.tolist(),
            },
            "calibration": self._calibration_dict(),
            "thresholds": [plain.threshold_dict(each) for each in self.best_thresholds(need, cost)],
            "weighted_accuracy": None if weighted is None else plain.reweighted_dict(weighted),
            "advice": [
                {
                    "code": each.code,
                    "text": each.text,
                    "evidence": each.evidence,
                    "effect_size": each.effect_size,
                    "remedy": each.remedy,
                }
                for each in self.advice
            ],
        }

    def to_json(self) -> str:
        """All figures as JSON."""
        return json.dumps(self.to_dict())

    def _class_dicts(self) -> Iterable[dict[str, Any]]:
        for each in self.figures.classes:
            area = self.areas.get(self.classes[each.number], NO_AREAS)
            yield {
                "class_number": each.number,
                "class_name": self.classes[each.number],
                "support": each.support,
                "predicted": each.predicted,
                "precision": plain.rate_dict(each.precision),
                "recall": plain.rate_dict(each.recall),
                "f1": each.f1,
                "auc": plain.bounded_dict(area.auc),
                "average_precision": plain.bounded_dict(area.average_precision),
            }

    def _calibration_dict(self) -> dict[str, Any] | None:
        found = self.calibration
        if found is None:
            return None
        return {
            "log_loss": plain.bounded_dict(found.log_loss),
            "brier": plain.bounded_dict(found.brier),
            "error": plain.bounded_dict(found.error),
            "bins": [
                {"score": plain.bounded_dict(each.mean), "observed": plain.rate_dict(each.rate)}
                for each in found.bins
            ],
        }

    def _scores_of(self, of: str | int) -> ClassScores:
        number = self.classes.index(of) if isinstance(of, str) and of in self.classes else of
        for each in self.scores:
            if str(each.number) == str(number):
                return each
        what = f"class {of!r} has no labelled row with scores" if self.scores else "no scores"
        raise UsageError(what, "give scores between 0 and 1, one column a class")

    def _repr_html_(self) -> str:
        """Headline figures and matrix, for notebooks."""
        return render_html(self)

    def __repr__(self) -> str:
        shown = "-" if self.accuracy is None else f"{self.accuracy:.4f}"
        trials = self.figures.accuracy.trials
        return f"<Evaluation: accuracy {shown} of {trials} labelled predictions>"


def evaluate(y_true: Column, predicted: Column, classes: Sequence[str] | None = None) -> Evaluation:
    """Figures of predictions against true classes.

    Args:
        y_true: (n,), class names or numbers; None or NaN where there is no label.
        predicted: (n, classes) scores, the best one is the prediction; or (n,) class names or
            numbers; or (n,) scores of class 1 of a binary model (numbers with fractions). Curves
            and calibration need scores between 0 and 1.
        classes: names by number. Without them names are sorted, and numbers stand for themselves.

    Raises:
        UsageError: the lengths differ, or a value is no class.

    Example:
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).confusion.tolist()
        [[1, 0], [1, 1]]
    """
    truth, given = column_of(y_true), column_of(predicted)
    if truth.ndim != 1 or given.ndim not in {1, 2} or len(truth) != len(given):
        raise UsageError(
            f"y_true has the shape {truth.shape}, predicted {given.shape}",
            "y_true is one class a row; predicted as many classes, or as many rows of scores",
        )
    scores = scores_of(given)
    answers = [] if scores is not None else distinct(given)
    names = names_of(classes, distinct(truth), answers, 0 if scores is None else scores.shape[1])
    true = numbers_of(truth, names)
    if scores is None:
        found = numbers_of(given, names)
        if (found < 0).any():
            raise UsageError("a prediction is empty", "leave such rows out")
    else:
        found = scores.argmax(axis=1).astype(np.int64)
    return counted(true, found.astype(np.uint32), scores, names)


def counted(
    true: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.uint32],
    scores: npt.NDArray[np.float32] | None,
    names: tuple[str, ...],
) -> Evaluation:
    """Figures of class numbers; a true class of UNLABELLED is no label."""
    counts = count_rows(true, predicted, scores)
    matrix = confusion_of(counts.confusion)
    found = figures(
        predicted=counts.predicted,
        matrix=matrix,
        ranks=counts.ranks,
        delays=NO_TALLY,
        declared=len(names),
    )
    return Evaluation(found, matrix, names, counts, Rows(true, predicted))
