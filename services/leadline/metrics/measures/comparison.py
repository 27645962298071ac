"""Which of two versions is better, in one verdict with its evidence.

Paired on the same inputs where both predicted, else by two independent samples. The difference is
always challenger - champion, in shares: 0.01 is one point. The verdict is from the interval that
holds at every look (see `sequential`); the interval and test of one look, Tango's or Newcombe's and
McNemar's, stand beside it for reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leadline.metrics.core.figures import (
    ClassCounts,
    Confusion,
    Rate,
    class_counts,
)
from leadline.metrics.core.version_pairs import PairCounts
from leadline.metrics.measures.fixed_time import McNemar, holm, mcnemar
from leadline.metrics.measures.sequential import (
    ALPHA,
    paired_evidence,
    paired_sequence,
    pairs_needed,
    samples_needed,
    two_sample_log_e,
    two_sample_sequence,
)
from leadline.metrics.measures.uncertainty import (
    Interval,
    difference_interval,
    paired_difference_interval,
)

Kind = Literal["paired", "two-sample"]
Verdict = Literal["better", "worse", "undecided", "same"]
ClassVerdict = Literal["better", "worse", "unsure"]

PAIRED_SHARE_MIN = 0.1
"""With pairs of less than this share of the smaller sample, the samples say more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One share of two versions.

    Attributes:
        kind: how they were compared.
        champion, challenger: right ones among the inputs of each.
        only_champion, only_challenger: pairs in which one alone is right; 0 in two samples.
    """

    kind: Kind
    champion: Rate
    challenger: Rate
    only_champion: int = 0
    only_challenger: int = 0

    @property
    def difference(self) -> float | None:
        """Challenger - champion, in [-1, 1]; None where one has no trial."""
        if not self.champion.trials or not self.challenger.trials:
            return None
        return (
            self.challenger.successes / self.challenger.trials
            - self.champion.successes / self.champion.trials
        )

    @property
    def fixed_interval(self) -> Interval | None:
        """95 % interval of the difference for one look: Tango's of pairs, else Newcombe's."""
        if self.kind == "paired":
            return paired_difference_interval(
                self.only_challenger, self.only_champion, self.champion.trials
            )
        return difference_interval(self.challenger, self.champion)

    def sequence(self, alpha: float = ALPHA) -> Interval | None:
        """Interval of the difference that holds at every look with 1 - alpha."""
        if self.kind == "paired":
            return paired_sequence(
                self.only_challenger, self.only_champion, self.champion.trials, alpha
            )
        return two_sample_sequence(self.challenger, self.champion, alpha)

    @property
    def p_value(self) -> float:
        """The least alpha at which it is told from 0, valid at every look, in (0, 1]."""
        if self.kind == "paired":
            counts = self.only_champion, self.only_challenger, self.champion.trials
            return float(paired_evidence(*counts).p_value)
        return math.exp(-max(0.0, two_sample_log_e(self.champion, self.challenger)))

    def needed(self, alpha: float = ALPHA) -> int | None:
        """About how many more pairs, or labels of both together, decide it; see `pairs_needed`."""
        if self.kind == "paired":
            counts = self.only_champion, self.only_challenger, self.champion.trials
            return pairs_needed(*counts, alpha)
        return samples_needed(self.champion, self.challenger, alpha)


@dataclass(frozen=True, slots=True)
class ClassChange:
    """The recall of one class.

    Attributes:
        number: the true class.
        recall: of both versions.
        adjusted: p-value after Holm's correction over all classes, valid at every look.
        verdict: "unsure" unless `adjusted` is at most the error that was allowed.
    """

    number: int
    recall: Change
    adjusted: float
    verdict: ClassVerdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger against the champion.

    Attributes:
        champion_name, challenger_name: the versions.
        accuracy: share of right ones.
        interval: of its difference, holds at every look; None with nothing to compare.
        alpha: chance that the interval ever fails, after it was shared out among the challengers.
        challengers: how many are compared at once.
        margin: differences smaller than this do not matter, in shares; 0 when none was named.
        verdict: "same" means that the whole interval is within the margin.
        needed: about how many more pairs (or labels of both together) decide it; None when that
            cannot be told or nothing is undecided.
        classes: recall by true class, by number.
        mcnemar: for reports; None in two samples.
        matrices: confusion matrices of champion and challenger, all labelled inputs of each.
    """

    champion_name: str
    challenger_name: str
    accuracy: Change
    interval: Interval | None
    alpha: float
    challengers: int
    margin: float
    verdict: Verdict
    needed: int | None
    classes: tuple[ClassChange, ...]
    mcnemar: McNemar | None
    matrices: tuple[Confusion, Confusion]

    @property
    def verdict_words(self) -> str:
        """The verdict, with the margin where it is part of it: "same within 0.5 points"."""
        within = f" within {_in_points(self.margin)}" if self.verdict == "same" else ""
        return self.verdict + within

    def words(self) -> str:
        """The verdict with its evidence, for a person."""
        if self.interval is None:
            return self._nothing()
        if self.verdict == "undecided":
            return self._undecided() + self._shared_out()
        same = f"the same within {_in_points(self.margin)} as"
        relation = same if self.verdict == "same" else f"{self.verdict} than"
        return (
            f"{self.challenger_name} is {relation} {self.champion_name}: {self._evidence()}, "
            f"valid at every look.{self._shared_out()}"
        )

    def _evidence(self) -> str:
        one, other = self.challenger_rate, self.champion_rate
        if self.accuracy.kind == "paired":
            inputs = "input" if other.trials == 1 else "inputs"
            against = f"of the same {other.trials:,} {inputs}"
            shares = f"right on {_percent(one)} against {_percent(other)} {against}"
        else:
            shares = (
                f"right on {_percent(one)} of {one.trials:,} inputs against {_percent(other)} of "
                f"{other.trials:,} others"
            )
        return f"{shares}, {difference_words(self.accuracy.difference, self.interval)}"

    @property
    def champion_rate(self) -> Rate:
        """Right ones of the champion."""
        return self.accuracy.champion

    @property
    def challenger_rate(self) -> Rate:
        """Right ones of the challenger."""
        return self.accuracy.challenger

    def _nothing(self) -> str:
        if self.accuracy.kind == "paired":
            return "Nothing to compare yet: no labelled input was predicted by both."
        empty = [
            name
            for name, rate in (
                (self.champion_name, self.champion_rate),
                (self.challenger_name, self.challenger_rate),
            )
            if not rate.trials
        ]
        return f"Nothing to compare yet: no labelled input of {' and '.join(empty)}."

    def _undecided(self) -> str:
        one, other = self.challenger_rate.trials, self.champion_rate.trials
        paired = self.accuracy.kind == "paired"
        pairs = "pair" if other == 1 else "pairs"
        seen = f"{other:,} {pairs}" if paired else f"{one:,} and {other:,} labels"
        now = f"now {difference_words(self.accuracy.difference, self.interval)}"
        if self.needed is None:
            return f"Undecided after {seen}: {now}."
        more = "more needed" if paired else "more labels of both needed"
        return (
            f"Undecided after {seen}: about {_rough(self.needed)} {more} if the difference stays."
        )

    def _shared_out(self) -> str:
        if self.challengers == 1:
            return ""
        return (
            f" One of {self.challengers} challengers: the error allowed is shared out, "
            f"{_number(self.alpha)} % each."
        )


