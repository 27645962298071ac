"""From matched pairs to cells, cells to bytes and back, blocks to one sum: CPU-seconds of one core.

Beside each stands the obvious way to do it, in the same run and with the same result, which is
compared before anything is timed.
"""

from __future__ import annotations

import statistics
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from load_tests.measure import cpu_seconds
from load_tests.options import Options
from load_tests.result import Result

from leadline.metrics.core.fold import Pairs, Scored, fold_pairs, no_pairs, ranks_of
from leadline.records.cells import CellKind, Cells, count, delay_bin, merge
from leadline.records.scores import CODE_MASK, CODES, ranked_codes, top_codes
from leadline.runtime.store.cells_codec import CellsCodec

PAIRS_GOAL = 9e6
"""Pairs a CPU-second, 10 classes with dense scores, batches of 20,000 to 100,000."""
CODES_NS_GOAL, ENCODE_NS_GOAL, DECODE_NS_GOAL, MERGE_NS_GOAL = 60.0, 12.0, 20.0, 20.0
MINUTE = 29_400_000
MINUTES = 4
BLOCKS = 750


@dataclass(frozen=True, slots=True)
class Case:
    """One batch of one version within a few minutes of event time.

    Attributes:
        top: how many scores a row keeps; None for all.
        goal: pairs a CPU-second.
    """

    rows: int
    classes: int
    top: int | None = None
    goal: float | None = None

    @property
    def name(self) -> str:
        """What was folded."""
        kept = f"the best {self.top} of {self.classes:,}" if self.top else f"all {self.classes}"
        return f"{self.rows:,} pairs, {kept} scores"


CASES = (
    Case(1_000, 10),
    Case(20_000, 10, goal=PAIRS_GOAL),
    Case(50_000, 10, goal=PAIRS_GOAL),
    Case(100_000, 10, goal=PAIRS_GOAL),
    Case(20_000, 64),
    Case(20_000, 1_000, top=10),
)


def run(options: Options) -> Result:
    """All figures."""
    result = Result("fold")
    for case in CASES:
        _fold(case, options, result)
    _codes(options, result)
    _codec(options, result)
    _merge(options, result)
    return result


def _fold(case: Case, options: Options, result: Result) -> None:
    rows = options.size(case.rows, 500)
    pairs, _ = batch(np.random.default_rng(rows), rows, case.classes, case.top)
    cells = fold_pairs(pairs, no_pairs())
    _same_counter(cells, fold_with_counter(pairs))
    if case.top is None:
        _same(cells, fold_plainly(pairs))
        peer, others = "add.at and a scan", _seconds(lambda: fold_plainly(pairs), options.runs(5))
    else:
        peer, others = "Counter", _seconds(lambda: fold_with_counter(pairs), 1)
    runs = _seconds(lambda: fold_pairs(pairs, no_pairs()), options.runs(15))
    _beside(
        result,
        case.name,
        [rows / each for each in runs],
        "pairs/CPU-s",
        peer,
        [rows / each for each in others],
        goal=case.goal,
    )
    result.data[case.name] = {"cells": len(cells), "cells_per_pair": len(cells) / rows}


def _codes(options: Options, result: Result) -> None:
    for classes, top in ((10, None), (64, None), (1_000, 10)):
        rows = options.size(20_000 if classes < 100 else 4_000, 500)
        _, scores = batch(np.random.default_rng(classes), rows, classes, top)
        work: Callable[[], object] = partial(top_codes if top else ranked_codes, scores)
        runs = [each / rows * 1e9 for each in _seconds(work, options.runs(9))]
        goal = CODES_NS_GOAL if classes == 10 else None
        name = f"codes and ranks, {'the best 10 of ' if top else ''}{classes:,} scores a row"
        result.add(name, runs, "ns/row", goal=goal, at_least=False)


def _codec(options: Options, result: Result) -> None:
    rows = options.size(10_000, 500)
    pairs, _ = batch(np.random.default_rng(3), rows, 10, None, sharpness=10.0)
    cells = fold_pairs(pairs, no_pairs())
    codec, size = CellsCodec(), len(cells)
    body, plain = codec.encode(cells), encode_plainly(cells)
    _same(codec.decode(body), cells)
    _same(decode_plainly(plain), cells)
    for verb, work, other, goal in (
        ("encode", lambda: codec.encode(cells), lambda: encode_plainly(cells), ENCODE_NS_GOAL),
        ("decode", lambda: codec.decode(body), lambda: decode_plainly(plain), DECODE_NS_GOAL),
    ):
        runs, others = (
            [each / size * 1e9 for each in _seconds(way, options.runs(25))] for way in (work, other)
        )
        name = f"{verb} a delta of {rows:,} pairs"
        _beside(result, name, runs, "ns/cell", "columns and zlib-1", others, goal=goal, less=True)
    name = f"bytes of a delta of {rows:,} pairs"
    _beside(result, name, [len(body)], "B", "columns and zlib-1", [len(plain)], less=True)
    result.data["delta"] = {"cells": size, "bytes": len(body)}


