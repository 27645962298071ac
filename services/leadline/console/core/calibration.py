"""The page of calibration: whether scores mean what they say, and what abstaining would bring."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import plot, scale, words
from leadline.console.core.analysis import Abstention, Bin, Bounded, Calibration, Stratified
from leadline.console.core.headline import Figure
from leadline.console.core.timeline import Tick

LOW, HIGH = 0.001, 0.999
"""Ends of both axes of the reliability chart."""
COVERAGE_STEP = 0.01
"""Confidences that differ by less than this share of the traffic are one line."""
UNKNOWN_SHARE = 0.05
"""From this share of traffic on it is said that nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One band: its mean score and what came true, in percent from the left and the top.

    Attributes:
        left, right: ends of what its mean score may be.
        top, bottom: ends of the 95 % interval of the share.
        share: its labelled predictions, of those of the largest band, 0 to 1.
        few: whether it has too few labels for a percentage.
    """

    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    share: float
    few: bool
    off: bool
    title: str
    cells: tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Reliability:
    """The chart of one reliability curve, and its sentence."""

    dots: tuple[Dot, ...]
    line: str
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    verdict: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A rate as labelled, and as it would be over all predictions."""

    name: str
    plain: str
    plain_interval: str
    value: str
    interval: str
    unknown: str
    differs: bool
    dot: float | None
    low: float
    high: float
    tick: float | None


@dataclass(frozen=True, slots=True)
class Rest:
    """One line of the table of abstention."""

    confidence: str
    accuracy: str
    interval: str
    answered: str
    left: str
    few: bool
    dot: float | None
    low: float
    high: float
    bar: float


def reliability(bins: tuple[Bin, ...], error: Bounded | None) -> Reliability:
    """The chart of bands of scores; the band of scores that are not kept is left out."""
    axis = plot.LogOdds(plot.logit(LOW), plot.logit(HIGH))
    shown = [b for b in bins if b.observed.trials]
    largest = max((b.observed.trials for b in shown), default=1)
    dots = tuple(_dot(b, axis, largest) for b in shown)
    sure = [d for d in dots if not d.few]
    ticks = axis.ticks(9.0)
    return Reliability(
        dots,
        plot.path((d.x, d.y) for d in sure),
        ticks,
        tuple(Tick(100 - t.at, t.text) for t in ticks),
        _verdict(shown, error),
    )


def headline(found: Calibration) -> tuple[Figure, ...]:
    """Calibration error, log loss, Brier and accuracy, plain and for all of the traffic."""
    note = f"{words.count(found.basis.scored)} scored and labelled"
    few = found.basis.scored < 30
    figures = [
        _bounded("Calibration error", found.confidence_error, note, few=few, percent=True),
        _bounded(
            "Log loss", found.log_loss, "mean of \u2212log of the true class's score", few=few
        ),
        _bounded("Brier score", found.brier, "mean squared distance, 0 to 2", few=few),
    ]
    if found.accuracy is not None:
        figures += _accuracies(found.accuracy)
    return tuple(figures)


def compared(found: Calibration, number: int | None, name: str) -> tuple[Compared, ...]:
    """Accuracy, and recall and precision of a class, as labelled and for all of the traffic."""
    rows = [("Accuracy", found.accuracy)] if found.accuracy else []
    shown = found.of(number)
    if shown is not None:
        rows += [(f"Recall of {name}", shown.recall), (f"Precision of {name}", shown.precision)]
    lowest = min((r.lower for _, s in rows if (r := s.plain).lower is not None), default=0.0)
    floor = scale.floor_of(lowest)
    return tuple(_compared(text, s, floor) for text, s in rows if s.plain.trials)


def warnings(rows: tuple[Compared, ...], found: Calibration) -> tuple[str, ...]:
    """What to know before a plain rate is read as one of all traffic."""
    said = []
    differing = [r for r in rows if r.differs]
    if differing:
        names = words.listing(
            [r.name if i == 0 else r.name.lower() for i, r in enumerate(differing)]
        )
        verb = "differs" if len(differing) == 1 else "differ"
        said.append(
            f"{names} {verb} between the labelled and all predictions by more than chance: "
            "the labels are not a random sample of the traffic. Read the weighted figure."
        )
    accuracy = found.accuracy
    unknown = accuracy.unlabelled_share if accuracy is not None else None
    if unknown is not None and unknown >= UNKNOWN_SHARE:
        share = words.share(unknown)
        said.append(
            f"{share}{words.NARROW}% of the predictions lie where nothing has been labelled: "
            "no figure here says anything about them. Have some of them labelled."
        )
    return tuple(said)


