"""Rates reweighted to all traffic, by strata of predicted class and band of confidence.

Labels are rarely a random sample of traffic: often the doubtful or the popular predictions are
labelled. How much of the traffic lies in each stratum is known without labels, so a rate in each
stratum, weighted by the stratum's traffic, is the rate of all traffic, as long as labels are
missing at random within strata (D. Holt and T. M. F. Smith, "Post stratification", J. R. Statist.
Soc. A 142 (1979), 33-46). A stratum has the index `predicted class << 4 | band` here.

The variance of a reweighted rate is that of a stratified mean, sum of W^2 p (1 - p) / n, plus that
of the traffic itself, sum of W (p_h - p)^2 / N. Where everything is labelled it is p (1 - p) / n,
and the interval that of the plain rate, up to the caution that small strata ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Rate, Tally
from leadline.metrics.measures.curves import Bounded
from leadline.records.cells import split_index
from leadline.records.intervals import Z95
from leadline.records.scores import BAND_BITS, BAND_NONE

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

PRIOR_LABELS = 1.0
"""Weight, in labels, with which a stratum's variance leans on the rate of all strata: one right
label of one must not count as certain."""


@dataclass(frozen=True, slots=True)
class Strata:
    """Traffic and labels by stratum; columns by ascending stratum, those with traffic or labels.

    Attributes:
        predicted: int64, the predicted class.
        band: int64, the band of confidence; BAND_NONE where it is not known.
        traffic: int64, predictions, at least as many as labels.
        labels: int64, labelled predictions.
        correct: int64, labelled predictions of this true class.
        true: int64 (m,), true class of each (stratum, true class) with labels.
        of: int64 (m,), place of its stratum in the columns.
        count: int64 (m,), labels.
    """

    predicted: I64
    band: I64
    traffic: I64
    labels: I64
    correct: I64
    true: I64
    of: I64
    count: I64


def strata_of(traffic: Tally, labelled: Tally) -> Strata:
    """Strata out of cells of one scope.

    Args:
        traffic: STRATUM cells, predicted class << 32 | band.
        labelled: STRATUM_LABELLED cells, true class << 32 | predicted class << 4 | band.

    Raises:
        ValueError: a stratum has more labels than predictions: the counts are not of one scope.
    """
    predicted, band = split_index(traffic.index)
    stratum = predicted << BAND_BITS | band
    true, stratum_of_label = split_index(labelled.index)
    number = np.union1d(stratum, stratum_of_label)
    everything, labels, correct = np.zeros((3, len(number)), np.int64)
    everything[np.searchsorted(number, stratum)] = traffic.count
    of = np.searchsorted(number, stratum_of_label)
    np.add.at(labels, of, labelled.count)
    right = true == stratum_of_label >> BAND_BITS
    np.add.at(correct, of[right], labelled.count[right])
    if (labels > everything).any():
        raise ValueError("A stratum has more labels than predictions: not counts of one scope.")
    return Strata(
        predicted=number >> BAND_BITS,
        band=number & ((1 << BAND_BITS) - 1),
        traffic=everything,
        labels=labels,
        correct=correct,
        true=true,
        of=of,
        count=labelled.count,
    )


def scored_support(labelled: Tally) -> tuple[dict[int, int], int]:
    """Labels by true class, and all labels, of predictions whose confidence is known.

    These are the rows that SCORES cells speak of, as `scores.class_scores` asks for.
    """
    true, stratum = split_index(labelled.index)
    known = stratum & ((1 << BAND_BITS) - 1) != BAND_NONE
    support: dict[int, int] = {}
    for number, count in zip(true[known].tolist(), labelled.count[known].tolist(), strict=True):
        support[number] = support.get(number, 0) + count
    return support, sum(support.values())


@dataclass(frozen=True, slots=True)
class Reweighted:
    """A rate of all traffic, beside the plain rate of what was labelled.

    Attributes:
        rate: over strata with labels, between the rates if all strata without any were wrong and
            all right. None where no stratum that matters has labels.
        interval: 95 % interval of sampling, widened by that range; None as `rate` is.
        unlabelled_share: share in [0, 1] of the traffic that the rate speaks of (for a precision,
            predictions of the class) which lies in strata without any label; None without traffic.
        plain: the rate of the labelled ones.
    """

    rate: Bounded | None
    interval: tuple[float, float] | None
    unlabelled_share: float | None
    plain: Rate

    @property
    def difference(self) -> float | None:
        """Reweighted minus plain, in [-1, 1]; None where either is missing."""
        if self.rate is None or self.plain.value is None:
            return None
        return self.rate.value - self.plain.value

    @property
    def differs(self) -> bool:
        """Whether each rate lies outside the other's interval."""
        inner, outer, plain = self.interval, self.plain.interval, self.plain.value
        if self.rate is None or inner is None or outer is None or plain is None:
            return False
        beyond = not outer[0] <= self.rate.value <= outer[1]
        return beyond and not inner[0] <= plain <= inner[1]


