"""Generated traffic: every event of a model is one row of a few arrays."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from leadline.demo.assets import load_heldout
from leadline.v1 import models_pb2 as md

I64 = npt.NDArray[np.int64]
NOW = 1_795_370_402  # 2026-11-22 18:00:02 UTC
DAY = 86_400
DEVICES = ("kiosk-a", "kiosk-b", "mobile")
SOURCES = ("annotator", "click", "review")
DIGITS = np.array(
    [
        [1841, 0, 10, 1, 0, 10, 26, 15, 33, 2],
        [10, 1889, 37, 14, 6, 0, 4, 1, 37, 0],
        [15, 3, 1624, 64, 30, 7, 7, 77, 45, 3],
        [12, 1, 20, 1638, 9, 4, 1, 25, 53, 9],
        [3, 3, 20, 5, 1944, 2, 22, 4, 18, 8],
        [11, 1, 36, 73, 23, 1550, 45, 11, 218, 11],
        [28, 4, 1, 1, 15, 8, 1758, 0, 53, 2],
        [1, 28, 27, 33, 5, 0, 1, 1796, 10, 10],
        [51, 1, 26, 34, 24, 13, 49, 8, 1817, 16],
        [52, 9, 30, 31, 120, 9, 11, 97, 112, 1723],
    ]
)


@dataclass
class Traffic:
    """All events of one model version; a label of -1 is still to come."""

    model: str
    version: str
    classes: tuple[str, ...]
    at: I64
    device: I64
    true: I64
    pred: I64
    labelled: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    delay_p50: float = 2040.0
    delay_p95: float = 11160.0
    form: int = md.INPUT_FORM_IMAGE_ARRAY
    notices: list[tuple[str, str, str]] = field(default_factory=list)
    last_label: int | None = NOW - 4
    declared: bool = True
    pictures: npt.NDArray[np.uint8] | None = None
    picture_labels: npt.NDArray[np.uint8] | None = None
    versions: tuple[str, ...] = ()


def traffic(
    model: str,
    version: str,
    classes: tuple[str, ...],
    counts: npt.NDArray[np.int64],
    predictions: int,
    seed: int,
    degraded: int | None = None,
) -> Traffic:
    """Events over the last day whose labelled ones have exactly these counts."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(counts.size), counts.ravel())
    rng.shuffle(cells)
    labelled = len(cells)
    extra = rng.choice(cells if labelled else np.arange(counts.size), predictions - labelled)
    true, pred = np.divmod(np.concatenate([cells, extra]).astype(np.int64), len(classes))
    has = np.arange(predictions) < labelled
    late = rng.beta(3.0, 1.0, predictions)
    at = np.where(has, rng.random(predictions), late) * DAY
    if degraded is not None:
        wrong = true != pred
        moved = wrong & (rng.random(predictions) < 0.55) & (at < degraded)
        at = np.where(moved, degraded + rng.random(predictions) * (DAY - degraded), at)
    recent = has & (at > DAY - 5400)
    at = np.where(
        recent & (rng.random(predictions) < 0.6), at - rng.random(predictions) * 43200, at
    )
    device = rng.integers(0, 3, predictions)
    if degraded is not None:
        device = np.where(
            (true != pred) & (at > degraded) & (rng.random(predictions) < 0.7), 1, device
        )
    return Traffic(
        model,
        version,
        classes,
        (NOW - DAY + 120 + at * (1 - 180 / DAY)).astype(np.int64),
        device.astype(np.int64),
        true,
        pred,
        has,
        rng.random(predictions) < np.where(true != pred, 1 / 6, 1 / 50),
    )


def spread(classes: int, labelled: int, accuracy: float, seed: int) -> npt.NDArray[np.int64]:
    """A matrix with so many labels and about this accuracy, errors in few pairs."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(classes, 3.0))
    counts = np.zeros((classes, classes), dtype=np.int64)
    for true, n in enumerate(rng.multinomial(labelled, share)):
        right = rng.binomial(n, min(accuracy + rng.normal(0, 0.05), 0.995))
        counts[true, true] = right
        others = rng.dirichlet(np.full(classes, 0.15))
        others[true] = 0
        counts[true] += rng.multinomial(n - right, others / others.sum())
    return counts


def models() -> list[Traffic]:
    """The models of the overview."""
    digits = traffic("digits", "2", tuple("0123456789"), DIGITS, 25_830, 1, degraded=53_400)
    digits.versions = ("2", "1")
    digits.notices.append(
        (
            "duplicate_ids",
            "1.4 % of the predictions repeat an earlier id; each is counted once.",
            "Let the gateway make fresh ids: set id_from to 'fresh'.",
        )
    )
    languages = tuple(f"lang-{i:02d}" for i in range(23))
    files = tuple(f"type-{i:03d}" for i in range(214))
    found = [
        digits,
        traffic("filetype", "3.3", files, spread(214, 31_038, 0.9, 3), 31_038, 3),
        traffic("doc-language", "1", languages, spread(23, 36_256, 0.94, 2), 41_200, 2),
        traffic(
            "review-sentiment",
            "3",
            ("negative", "positive"),
            np.array([[3647, 455], [505, 6800]]),
            33_600,
            4,
        ),
        traffic(
            "weld-defects",
            "4",
            ("crack", "pore", "spatter", "clean", "burn", "gap"),
            np.diag([2, 6, 5, 7, 0, 0])
            + np.eye(6, k=1, dtype=np.int64) * [[2], [0], [1], [0], [0], [0]],
            1_104,
            5,
        ),
        traffic(
            "receipt-fields",
            "2",
            tuple(f"f{i}" for i in range(17)),
            spread(17, 0, 0.9, 6),
            18_944,
            6,
        ),
        traffic("churn-30d", "9", ("stays", "leaves"), np.array([[300, 40], [30, 130]]), 9_412, 7),
    ]
    digits.pictures, digits.picture_labels = load_heldout()
    found[1].form = md.INPUT_FORM_UNSPECIFIED
    found[1].delay_p50, found[1].delay_p95 = 0.3, 1.0
    found[2].versions = ("1", "2")
    found[2].form = found[3].form = md.INPUT_FORM_TEXT
    found[2].delay_p50, found[2].delay_p95 = 4, 31
    found[3].delay_p50, found[3].delay_p95 = 6840, 72_000
    found[4].delay_p50, found[4].delay_p95 = 18_360, 39_600
    found[5].last_label = None
    churn = found[6]
    churn.form = md.INPUT_FORM_NUMBERS
    churn.last_label = NOW - 52 * 3600
    churn.delay_p50, churn.delay_p95 = 1200, 3600
    churn.at[churn.labelled] = np.minimum(churn.at[churn.labelled], NOW - 40_000)
    return found


def picture(found: Traffic, row: int) -> bytes:
    """A 28 x 28 PNG: the true class, written by an unsteady hand."""
    rng = np.random.default_rng(row)
    true = int(found.true[row])
    if found.pictures is None or found.picture_labels is None:
        image = Image.new("L", (28, 28), 0)
        font = ImageFont.load_default(size=20.0)
        ImageDraw.Draw(image).text((14, 14), found.classes[true][-1], 225, font, anchor="mm")
    else:
        same = np.flatnonzero(found.picture_labels == true)
        image = Image.fromarray(found.pictures[same[row % len(same)]])
    blurred = image.rotate(float(rng.normal(0, 12))).filter(ImageFilter.GaussianBlur(0.7))
    pixels = np.asarray(blurred, dtype=np.float64)
    noisy = pixels * rng.uniform(0.7, 1.0) + rng.normal(18, 16, (28, 28))
    out = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