def abstention(found: Calibration) -> tuple[Rest, ...]:
    """Accuracy and share answered, by the confidence below which a person decides."""
    known = _apart([a for a in found.abstention if a.coverage.trials])
    lowest = min((a.accuracy.lower for a in known if a.accuracy.lower is not None), default=0.0)
    floor = scale.floor_of(lowest)
    rows = []
    for a in known:
        rate, share = a.accuracy, a.coverage.value or 0.0
        rows.append(
            Rest(
                f"{a.confidence:g}",
                words.k_of_n(rate) if rate.few else words.rate(rate),
                "" if rate.few else words.interval(rate),
                words.percent(share),
                words.compact(a.coverage.trials - a.coverage.successes),
                rate.few,
                None if rate.value is None or rate.few else scale.place(rate.value, floor),
                scale.place(rate.lower or 0.0, floor),
                scale.place(rate.upper or 0.0, floor),
                scale.place(share, 0.0),
            )
        )
    return tuple(rows)


def _apart(rows: list[Abstention]) -> list[Abstention]:
    """The first of them, and those that answer less than the one before."""
    kept: list[Abstention] = []
    for row in rows:
        share = row.coverage.value or 0.0
        if not kept or (kept[-1].coverage.value or 0.0) - share >= COVERAGE_STEP:
            kept.append(row)
    return kept


def _dot(band: Bin, axis: plot.LogOdds, largest: int) -> Dot:
    rate, mean = band.observed, band.score
    low, high = rate.lower or 0.0, rate.upper or 0.0
    text = words.k_of_n(rate) if rate.few else f"{words.rate(rate)}{words.NARROW}%"
    sure = words.within(mean.value, mean.lower, mean.upper)
    return Dot(
        axis.place(mean.value),
        round(100 - axis.place(rate.value or 0.0), 2),
        axis.place(mean.lower),
        axis.place(mean.upper),
        round(100 - axis.place(high), 2),
        round(100 - axis.place(low), 2),
        round(rate.trials / max(largest, 1), 4),
        rate.few,
        not rate.few and (high < mean.lower or low > mean.upper),
        f"Mean score {words.score(mean.value)}: came true {text} ({words.interval(rate)}), "
        f"{words.count(rate.trials)} labelled",
        (words.score(mean.value), sure, words.count(rate.trials), text, words.interval(rate)),
    )


def _verdict(bands: list[Bin], error: Bounded | None) -> str:
    """Whether scores are too high or too low, in a sentence; only bands with enough labels."""
    sure = [b for b in bands if not b.observed.few]
    if not sure:
        return "Too few labels yet: no band of scores has 30."
    over = [b for b in sure if (b.observed.upper or 0.0) < b.score.lower]
    under = [b for b in sure if (b.observed.lower or 0.0) > b.score.upper]
    of = f"of {words.plural(len(sure), 'band')}"
    gap = "" if error is None else f" Mean distance {error.value * 100:.1f} points."
    if over and under:
        return f"Too high in {len(over)} and too low in {len(under)} {of}.{gap}"
    if over:
        return f"Too high in {len(over)} {of}.{gap}"
    if under:
        return f"Too low in {len(under)} {of}.{gap}"
    return f"No band is off by more than its interval allows.{gap}"


def _bounded(
    title: str, value: Bounded | None, note: str, *, few: bool, percent: bool = False
) -> Figure:
    if value is None:
        return Figure(title, words.NONE, "", "", "no score kept", grey=True)
    if percent:
        sure = words.within(value.value * 100, value.lower * 100, value.upper * 100)
        return Figure(title, f"{value.value * 100:.1f}", "%", sure, note, grey=few)
    sure = words.within(value.value, value.lower, value.upper)
    return Figure(title, f"{value.value:.3f}", "", sure, note, grey=few)


def _accuracies(found: Stratified) -> list[Figure]:
    plain, rate = found.plain, found.rate
    share = found.unlabelled_share
    note = "" if share is None else f"{words.share(share)}{words.NARROW}% in strata without label"
    return [
        Figure(
            "Accuracy, labelled",
            words.rate(plain),
            "%" if plain.trials else "",
            words.interval(plain),
            f"{words.count(plain.trials)} labelled",
            grey=plain.few,
        ),
        Figure(
            "Weighted to all traffic",
            words.NONE if rate is None else words.percent(rate.value),
            "" if rate is None else "%",
            words.span(found.interval),
            note or "no stratum has labels",
            grey=plain.few,
        ),
    ]


def _compared(name: str, found: Stratified, floor: float) -> Compared:
    plain, span, rate = found.plain, found.interval or (0.0, 0.0), found.rate
    share = found.unlabelled_share
    return Compared(
        name,
        words.k_of_n(plain) if plain.few else words.rate(plain),
        "" if plain.few else words.interval(plain),
        words.percent(None if rate is None else rate.value),
        words.span(found.interval),
        words.NONE if share is None else f"{words.share(share)}{words.NARROW}%",
        found.differs,
        None if rate is None else scale.place(rate.value, floor),
        scale.place(span[0], floor),
        scale.place(span[1], floor),
        None if plain.value is None else scale.place(plain.value, floor),
    )
