"""In which state a model is: the first of these that holds.

    state          when                                                        shape
    stopped        a shard that it is counted on has stopped                   octagon, red
    quiet          no prediction in the window                                 dashed circle
    no-labels      predictions, and no label ever                              dashed circle
    labels-stopped labels came, and none for much longer than they usually take clock, orange
    few            fewer than 30 labels in the window                          half circle
    attention      a notice about the model, not about its labels or traffic   triangle, orange
    live           none of these                                               check, green

Whether a live model is *good* needs a reference, which no figure here has: so it is not said.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadline.console.core import words
from leadline.console.core.figures import FEW_LABELS, Notice, Status, Summary
from leadline.records.intervals import Z95

PRECISION_POINTS = 5
SILENCE_MIN_SECONDS = 3600
SILENCE_DELAYS = 3
"""Labels count as stopped after this many times the delay within which 95 % arrive."""
LABEL_CODES = frozenset({"few_labels", "no_labels", "labels_stopped"})
"""Notices that the states say already."""
PLAIN_CODES = LABEL_CODES | {
    "duplicate_ids",
    "clamped",
    "unmatched",
    "superseded",
    "unobserved",
    "log_rate",
    "undeclared",
    "labels_fewer",
    "few_labels_of_classes",
    "labels_not_random",
}
"""Notices about labels and traffic rather than about the model: shown without orange."""


@dataclass(frozen=True, slots=True)
class State:
    """A state, its words, and since when or how much."""

    key: str
    text: str
    detail: str = ""


NAMES = {
    "stopped": "Stopped",
    "attention": "Needs attention",
    "labels-stopped": "Labels stopped",
    "few": "Few labels",
    "no-labels": "No labels yet",
    "quiet": "No traffic",
    "live": "Live",
}
"""In the order in which a list shows them: what needs a person first."""

ICONS = {
    "stopped": "stop",
    "attention": "warn",
    "labels-stopped": "clock",
    "few": "half",
    "no-labels": "dashed",
    "quiet": "dashed",
    "live": "check",
}


def state_of(summary: Summary, status: Status | None, now_us: int) -> State:
    """The state of a version by its summary and by where the counting stands."""
    shards = {position.shard for position in summary.basis.vector}
    stopped = [s for s in (status.stopped() if status else ()) if s.name in shards]
    labelled, last = summary.basis.labelled, summary.last_prediction_us
    silence = label_silence(summary)
    found = _state("live")
    if stopped:
        found = _state("stopped", f"since {words.near(stopped[0].committed_us, now_us)}")
    elif not summary.basis.predictions:
        found = _state("quiet", "" if last is None else f"last {words.near(last, now_us)}")
    elif not labelled and summary.last_label_us is None:
        found = _state("no-labels")
    elif silence is not None:
        found = _state("labels-stopped", f"none for {words.duration(silence)}")
    elif labelled < FEW_LABELS:
        found = _state("few", words.plural(labelled, "label"))
    elif any(n.code not in PLAIN_CODES for n in summary.notices):
        found = _state("attention")
    return found


def label_silence(summary: Summary) -> float | None:
    """Seconds without a label while predictions came; None while that is usual."""
    last, seen = summary.last_label_us, summary.last_prediction_us
    if last is None or seen is None:
        return None
    silence = (seen - last) / 1e6
    usual = max(SILENCE_MIN_SECONDS, SILENCE_DELAYS * (summary.delay_p95_seconds or 0.0))
    return silence if silence > usual else None


def advice(summary: Summary) -> tuple[Notice, ...]:
    """Notices that say more than the state does."""
    return tuple(n for n in summary.notices if n.code not in LABEL_CODES)


def state_notice(summary: Summary, state: State) -> tuple[str, Notice] | None:
    """(icon, notice) for a state that needs more words than its name; None for the others."""
    silence, last = label_silence(summary), summary.last_label_us
    if state.key == "labels-stopped" and silence is not None and last is not None:
        waiting = summary.basis.predictions - summary.basis.labelled
        usual = summary.delay_p95_seconds
        often = "" if usual is None else f" 95{words.NARROW}% usually come {_within(usual)}."
        return "clock", Notice(
            state.key,
            f"No labels for {words.duration(silence)}:{often} "
            f"{words.plural(waiting, 'prediction waits', 'predictions wait')}.",
            f"Look at what writes the labels: the last one is from {words.day(last)} "
            f"{words.minute(last)}. Nothing is lost; late labels are counted when they come.",
        )
    if state.key == "few":
        more = labels_needed(summary)
        return "half", Notice(
            state.key,
            f"{words.plural(summary.basis.labelled, 'label')} so far: below {FEW_LABELS} "
            "a class shows counts.",
            f"About {words.plural(more, 'more label')} would bring the interval to "
            f"\u00b1{PRECISION_POINTS} points.",
        )
    return None


def labels_needed(summary: Summary) -> int:
    """Labels still needed for an interval of +-PRECISION_POINTS, at the accuracy so far."""
    rate = summary.accuracy
    p = min(max(rate.value or 0.5, 0.1), 0.9)
    needed = Z95 * Z95 * p * (1 - p) / (PRECISION_POINTS / 100) ** 2
    return max(round(needed) - rate.trials, 1)


def _within(seconds: float) -> str:
    return f"within {words.duration(seconds)}"


def _state(key: str, detail: str = "") -> State:
    return State(key, NAMES[key], detail)
