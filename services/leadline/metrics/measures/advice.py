"""What to do about a model and its labels, in words, out of figures.

`core.notices` says what one must know before trusting a figure; here is what is worth doing about
the model, its thresholds and its labels. Each rule speaks only where its interval leaves no doubt,
about at most PER_RULE_MAX things, the largest first, so that chance alone seldom raises one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import LABELS_FEW, NO_TALLY, Confusion, Rate, Tally, class_counts
from leadline.metrics.measures.uncertainty import Interval, difference_interval
from leadline.records.cells import split_index
from leadline.records.intervals import Z95, wilson
from leadline.records.scores import BAND_BITS, BAND_NONE, CONFIDENCE_EDGES, band_bounds

I64 = npt.NDArray[np.int64]

PER_RULE_MAX = 5
"""So much advice of one kind; the rest is less."""
NAMED_MAX = 5
"""So many classes are named in a sentence."""
HALF_WIDTH = 0.05
"""A rate is called known within +-5 points."""
EVENTS_MIN = 50
"""Below so many predictions nothing is said about how many are labelled."""
CONFUSED_SHARE_MIN = 0.1
"""A class is called recognised as another when surely more than this share of it is."""
CONFIDENT_BAND = CONFIDENCE_EDGES.index(0.99) + 1
"""The first band of predictions that are sure to 99 %."""
SUSPECTS_MIN = 5
"""Fewer confident contradictions are no pattern."""
SUSPECT_TIMES = 2
"""Contradictions are suspicious when surely more than so many times what is to be expected."""
LABELS_KEPT = 0.5
"""Labels became fewer when surely less than this part of the usual share comes."""
GAIN_MIN = 0.01
"""A better threshold is worth a word from this gain of F1 on."""
SLICE_WORSE = 0.05
"""A slice is much worse when its accuracy is surely so much below that of the rest."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do.

    Attributes:
        code: a stable word for scripts.
        text: what was found, one sentence.
        evidence: the counts and intervals behind it, one sentence.
        effect_size: about how much is at stake, in [0, 1], of the accuracy, of the named rate, or
            of the labels.
        remedy: what to do, one or two sentences.
    """

    code: str
    text: str
    evidence: str
    effect_size: float
    remedy: str


@dataclass(frozen=True, slots=True)
class LabelFlow:
    """Whether labels still come.

    Attributes:
        before: predictions of an earlier time, and how many of them are labelled.
        lately: those of the latest time that are older than the usual delay (its p95), and how
            many are labelled, so that labels on their way are not missed.
        silence_seconds: since the last label came; None when it is not known.
    """

    before: Rate
    lately: Rate
    silence_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ThresholdGap:
    """The threshold in use for a class against the best one.

    Attributes:
        number: the class.
        current, best: thresholds, scores in [0, 1].
        current_f1, best_f1: as counted on the same labels.
        optimism: by how much `best_f1` is too high since it was chosen on these labels, >= 0.
        labels: labelled predictions behind it.
    """

    number: int
    current: float
    best: float
    current_f1: float
    best_f1: float
    optimism: float
    labels: int


@dataclass(frozen=True, slots=True)
class Reweighting:
    """A rate of the labelled predictions and the same reweighted to all traffic.

    Attributes:
        name: "accuracy", "recall of cat".
        plain: of the labelled ones.
        value: reweighted, in [0, 1].
        interval: of `value`.
    """

    name: str
    plain: Rate
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Findings:
    """What the rules judge; what is left out is not judged.

    Attributes:
        matrix: labelled predictions.
        names: of classes by number.
        declared: length of the class list; 0 when there is none.
        strata: STRATUM_LABELLED indices, true class << 32 | predicted class << 4 | band.
        flow: of labels.
        thresholds: one a class, or one for all.
        reweighted: rates that labels may misrepresent.
        slices: right among labelled predictions, by name; they do not overlap.
    """

    matrix: Confusion
    names: Mapping[int, str] = field(default_factory=dict)
    declared: int = 0
    strata: Tally = NO_TALLY
    flow: LabelFlow | None = None
    thresholds: Sequence[ThresholdGap] = ()
    reweighted: Sequence[Reweighting] = ()
    slices: Sequence[tuple[str, Rate]] = ()

    def name(self, number: int) -> str:
        """What people call a class."""
        return self.names.get(number, f"class {number}")


Rule = Callable[[Findings], Iterator[Advice]]


def advice(findings: Findings) -> tuple[Advice, ...]:
    """All that applies, the largest effect first."""
    rules: tuple[Rule, ...] = (
        labels_stopped,
        few_labels_of_classes,
        confused_classes,
        suspected_labels,
        threshold_gaps,
        labels_not_random,
        weak_slices,
    )
    found = [each for rule in rules for each in _largest(rule(findings))[:PER_RULE_MAX]]
    return tuple(_largest(found))


def _largest(found: Iterator[Advice] | Sequence[Advice]) -> list[Advice]:
    return sorted(found, key=lambda each: -each.effect_size)


def labels_stopped(findings: Findings) -> Iterator[Advice]:
    """A share labelled that surely fell below half of what it was."""
    flow = findings.flow
    if flow is None or min(flow.before.trials, flow.lately.trials) < EVENTS_MIN:
        return
    usual, now = _known(flow.before), _known(flow.lately)
    if now[1] >= LABELS_KEPT * usual[0]:
        return
    before, lately = _percent(_value(flow.before)), _percent(_value(flow.lately))
    since = f" for {_duration(flow.silence_seconds)}" if flow.silence_seconds else ""
    none = not flow.lately.successes
    yield Advice(
        "labels_stopped" if none else "labels_fewer",
        f"No label has come{since}."
        if none and since
        else f"Labels became fewer: {lately} of the predictions now, {before} before.",
        f"{flow.lately.successes:,} of the latest {flow.lately.trials:,} predictions that should "
        f"have a label have one; before, {before} had ({_range(usual)}).",
        1 - _value(flow.lately) / _value(flow.before),
        "Check the source of the labels and whether they carry the ids of these predictions; until "
        "then the figures speak of the past.",
    )


def few_labels_of_classes(findings: Findings) -> Iterator[Advice]:
    """Classes with fewer than LABELS_FEW labels; silent while there are hardly any at all."""
    if findings.matrix.total < LABELS_FEW:
        return
    counts = class_counts(findings.matrix)
    columns = (counts.number, counts.correct, counts.support)
    rates = {number: Rate(0, 0) for number in range(findings.declared)}
    for number, right, support in zip(*(each.tolist() for each in columns), strict=True):
        rates[number] = Rate(right, support)
    few = sorted(
        ((number, rate) for number, rate in rates.items() if rate.trials < LABELS_FEW),
        key=lambda each: (each[1].trials, each[0]),
    )
    if not few:
        return
    has = _listed([f"{findings.name(number)} ({rate.trials})" for number, rate in few])
    more = _listed([f"{findings.name(number)} ({labels_needed(rate)})" for number, rate in few])
    widths = (_known(rate) for _, rate in few)
    one = len(few) == 1
    yield Advice(
        "few_labels_of_classes",
        f"{len(few)} of {len(rates)} classes {'has' if one else 'have'} fewer than {LABELS_FEW} "
        f"labels: {has}.",
        f"To know {'its' if one else 'their'} recall within 5 points takes about so many more: "
        f"{more}.",
        sum(upper - lower for lower, upper in widths) / 2 / len(rates),
        "Label more inputs of these classes, first those that are predicted as them.",
    )


def labels_needed(rate: Rate, half_width: float = HALF_WIDTH) -> int:
    """How many more labels until the 95 % interval is about +- half_width, at the present rate.

    The rate is taken two successes and two failures closer to one half, so that a few right ones
    are not taken for a certainty. 0 when it is that narrow already.

    >>> labels_needed(Rate(0, 0)), labels_needed(Rate(45, 50))
    (381, 125)
    """
    share = (rate.successes + 2) / (rate.trials + 4)
    few, many = 0, max(1, rate.trials)
    while _half_width(share, many) > half_width:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if _half_width(share, middle) > half_width else (few, middle)
    return max(0, many - rate.trials)


def _half_width(share: float, trials: int) -> float:
    """Half the length of Wilson's interval."""
    square = Z95 * Z95 / trials
    variance = share * (1 - share) / trials + square / (4 * trials)
    half: float = Z95 * variance**0.5 / (1 + square)
    return half


