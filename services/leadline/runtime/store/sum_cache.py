"""Sums of stored bodies, kept from one snapshot to the next; and the maps they are sums under.

A key holds the SHA-256 of the bodies that were summed, as the snapshot at hand has read them. So an
entry is a pure function of its key: compaction, roll-up, deletion, a rebuild or a restored backup
can leave entries that nobody asks for any more, and never one that is wrong.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from leadline.records.cells import Cells, over_time

ENTRY_BYTES = 1_000
"""What an entry takes beside its columns: a key, five headers of arrays, a place in the order."""


class Fold(Protocol):
    """An additive map of cells: `fold(a + b)` is the sum of `fold(a)` and `fold(b)`.

    Hashable; equal ones do the same. Its result is normalised.
    """

    @property
    def whole_days(self) -> bool:
        """Whether it does not matter at which minute of its day a cell stands."""

    def __call__(self, cells: Cells) -> Cells:
        """The folded cells."""


@dataclass(frozen=True, slots=True)
class OverTime:
    """Sums over the minutes: every cell stands at minute 0."""

    @property
    def whole_days(self) -> bool:
        """Any minute will do."""
        return True

    def __call__(self, cells: Cells) -> Cells:
        """The sums."""
        return over_time([cells])


class SumCache:
    """Cells by key, bounded in bytes; those asked for longest ago leave first. Safe from threads.

    Args:
        bytes_max: of all entries; a larger one is not kept, so 0 keeps nothing.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Cells] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Of all entries now."""
        return self._bytes

    def get(self, key: Hashable, compute: Callable[[], Cells]) -> Cells:
        """The cells of a key, computed outside the lock when they are not there; read-only.

        Args:
            key: determines the cells wholly.
            compute: gives cells that are nobody else's.
        """
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
        found = compute()
        for column in _columns(found):
            column.flags.writeable = False
        with self._lock:
            self._keep(key, found)
        return found

    def _keep(self, key: Hashable, found: Cells) -> None:
        if key in self._entries or _bytes_of(found) > self._bytes_max:
            return
        self._entries[key] = found
        self._bytes += _bytes_of(found)
        while self._bytes > self._bytes_max:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= _bytes_of(oldest)


def _columns(cells: Cells) -> tuple[npt.NDArray[Any], ...]:
    return cells.kind, cells.series, cells.minute, cells.index, cells.count


def _bytes_of(cells: Cells) -> int:
    return ENTRY_BYTES + sum(column.nbytes for column in _columns(cells))
