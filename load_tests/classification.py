"""Counting with curves at 10 classes, and how exact the areas are, beside three libraries.

The same rows everywhere: float32 scores of 10 classes and integer labels. Asked is the confusion
matrix and the area under each class's ROC curve. The matrices are compared before anything is told.
Leadline's part is measured twice: the join's fold alone (as `fold` does; its codes come with the
decoded scores), and everything from float32 scores to areas with bounds. The fold counts more than
the peers: minutes, ranks, delays, histories.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from load_tests.fold import batch
from load_tests.measure import cpu_seconds, median
from load_tests.options import Options
from load_tests.result import Result
from sklearn.metrics import average_precision_score, roc_auc_score

from leadline.metrics.core.figures import confusion_of
from leadline.metrics.core.fold import Pairs, Scored, fold_pairs, no_pairs, ranks_of
from leadline.metrics.core.view import sums
from leadline.metrics.measures.curves import Bounded, auc, average_precision
from leadline.metrics.measures.scores import class_scores
from leadline.records.cells import CellKind, Cells, merge
from leadline.records.scores import ranked_codes

GOAL_RATIO = 40.0
GOAL_ERROR = 3e-5
CLASSES = 10
ROWS, RIVER_ROWS, BATCH = 200_000, 5_000, 50_000
EXACT = ("sklearn", "torchmetrics")
DOUBTFUL = "a doubtful model"
"""Its scores lie where codes are widest, so nothing is promised but the bounds."""
SHARPNESS = {DOUBTFUL: 0.5, "a sure model": 2.0, "an over-confident model": 8.0}
"""Scale of the logits. All three err equally often: the order of the logits does not depend on
it."""


def run(options: Options) -> Result:
    """Speed, then exactness."""
    result = Result("classification")
    with tempfile.TemporaryDirectory() as folder:
        speed(options, Path(folder), result)
        exactness(options, Path(folder), result)
    return result


def speed(options: Options, folder: Path, result: Result) -> None:
    scores, true = rows_of(options.size(ROWS, 5_000), SHARPNESS["a sure model"], 1)
    times = times_of(len(true))
    pairs = [prepared(scores, true, at, each) for at, each in times.items()]
    fold, whole = [], []
    for _ in range(options.runs(7)):
        began = cpu_seconds()
        for each in pairs:
            fold_pairs(each, no_pairs())
        fold.append(len(true) / (cpu_seconds() - began))
        began = cpu_seconds()
        cells = counted(scores, true, times)
        areas(cells)
        whole.append(len(true) / (cpu_seconds() - began))
    matrix = confusion_of(sums(cells, CellKind.CONFUSION))
    dense = np.zeros((CLASSES, CLASSES), int)
    dense[matrix.true, matrix.predicted] = matrix.count
    found = {way: peer(options, folder, way, (scores, true)) for way in EXACT}
    found["torchmetrics-100"] = peer(options, folder, "torchmetrics-100", (scores, true))
    few = slice(0, min(RIVER_ROWS, len(true)))
    found["river"] = peer(options, folder, "river", (scores[few], true[few]))
    rates = {way: each["rows"] / each["cpu_s"] for way, each in found.items() if each}
    for way in (*EXACT, "torchmetrics-100"):
        if found[way] and found[way]["matrix"] != dense.tolist():
            raise AssertionError(f"{way} counts another matrix.")
    exact = {way: rates[way] for way in EXACT if way in rates}
    best = max(exact, key=lambda way: exact[way])
    ratio = median(fold) / exact[best]
    name = f"fold of {CLASSES} classes with curves"
    result.add(name, fold, "rows/CPU-s", peer=f"{best}, exact", ratio=ratio)
    result.add("fold: times the best exact peer", ratio, "times", goal=GOAL_RATIO)
    ratio = median(whole) / exact[best]
    result.add("scores to areas", whole, "rows/CPU-s", peer=f"{best}, exact", ratio=ratio)
    for way, rate in rates.items():
        result.add(f"{way}, confusion matrix and areas", rate, "rows/CPU-s")
    result.data["versions"] = {way: each["version"] for way, each in found.items() if each}


def exactness(options: Options, folder: Path, result: Result) -> None:
    for name, sharpness in SHARPNESS.items():
        scores, true = rows_of(options.size(50_000, 3_000), sharpness, 2)
        result.data[name] = {
            "accuracy": float((scores.argmax(axis=1) == true).mean()),
            "share_above_0.99": float((scores.max(axis=1) > 0.99).mean()),
        }
        found = areas(counted(scores, true, times_of(len(true))))
        for figure, exact_of, at, goal in (
            ("AUC", roc_auc_score, 0, None if name == DOUBTFUL else GOAL_ERROR),
            ("average precision", average_precision_score, 1, None),
        ):
            exact = [exact_of(true == number, scores[:, number]) for number in range(CLASSES)]
            told = [each[at] for each in found]
            for one, value in zip(told, exact, strict=True):
                if not one.lower - 1e-12 <= value <= one.upper + 1e-12:
                    raise AssertionError(f"{figure} {value} lies outside {one}.")
            worst = max(abs(one.value - value) for one, value in zip(told, exact, strict=True))
            title = f"largest error of {figure}, {name}"
            result.add(title, worst, "of 1", goal=goal, at_least=False)
        others(options, folder, (scores, true), name, result)


def others(
    options: Options, folder: Path, rows: tuple[np.ndarray, np.ndarray], name: str, result: Result
) -> None:
    """The errors of the peers that do not keep all scores."""
    scores, true = rows
    few = slice(0, min(RIVER_ROWS, len(true)))
    for way, part in (("torchmetrics-100", slice(None)), ("river", few)):
        found = peer(options, folder, way, (scores[part], true[part]))
        if not found:
            continue
        exact = [
            roc_auc_score(true[part] == number, scores[part, number]) for number in range(CLASSES)
        ]
        worst = float(np.abs(np.array(found["areas"]) - exact).max())
        result.add(f"largest error of AUC, {name}, {way}", worst, "of 1")


def rows_of(rows: int, sharpness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 scores and classes of a model that errs."""
    random = np.random.default_rng(seed)
    true = random.integers(0, CLASSES, rows)
    logits = random.gumbel(size=(rows, CLASSES))
    logits[np.arange(rows), true] += 3.0
    logits *= sharpness
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), true