def confused_classes(findings: Findings) -> Iterator[Advice]:
    """Classes of which one wrong class takes most of the errors, and surely a good part."""
    matrix = findings.matrix
    counts = class_counts(matrix)
    support = dict(zip(counts.number.tolist(), counts.support.tolist(), strict=True))
    right = dict(zip(counts.number.tolist(), counts.correct.tolist(), strict=True))
    columns = (matrix.true, matrix.predicted, matrix.count)
    for true, predicted, count in zip(*(each.tolist() for each in columns), strict=True):
        total = support[true]
        errors = total - right[true]
        if true == predicted or total < LABELS_FEW or 2 * count <= errors:
            continue
        bounds = _known(Rate(count, total))
        if bounds[0] <= CONFUSED_SHARE_MIN:
            continue
        name, other = findings.name(true), findings.name(predicted)
        yield Advice(
            "class_confused",
            f"{name} is {'mostly' if count > right[true] else 'often'} recognised as {other}: "
            f"{_percent(count / total)} of its {total:,} labels.",
            f"{_range(bounds)}; {_percent(count / errors)} of its errors, recall "
            f"{_percent(right[true] / total)}.",
            count / matrix.total,
            f"Look at the kept cases of this cell, and train with more inputs of {name}; if the "
            "two need not be told apart, merge them.",
        )


