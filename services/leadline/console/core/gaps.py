"""Why a page of analysis has nothing to show yet, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import words
from leadline.console.core.analysis import ScoreBasis
from leadline.console.core.figures import Summary


@dataclass(frozen=True, slots=True)
class Gap:
    """A page's only card: what is missing, why, and what to write to have it."""

    title: str
    text: str
    say: str
    code: str = ""


LABELS = 'log.label(id, "7")      # now, or weeks later'
SCORES = "log.prediction(id, scores)   # one score a class, not only the best class"


def label_gap(summary: Summary) -> Gap | None:
    """No prediction, no label, or a single class."""
    basis = summary.basis
    if not basis.predictions:
        return Gap(
            "Nothing in this window",
            "No prediction of this version lies in this window.",
            "Choose a longer window, or another slice.",
        )
    if not basis.labelled:
        return Gap(
            "No labels yet",
            f"{words.plural(basis.predictions, 'prediction')}, no label yet.",
            "This page needs labels. Send them, or import them from a file with "
            "leadline labels import FILE:",
            LABELS,
        )
    seen = [c for c in summary.classes if c.support]
    if len(seen) == 1:
        return Gap(
            "One class only",
            f"All {words.count(basis.labelled)} labels say {seen[0].name}.",
            "Curves, thresholds and calibration compare a class with the others: they begin "
            "when a second class has been labelled.",
        )
    return None


def score_gap(scores: ScoreBasis | None) -> Gap | None:
    """Labels, but no scores."""
    if scores is None or scores.scored:
        return None
    return Gap(
        "No scores logged",
        "Predictions have come without scores, or scores are not counted.",
        "Curves, thresholds and calibration need the scores of all classes. Log them with each "
        "prediction, and keep the kind scores in the rules:",
        SCORES,
    )


def compare_gap(version: str, model: str, others: int) -> Gap | None:
    """No other version in the window."""
    if others:
        return None
    return Gap(
        "No other version",
        f"v{version} is the only version of {model} that predicted in this window.",
        "Send some of the traffic, or a copy of it, to another version: with the same ids both "
        "are compared on the same inputs. Or choose a longer window.",
    )


def hours_words(scores: ScoreBasis) -> str:
    """The whole hours that scores cover where the window is not made of whole hours."""
    start, end = scores.start_us, scores.end_us
    if start is None or end is None:
        return ""
    if (start, end) == (scores.basis.start_us, scores.basis.end_us):
        return ""
    one, two = words.moment(start), words.moment(end)
    first = "" if one.date() == two.date() else f"{one.day} {one:%b} "
    second = "" if one.date() == two.date() else f"{two.day} {two:%b} "
    return f"scores by whole hours: {first}{one:%H:%M} to {second}{two:%H:%M}"


def partial_words(scores: ScoreBasis) -> str:
    """What is not known where only the best scores are kept; empty where all are."""
    if scores.complete:
        return ""
    return "Of each prediction only the ten best scores are kept: lower ones count as missing."
