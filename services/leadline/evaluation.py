"""Figures of predictions and labels that are at hand: no server, the services' own arithmetic.

import leadline

result = leadline.evaluate(y_true, scores, classes=["cat", "dog", "fox"])
result.accuracy, result.per_class(), result.confusion
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import (
    Average,
    Confusion,
    Figures,
    Rate,
    confusion_of,
    figures,
    tally,
)
from leadline.metrics.core.fold import Scored, ranks_of
from leadline.records.cells import pair_index
from leadline.records.errors import UsageError
from leadline.records.scores import ranked_codes

if TYPE_CHECKING:
    import pandas as pd

UNLABELLED = -1
_SHOWN_CLASSES_MAX = 25
"""A larger matrix is no picture any more; its most confused pairs are."""


@dataclass(frozen=True)
class Evaluation:
    """Figures, their matrix and the class names.

    Attributes:
        figures: all figures, as the reader answers them.
        matrix: sparse confusion matrix, rows true.
        classes: names by number; numbers as text where no names are known.
    """

    figures: Figures
    matrix: Confusion
    classes: tuple[str, ...]

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

    def per_class(self) -> pd.DataFrame:
        """One row a class: support, predicted, precision, recall, f1; needs pandas.

        Raises:
            UsageError: pandas is not installed.
        """
        rows = [
            {
                "class": self.classes[each.number],
                "support": each.support,
                "predicted": each.predicted,
                "precision": each.precision.value,
                "recall": each.recall.value,
                "f1": each.f1,
            }
            for each in self.figures.classes
        ]
        return _pandas().DataFrame(rows).set_index("class")

    def confusion_frame(self) -> pd.DataFrame:
        """The matrix with class names; needs pandas.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas = _pandas()
        true = pandas.Index(self.classes, name="true")
        return pandas.DataFrame(
            self.confusion, index=true, columns=pandas.Index(self.classes, name="predicted")
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values, for JSON."""
        found = self.figures
        return {
            "predictions": found.predictions,
            "labelled": found.accuracy.trials,
            "label_coverage": rate_dict(found.coverage),
            "accuracy": rate_dict(found.accuracy),
            "top_k": {str(k): rate_dict(rate) for k, rate in found.top_k},
            "macro": _average_dict(found.macro),
            "micro": _average_dict(found.micro),
            "weighted": _average_dict(found.weighted),
            "classes": [
                {
                    "class_number": each.number,
                    "class_name": self.classes[each.number],
                    "support": each.support,
                    "predicted": each.predicted,
                    "precision": rate_dict(each.precision),
                    "recall": rate_dict(each.recall),
                    "f1": each.f1,
                }
                for each in found.classes
            ],
            "worst_class": found.worst_class,
            "confusion": {
                "true_class": self.matrix.true.tolist(),
                "predicted_class": self.matrix.predicted.tolist(),
                "count": self.matrix.count.tolist(),
            },
        }

    def to_json(self) -> str:
        """All figures as JSON."""
        return json.dumps(self.to_dict())

    def _repr_html_(self) -> str:
        """Headline figures and matrix, for notebooks."""
        return render_html(self)

    def __repr__(self) -> str:
        shown = "-" if self.accuracy is None else f"{self.accuracy:.4f}"
        trials = self.figures.accuracy.trials
        return f"<Evaluation: accuracy {shown} of {trials} labelled predictions>"


def evaluate(
    y_true: Sequence[Any] | npt.NDArray[Any],
    predicted: Sequence[Any] | npt.NDArray[Any],
    classes: Sequence[str] | None = None,
) -> Evaluation:
    """Figures of predictions against true classes.

    Args:
        y_true: (n,), class names or numbers; None or NaN where there is no label.
        predicted: (n, classes) scores, the best one is the prediction; or (n,) class names or
            numbers; or (n,) scores of class 1 of a binary model (numbers with fractions).
        classes: names by number. Without them names are sorted, and numbers stand for themselves.

    Raises:
        UsageError: the lengths differ, or a value is no class.

    Example:
        >>> evaluate([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).confusion.tolist()
        [[1, 0], [1, 1]]
    """
    truth, given = _column(y_true), _column(predicted)
    if truth.ndim != 1 or given.ndim not in {1, 2} or len(truth) != len(given):
        raise UsageError(
            f"y_true has the shape {truth.shape}, predicted {given.shape}",
            "y_true is one class a row; predicted as many classes, or as many rows of scores",
        )
    scores = _scores(given)
    answers = [] if scores is not None else given.tolist()
    names = _names(classes, truth.tolist(), answers, 0 if scores is None else scores.shape[1])
    numbers = {name: number for number, name in enumerate(names)}
    true = np.array([_number(value, numbers) for value in truth.tolist()], np.int64)
    if scores is None:
        found = np.array([_number(value, numbers) for value in answers], np.int64)
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
    labelled = true != UNLABELLED
    true_class = true[labelled].astype(np.uint32)
    scored = None if scores is None else Scored(None, None, ranked_codes(scores[labelled]))
    rank = ranks_of(true_class, scored, predicted[labelled]).astype(np.uint32)
    ones = np.ones(len(true_class), np.int64)
    matrix = confusion_of(tally(pair_index(true_class, predicted[labelled]), ones))
    found = figures(
        predicted=tally(predicted.astype(np.uint64), np.ones(len(predicted), np.int64)),
        matrix=matrix,
        ranks=tally(pair_index(true_class, rank), ones),
        delays=tally(np.empty(0, np.uint64), np.empty(0, np.int64)),
        declared=len(names),
    )
    return Evaluation(found, matrix, names)


def _column(values: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    column = np.asarray(values)
    if column.dtype.kind in "US":  # None beside texts must stay None
        column = np.asarray(values, object)
    return column


def _scores(given: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Rows of scores; None where `given` holds classes."""
    if given.ndim == 1:
        if given.dtype.kind != "f" or not np.isfinite(given).all() or (given % 1 == 0).all():
            return None
        given = np.stack([1 - given, given], axis=1)
    scores: npt.NDArray[np.float32] = given.astype(np.float32)
    if scores.shape[1] < 2 or np.isnan(scores).any():
        raise UsageError("scores need two or more columns without NaN", "give one column per class")
    return scores


def _names(
    classes: Sequence[str] | None, truth: list[Any], answers: list[Any], width: int
) -> tuple[str, ...]:
    if classes is not None:
        names = tuple(str(name) for name in classes)
        if width and width != len(names):
            raise UsageError(f"{len(names)} classes for {width} columns of scores", "give as many")
        return names
    values = [value for value in [*truth, *answers] if not _is_empty(value)]
    texts = {value for value in values if isinstance(value, str)}
    if any(not text.isdecimal() for text in texts):
        if width:
            raise UsageError(
                "labels are names, scores are columns", "say which is which: classes=[...]"
            )
        return tuple(sorted({str(value) for value in values}))
    if bad := [value for value in values if not _is_number(value)]:
        raise UsageError(f"{bad[0]!r} is no class", "give a name or a number from 0 on")
    top = max((int(value) for value in values), default=-1)
    return tuple(str(number) for number in range(max(width, top + 1)))


def _number(value: object, numbers: dict[str, int]) -> int:
    """Number of a class; UNLABELLED for None and NaN."""
    if _is_empty(value):
        return UNLABELLED
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    if _is_number(value) and 0 <= int(value) < len(numbers):  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload,no-any-return]
    known = ", ".join(list(numbers)[:8])
    raise UsageError(f"{value!r} is no class; there are: {known}", "correct it, or give classes=")


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, int | float) and float(value).is_integer() and value >= 0