def _merge(options: Options, result: Result) -> None:
    """Blocks of SCORES: as a query adds them, each an hour of its own, or all of one."""
    blocks = options.size(BLOCKS, 10)
    apart = [_block(number, options.size(10_000, 500)) for number in range(blocks)]
    alike = [
        Cells(each.kind, each.series, np.zeros_like(each.minute), each.index, each.count)
        for each in apart
    ]
    for name, parts in (("of an hour each", apart), ("of one hour", alike)):
        size, few = sum(map(len, parts)), parts[: max(len(parts) // 25, 1)]
        _same_counter(merge(few), merge_with_counter(few))
        runs = [each / size * 1e9 for each in _seconds(partial(merge, parts), options.runs(5))]
        slow = _seconds(partial(merge_with_counter, few), 1)
        others = [each / sum(map(len, few)) * 1e9 for each in slow]
        title = f"add {len(parts)} blocks {name}"
        _beside(result, title, runs, "ns/cell", "Counter", others, goal=MERGE_NS_GOAL, less=True)
        result.data[title] = {"cells": size}


def _beside(
    result: Result,
    name: str,
    runs: list[float],
    unit: str,
    peer: str,
    others: list[float],
    *,
    goal: float | None = None,
    less: bool = False,
) -> None:
    """Adds a figure and how many times as much it is of the obvious way's."""
    ratio = statistics.median(runs) / statistics.median(others)
    result.add(name, runs, unit, goal=goal, at_least=not less, peer=peer, ratio=ratio)


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    work()
    found = []
    for _ in range(repeats):
        start = cpu_seconds()
        work()
        found.append(max(cpu_seconds() - start, 1e-9))
    return found


def batch(
    random: np.random.Generator, rows: int, classes: int, top: int | None, sharpness: float = 3.0
) -> tuple[Pairs, np.ndarray]:
    """Pairs of one version in some minutes of one hour, and their scores: those of a softmax.

    Args:
        random: source of the rows.
        rows, classes: how many.
        top: how many scores are kept; None for all.
        sharpness: scale of the logits; a confident model's scores are spread over more codes.
    """
    true = random.integers(0, classes, rows).astype(np.uint32)
    logits = random.gumbel(size=(rows, classes)) * sharpness
    logits[np.arange(rows), true] += 3 * sharpness
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    predicted = scores.argmax(axis=1).astype(np.uint32)
    kept = top_codes(scores, top) if top else (None, ranked_codes(scores))
    scored = Scored(None, *kept)
    pairs = Pairs(
        series=np.full(rows, 7, np.uint32),
        minute=np.sort(MINUTE + random.integers(0, MINUTES, rows)).astype(np.uint32),
        predicted=predicted,
        true_class=true,
        rank=ranks_of(true, scored, predicted),
        delay_ms=random.lognormal(10, 2, rows).astype(np.int64),
        scored=(scored,),
    )
    return pairs, scores


def fold_plainly(pairs: Pairs) -> Cells:
    """The cells of dense pairs of one series within an hour: one table a kind, add.at, a scan."""
    (scored,) = pairs.scored
    minute = pairs.minute.astype(np.int64) - int(pairs.minute.min())
    true, predicted = pairs.true_class.astype(np.int64), pairs.predicted.astype(np.int64)
    classes = scored.codes.shape[1]
    series, first = int(pairs.series[0]), int(pairs.minute.min())
    late = delay_bin(pairs.delay_ms).astype(np.int64)
    hour = first - first % 60
    confusion = np.zeros((int(minute.max()) + 1, classes, classes), np.int64)
    np.add.at(confusion, (minute, true, predicted), 1)
    ranks = np.zeros((len(confusion), classes, 8), np.int64)
    np.add.at(ranks, (minute, true, pairs.rank), 1)
    delays = np.zeros((len(confusion), int(late.max()) + 1), np.int64)
    np.add.at(delays, (minute, late), 1)
    curves = np.zeros((classes, 2, CODES), np.int64)
    number = np.arange(classes)
    np.add.at(
        curves,
        (number, (number == true[:, None]).astype(np.int64), scored.codes & np.uint16(CODE_MASK)),
        1,
    )
    found = []
    for kind, table in ((CellKind.CONFUSION, confusion), (CellKind.RANK, ranks)):
        at, high, low = np.nonzero(table)
        found.append((kind, first + at, high << 32 | low, table[at, high, low]))
    at, bins = np.nonzero(delays)
    found.append((CellKind.DELAY, first + at, bins, delays[at, bins]))
    high, low = np.nonzero(confusion.sum(axis=0))
    added = confusion.sum(axis=0)[high, low]
    found.append((CellKind.ADDED, np.zeros(len(high)), high << 32 | low, added))
    number, is_true, code = np.nonzero(curves)
    index = number << 32 | is_true << 16 | code
    found.append((CellKind.SCORES, np.full(len(index), hour), index, curves[number, is_true, code]))
    return Cells(
        np.concatenate([np.full(len(sums), kind, np.uint8) for kind, _, _, sums in found]),
        np.full(sum(len(sums) for *_, sums in found), series, np.uint32),
        np.concatenate([minutes.astype(np.uint32) for _, minutes, _, _ in found]),
        np.concatenate([index.astype(np.uint64) for _, _, index, _ in found]),
        np.concatenate([sums for *_, sums in found]),
    )


def fold_with_counter(pairs: Pairs) -> Counter[tuple[int, int, int, int]]:
    """The cells of pairs that all have scores, one pair at a time."""
    (scored,) = pairs.scored
    codes = (scored.codes & np.uint16(CODE_MASK)).tolist()
    classes = scored.classes.tolist() if scored.classes is not None else None
    every = list(range(scored.codes.shape[1]))
    total: Counter[tuple[int, int, int, int]] = Counter()
    columns = (pairs.series, pairs.minute, pairs.predicted, pairs.true_class, pairs.rank)
    late = delay_bin(pairs.delay_ms).tolist()
    for row, (series, minute, predicted, true, rank) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        total[CellKind.CONFUSION, series, minute, true << 32 | predicted] += 1
        total[CellKind.RANK, series, minute, true << 32 | rank] += 1
        total[CellKind.DELAY, series, minute, late[row]] += 1
        total[CellKind.ADDED, series, 0, true << 32 | predicted] += 1
        hour = minute - minute % 60
        for number, code in zip(classes[row] if classes else every, codes[row], strict=True):
            index = number << 32 | (number == true) << 16 | code
            total[CellKind.SCORES, series, hour, index] += 1
    return total


def encode_plainly(cells: Cells) -> bytes:
    """The columns as they are, in zlib at level 1."""
    columns = (cells.kind, cells.series, cells.minute, cells.index, cells.count)
    return zlib.compress(b"".join(column.tobytes() for column in columns), 1)


def decode_plainly(body: bytes) -> Cells:
    """Undoes `encode_plainly`."""
    content = zlib.decompress(body)
    size, at, columns = len(content) // 25, 0, []
    for kind in (np.uint8, np.uint32, np.uint32, np.uint64, np.int64):
        columns.append(np.frombuffer(content, kind, size, at))
        at += columns[-1].nbytes
    return Cells(*columns)


def merge_with_counter(parts: list[Cells]) -> Counter[tuple[int, int, int, int]]:
    """The sum of all parts, one cell at a time."""
    total: Counter[tuple[int, int, int, int]] = Counter()
    for part in parts:
        columns = (part.kind, part.series, part.minute, part.index)
        keys = zip(*(column.tolist() for column in columns), strict=True)
        for key, value in zip(keys, part.count.tolist(), strict=True):
            total[key] += value
    return total


def _block(number: int, rows: int) -> Cells:
    """SCORES of one hour: 10 classes, codes gathered around their middle."""
    random = np.random.default_rng(number)
    code = np.clip(random.normal(3_000, 900, rows), 0, CODES - 1).astype(np.uint64)
    high = random.integers(0, 10, rows).astype(np.uint64) << np.uint64(32)
    is_true = random.integers(0, 2, rows).astype(np.uint64) << np.uint64(16)
    return count(CellKind.SCORES, 7, MINUTE + 60 * number, high | is_true | code)


def _same(one: Cells, other: Cells) -> None:
    names = ("kind", "series", "minute", "index", "count")
    if not all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names):
        raise AssertionError("The two ways do not agree.")


def _same_counter(cells: Cells, total: Counter[tuple[int, int, int, int]]) -> None:
    if merge_with_counter([cells]) != total:
        raise AssertionError("The two ways do not agree.")
