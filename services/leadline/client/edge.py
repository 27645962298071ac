"""What a caller writes, in the words of the log: ids, times, class numbers, probabilities. Pure.

Nothing is guessed: what has two readings is refused, with the remedy.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from leadline.records.batches import F32, LabelHeader, PredictionHeader, TaskKind
from leadline.records.errors import UsageError
from leadline.records.ids import ID_BYTES, id_from_text, row_id
from leadline.records.models import ScoreForm, class_digest

Id = str | bytes | uuid.UUID
Time = datetime | float | None
ClassName = str | int

CLASSES_MAX = 1 << 20
"""Class numbers are below this even where no class list is given; services refuse larger ones."""
SLACK = 1e-6
"""A float32 softmax may leave [0, 1] by a rounding; such scores are clipped, not refused."""

_Floats = npt.NDArray[np.float64] | npt.NDArray[np.float32]


class RefusedError(UsageError):
    """An event of the caller that cannot be logged.

    Attributes:
        cause: a stable word: refusals are counted by it.
    """

    def __init__(self, cause: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Edge:
    """What holds for all events of one client.

    Attributes:
        model: empty where only labels are logged.
        version: the same.
        task: the label space.
        classes: names by number; empty: class numbers only.
        form: how the caller's scores become probabilities.
        log_rate: share of the traffic that is logged.
        keep_rate: share of the logged predictions that are candidate cases.
    """

    model: str
    version: str
    task: str
    kind: TaskKind = TaskKind.MULTICLASS
    classes: tuple[str, ...] = ()
    form: ScoreForm = ScoreForm.PROBABILITIES
    source: str = ""
    source_rank: int = 0
    log_rate: float = 1.0
    keep_rate: float = 0.05
    producer: str = ""
    imported: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    digest: int = 0

    def __post_init__(self) -> None:
        numbers = {name: number for number, name in enumerate(self.classes)}
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "digest", class_digest(self.classes))

    def prediction_header(self, width: int) -> PredictionHeader:
        """The header of predictions with that many scores; 0: without scores."""
        if not self.model or not self.version:
            raise RefusedError(
                "no_version",
                "a prediction needs its model and version",
                'make the client with them: Log(model="...", version="...")',
            )
        return PredictionHeader(
            model=self.model,
            version=self.version,
            task=self.task,
            kind=self.kind,
            class_count=len(self.classes) or width,
            class_digest=self.digest,
            log_rate=self.log_rate,
            imported=self.imported,
            producer=self.producer,
        )

    def label_header(self) -> LabelHeader:
        """The header of labels."""
        return LabelHeader(
            task=self.task,
            kind=self.kind,
            class_count=len(self.classes),
            class_digest=self.digest,
            source=self.source,
            source_rank=self.source_rank,
            imported=self.imported,
            producer=self.producer,
        )

    def class_number(self, value: object) -> int:
        """Number of a class given by number, by name, or by its number written as text.

        Raises:
            RefusedError: there is no such class.
        """
        if isinstance(value, Integral):
            return self._checked(int(value))
        if isinstance(value, str):
            number = self.numbers.get(value)
            if number is not None:
                return number
            if value.isdecimal():
                return self._checked(int(value))
        elif isinstance(value, Real) and float(value).is_integer():
            return self._checked(int(float(value)))  # a column with gaps reads as floats
        raise self._unknown(value)

    def _checked(self, number: int) -> int:
        if 0 <= number < (len(self.classes) or CLASSES_MAX):
            return number
        raise self._unknown(number)

    def _unknown(self, value: object) -> RefusedError:
        known = ", ".join(self.classes[:8]) + (" ..." if len(self.classes) > 8 else "")
        return RefusedError(
            "class",
            f"task {self.task!r} has no class {value!r}; it has: {known or 'numbers only'}",
            "give its number, or the class list in the order of the model's outputs (classes)",
        )


def identity(id: Id, row: int = 0) -> bytes:  # noqa: A002 - the word that callers know
    """The 16 bytes of row `row` of the request with that id.

    Raises:
        RefusedError: it is neither text, nor 16 bytes, nor a UUID.
    """
    if isinstance(id, str):
        if not id:
            raise RefusedError("id", "an id is empty", "give a text, 16 bytes or a UUID")
        request = id_from_text(id)
    elif isinstance(id, uuid.UUID):
        request = id.bytes
    elif isinstance(id, bytes) and len(id) == ID_BYTES:
        request = id
    else:
        raise RefusedError("id", f"{id!r:.60} is no id", "give a text, 16 bytes or a UUID")
    return row_id(request, row) if row else request


def time_us(value: Time, now_us: int) -> int:
    """Microseconds since 1970-01-01 UTC of a time; of now for None.

    Raises:
        RefusedError: a datetime without a time zone, or a number that is no time in seconds.
    """
    if value is None:
        return now_us
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise RefusedError(
                "time",
                "a time has no time zone",
                "use datetime.now(timezone.utc), or seconds since 1970",
            )
        value = value.timestamp()
    if isinstance(value, Real) and math.isfinite(value):
        seconds = float(value)
        if 0 <= seconds < 2**34:  # the year 2514; milliseconds since 1970 are beyond it
            return round(seconds * 1e6)
    raise RefusedError(
        "time", f"{value!r:.60} is no time", "give a datetime with its zone, or seconds since 1970"
    )


def probabilities(rows: _Floats, edge: Edge) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Rows of scores as probabilities, and which rows are possible in the declared form.

    A binary model may give one column, the score of class 1. Rows that are not possible (NaN;
    outside [0, 1] where probabilities were declared) hold nonsense.

    Args:
        rows: (n, columns).
        edge: form and kind.
    """
    with np.errstate(all="ignore"):
        good: npt.NDArray[np.bool_] = np.logical_not(np.isnan(rows).any(axis=1))
        single = rows.shape[1] == 1
        if edge.form is ScoreForm.LOGITS_SIGMOID or (
            single and edge.form is ScoreForm.LOGITS_SOFTMAX
        ):
            small = np.exp(-np.abs(rows))
            rows = np.where(rows >= 0, 1.0, small) / (1.0 + small)
        elif edge.form is ScoreForm.LOGITS_SOFTMAX:
            top = rows.max(axis=1, keepdims=True)
            good = good & np.isfinite(top[:, 0])
            powers = np.exp(rows - top)
            rows = powers / powers.sum(axis=1, keepdims=True)
        if single and edge.kind is TaskKind.BINARY:
            rows = np.concatenate([1.0 - rows, rows], axis=1)
        good = good & ((rows >= -SLACK) & (rows <= 1 + SLACK)).all(axis=1)
    return np.clip(rows, 0.0, 1.0).astype(np.float32), good


SCORE_CAUSE = "score_range"


def score_refusal(edge: Edge) -> RefusedError:
    """Why a row's scores are refused, in words."""
    if edge.form is ScoreForm.PROBABILITIES:
        return RefusedError(
            SCORE_CAUSE,
            "a score is NaN or outside [0, 1]; it looks like a logit",
            'declare it: scores="softmax" or "sigmoid" (--scores-as on the command line)',
        )
    return RefusedError(SCORE_CAUSE, "a score is NaN or infinite", "look at the model's output")
