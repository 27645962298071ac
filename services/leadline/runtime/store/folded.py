"""Folds of stored cells, part by part: what did not change since the last question is not decoded.

    part       one block, cut to what is asked for        kept by its body's digest and the cut
    group      the parts of one resolution; one that is   kept by the digests of its parts
               cut is alone, and its day is kept
    blocks     all groups of a shard                      kept by the digests of all of them
    rest       deltas, and blocks that were not moved     computed each time; deltas are kept
               yet to the resolution that holds           decoded, the older ones in runs

Bodies are read anew in each snapshot; only decoding and summing are saved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from leadline.records.cells import Cells, concatenate, merge
from leadline.runtime.store.blocks import BlockKey, within
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.resolution import BLOCK_MINUTES, DAY, MINUTE, Rolled, bucketed
from leadline.runtime.store.sum_cache import Fold, SumCache

DIGEST_BYTES = 32
RUN = 16
"""Deltas that are summed and kept together."""


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
    """Folds what one shard holds in one snapshot, section by section.

    Args:
        fold: what is wanted.
        kept: sums of before; belongs to whoever asks.
    """

    def __init__(self, fold: Fold, kept: SumCache) -> None:
        self._fold = fold
        self._kept = kept
        self._codec = CellsCodec()
        self._groups: list[list[Part]] = []
        self._rest: list[Cells] = []

    def add(
        self, stored: Iterable[Stored], tail: Cells, minutes: tuple[int, int], rolled: Rolled
    ) -> None:
        """Adds a section: what stands in some minutes at these bounds.

        Args:
            stored: blocks that may hold something.
            tail: cells of deltas, of any minutes.
            minutes: [from, to).
            rolled: bounds at which the cells are found.
        """
        late = [tail]
        together: dict[int, list[Part]] = defaultdict(list)
        for each in stored:
            if each.is_due:
                late.append(self._codec.decode(each.body, each.begin, each.end))
                continue
            part = _part(each, minutes)
            if part.is_cut:
                self._groups.append([part])
            else:
                together[each.key[-1]].append(part)
        self._groups += together.values()
        rest = within(bucketed(merge(late), rolled), *minutes)
        if len(rest):
            self._rest.append(self._fold(rest))

    def sums(self) -> Cells:
        """The fold of all sections, normalised."""
        identity = _joint(part for parts in self._groups for part in parts)
        blocks = self._kept.get(
            (self._fold, "blocks", identity), lambda: merge(map(self._group, self._groups))
        )
        return merge([blocks, *self._rest])

    def deltas(self, bodies: Sequence[bytes]) -> Cells:
        """The cells of deltas, not normalised.

        Args:
            bodies: the oldest first, so that runs stay as they are while others are added.
        """
        full = len(bodies) - len(bodies) % RUN
        runs = [self._run(bodies[at : at + RUN]) for at in range(0, full, RUN)]
        return concatenate([*runs, *map(self._delta, bodies[full:])])

    def _run(self, bodies: Sequence[bytes]) -> Cells:
        key = ("deltas", b"".join(map(_digest, bodies)))
        return self._kept.get(key, lambda: merge(map(self._codec.decode, bodies)))

    def _delta(self, body: bytes) -> Cells:
        return self._kept.get(("delta", _digest(body)), lambda: self._codec.decode(body))

    def _group(self, parts: list[Part]) -> Cells:
        if len(parts) == 1:
            return self._one(parts[0])
        key = (self._fold, "group", _joint(parts))
        return self._kept.get(key, lambda: merge(map(self._one, parts)))

    def _one(self, part: Part) -> Cells:
        return self._kept.get((self._fold, part.identity), lambda: self._fold(self._cells(part)))

    def _cells(self, part: Part) -> Cells:
        begin, end = part.begin // DAY * DAY, -(-part.end // DAY) * DAY
        if not part.is_cut or end - begin > DAY:
            return self._codec.decode(part.body, part.begin, part.end)
        # The cut moves on within the day: its cells are kept, so that the next one decodes nothing.
        key = ("day", part.identity[:DIGEST_BYTES], begin, end)
        day = self._kept.get(key, lambda: self._codec.decode(part.body, begin, end))
        return within(day, part.begin, part.end)


@dataclass(frozen=True, slots=True)
class Part:
    """The minutes [begin, end) of a body.

    Attributes:
        identity: 42 bytes that differ for different cells.
        is_cut: whether the question cuts it, at a minute that may be another one soon.
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
    identity = _digest(stored.body) + begin.to_bytes(5, "big") + end.to_bytes(5, "big")
    is_cut = resolution < DAY and (minutes[0] > start or minutes[1] < stop)
    return Part(stored.body, begin, end, identity, is_cut)


def _joint(parts: Iterable[Part]) -> bytes:
    return sha256(b"".join(part.identity for part in parts)).digest()


def _digest(body: bytes) -> bytes:
    return sha256(body).digest()