def suspected_labels(findings: Findings) -> Iterator[Advice]:
    """Labels that contradict sure predictions, the same way, more often than is to be expected.

    Among predictions of a class that are at least 99 % sure, at most 1 % and less in higher bands
    should be wrong, if scores mean what they say; and where they do not, about as many as among
    all other sure predictions of the model. A pair (true, predicted) is suspected when its share is
    surely more than SUSPECT_TIMES the larger of both.
    """
    for label, said, found, of, expected in _contradictions(findings.strata):
        bounds = _known(Rate(found, of))
        if bounds[0] <= SUSPECT_TIMES * expected:
            continue
        yield Advice(
            "suspected_labels",
            f"{found:,} labels say {findings.name(label)} where the model was at least 99 % sure "
            f"of {findings.name(said)}.",
            f"{_percent(found / of)} of {of:,} such predictions ({_range(bounds)}), where "
            f"at most {_percent(expected)} is to be expected.",
            found / max(findings.strata.total, 1),
            "Look at these cases and correct the labels that are wrong; if they are right, the "
            "model is too sure: see its calibration.",
        )


def _contradictions(strata: Tally) -> Iterator[tuple[int, int, int, int, float]]:
    """Sure predictions that a label contradicts at least SUSPECTS_MIN times.

    Yields (true class, predicted class, how often, sure predictions of that class, the share that
    is to be expected at most).
    """
    true, rest = split_index(strata.index)
    predicted, band = rest >> BAND_BITS, rest & BAND_NONE
    sure = (band >= CONFIDENT_BAND) & (band < BAND_NONE)
    true, predicted, count = true[sure], predicted[sure], strata.count[sure].astype(np.float64)
    unsure = np.array([1 - band_bounds(each)[0] for each in range(BAND_NONE)])[band[sure]]
    classes, of_class = np.unique(predicted, return_inverse=True)
    trials = np.bincount(of_class, count, len(classes))
    allowed = np.bincount(of_class, count * unsure, len(classes))
    every, wrong = count.sum(), count[true != predicted].sum()
    pairs, of_pair = np.unique(np.stack([true, of_class]), axis=1, return_inverse=True)
    found = np.bincount(of_pair.ravel(), count, pairs.shape[1])
    for at in np.flatnonzero((pairs[0] != classes[pairs[1]]) & (found >= SUSPECTS_MIN)).tolist():
        label, place = pairs[:, at].tolist()
        others = (wrong - found[at]) / (every - found[at]) if every > found[at] else 0.0
        expected = max(float(allowed[place] / trials[place]), float(others))
        yield label, int(classes[place]), int(found[at]), int(trials[place]), expected