@dataclass(frozen=True, slots=True)
class PostStratified:
    """All rates of one scope, reweighted to its traffic.

    Attributes:
        accuracy: share of right predictions.
        precision: by predicted class, those that occur in traffic.
        recall: by true class, those with labels.
    """

    accuracy: Reweighted
    precision: dict[int, Reweighted]
    recall: dict[int, Reweighted]


def post_stratified(traffic: Tally, labelled: Tally) -> PostStratified:
    """Accuracy, precision and recall of all traffic; arguments as of `strata_of`."""
    strata = strata_of(traffic, labelled)
    cuts = np.flatnonzero(np.diff(strata.predicted)) + 1
    bounds = [0, *cuts.tolist(), len(strata.predicted)]
    precision = {
        int(strata.predicted[begin]): _share(strata, slice(begin, end))
        for begin, end in pairwise(bounds)
        if begin < end
    }
    return PostStratified(_share(strata, slice(None)), precision, _recalls(strata))


def accuracy_of_traffic(traffic: Tally, labelled: Tally) -> Reweighted:
    """The accuracy of `post_stratified` alone: quick, whatever the number of classes."""
    return _share(strata_of(traffic, labelled), slice(None))


def _share(strata: Strata, part: slice) -> Reweighted:
    """The share of right predictions in some strata."""
    traffic, labels, correct = strata.traffic[part], strata.labels[part], strata.correct[part]
    plain = Rate(int(correct.sum()), int(labels.sum()))
    total = int(traffic.sum())
    if not total:
        return Reweighted(None, None, None, plain)
    known = labels > 0
    covered = int(traffic[known].sum())
    unlabelled = 1 - covered / total
    if not covered:
        return Reweighted(None, None, unlabelled, plain)
    n, weight = labels[known].astype(np.float64), traffic[known] / covered
    rate = float(weight @ (correct[known] / n))
    # The variance leans a little on the common rate, the rate itself does not.
    common = (plain.successes + 0.5) / (plain.trials + 1)
    shrunk = (correct[known] + PRIOR_LABELS * common) / (n + PRIOR_LABELS)
    centre = float(weight @ shrunk)
    variance = float(weight**2 @ (shrunk * (1 - shrunk) / n))
    variance += float(weight @ (shrunk - centre) ** 2) / covered
    interval = _wilson(rate, centre * (1 - centre) / variance)
    return Reweighted(
        rate=Bounded(rate, rate * (1 - unlabelled), rate * (1 - unlabelled) + unlabelled),
        interval=(interval[0] * (1 - unlabelled), interval[1] * (1 - unlabelled) + unlabelled),
        unlabelled_share=unlabelled,
        plain=plain,
    )


@dataclass(frozen=True, slots=True)
class _Margins:
    """What a class needs to know of all strata: sums of its own ones and of the others.

    Attributes:
        dark: traffic in strata without labels, (own, others).
        traffic: all predictions.
        labels: in the other strata.
        unseen: sum of traffic^2 / (labels (labels + 1)) of the other strata with labels but none
            of the class: how much a rare error that was not seen there may weigh.
    """

    dark: tuple[int, int]
    traffic: int
    labels: int
    unseen: float