def times_of(rows: int) -> dict[int, Pairs]:
    """Batches by their first row, of which only the times are of use: those of `fold`."""
    return {
        begin: batch(np.random.default_rng(begin), min(BATCH, rows - begin), 2, None)[0]
        for begin in range(0, rows, BATCH)
    }


def prepared(scores: np.ndarray, true: np.ndarray, begin: int, like: Pairs) -> Pairs:
    """A batch as the join hands it over: these scores and classes at those times."""
    part = slice(begin, begin + BATCH)
    scores, true = scores[part], true[part].astype(np.uint32)
    said = scores.argmax(axis=1).astype(np.uint32)
    scored = Scored(None, None, ranked_codes(scores))
    return Pairs(
        series=like.series,
        minute=like.minute,
        predicted=said,
        true_class=true,
        rank=ranks_of(true, scored, said),
        delay_ms=like.delay_ms,
        scored=(scored,),
    )


def counted(scores: np.ndarray, true: np.ndarray, times: dict[int, Pairs]) -> Cells:
    """The cells of all rows."""
    return merge(
        [fold_pairs(prepared(scores, true, at, like), no_pairs()) for at, like in times.items()]
    )


def areas(cells: Cells) -> list[tuple[Bounded, Bounded]]:
    """AUC and average precision of each class."""
    matrix = confusion_of(sums(cells, CellKind.CONFUSION))
    support = np.bincount(matrix.true, matrix.count, CLASSES).astype(int)
    rows = dict(enumerate(support.tolist()))
    scores = class_scores(sums(cells, CellKind.SCORES), rows, int(support.sum()))
    return [(known(auc(each)), known(average_precision(each))) for each in scores]


def known(figure: Bounded | None) -> Bounded:
    if figure is None:
        raise AssertionError("A class has no figure.")
    return figure


def peer(
    options: Options, folder: Path, way: str, rows: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    """What a peer needs and finds, the median of three; empty where it is not installed."""
    python = options.tools / "classification" / "bin" / "python"
    if not python.exists():
        if way in EXACT[:1]:
            raise FileNotFoundError("run `make .tools/classification.installed`")
        return {}
    file = folder / "rows.npz"
    np.savez(file, scores=rows[0], true=rows[1])
    script = Path(__file__).with_name("classification_peers.py")
    found = []
    for _ in range(options.runs(3)):
        done = subprocess.run(
            [str(python), str(script), way, str(file)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found.append(json.loads(done.stdout))
    seconds = median(each["cpu_s"] for each in found)
    return {**found[0], "cpu_s": seconds, "rows": len(rows[1])}
