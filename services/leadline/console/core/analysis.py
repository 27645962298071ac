"""What scores, confidence and pairs of versions tell, as the reader answered it."""

from __future__ import annotations

from dataclasses import dataclass, field

from leadline.console.core.figures import Basis, Rate

BETTER, WORSE, SAME, UNDECIDED = "better", "worse", "same", "undecided"


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure of coded scores; that of the scores as logged lies surely in [lower, upper]."""

    value: float
    lower: float
    upper: float


Span = tuple[float, float]
"""A 95 % interval, (lower, upper)."""


@dataclass(frozen=True, slots=True)
class ScoreBasis:
    """Which scores an answer rests on.

    Attributes:
        basis: where the answer holds.
        start_us, end_us: the whole hours that the answer really covers; None when unknown.
        complete: whether every score of a row is kept, rather than the best ten.
        scored: labelled predictions with scores.
    """

    basis: Basis = field(default_factory=Basis)
    start_us: int | None = None
    end_us: int | None = None
    complete: bool = True
    scored: int = 0


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from the highest threshold to the lowest."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    threshold: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts by score between edges; one edge more than counts."""

    edges: tuple[float, ...] = ()
    positives: tuple[int, ...] = ()
    negatives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassCurves:
    """Curves of one class against the rest; areas are None where a side is empty."""

    number: int
    name: str
    positives: int
    negatives: int
    auc: Bounded | None = None
    average_precision: Bounded | None = None
    auc_interval: Span | None = None
    average_precision_interval: Span | None = None
    roc: Curve = field(default_factory=Curve)
    precision_recall: Curve = field(default_factory=Curve)
    distribution: Distribution = field(default_factory=Distribution)


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of classes, and their unweighted means."""

    basis: ScoreBasis
    classes: tuple[ClassCurves, ...] = ()
    macro_auc: Bounded | None = None
    macro_average_precision: Bounded | None = None

    def of(self, number: int | None) -> ClassCurves | None:
        """The curves of a class."""
        return next((c for c in self.classes if c.number == number), None)


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """Figures of "positive at or above the threshold"; cost is per labelled prediction."""

    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int
    precision: Rate
    recall: Rate
    f1: float | None
    f1_interval: Span | None
    flagged: Rate
    cost: float | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Figures at every threshold of one class; reason says why there is no best one."""

    basis: ScoreBasis
    number: int
    name: str
    rows: tuple[ThresholdRow, ...] = ()
    best: ThresholdRow | None = None
    reason: str = ""
    optimism: float | None = None
    asked: ThresholdRow | None = None
    distribution: Distribution = field(default_factory=Distribution)


@dataclass(frozen=True, slots=True)
class Bin:
    """A band of scores: its mean score, and the share that came true."""

    score: Bounded
    observed: Rate


@dataclass(frozen=True, slots=True)
class Stratified:
    """A rate among the labelled, and what it would be if all predictions were labelled.

    Attributes:
        plain: among the labelled.
        rate: between all unlabelled strata wrong and all right; None without any labelled one.
        interval: of sampling, widened by that range.
        unlabelled_share: of the predictions, those in strata without any label; None if unknown.
        differs: whether each lies outside the other's interval.
    """

    plain: Rate = field(default_factory=Rate)
    rate: Bounded | None = None
    interval: Span | None = None
    unlabelled_share: float | None = None
    differs: bool = False


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """Calibration of one class's score."""

    number: int
    name: str
    error: Bounded | None
    brier: Bounded | None
    bins: tuple[Bin, ...]
    recall: Stratified
    precision: Stratified


@dataclass(frozen=True, slots=True)
class Abstention:
    """What holds when everything below a confidence is left to a person."""

    confidence: float
    accuracy: Rate
    coverage: Rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether scores mean what they say."""

    basis: ScoreBasis
    log_loss: Bounded | None = None
    brier: Bounded | None = None
    confidence: tuple[Bin, ...] = ()
    confidence_error: Bounded | None = None
    classes: tuple[ClassCalibration, ...] = ()
    accuracy: Stratified | None = None
    abstention: tuple[Abstention, ...] = ()

    def of(self, number: int | None) -> ClassCalibration | None:
        """The calibration of a class."""
        return next((c for c in self.classes if c.number == number), None)


@dataclass(frozen=True, slots=True)
class ClassComparison:
    """Recall of one class in both versions; verdict after correction for many classes."""

    number: int
    name: str
    champion: Rate
    challenger: Rate
    difference: float | None
    interval: Span | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger against the version of the page; difference is challenger minus champion.

    Attributes:
        interval: holds at every look; fixed_interval only at one look chosen before.
        samples: pairs, or labelled predictions of both versions.
        verdict: one of BETTER, WORSE, SAME, UNDECIDED.
        words: the verdict in a sentence with its evidence.
    """

    champion: str
    challenger: str
    paired: bool
    samples: int
    champion_accuracy: Rate
    challenger_accuracy: Rate
    difference: float | None
    interval: Span | None
    fixed_interval: Span | None
    only_champion: int
    only_challenger: int
    verdict: str
    words: str
    samples_needed: int | None
    classes: tuple[ClassComparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparisons:
    """All challengers of a version."""

    basis: Basis
    comparisons: tuple[Comparison, ...] = ()

    def of(self, version: str) -> Comparison | None:
        """The comparison with a version, or the first one when none is named."""
        found = (c for c in self.comparisons if not version or c.challenger == version)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class AdviceItem:
    """Something to do; effect_size is the share that is at stake, 0 to 1."""

    code: str
    text: str
    evidence: str
    effect_size: float
    remedy: str
