"""Folds of stored cells, part by part: what did not change since the last question is not decoded.

    part       one block, cut to what is asked for        kept by its body's digest and the cut
    together   the parts of one resolution, but those     kept by the digests of all of them
               whose cut moves on with the minute
    rest       deltas, and blocks that were not moved     computed each time; deltas are kept
               yet to the resolution that holds           decoded

Bodies are read anew in each snapshot; only decoding and summing are saved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from leadline.records.cells import Cells, merge
from leadline.runtime.store.blocks import BlockKey, within
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.resolution import BLOCK_MINUTES, DAY, MINUTE, Rolled, bucketed
from leadline.runtime.store.sum_cache import Fold, SumCache


@dataclass(frozen=True, slots=True)
class Stored:
    """A block as it was read.

    Attributes:
        begin, end: the minutes of it that count, [begin, end).
        is_due: it is finer than the resolution that holds.
    """

    key: BlockKey
    body: bytes
    begin: int
    end: int
    is_due: bool


class Folding:
    """Folds what one snapshot holds.

    Args:
        fold: what is wanted.
        kept: sums of before; belongs to whoever asks.
    """

    def __init__(self, fold: Fold, kept: SumCache) -> None:
        self._fold = fold
        self._kept = kept
        self._codec = CellsCodec()

    def section(
        self, stored: Iterable[Stored], tail: Cells, minutes: tuple[int, int], rolled: Rolled
    ) -> list[Cells]:
        """The folds of what stands in some minutes at these bounds; their sum is the answer.

        Args:
            stored: blocks that may hold something.
            tail: cells of deltas, of any minutes.
            minutes: [from, to).
            rolled: bounds at which the cells are found.
        """
        late = [tail]
        together: dict[int, list[Part]] = defaultdict(list)
        found = []
        for each in stored:
            if each.is_due:
                late.append(self._codec.decode(each.body, each.begin, each.end))
                continue
            part = _part(each, minutes)
            if part.is_cut and each.key[-1] < DAY:
                found.append(self._one(part))
            else:
                together[each.key[-1]].append(part)
        found += [self._sum(parts) for parts in together.values()]
        rest = within(bucketed(merge(late), rolled), *minutes)
        return [*found, self._fold(rest)] if len(rest) else found

    def delta(self, body: bytes) -> Cells:
        """All cells of a delta."""
        return self._kept.get(("delta", sha256(body).digest()), lambda: self._codec.decode(body))

    def _one(self, part: Part) -> Cells:
        return self._kept.get(
            (self._fold, part.identity),
            lambda: self._fold(self._codec.decode(part.body, part.begin, part.end)),
        )

    def _sum(self, parts: list[Part]) -> Cells:
        identity = sha256(b"".join(part.identity for part in parts)).digest()
        return self._kept.get(
            (self._fold, "together", identity), lambda: merge(map(self._one, parts))
        )


@dataclass(frozen=True, slots=True)
class Part:
    """The minutes [begin, end) of a body.

    Attributes:
        identity: 42 bytes that differ for different cells.
        is_cut: whether the question cuts it.
    """

    body: bytes
    begin: int
    end: int
    identity: bytes
    is_cut: bool


def _part(stored: Stored, minutes: tuple[int, int]) -> Part:
    """A block within a question, cut at the bounds of its own buckets."""
    _, _, start, resolution = stored.key
    step, stop = max(resolution, MINUTE), start + BLOCK_MINUTES[resolution]
    begin = max(start, -(-max(stored.begin, minutes[0]) // step) * step)
    end = max(begin, min(stop, -(-min(stored.end, minutes[1]) // step) * step))
    identity = sha256(stored.body).digest() + begin.to_bytes(5, "big") + end.to_bytes(5, "big")
    is_cut = minutes[0] > start or minutes[1] < stop
    return Part(stored.body, begin, end, identity, is_cut)
