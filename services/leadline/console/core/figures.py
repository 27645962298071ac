"""What the console shows, as the reader answered it: plain records, times in microseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

FEW_LABELS = 30
"""Below this many labels a share is shown as a count: its interval is wider than +-18 points."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be had.

    Attributes:
        kind: "lost" (the reader did not answer), "missing" (nothing of that name), "old" (the
            reader does not know the question) or "refused".
        text: the cause, one sentence.
        remedy: what to do, one sentence; may be empty.
    """

    kind: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its Wilson interval; value, lower and upper are None when there is no trial."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    successes: int = 0
    trials: int = 0

    @property
    def few(self) -> bool:
        """Whether there are too few trials for a percentage."""
        return self.trials < FEW_LABELS


@dataclass(frozen=True, slots=True)
class Position:
    """Where one shard stands."""

    shard: str
    predictions: int
    labels: int


@dataclass(frozen=True, slots=True)
class Basis:
    """Where an answer holds, and over which traffic."""

    vector: tuple[Position, ...] = ()
    exact_until_us: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    predictions: int = 0
    labelled: int = 0
    coverage: Rate = field(default_factory=Rate)
    log_rate: float = 1.0

    @property
    def stream(self) -> str:
        """The stream's name; empty while nothing was read."""
        return self.vector[0].shard.partition("/")[0] if self.vector else ""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of one class."""

    number: int
    name: str
    support: int
    predicted: int
    precision: Rate
    recall: Rate
    f1: float | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know, with what to do."""

    code: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Headline figures of one version."""

    model: str
    version: str
    kind: str
    class_count: int
    basis: Basis
    accuracy: Rate
    top_k: tuple[tuple[int, Rate], ...] = ()
    macro_f1: float | None = None
    macro_f1_interval: tuple[float, float] | None = None
    classes: tuple[ClassFigures, ...] = ()
    worst_class: int | None = None
    delay_p50_seconds: float | None = None
    delay_p95_seconds: float | None = None
    notices: tuple[Notice, ...] = ()
    last_prediction_us: int | None = None
    last_label_us: int | None = None

    def worst(self) -> ClassFigures | None:
        """Figures of the worst class; None when no class has enough labels."""
        if self.worst_class is None:
            return None
        return next((c for c in self.classes if c.number == self.worst_class), None)


@dataclass(frozen=True, slots=True)
class Matrix:
    """The confusion matrix as sparse cells {(true, predicted): count > 0}."""

    names: tuple[str, ...]
    cells: dict[tuple[int, int], int]

    def row_totals(self) -> list[int]:
        """Labelled predictions by true class."""
        return self._totals(0)

    def column_totals(self) -> list[int]:
        """Labelled predictions by predicted class."""
        return self._totals(1)

    def errors(self) -> int:
        """Cells off the diagonal, summed."""
        return sum(n for (true, pred), n in self.cells.items() if true != pred)

    def _totals(self, side: int) -> list[int]:
        totals = [0] * len(self.names)
        for key, n in self.cells.items():
            totals[key[side]] += n
        return totals


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the timeline."""

    start_us: int
    predictions: int
    labelled: int
    accuracy: Rate


@dataclass(frozen=True, slots=True)
class Timeline:
    """Figures by equal steps of event time."""

    step_us: int
    points: tuple[Point, ...]
    settled_until_us: int | None
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """One value of a slice column."""

    column: str
    value: str
    predictions: int
    accuracy: Rate


@dataclass(frozen=True, slots=True)
class Other:
    """What another version said of the same input."""

    version: str
    predicted: int
    score: float


@dataclass(frozen=True, slots=True)
class Case:
    """One kept prediction.

    Attributes:
        id: hexadecimal, as it stands in the resource name.
        absence: why there is no input, in words; empty when there is one.
    """

    id: str
    id_text: str
    event_us: int
    predicted: int
    scores: tuple[tuple[int, float], ...]
    true: int | None
    label_source: str
    label_delay_seconds: float | None
    keep_probability: float
    slices: tuple[tuple[str, str], ...]
    absence: str
    input_uri: str
    others: tuple[Other, ...]

    @property
    def score(self) -> float | None:
        """Score of the predicted class; None when the model gave none."""
        return next((s for c, s in self.scores if c == self.predicted), None)


@dataclass(frozen=True, slots=True)
class Cases:
    """Kept cases of one selection, and how many there are in all."""

    cases: tuple[Case, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Where the counting of one shard stands; stopped is empty while it counts."""

    name: str
    committed_us: int | None
    stopped: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where the counting stands."""

    shards: tuple[Shard, ...]
    exact_until_us: int | None

    def stopped(self) -> tuple[Shard, ...]:
        """Shards that do not count."""
        return tuple(s for s in self.shards if s.stopped)


@dataclass(frozen=True, slots=True)
class Version:
    """A counted version of a model."""

    version: str
    champion: bool
    last_seen_us: int | None


@dataclass(frozen=True, slots=True)
class Model:
    """A declared or counted model; form is "images", "text", "numbers" or empty."""

    name: str
    kind: str
    classes: tuple[str, ...]
    form: str
    slices: tuple[str, ...]
    versions: tuple[Version, ...]
    declared: bool = True

    def champion(self) -> str | None:
        """The version in charge, else the one seen last; None when none was counted."""
        chosen = next((v.version for v in self.versions if v.champion), None)
        return chosen or (self.versions[0].version if self.versions else None)