def _pandas() -> Any:  # noqa: ANN401 - a module
    try:
        import pandas as pd  # noqa: PLC0415 - not a dependency
    except ImportError:
        raise UsageError("pandas is not installed", "pip install pandas") from None
    return pd


def rate_dict(rate: Rate) -> dict[str, float | int | None]:
    """A share with its interval as plain values."""
    lower, upper = rate.interval or (None, None)
    return {
        "value": rate.value,
        "lower": lower,
        "upper": upper,
        "successes": rate.successes,
        "trials": rate.trials,
    }


def _average_dict(average: Average) -> dict[str, float | None]:
    return {"precision": average.precision, "recall": average.recall, "f1": average.f1}


def render_html(result: Evaluation) -> str:
    """A headline table and the matrix (or its most confused pairs) as HTML without style sheets."""
    found = result.figures
    lower, upper = result.interval or (None, None)
    rows = [
        ("accuracy", f"{_show(result.accuracy)} ({_show(lower)} to {_show(upper)})"),
        ("macro F1", _show(found.macro.f1)),
        *((f"top-{k}", _show(rate.value)) for k, rate in found.top_k),
        ("predictions", f"{found.predictions:,}"),
        ("labelled", f"{found.accuracy.trials:,}"),
    ]
    head = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{text}</td></tr>" for name, text in rows
    )
    return f"<table>{head}</table>{_matrix_html(result)}"


def _matrix_html(result: Evaluation) -> str:
    if len(result.classes) > _SHOWN_CLASSES_MAX:
        pairs = "".join(
            f"<tr><td>{html.escape(true)}</td><td>{html.escape(said)}</td><td>{count:,}</td></tr>"
            for true, said, count in result.confused()
        )
        return f"<table><tr><th>true</th><th>predicted</th><th>count</th></tr>{pairs}</table>"
    names = [html.escape(name) for name in result.classes]
    body = []
    for name, row in zip(names, result.confusion, strict=True):
        total = max(int(row.sum()), 1)
        cells = "".join(
            f"<td style='text-align:right;background:rgba(47,111,171,{count / total:.3f})'>"
            f"{count:,}</td>"
            for count in row.tolist()
        )
        body.append(f"<tr><th style='text-align:left'>{name}</th>{cells}</tr>")
    top = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr><th>true \\ predicted</th>{top}</tr>{''.join(body)}</table>"


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
