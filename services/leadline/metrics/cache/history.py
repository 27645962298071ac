"""What rows of a cache rest on beside the log: the numbers of series and rules, and exceptions.

They are facts of one truth. When the truth was restored from an older backup and another owner has
counted on from there, the vector may have passed a cache again whose numbers mean other series.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from leadline.records.cells import Series
from leadline.records.rules import ExceptionRow, RulesRow
from leadline.records.rules_json import rules_to_json


class History(NamedTuple):
    """The facts of a shard.

    Attributes:
        rules: by number.
        series: by number.
        exceptions: in no order.
    """

    rules: tuple[RulesRow, ...] = ()
    series: tuple[Series, ...] = ()
    exceptions: tuple[ExceptionRow, ...] = ()


class Mark(NamedTuple):
    """What tells a history from others: how many rules and series it has, and a digest."""

    rules: int
    series: int
    digest: str


def mark_of(history: History, vector: Sequence[int]) -> Mark:
    """The mark of a history up to a vector (p, l)."""
    body = {
        "rules": [
            (row.number, row.from_p, row.from_l, rules_to_json(row.rules)) for row in history.rules
        ],
        "series": [(one.model, one.version, one.task, one.slices) for one in history.series],
        "exceptions": sorted(
            (one.side, one.from_offset, min(one.to_offset, vector[one.side]), one.append_ms)
            for one in history.exceptions
            if one.from_offset < vector[one.side]
        ),
    }
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return Mark(len(history.rules), len(history.series), digest)


def goes_on_from(history: History, mark: Mark, vector: Sequence[int]) -> bool:
    """Whether a history is that of the mark, or the same one later.

    Rules that came after the mark must begin at its vector or above: rows below it were read
    without them.
    """
    begin = History(history.rules[: mark.rules], history.series[: mark.series], history.exceptions)
    later = history.rules[mark.rules :]
    ours = all(row.from_p >= vector[0] and row.from_l >= vector[1] for row in later)
    return ours and mark_of(begin, vector) == mark
