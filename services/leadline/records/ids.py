"""Ids, their partition and their sampling hash.

An id is 128 bits, held as two unsigned 64-bit numbers: the first 8 bytes and the last 8 bytes, each
read big-endian (so a UUIDv7 sorts by time). Arrays of ids are uint64 of shape (n, 2).
docs/producers.md has test vectors for every function here.
"""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
ID_BYTES = 16


def id_from_text(text: str) -> bytes:
    """The 16 bytes that stand for a text id: those of a UUID, else SHA-256(UTF-8)[:16].

    A text that is a canonical UUID (8-4-4-4-12 hexadecimal digits) keeps its own bytes, so that the
    id a gateway returned names the same prediction when it comes back as text.
    """
    if len(text) == 36 and text.count("-") == 4:
        try:
            return uuid.UUID(text).bytes
        except ValueError:
            pass
    return hashlib.sha256(text.encode()).digest()[:ID_BYTES]


def row_id(request_id: bytes, row: int) -> bytes:
    """Id of row `row` of a request of many rows.

    Row 0 has the request's own id; row i > 0 its first 8 bytes and the first 8 bytes of
    SHA-256(id followed by i as 4 big-endian bytes).
    """
    if row == 0:
        return request_id
    mixed = hashlib.sha256(request_id + row.to_bytes(4, "big")).digest()
    return request_id[:8] + mixed[:8]


def pack_ids(ids: list[bytes]) -> U64:
    """(n, 2) numbers of n ids of 16 bytes."""
    flat = np.frombuffer(b"".join(ids), dtype=">u8")
    return flat.astype(np.uint64).reshape(-1, 2)


def unpack_id(high: int, low: int) -> bytes:
    """The 16 bytes of one id."""
    return int(high).to_bytes(8, "big") + int(low).to_bytes(8, "big")


def fresh_id(unix_ms: int, randomness: bytes) -> bytes:
    """A UUIDv7 (RFC 9562) of the given time in milliseconds and 10 random bytes."""
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return value.to_bytes(16, "big")


_M = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)


def murmur2(ids: U64) -> npt.NDArray[np.uint32]:
    """Kafka's murmur2 of each id's 16 bytes, shape (n,).

    Same as `org.apache.kafka.common.utils.Utils.murmur2`, as unsigned numbers.
    """
    words = np.ascontiguousarray(ids).astype(">u8").view("<u4").reshape(-1, 4)
    with np.errstate(over="ignore"):
        h = np.full(len(words), _SEED ^ np.uint32(ID_BYTES), dtype=np.uint32)
        for column in range(4):
            k = words[:, column].astype(np.uint32) * _M
            k ^= k >> np.uint32(24)
            k *= _M
            h *= _M
            h ^= k
        h ^= h >> np.uint32(13)
        h *= _M
        h ^= h >> np.uint32(15)
    return h


def partition_of(ids: U64, partitions: int) -> npt.NDArray[np.int64]:
    """Partition of each id: (murmur2 & 0x7fffffff) modulo the partition count, shape (n,)."""
    positive = murmur2(ids) & np.uint32(0x7FFFFFFF)
    return (positive % np.uint32(partitions)).astype(np.int64)


def sample_hash(ids: U64) -> U64:
    """The coordinated sampling hash, shape (n,): splitmix64(high XOR splitmix64(low)).

    A prediction is kept when its hash, as a fraction of 2**64, is below the rate; everyone who
    knows the id decides alike. splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.
    """
    return splitmix64(ids[:, 0] ^ splitmix64(ids[:, 1]))


def splitmix64(x: U64) -> U64:
    """One step of splitmix64 of each number (the finaliser of x + 0x9E3779B97F4A7C15)."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def below_rate(hashes: U64, rate: float | npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each hash falls below the rate (a share in [0, 1]); rate 1 takes all, 0 none."""
    fraction = (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fraction < rate