def compare(
    names: tuple[str, str],
    pairs: PairCounts | None,
    champion: Confusion,
    challenger: Confusion,
    *,
    alpha: float = ALPHA,
    margin: float = 0.0,
    challengers: int = 1,
    kind: Kind | None = None,
) -> Comparison:
    """Judge a challenger against the champion.

    The verdict holds at every look at counts that grow from a fixed start, such as the challenger's
    first prediction; of a window that slides, for each start alone.

    Args:
        names: of champion and challenger.
        pairs: inputs that both predicted, the champion as the first version; None where they are
            not counted.
        champion: labelled predictions of the champion.
        challenger: of the challenger.
        alpha: chance that any verdict of all challengers is ever wrong, in (0, 1).
        margin: differences up to this are called the same, in shares.
        challengers: how many are compared with this champion at once: alpha is divided by it
            (Bonferroni).
        kind: None takes pairs where they are at least PAIRED_SHARE_MIN of the smaller sample, which
            depends on how many there are, never on who is right. A comparison that changes from
            one to the other uses both tests; name the kind to keep to one.
    """
    share = alpha / challengers
    if kind is None:
        kind = _kind(pairs, champion, challenger)
    whole, by_class = (
        _paired_changes(pairs)
        if kind == "paired" and pairs is not None
        else _two_sample_changes(kind, champion, challenger)
    )
    interval = whole.sequence(share)
    verdict = _verdict(interval, margin)
    tested = mcnemar(whole.only_champion, whole.only_challenger) if kind == "paired" else None
    return Comparison(
        champion_name=names[0],
        challenger_name=names[1],
        accuracy=whole,
        interval=interval,
        alpha=share,
        challengers=challengers,
        margin=margin,
        verdict=verdict,
        needed=whole.needed(share) if verdict == "undecided" else None,
        classes=_class_changes(by_class, share),
        mcnemar=tested,
        matrices=(champion, challenger),
    )


@dataclass(frozen=True, slots=True)
class Challenger:
    """What is known of one challenger.

    Attributes:
        name: its version.
        pairs: inputs that the champion predicted too, as the first version; None where they are
            not counted.
        matrix: all its labelled predictions.
    """

    name: str
    pairs: PairCounts | None
    matrix: Confusion


