"""Which column means what: given by an option, else guessed by its name, and always told. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leadline.records.errors import UsageError

NAMES = {
    "id": ("id", "prediction_id", "request_id", "event_id", "uuid", "key", "image_id", "row_id"),
    "label": (
        "label",
        "true_label",
        "true_class",
        "y_true",
        "target",
        "truth",
        "ground_truth",
        "actual",
        "true",
        "class",
    ),
    "predicted": (
        "predicted",
        "predicted_class",
        "predicted_label",
        "prediction",
        "pred",
        "y_pred",
        "yhat",
    ),
    "time": ("event_time", "label_time", "time", "timestamp", "ts", "datetime", "created_at"),
    "scores": ("scores", "probabilities", "probs", "y_score", "y_prob", "score", "probability"),
}
"""Names that are looked for, the surest first; case, spaces and dashes do not matter."""
SCORE_COLUMN = re.compile(r"^(?:score|prob|proba|probability|p|logit)[_\[ .:-](.+?)\]?$", re.I)
"""One column per class: score_cat, prob_3, p[dog]."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What was found; empty where nothing was.

    Attributes:
        scores: one column that holds a list (or the score of class 1).
        score_columns: one column per class, in the file's order.
        score_classes: the classes that their names say.
        guessed: (meaning, column) pairs that no option gave.
    """

    id: str = ""
    label: str = ""
    predicted: str = ""
    time: str = ""
    scores: str = ""
    score_columns: tuple[str, ...] = ()
    score_classes: tuple[str, ...] = ()
    guessed: tuple[tuple[str, str], ...] = ()


def find_columns(
    columns: tuple[str, ...], wanted: tuple[str, ...], given: dict[str, str]
) -> Columns:
    """The meaning of a table's columns.

    Args:
        columns: names in the file.
        wanted: meanings to look for, of NAMES.
        given: columns by meaning, as options gave them; empty ones are guessed.

    Raises:
        UsageError: an option names a column that is not there.
    """
    found: dict[str, str] = {}
    guessed = []
    for meaning in wanted:
        if name := given.get(meaning, ""):
            _require(name, columns, meaning)
            found[meaning] = name
    for meaning in wanted:
        free = [name for name in columns if name not in found.values()]
        if meaning not in found and (name := _guess(meaning, free)):
            found[meaning] = name
            guessed.append((meaning, name))
    several: list[tuple[str, str]] = []
    if "scores" in wanted and not given.get("scores"):
        taken = {name for meaning, name in found.items() if meaning != "scores"}
        several = [
            (name, match[1])
            for name in columns
            if name not in taken and (match := SCORE_COLUMN.match(name))
        ]
    if len(several) >= 2:
        found.pop("scores", None)
        guessed = [(meaning, name) for meaning, name in guessed if meaning != "scores"]
        guessed.append(("scores", f"{several[0][0]} … {several[-1][0]} ({len(several)} columns)"))
    else:
        several = []
    return Columns(
        **found,
        score_columns=tuple(name for name, _ in several),
        score_classes=tuple(name for _, name in several),
        guessed=tuple(guessed),
    )


def need(columns: Columns, meaning: str, known: tuple[str, ...]) -> None:
    """Raises UsageError when a column of that meaning was neither given nor found."""
    if not getattr(columns, meaning):
        raise UsageError(
            f"No column looks like the {meaning}; there are: {', '.join(known)}",
            f"Say which it is: --{meaning} COLUMN"
            + ("; scores stand in one column a class, score_CLASS" * (meaning == "predicted")),
        )


def _guess(meaning: str, columns: list[str]) -> str:
    plain = {_plain(name): name for name in reversed(columns)}
    return next((plain[name] for name in NAMES[meaning] if name in plain), "")


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _require(name: str, columns: tuple[str, ...], meaning: str) -> None:
    if name not in columns:
        raise UsageError(
            f"--{meaning} {name}: there is no such column; there are: {', '.join(columns)}",
            "Correct it, or leave it out to have it guessed",
        )
