"""The same counting elsewhere, in an environment of its own: `.tools/classification`.

    .tools/classification/bin/python load_tests/classification_peers.py WAY ROWS.npz

Each is used as its documentation shows, with what makes it quickest: integer labels, no validation
where it can be switched off, one thread. Imports and reading are not counted.

sklearn         confusion_matrix and roc_auc_score by class, once over everything: exact
torchmetrics    MulticlassConfusionMatrix and MulticlassAUROC, batches of 10,000: exact
torchmetrics-100  the same with 100 thresholds
river           ConfusionMatrix and a ROCAUC for each class, with its default thresholds, by row
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np

BATCH = 10_000


def sklearn(scores: np.ndarray, true: np.ndarray) -> tuple[float, list, list]:
    from sklearn.metrics import confusion_matrix, roc_auc_score  # noqa: PLC0415 - each alone

    classes = np.arange(scores.shape[1])
    began = time.process_time()
    matrix = confusion_matrix(true, scores.argmax(axis=1), labels=classes)
    areas = [roc_auc_score(true == number, scores[:, number]) for number in classes]
    return time.process_time() - began, matrix.tolist(), areas


def torchmetrics(
    scores: np.ndarray, true: np.ndarray, thresholds: int | None = None
) -> tuple[float, list, list]:
    import torch  # noqa: PLC0415
    from torchmetrics.classification import (  # noqa: PLC0415
        MulticlassAUROC,
        MulticlassConfusionMatrix,
    )

    torch.set_num_threads(1)
    size = scores.shape[1]
    said, labels = torch.from_numpy(scores), torch.from_numpy(true.astype(np.int64))
    matrix = MulticlassConfusionMatrix(size, validate_args=False)
    area = MulticlassAUROC(size, average="none", thresholds=thresholds, validate_args=False)
    began = time.process_time()
    for begin in range(0, len(true), BATCH):
        part = slice(begin, begin + BATCH)
        matrix.update(said[part], labels[part])
        area.update(said[part], labels[part])
    found, areas = matrix.compute(), area.compute()
    return time.process_time() - began, found.tolist(), areas.tolist()


def river(scores: np.ndarray, true: np.ndarray) -> tuple[float, list, list]:
    from river import metrics  # noqa: PLC0415

    size = scores.shape[1]
    matrix, areas = metrics.ConfusionMatrix(), [metrics.ROCAUC() for _ in range(size)]
    rows, labels, said = scores.tolist(), true.tolist(), scores.argmax(axis=1).tolist()
    began = time.process_time()
    for row, label, guess in zip(rows, labels, said, strict=True):
        matrix.update(label, guess)
        for number, area in enumerate(areas):
            area.update(label == number, row[number])
    found = [[int(matrix[one][other]) for other in range(size)] for one in range(size)]
    values = [area.get() for area in areas]
    return time.process_time() - began, found, values


def main() -> None:
    way, _, bins = sys.argv[1].partition("-")
    with np.load(sys.argv[2]) as file:
        scores, true = file["scores"], file["true"]
    given: dict[str, Any] = {"thresholds": int(bins)} if bins else {}
    ways = {"sklearn": sklearn, "torchmetrics": torchmetrics, "river": river}
    ways[way](scores[:500], true[:500], **given)  # what is loaded late is not counted
    seconds, matrix, areas = ways[way](scores, true, **given)
    package = {"sklearn": "scikit-learn"}.get(way, way)
    print(
        json.dumps(
            {"cpu_s": seconds, "matrix": matrix, "areas": areas, "version": version(package)}
        )
    )


if __name__ == "__main__":
    main()
