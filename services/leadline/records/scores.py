"""Scores as codes: what SCORES cells count, and how the join keeps scores.

A code is 13 bits of a float32 between 0 and 1, mirrored above 0.5, so that scores near 0 and near
1 are told apart equally well: with HALF = bits(0.5) >> 18,

    score < 0.5     bits(score) >> 18
    score >= 0.5    2 * HALF + 1 - (bits(1 - score) >> 18)

A code is at most 1/32 of min(score, 1 - score) wide where that is a normal number. Codes are
ordered as scores are; 0.0 and -0.0 have the first one and 1.0 the last.

Where all scores of a row are kept, each has its rank in the row in the three bits above its code:
0 to 6 best first, equal scores by class number, and RANK_NONE beyond.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leadline.records.cells import RANK_NONE, RANKS_MAX

HALF = 0x3F00_0000 >> 18
CODES = 2 * HALF + 2
"""How many codes there are: 8,066."""
CODE_BITS = 13
CODE_MASK = (1 << CODE_BITS) - 1
DENSE_CLASSES_MAX = 64
"""Scores of at most so many classes are all kept."""
TOP_KEPT = 10
"""Else so many, the best of each row."""

CONFIDENCE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Scores of the predicted class at which a band of confidence begins, up to the width of a code."""
BAND_NONE = 15
"""The band of a prediction whose own score is not known."""
BAND_BITS = 4

COMPARED_CLASSES_MAX = 16
"""Rows of at most so many classes are ranked by comparing all pairs, longer ones by sorting."""
COMPARED_ROWS = 16_384
"""Rows that are compared at a time: more would not stay in the cache."""

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]


def score_codes(scores: F32) -> U16:
    """The code of each score, in the shape of the scores.

    Args:
        scores: 0.0 to 1.0, no NaN.
    """
    nearest = np.minimum(scores, np.float32(1) - scores)
    np.abs(nearest, out=nearest)  # -0.0
    bits = nearest.view(np.uint32)
    bits >>= np.uint32(18)
    codes: U16 = bits.astype(np.uint16)
    upper = (scores >= np.float32(0.5)).view(np.uint8)
    mirror = np.zeros(scores.shape, np.uint16)
    np.subtract(mirror, upper, out=mirror)  # all bits where the score is mirrored
    codes ^= mirror
    mirror &= np.uint16(CODES)
    codes += mirror  # -1 - code + CODES
    return codes


def code_lower(codes: npt.ArrayLike) -> F64:
    """The least score that each code may stand for; above 0.5 all of its scores are larger."""
    code = np.asarray(codes, np.int64)
    return np.where(code <= HALF, _float_of(code), 1.0 - _float_of(CODES - code))


def code_upper(codes: npt.ArrayLike) -> F64:
    """The largest score of each code above 0.5; below, all of its scores are smaller.

    The bounds of the one code at 0.5 are 0.5. Codes that no float32 has are of width 0.
    """
    code = np.asarray(codes, np.int64)
    below = _float_of(np.minimum(code + 1, HALF))
    return np.where(code <= HALF, below, 1.0 - _float_of(CODES - 1 - code))


def code_midpoint(codes: npt.ArrayLike) -> F64:
    """The middle of each code's bounds."""
    return (code_lower(codes) + code_upper(codes)) / 2


def confidence_bands(codes: U16) -> U8:
    """The band of each code, 0 to 14: how many edges have its code or a lower one."""
    edges = score_codes(np.array(CONFIDENCE_EDGES, np.float32))
    table = np.searchsorted(edges, np.arange(CODES, dtype=np.uint16), side="right").astype(np.uint8)
    return table.take(codes)


def band_bounds(band: int) -> tuple[float, float]:
    """The least score of a band, and the least of the next one; (0, 1) where it is not known.

    Raises:
        ValueError: there is no such band.
    """
    if band == BAND_NONE:
        return 0.0, 1.0
    if not 0 <= band <= len(CONFIDENCE_EDGES):
        raise ValueError(f"Bands go from 0 to {len(CONFIDENCE_EDGES)}, or {BAND_NONE}: {band}.")
    edges = code_lower(score_codes(np.array(CONFIDENCE_EDGES, np.float32))).tolist()
    return ([0.0, *edges][band], [*edges, 1.0][band])


