"""The counting rules on plain lists, written from docs/design.md; shares no code with the services.

Give it all predictions and labels of one partition in log order; it joins them in one batch.
"""

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field

RETRACTED = 0xFFFFFFFF


@dataclass(frozen=True)
class P:
    """One prediction as it stands in the log."""

    id: bytes
    model: str
    version: str
    event_us: int
    append_ms: int
    predicted: int
    ranked: tuple[int, ...]  # best first, at most 10
    slices: tuple[tuple[str, str], ...] = ()
    task: str = ""
    imported: bool = False


@dataclass(frozen=True)
class L:
    """One label as it stands in the log."""

    id: bytes
    task: str
    rank: int
    time_us: int
    append_ms: int
    true: int
    imported: bool = False


@dataclass
class Truth:
    """Cells as {(kind, series, minute, index): count}; series is (model, version, task, slices)."""

    cells: Counter = field(default_factory=Counter)

    def add(self, kind, series, minute, index, count=1):
        self.cells[(kind, series, minute, index)] += count

    def nonzero(self):
        return {key: count for key, count in self.cells.items() if count}


def clamp(time_us, append_ms, bound_us, imported):
    append_us = append_ms * 1000
    low = 0 if imported else max(append_us - bound_us, 0)
    return min(max(time_us, low), append_us + bound_us)


def delay_bin(ms):
    (bits,) = struct.unpack(">I", struct.pack(">f", float(max(ms, 0)) + 1.0))
    return (bits >> 20) - 127 * 8


def join(predictions, labels, bound_us):  # noqa: C901 - the rules in one piece
    """The truth of two lists in log order."""
    truth = Truth()
    counted = defaultdict(list)  # (task, id) -> predictions that are no duplicates
    seen = set()
    for p in predictions:
        event_us = clamp(p.event_us, p.append_ms, bound_us, p.imported)
        task = p.task or p.model
        series = (p.model, p.version, task, p.slices)
        if event_us != p.event_us:
            truth.add("CLAMPED", series, p.append_ms // 60_000, 0)
        minute = event_us // 60_000_000
        if (p.id, p.model, p.version) in seen:
            truth.add("DUPLICATE", series, minute, 0)
            continue
        seen.add((p.id, p.model, p.version))
        truth.add("PREDICTED", series, minute, p.predicted)
        counted[(task, p.id)].append((p, series, minute, event_us // 1000))
    by_id = defaultdict(list)
    for order, label in enumerate(labels):
        time_us = clamp(label.time_us, label.append_ms, bound_us, label.imported)
        if time_us != label.time_us:
            truth.add("CLAMPED", ("", "", label.task, ()), label.append_ms // 60_000, 1)
        by_id[(label.task, label.id)].append((label.rank, time_us, -order, label))
    for (task, id_), group in by_id.items():
        nobody = ("", "", task, ())
        if (task, id_) not in counted:
            for _, time_us, _, _ in group:
                truth.add("UNMATCHED", nobody, time_us // 60_000_000, 0)
            continue
        winner = max(group, key=lambda one: one[:3])
        for one in group:
            if one is not winner:
                truth.add("SUPERSEDED", nobody, one[1] // 60_000_000, 0)
        label = winner[3]
        if label.true == RETRACTED:
            continue
        for p, series, minute, event_ms in counted[(task, id_)]:
            rank = p.ranked.index(label.true) if label.true in p.ranked else 10
            truth.add("CONFUSION", series, minute, label.true << 32 | p.predicted)
            truth.add("RANK", series, minute, label.true << 32 | rank)
            arrival_ms = winner[1] // 1000 if label.imported else label.append_ms
            truth.add("DELAY", series, minute, delay_bin(arrival_ms - event_ms))
    return truth
