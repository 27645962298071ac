"""What advice is given about: the figures of a scope, as `measures.advice` asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leadline.metrics.answers import Basis, SliceList, Summary, Timeline
from leadline.metrics.core.figures import Rate, confusion_of
from leadline.metrics.measures.advice import Findings, LabelFlow, Reweighting
from leadline.metrics.measures.strata import Reweighted, post_stratified
from leadline.metrics.scored import ScoredCounts

LATELY_SHARE = 0.25
"""The last part of the settled time that is compared with what was before."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Findings, and where they hold."""

    basis: Basis
    findings: Findings


def findings_of(
    summary: Summary, hourly: ScoredCounts, timeline: Timeline, slices: SliceList, now_us: int
) -> Judged:
    """The findings of a scope.

    Args:
        summary: of the window.
        hourly: over the whole hours that the window touches.
        timeline: of the window.
        slices: of the window.
        now_us: wall time.
    """
    spec = summary.spec
    findings = Findings(
        matrix=confusion_of(summary.counts.confusion),
        names=dict(enumerate(spec.classes)) if spec else {},
        declared=len(spec.classes) if spec else 0,
        strata=hourly.labelled,
        flow=label_flow(timeline, summary.last_label_ms, now_us),
        reweighted=list(_reweighted(hourly)),
        slices=[
            (f"{each.column} {each.value}", each.accuracy)
            for each in slices.slices
            if each.accuracy.trials
        ],
    )
    return Judged(summary.basis, findings)


def label_flow(timeline: Timeline, last_label_ms: int, now_us: int) -> LabelFlow | None:
    """Whether labels still come, from the steps whose labels should have arrived.

    None while fewer than four steps are settled.
    """
    settled = timeline.settled_until_us
    if settled is None:
        return None
    step_us = timeline.step_minutes * 60_000_000
    done = [each for each in timeline.steps if each.from_minute * 60_000_000 + step_us <= settled]
    used = [number for number, each in enumerate(done) if each.predictions]
    done = done[used[0] :] if used else []
    cut = len(done) - max(1, round(len(done) * LATELY_SHARE))
    if len(done) < 4:
        return None
    before, lately = (
        Rate(sum(s.accuracy.trials for s in part), sum(s.predictions for s in part))
        for part in (done[:cut], done[cut:])
    )
    silence = (now_us - last_label_ms * 1000) / 1e6 if last_label_ms else None
    return LabelFlow(before, lately, silence)


def _reweighted(hourly: ScoredCounts) -> Iterable[Reweighting]:
    """The accuracy of all traffic, where it can be told."""
    if not hourly.labelled.total:
        return
    found: Reweighted = post_stratified(hourly.strata, hourly.labelled).accuracy
    if found.rate is not None and found.interval is not None:
        yield Reweighting("accuracy", found.plain, found.rate.value, found.interval)
