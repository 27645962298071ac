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

U32 = npt.NDArray[np.uint32]
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


CHUNK_ROWS = 16_384
"""Ids hashed at a time: their scratch space stays in a core's second-level cache."""
_M = np.array(0x5BD1E995, np.uint32)
_SEED = np.array(0x9747B28C, np.uint32)
_13, _15, _24 = (np.array(bits, np.uint32) for bits in (13, 15, 24))
_GAMMA = np.array(0x9E3779B97F4A7C15, np.uint64)
_MIX_1, _MIX_2 = np.array(0xBF58476D1CE4E5B9, np.uint64), np.array(0x94D049BB133111EB, np.uint64)
_27, _30, _31 = (np.array(bits, np.uint64) for bits in (27, 30, 31))
# Arrays: numpy starts an operation with one twice as fast as with a number.


def murmur2(ids: U64) -> U32:
    """Kafka's murmur2 of each id's 16 bytes, shape (n,).

    Same as `org.apache.kafka.common.utils.Utils.murmur2`, as unsigned numbers.
    """
    hashes = np.full(len(ids), _SEED ^ np.uint32(ID_BYTES), np.uint32)
    size = min(len(ids), CHUNK_ROWS)
    swapped, scratch = np.empty((size, 2), ">u8"), np.empty((size, 4), np.uint32)
    for start in range(0, len(ids), CHUNK_ROWS):
        part = ids[start : start + CHUNK_ROWS]
        n = len(part)
        np.copyto(swapped[:n], part)
        words = swapped[:n].view("<u4")
        _murmur2(hashes[start : start + n], words, scratch[:n])
    return hashes


def _murmur2(h: U32, words: U32, scratch: U32) -> None:
    """Mixes the words (n, 4) of each id into its hash, in place."""
    words *= _M
    np.right_shift(words, _24, out=scratch)
    words ^= scratch
    words *= _M
    for column in range(4):
        h *= _M
        h ^= words[:, column]
    spare = scratch.reshape(-1)[: len(h)]
    np.right_shift(h, _13, out=spare)
    h ^= spare
    h *= _M
    np.right_shift(h, _15, out=spare)
    h ^= spare


def partition_of(ids: U64, partitions: int) -> npt.NDArray[np.int64]:
    """Partition of each id: (murmur2 & 0x7fffffff) modulo the partition count, shape (n,)."""
    positive = murmur2(ids) & np.uint32(0x7FFFFFFF)
    count = np.uint32(partitions)
    whole = positive // count * count
    positive -= whole  # together a third of what % costs
    return positive.astype(np.int64)


def sample_hash(ids: U64) -> U64:
    """The coordinated sampling hash, shape (n,): splitmix64(high XOR splitmix64(low)).

    A prediction is kept when its hash, as a fraction of 2**64, is below the rate; everyone who
    knows the id decides alike. splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.
    """
    hashes = np.empty(len(ids), np.uint64)
    scratch = np.empty(min(len(ids), CHUNK_ROWS), np.uint64)
    for start in range(0, len(ids), CHUNK_ROWS):
        part, found = ids[start : start + CHUNK_ROWS], hashes[start : start + CHUNK_ROWS]
        np.copyto(found, part[:, 1])
        _splitmix64(found, scratch[: len(part)])
        found ^= part[:, 0]
        _splitmix64(found, scratch[: len(part)])
    return hashes


def splitmix64(x: U64) -> U64:
    """One step of splitmix64 of each number (the finaliser of x + 0x9E3779B97F4A7C15)."""
    z = x.copy()
    _splitmix64(z, np.empty_like(z))
    return z


def _splitmix64(z: U64, scratch: U64) -> None:
    """One step of each number, in place."""
    z += _GAMMA
    np.right_shift(z, _30, out=scratch)
    z ^= scratch
    z *= _MIX_1
    np.right_shift(z, _27, out=scratch)
    z ^= scratch
    z *= _MIX_2
    np.right_shift(z, _31, out=scratch)
    z ^= scratch


def below_rate(hashes: U64, rate: float | npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each hash falls below the rate (a share in [0, 1]); rate 1 takes all, 0 none."""
    fraction = (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fraction < rate