def threshold_gaps(findings: Findings) -> Iterator[Advice]:
    """Thresholds whose best alternative gains more F1 than choosing it on the labels explains."""
    for gap in findings.thresholds:
        gain = gap.best_f1 - gap.optimism - gap.current_f1
        if gain < GAIN_MIN or gap.labels < LABELS_FEW:
            continue
        yield Advice(
            "threshold_far",
            f"The threshold {gap.current:.3g} of {findings.name(gap.number)} is far from the best, "
            f"{gap.best:.3g}: its F1 would be about {gain * 100:.1f} points higher.",
            f"F1 {gap.current_f1:.3f} now and {gap.best_f1:.3f} there on the same {gap.labels:,} "
            f"labels, of which {gap.optimism:.3f} is the optimism of choosing on them.",
            min(1.0, gain),
            f"Set the threshold to {gap.best:.3g} if precision and recall count alike; else name "
            "your costs or constraints on the threshold page.",
        )


def labels_not_random(findings: Findings) -> Iterator[Advice]:
    """Rates that change when reweighted to all traffic, each outside the other's interval."""
    for each in findings.reweighted:
        if each.plain.trials < LABELS_FEW:
            continue
        plain, bounds, value = _value(each.plain), _known(each.plain), each.value
        lower, upper = each.interval
        if bounds[0] <= value <= bounds[1] or lower <= plain <= upper:
            continue
        side = "worse" if value < plain else "better"
        yield Advice(
            "labels_not_random",
            f"On all traffic the {each.name} is probably {side} than on what is labelled: "
            f"{_percent(value)} against {_percent(plain)}.",
            f"{_range(each.interval)} reweighted by predicted class and confidence, "
            f"{_range(bounds)} of {each.plain.trials:,} labels.",
            abs(value - plain),
            "Trust the reweighted rate, and label a random part of the traffic.",
        )


def weak_slices(findings: Findings) -> Iterator[Advice]:
    """Slices that are surely much worse than all others together, whichever slice one looks at."""
    whole = Rate(
        sum(rate.successes for _, rate in findings.slices),
        sum(rate.trials for _, rate in findings.slices),
    )
    if len(findings.slices) < 2:
        return
    z = NormalDist().inv_cdf(1 - 0.025 / len(findings.slices))
    for name, rate in findings.slices:
        rest = Rate(whole.successes - rate.successes, whole.trials - rate.trials)
        gap = difference_interval(rate, rest, z)
        if gap is None or min(rate.trials, rest.trials) < LABELS_FEW or gap[1] >= -SLICE_WORSE:
            continue
        lost = _value(rest) - _value(rate)
        yield Advice(
            "slice_worse",
            f"{name} is much worse than the rest: {_percent(_value(rate))} right against "
            f"{_percent(_value(rest))}.",
            f"{lost * 100:.1f} points ({-gap[1] * 100:.1f} to {-gap[0] * 100:.1f}, for all "
            f"{len(findings.slices)} slices together) on {rate.trials:,} of {whole.trials:,} "
            "labels.",
            lost * rate.trials / whole.trials,
            f"Look at the kept cases of {name}, and compare its inputs with those the model was "
            "trained on.",
        )


def _value(rate: Rate) -> float:
    """The share; 0 without a trial, which the rules leave out."""
    return rate.successes / rate.trials if rate.trials else 0.0


def _known(rate: Rate) -> Interval:
    """Wilson's interval; [0, 1] without a trial."""
    return wilson(rate.successes, rate.trials) or (0.0, 1.0)


def _listed(items: list[str]) -> str:
    """The first items in a sentence, and how many more there are."""
    rest = len(items) - NAMED_MAX
    return ", ".join(items[:NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")


def _percent(share: float) -> str:
    """A share in words, rounded as a person would.

    >>> _percent(0.0123), _percent(0.27), _percent(0.9999)
    ('1.2 %', '27 %', '99.99 %')
    """
    if share in (0.0, 1.0) or 0.1 <= share <= 0.99:
        return f"{share * 100:.0f} %"
    return f"{share * 100:.2f} %" if share > 0.99 else f"{share * 100:.1f} %"


def _range(bounds: Interval) -> str:
    """An interval of a share: "26 to 43 %"."""
    lower, upper = (_percent(bound).removesuffix(" %") for bound in bounds)
    return f"{lower} to {upper} %"


def _duration(seconds: float) -> str:
    """A time in the largest unit of which it has two (three days).

    >>> _duration(90), _duration(5_400), _duration(200_000)
    ('90 s', '90 min', '56 h')
    """
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (3 if unit == "days" else 2) * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
