"""Conditions under which a rollout stops: what `leadline compare --fail-if` understands.

A condition is one of

    worse | better | undecided | same             the verdict of the comparison
    [maybe] FIGURE drop > BOUND [points]          a loss of the challenger against the champion

with `>` or `>=`, and FIGURE one of `accuracy`, `recall[CLASS]`, `macro_precision`,
`macro_recall`, `macro_f1`. A bound is a share, or with `points` a hundredth of it: `0.5 points` is
0.005. A class is named as declared, or by its number.

Without `maybe` a condition holds only when the loss is beyond the bound for sure: the whole
interval is. With `maybe` it holds already when the loss as counted is, whatever its interval. So
`accuracy drop > 0.5 points` stops few good versions, `maybe accuracy drop > 0.5 points` lets few
bad ones pass, and where nothing is counted neither holds: name `undecided` too, if silence must not
pass.

Intervals of accuracy and recall hold at every look, at the error that the comparison allows. Those
of macro figures are for one look and take the two samples as independent, which is wide for pairs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from leadline.metrics.core.figures import class_counts, macro_average
from leadline.metrics.measures.comparison import Change, Comparison
from leadline.metrics.measures.uncertainty import (
    Interval,
    independent_difference,
    macro_intervals,
)

VERDICTS = ("worse", "better", "undecided", "same")
MACROS = ("macro_precision", "macro_recall", "macro_f1")
ALLOWED = (
    f"{', '.join(VERDICTS)}, or '[maybe] FIGURE drop > BOUND [points]' with one of the figures "
    f"accuracy, recall[CLASS], {', '.join(MACROS)}"
)

_DROP = re.compile(
    r"(?P<maybe>maybe\s+)?(?P<figure>\w+)(?:\[(?P<class>.+)\])?\s+drop\s*(?P<sign>>=?)\s*"
    r"(?P<bound>\d+(?:\.\d+)?|\.\d+)\s*(?P<points>points?)?"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as parsed.

    Attributes:
        text: as written.
        figure: a verdict, "accuracy", "recall" or one of MACROS.
        class_name: of "recall", else empty.
        bound: of the loss, in shares, in [0, 1].
        strict: > rather than >=.
        maybe: the loss as counted decides, not its interval.
    """

    text: str
    figure: str
    class_name: str = ""
    bound: float = 0.0
    strict: bool = True
    maybe: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a condition holds, and why, in one sentence."""

    fails: bool
    words: str


def parse_condition(text: str) -> Condition:
    """Understand a condition.

    Raises:
        ValueError: says what is wrong and what is allowed.

    >>> parse_condition("recall[cat] drop > 2 points").bound
    0.02
    """
    written = text.strip()
    if written in VERDICTS:
        return Condition(written, written)
    found = _DROP.fullmatch(written)
    if found is None:
        raise ValueError(f"Cannot read the condition {written!r}. Allowed: {ALLOWED}.")
    figure, name = found["figure"], (found["class"] or "").strip()
    if figure not in ("accuracy", "recall", *MACROS):
        raise ValueError(f"{figure!r} in {written!r} is no figure. Allowed: {ALLOWED}.")
    if (figure == "recall") != bool(name):
        needs = "needs its class: recall[CLASS]" if figure == "recall" else "takes no class"
        raise ValueError(f"{figure!r} in {written!r} {needs}.")
    bound = float(found["bound"]) / (100 if found["points"] else 1)
    if bound > 1:
        raise ValueError(
            f"The bound of {written!r} is above 1: write '{found['bound']} points' for hundredths."
        )
    return Condition(written, figure, name, bound, found["sign"] == ">", bool(found["maybe"]))


def judge(
    condition: Condition, comparison: Comparison, classes: Mapping[str, int] | None = None
) -> Judgement:
    """Whether a condition holds for a comparison.

    Args:
        condition: what would stop the rollout.
        comparison: challenger against champion.
        classes: numbers by name, where the model is declared.

    Raises:
        ValueError: the condition names a class that there is not; says which there are.
    """
    if condition.figure in VERDICTS:
        return Judgement(comparison.verdict == condition.figure, comparison.words())
    loss, interval = _loss(condition, comparison, classes or {})
    name = f"recall of {condition.class_name}" if condition.class_name else condition.figure
    name = name.replace("_", " ")
    if loss is None or interval is None:
        return Judgement(fails=False, words=f"The {name} of both is not known yet.")
    beyond = _is_beyond(condition, loss if condition.maybe else interval[0])
    counted = f"{abs(loss) * 100:.2f} points {'lower' if loss > 0 else 'higher'}"
    if not loss:
        counted = "equal"
    sure = _sureness(condition, loss, interval)
    lower, upper = (f"{-bound * 100:+.2f}" for bound in (interval[1], interval[0]))
    words = f"The {name} of {comparison.challenger_name} is {counted} ({lower} to {upper}): {sure}."
    return Judgement(beyond, words)


def _is_beyond(condition: Condition, loss: float) -> bool:
    return loss > condition.bound if condition.strict else loss >= condition.bound


def _sureness(condition: Condition, loss: float, interval: Interval) -> str:
    """How the loss stands to the bound, in words."""
    bound = f"a drop of {condition.bound * 100:g} points"
    lower, upper = interval
    if _is_beyond(condition, lower):
        return f"surely beyond {bound}"
    if _is_beyond(condition, loss):
        return f"maybe beyond {bound}, not for sure"
    return f"maybe within {bound}" if _is_beyond(condition, upper) else f"surely within {bound}"


def _loss(
    condition: Condition, comparison: Comparison, classes: Mapping[str, int]
) -> tuple[float | None, Interval | None]:
    """Champion - challenger with its interval; None where it is not known."""
    if condition.figure == "accuracy":
        return _loss_of(comparison.accuracy, comparison.alpha)
    if condition.figure == "recall":
        return _recall_loss(condition.class_name, comparison, classes)
    name = condition.figure.removeprefix("macro_")
    found = []
    for matrix in comparison.matrices:
        value = getattr(macro_average(class_counts(matrix)), name)
        bounds = getattr(macro_intervals(matrix), name)
        if value is None or bounds is None:
            return None, None
        found.append((value, *bounds))
    champion, challenger = found
    return champion[0] - challenger[0], independent_difference(champion, challenger)


def _loss_of(change: Change, alpha: float) -> tuple[float | None, Interval | None]:
    interval = change.sequence(alpha)
    if change.difference is None or interval is None:
        return None, None
    return -change.difference, (-interval[1], -interval[0])


def _recall_loss(
    name: str, comparison: Comparison, classes: Mapping[str, int]
) -> tuple[float | None, Interval | None]:
    number = classes.get(name, int(name) if name.isdecimal() else None)
    if number is None:
        known = ", ".join(sorted(classes)[:10]) or "numbers only, the model is not declared"
        more = ", ..." if len(classes) > 10 else ""
        raise ValueError(f"There is no class {name!r}. Classes: {known}{more}.")
    for each in comparison.classes:
        if each.number == number:
            return _loss_of(each.recall, comparison.alpha)
    return None, None
