"""The pending store's form of an id: (hash, low), from which the id follows exactly.

hash = splitmix64(high XOR splitmix64(low)) is the sampling hash, and splitmix64 can be inverted: so
(hash, low) names the same id, its first half is uniform whatever ids a producer chooses, and equal
keys are equal ids. Keys are compared as both halves, never as the hash alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadline.records.ids import U64, sample_hash, splitmix64

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = (pow(factor, -1, 1 << 64) for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Keys(NamedTuple):
    """Ids as two columns of uint64 (n,)."""

    hash: U64
    low: U64

    def take(self, rows: npt.NDArray[np.int64]) -> Keys:
        """The keys of some rows."""
        return Keys(self.hash.take(rows), self.low.take(rows))


def keys_of(ids: U64) -> Keys:
    """Keys of ids, uint64 (n, 2)."""
    return Keys(sample_hash(ids), np.ascontiguousarray(ids[:, 1]))


def ids_of(keys: Keys) -> U64:
    """The ids, uint64 (n, 2), of keys."""
    high = _unsplitmix64(keys.hash) ^ splitmix64(keys.low)
    return np.stack([high, keys.low], axis=1)


def id_time_ms(high: U64) -> U64:
    """The time that a UUIDv7 begins with, milliseconds since 1970-01-01; of other ids a number."""
    return high >> np.uint64(16)


def joined(parts: list[Keys]) -> Keys:
    """Keys behind one another."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Keys(np.empty(0, np.uint64), np.empty(0, np.uint64))
    return Keys(
        np.concatenate([part.hash for part in parts]), np.concatenate([part.low for part in parts])
    )


def _unsplitmix64(z: U64) -> U64:
    """The x with splitmix64(x) = z."""
    with np.errstate(over="ignore"):
        z = z ^ (z >> np.uint64(31)) ^ (z >> np.uint64(62))
        z = z * np.uint64(_SECOND)
        z = z ^ (z >> np.uint64(27)) ^ (z >> np.uint64(54))
        z = z * np.uint64(_FIRST)
        z = z ^ (z >> np.uint64(30)) ^ (z >> np.uint64(60))
        return z - np.uint64(_GOLDEN)