def _float_of(code: npt.NDArray[np.int64]) -> F64:
    """The float32 that begins each code below 0.5."""
    within = np.clip(code, 0, HALF).astype(np.uint32)
    return (within << np.uint32(18)).view(np.float32).astype(np.float64)


def ranked_codes(scores: F32) -> U16:
    """`code | rank << CODE_BITS` of each score, in the shape (rows, classes) of the scores."""
    found = score_codes(scores)
    for at in range(0, len(scores), COMPARED_ROWS):
        part = slice(at, at + COMPARED_ROWS)
        rank = _ranks_of_classes(scores[part]).astype(np.uint16)
        rank <<= np.uint16(CODE_BITS)
        found[part] |= rank.T
    return found


def ranks(scores: F32) -> npt.NDArray[np.uint8]:
    """Rank of each score in its row, 0 is best, equal scores by class; RANK_NONE beyond the best.

    Args:
        scores: (rows, classes), 0.0 to 1.0, no NaN.
    """
    found = np.empty(scores.shape, np.uint8)
    for at in range(0, len(scores), COMPARED_ROWS):
        part = slice(at, at + COMPARED_ROWS)
        found[part] = _ranks_of_classes(scores[part]).T
    return found


def _ranks_of_classes(scores: F32) -> npt.NDArray[np.uint8]:
    """The ranks of some rows, (classes, rows)."""
    rows, classes = scores.shape
    if classes > COMPARED_CLASSES_MAX:
        return _ranks_by_sorting(scores).T
    columns = np.ascontiguousarray(scores.T)
    better = np.empty((classes, rows), np.uint8)
    better[:] = np.arange(classes, dtype=np.uint8)[::-1, None]  # all later ones, until compared
    for number in range(1, classes):
        wins = (columns[:number] >= columns[number]).view(np.uint8)
        better[number] += np.add.reduce(wins, axis=0, dtype=np.uint8)
        better[:number] -= wins
    return np.minimum(better, np.uint8(RANK_NONE), out=better)


def _ranks_by_sorting(scores: F32) -> npt.NDArray[np.uint8]:
    best = _best(_sortable(scores), min(RANKS_MAX, scores.shape[1]))
    found = np.full(scores.shape, RANK_NONE, np.uint8)
    places = np.arange(best.shape[1], dtype=np.uint8)
    np.put_along_axis(found, best, places[None, :], axis=1)
    return found


def top_codes(scores: F32, k: int = TOP_KEPT) -> tuple[U32, U16]:
    """The classes of the k best scores of each row, best first, equal ones by class; their codes.

    Scores are (rows, classes), 0.0 to 1.0, no NaN. Where there are fewer than k classes, all are
    taken.
    """
    kept = min(k, scores.shape[1])
    best = _best(np.partition(_sortable(scores), -kept, axis=1)[:, -kept:], kept)
    return best.astype(np.uint32), score_codes(np.take_along_axis(scores, best, axis=1))


def _sortable(scores: F32) -> npt.NDArray[np.uint64]:
    """Numbers that are ordered as the scores of a row, equal ones by class number downwards."""
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 makes 0.0 of -0.0
    keys: npt.NDArray[np.uint64] = bits.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(scores.shape[1], dtype=np.uint64) ^ np.uint64(0xFFFF_FFFF)
    return keys


def _best(keys: npt.NDArray[np.uint64], k: int) -> npt.NDArray[np.int64]:
    """The classes of the k largest keys of each row, largest first; the keys are sorted."""
    keys.sort(axis=1)
    largest = keys[:, ::-1][:, :k] ^ np.uint64(0xFFFF_FFFF)
    return (largest & np.uint64(0xFFFF_FFFF)).astype(np.int64)
