"""What a reader answers with: figures, and the basis on which they hold."""

from __future__ import annotations

from dataclasses import dataclass

from leadline.metrics.core import scope as scopes
from leadline.metrics.core import view
from leadline.metrics.core.figures import Figures, Tally
from leadline.metrics.core.merging import Merges
from leadline.metrics.core.notices import Notice
from leadline.metrics.core.scope import Position, Window
from leadline.metrics.core.timeline import Step
from leadline.metrics.scored import ScoredCounts
from leadline.records.models import ModelSpec
from leadline.runtime.store.port import VersionSeen


@dataclass(frozen=True, slots=True)
class Basis:
    """Where an answer holds.

    Attributes:
        vector: every shard, by name.
        exact_until_ms: append time up to which every record is counted.
        window: what was asked, or where everything lies; None when everything is nothing.
        labelled: of `predictions`.
        log_rate: share of the traffic that is logged, as declared.
    """

    vector: tuple[Position, ...]
    exact_until_ms: int
    window: Window | None
    predictions: int
    labelled: int
    log_rate: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Headline and per-class figures of one version.

    Attributes:
        spec: the declaration; None for a model that is counted without one.
        last_prediction_minute: event time; None before the first prediction.
        last_label_ms: append time of the newest label of any task; 0 before the first.
        merges: classes that are counted as one.
    """

    model: str
    version: str
    spec: ModelSpec | None
    basis: Basis
    figures: Figures
    counts: view.Counts
    notices: tuple[Notice, ...]
    last_prediction_minute: int | None
    last_label_ms: int
    merges: Merges = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """Figures by equal steps.

    Attributes:
        settled_until_us: before this wall time 95 % of the labels have usually arrived; None when
            no label has come.
    """

    basis: Basis
    step_minutes: int
    steps: tuple[Step, ...]
    settled_until_us: int | None


@dataclass(frozen=True, slots=True)
class SliceList:
    """The slices of a scope, the commonest first."""

    basis: Basis
    slices: tuple[view.SliceCounts, ...]


@dataclass(frozen=True, slots=True)
class CrossingList:
    """The combinations of values of some slice columns."""

    basis: Basis
    found: view.Crossings


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model, declared or counted or both; versions with the one seen last first."""

    name: str
    spec: ModelSpec | None
    revision: int
    versions: tuple[VersionSeen, ...]

    @property
    def champion(self) -> str:
        """The version in charge; empty when none is declared and none was counted."""
        declared = self.spec.champion if self.spec else ""
        return scopes.champion(declared, [each.version for each in self.versions])


@dataclass(frozen=True, slots=True)
class History:
    """The all-time counts of a version that only grow, by the index of CONFUSION cells."""

    model: str
    version: str
    added: Tally
    retracted: Tally


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything an exporter needs, of one snapshot.

    Attributes:
        summaries: (window length in minutes, figures), by version, then window.
        scores: for each of them the scores and strata of the whole hours that the window touches;
            None for a window shorter than an hour.
    """

    vector: tuple[Position, ...]
    exact_until_ms: int
    histories: tuple[History, ...]
    summaries: tuple[tuple[int, Summary], ...]
    scores: tuple[ScoredCounts | None, ...]