def _recalls(strata: Strata) -> dict[int, Reweighted]:
    """The recall of each true class with labels: a ratio of two stratified means."""
    order = np.argsort(strata.true, kind="stable")
    true, of, count = strata.true[order], strata.of[order], strata.count[order]
    cuts = np.flatnonzero(np.diff(true)) + 1
    leverage = _leverage(strata)
    columns = np.stack([np.where(strata.labels, 0, strata.traffic), strata.labels, leverage])
    sums = np.concatenate([np.zeros((3, 1)), np.cumsum(columns, axis=1)], axis=1)
    traffic = int(strata.traffic.sum())
    found = {}
    for begin, end in pairwise([0, *cuts.tolist(), len(true)]):
        if begin == end:
            continue
        number = int(true[begin])
        first, last = np.searchsorted(strata.predicted, [number, number + 1])
        own = sums[:, last] - sums[:, first]
        others = sums[:, -1] - own
        part = of[begin:end]
        seen = float(leverage[part[strata.predicted[part] != number]].sum())
        unseen = max(0.0, float(others[2]) - seen)
        margins = _Margins((int(own[0]), int(others[0])), traffic, int(others[1]), unseen)
        found[number] = _recall(strata, number, (part, count[begin:end]), margins)
    return found


def _leverage(strata: Strata) -> F64:
    """traffic^2 / (labels (labels + 1)) of each stratum, 0 without labels."""
    labels = strata.labels.astype(np.float64)
    share: F64 = strata.traffic.astype(np.float64) ** 2 / np.maximum(labels * (labels + 1), 1)
    return np.where(labels > 0, share, 0.0)


def _recall(strata: Strata, number: int, labels: tuple[I64, I64], margins: _Margins) -> Reweighted:
    """The recall of one class.

    Its variance is that of the linearised ratio (delta method): a row of the class weighs 1 - R
    in strata that predict the class, and R in the others. Strata without a row of the class count
    with the share of the class that the other strata have on average.

    Args:
        strata: all.
        number: the class.
        labels: places of the strata with labels of this class, and how many labels, at least 1.
        margins: of the other strata.
    """
    of, count = labels
    own = strata.predicted[of] == number
    plain = Rate(int(count[own].sum()), int(count.sum()))
    traffic, n = strata.traffic[of].astype(np.float64), strata.labels[of].astype(np.float64)
    rows = traffic * count / n
    total, right = float(rows.sum()), float(rows[own].sum())
    recall = right / total
    shrunk = (recall * plain.trials + 0.5) / (plain.trials + 1)
    missed = (plain.trials - plain.successes) / max(margins.labels, 1)
    share = np.where(own, (count + 0.5) / (n + 1), (count + missed) / (n + 1))
    weight = np.where(own, 1 - shrunk, shrunk) ** 2
    variance = float(weight @ (traffic**2 * share * (1 - share) / n + rows * count / n))
    variance = (variance + shrunk**2 * missed * margins.unseen) / total**2
    interval = _wilson(recall, shrunk * (1 - shrunk) / variance)
    low, high = total + margins.dark[1], total + margins.dark[0]
    return Reweighted(
        rate=Bounded(recall, right / low, (right + margins.dark[0]) / high),
        interval=(interval[0] * total / low, (interval[1] * total + margins.dark[0]) / high),
        unlabelled_share=sum(margins.dark) / margins.traffic,
        plain=plain,
    )


def _wilson(share: float, effective: float, z: float = Z95) -> tuple[float, float]:
    """Wilson interval of a share that is as well known as from `effective` independent trials.

    L. Kish's effective sample size, share (1 - share) / variance.
    """
    square = z * z / effective
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / effective + square / (4 * effective)) / (1 + square)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def in_words(found: Reweighted, name: str) -> str | None:
    """What the comparison says, for people; None where there is nothing to say.

    Args:
        found: the rates.
        name: of the rate, such as "accuracy" or "recall of fox".
    """
    if not found.unlabelled_share and not found.differs:
        return None
    words = []
    if found.differs and found.rate is not None and found.plain.value is not None:
        higher = "higher" if found.rate.value < found.plain.value else "lower"
        words.append(
            f"Labels are not like traffic: the {name} of what was labelled, "
            f"{found.plain.value:.1%}, is {higher} than that of all traffic, "
            f"about {found.rate.value:.1%}."
        )
    if found.rate is None:
        words.append(f"The {name} of all traffic cannot be told: no stratum of it has labels.")
    elif found.unlabelled_share:
        words.append(
            f"{found.unlabelled_share:.1%} of the traffic is like nothing that was labelled: the "
            f"{name} of all traffic lies between {found.rate.lower:.1%} and {found.rate.upper:.1%}."
        )
    return " ".join(words)
