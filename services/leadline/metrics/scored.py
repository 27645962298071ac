"""What is read of the truth for questions about scores, confidence and pairs of versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leadline.metrics.core import view
from leadline.metrics.core.figures import NO_TALLY, Tally
from leadline.metrics.core.scope import EVERYTHING, Numbers, Window, union
from leadline.metrics.core.version_pairs import PairCounts, version_pairs
from leadline.records.cells import CellKind, concatenate
from leadline.runtime.store.port import Snapshot

HOUR_MINUTES = 60
HOURLY_KINDS = (CellKind.SCORES, CellKind.STRATUM, CellKind.STRATUM_LABELLED)


@dataclass(frozen=True, slots=True)
class ScoredCounts:
    """The counts behind curves and calibration, over whole hours.

    Attributes:
        scores: by the index of SCORES cells.
        strata: all predictions, by the index of STRATUM cells.
        labelled: labelled ones, by the index of STRATUM_LABELLED cells.
    """

    scores: Tally = NO_TALLY
    strata: Tally = NO_TALLY
    labelled: Tally = NO_TALLY


def whole_hours(snapshot: Snapshot, shards: Iterable[str], window: Window) -> Window:
    """The window, widened to bounds at which scores and all other counts can be cut.

    Scores are kept by the hour, and older ones by the day, so a question about them covers the
    whole hours (or days) that the window touches.
    """
    if window == EVERYTHING:
        return window
    begin = _step(snapshot, shards, window.from_minute)
    end = _step(snapshot, shards, max(window.to_minute - 1, 0))
    return Window(window.from_minute // begin * begin, -(-window.to_minute // end) * end)


def _step(snapshot: Snapshot, shards: Iterable[str], minute: int) -> int:
    """The coarsest resolution of any shard at a minute, at least an hour."""
    kinds = (CellKind.SCORES, CellKind.CONFUSION)
    rolled = [snapshot.rolled(shard) for shard in shards]
    found = [each.resolution(kind, minute) for each in rolled for kind in kinds]
    return max(HOUR_MINUTES, *found) if found else HOUR_MINUTES


def scored_counts(snapshot: Snapshot, numbers: Numbers, hours: Window) -> ScoredCounts:
    """The counts of some series over whole hours."""
    cells = snapshot.totals(numbers, HOURLY_KINDS, hours.from_minute, hours.to_minute)
    everything = concatenate(cells.values())
    return ScoredCounts(*(view.sums(everything, kind) for kind in HOURLY_KINDS))


def pairs_of_versions(
    snapshot: Snapshot,
    champion: tuple[Numbers, Numbers],
    challenger: tuple[Numbers, Numbers],
    window: Window,
) -> PairCounts:
    """The pairs of two versions.

    Args:
        snapshot: the truth.
        champion: series numbers by shard: of the scope, and without slices, by which pairs name it.
        challenger: those of the other version.
        window: event time of whichever answered first.
    """
    numbers = union(champion[0], challenger[0])
    cells = snapshot.totals(numbers, [CellKind.PAIR], window.from_minute, window.to_minute)
    return version_pairs(cells, champion, challenger)