def compare_all(
    champion_name: str,
    champion: Confusion,
    challengers: Sequence[Challenger],
    *,
    alpha: float = ALPHA,
    margin: float = 0.0,
    kind: Kind | None = None,
) -> tuple[Comparison, ...]:
    """Judge several challengers at once against one champion, alpha shared out among them."""
    return tuple(
        compare(
            (champion_name, each.name),
            each.pairs,
            champion,
            each.matrix,
            alpha=alpha,
            margin=margin,
            challengers=len(challengers),
            kind=kind,
        )
        for each in challengers
    )


def _kind(pairs: PairCounts | None, champion: Confusion, challenger: Confusion) -> Kind:
    number = 0 if pairs is None else pairs.total
    smaller = min(champion.total, challenger.total)
    return "paired" if number and number >= PAIRED_SHARE_MIN * smaller else "two-sample"


def _verdict(interval: Interval | None, margin: float) -> Verdict:
    if interval is None:
        return "undecided"
    lower, upper = interval
    if -margin < lower and upper < margin:
        return "same"
    if lower > 0:
        return "better"
    return "worse" if upper < 0 else "undecided"


def _paired_changes(pairs: PairCounts) -> tuple[Change, list[tuple[int, Change]]]:
    """The accuracy, and the recall of each class."""

    def change(both: int, champion: int, challenger: int, neither: int) -> Change:
        total = both + champion + challenger + neither
        rates = Rate(both + champion, total), Rate(both + challenger, total)
        return Change("paired", *rates, champion, challenger)

    columns = (pairs.both_right, pairs.only_first, pairs.only_second, pairs.neither)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    by_class = [
        (number, change(*row)) for number, row in zip(pairs.true_class.tolist(), rows, strict=True)
    ]
    return change(*(int(column.sum()) for column in columns)), by_class


def _two_sample_changes(
    kind: Kind, champion: Confusion, challenger: Confusion
) -> tuple[Change, list[tuple[int, Change]]]:
    """The accuracy, and the recall of each class that either has labels of."""
    if kind == "paired":
        return Change(kind, Rate(0, 0), Rate(0, 0)), []
    one, other = (_recalls(class_counts(matrix)) for matrix in (champion, challenger))
    numbers = sorted(one.keys() | other.keys())
    by_class = [
        (number, Change(kind, one.get(number, Rate(0, 0)), other.get(number, Rate(0, 0))))
        for number in numbers
    ]
    rates = [Rate(matrix.correct, matrix.total) for matrix in (champion, challenger)]
    return Change(kind, rates[0], rates[1]), by_class


def _recalls(counts: ClassCounts) -> dict[int, Rate]:
    columns = (counts.number, counts.correct, counts.support)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {number: Rate(right, support) for number, right, support in rows if support}


def _class_changes(by_class: list[tuple[int, Change]], alpha: float) -> tuple[ClassChange, ...]:
    adjusted = holm([change.p_value for _, change in by_class])
    found = []
    for (number, change), p_value in zip(by_class, adjusted, strict=True):
        difference = change.difference or 0.0
        told: ClassVerdict = "better" if difference > 0 else "worse"
        found.append(ClassChange(number, change, p_value, told if p_value <= alpha else "unsure"))
    return tuple(found)


def difference_words(difference: float | None, interval: Interval | None) -> str:
    """A difference in points with its interval: "+1.8 points (+1.2 to +2.4)".

    >>> difference_words(0.018, (0.012, 0.024)), difference_words(None, None)
    ('+1.8 points (+1.2 to +2.4)', 'unknown')
    """
    if difference is None:
        return "unknown"
    if interval is None:
        return f"{_points(difference)} points"
    digits = _digits(interval)
    lower, upper = (_points(bound, digits) for bound in interval)
    return f"{_points(difference, digits)} points ({lower} to {upper})"


def _digits(interval: Interval) -> int:
    """Decimals that show an interval as at least some ten steps: 1 to 4."""
    width = (interval[1] - interval[0]) * 100
    return min(4, max(1, math.ceil(-math.log10(width)) + 1)) if width > 0 else 4


def _points(share: float, digits: int = 1) -> str:
    text = f"{share * 100:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def _percent(rate: Rate) -> str:
    return f"{rate.successes / rate.trials * 100:.1f} %"


def _number(share: float) -> str:
    """A share as points or per cent, without trailing zeros."""
    return f"{share * 100:.2g}"


def _in_points(share: float) -> str:
    return f"{_number(share)} point{'' if _number(share) == '1' else 's'}"


def _rough(number: int) -> str:
    """About how many: two digits, rounded up.

    >>> _rough(2_143), _rough(12), _rough(7)
    ('2,200', '12', '7')
    """
    step = 10 ** max(0, len(str(number)) - 2)
    return f"{math.ceil(number / step) * step if step > 1 else number:,}"
