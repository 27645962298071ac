"""Declared models: what a version answers with, and how its inputs are shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

from leadline.records.batches import SLICES_MAX, TaskKind
from leadline.records.errors import UsageError

NAME_LENGTH_MAX = 200
"""Names stand in labels, URLs and file names; longer ones serve nobody."""


class ScoreForm(IntEnum):
    """How an output's numbers become probabilities; numbers of models.proto."""

    UNSPECIFIED = 0
    PROBABILITIES = 1
    LOGITS_SOFTMAX = 2
    LOGITS_SIGMOID = 3
    LABELS = 4


class InputForm(IntEnum):
    """How an input is shown to a person; numbers of models.proto."""

    UNSPECIFIED = 0
    ENCODED_IMAGE = 1
    IMAGE_ARRAY = 2
    TEXT = 3
    NUMBERS = 4


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Which output holds the scores.

    Attributes:
        name: the output's name; empty means the first floating-point output.
        form: how its numbers become probabilities; never guessed.
    """

    name: str = ""
    form: ScoreForm = ScoreForm.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Which input is kept, and how it is shown.

    Attributes:
        name: the input's name; empty means the first.
        form: what it is.
        layout: "HW", "HWC" or "CHW", for IMAGE_ARRAY.
        scale: shown pixel = value * scale + offset, clipped to 0..255.
        offset: see scale.
        uri_parameter: request parameter that says where the input lives; never copied.
    """

    name: str = ""
    form: InputForm = InputForm.UNSPECIFIED
    layout: str = ""
    scale: float = 1.0
    offset: float = 0.0
    uri_parameter: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A declared model.

    Attributes:
        name: the model, as Triton knows it.
        task: the label space; the model's own name by default (never empty here).
        kind: what it answers with.
        classes: class names by number; may only grow. Empty: numbers only.
        output: which output holds the scores.
        version_from: "answer", "parameter:NAME" or "tag:VALUE".
        id_from: "fresh", "request", "parameter:NAME" or "header:NAME".
        slices: request parameters kept as slice columns, at most SLICES_MAX.
        input: which input is kept, and how it is shown.
        log_rate: share of the traffic that is logged, in (0, 1].
        keep_rate: share of logged predictions whose input is kept, in [0, 1].
        keep_rate_low_margin: the share kept of those with a margin below low_margin.
        low_margin: bound on (best score - second score).
        champion: version in charge; empty means the one seen last.
        description: for people.
    """

    name: str
    task: str = ""
    kind: TaskKind = TaskKind.MULTICLASS
    classes: tuple[str, ...] = ()
    output: OutputSpec = field(default_factory=OutputSpec)
    version_from: str = "answer"
    id_from: str = "fresh"
    slices: tuple[str, ...] = ()
    input: InputSpec = field(default_factory=InputSpec)
    log_rate: float = 1.0
    keep_rate: float = 0.05
    keep_rate_low_margin: float = 0.5
    low_margin: float = 0.2
    champion: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.task:
            object.__setattr__(self, "task", self.name)
        _check_spec(self)

    def class_number(self, name: str) -> int:
        """Number of a class given by name, or by its number written as text.

        Raises:
            UsageError: it is neither a declared name nor a number within the list.
        """
        if name in self.classes:
            return self.classes.index(name)
        if name.isdigit() and (not self.classes or int(name) < len(self.classes)):
            return int(name)
        known = ", ".join(self.classes[:8]) + (" ..." if len(self.classes) > 8 else "")
        raise UsageError(
            f"Model {self.name!r} has no class {name!r}; it has: {known or 'numbers only'}.",
            "Declare the class list with `leadline models apply`, or give the class's number.",
        )


def _check_spec(spec: ModelSpec) -> None:
    check_name("model", spec.name)
    check_name("task", spec.task)
    if len(spec.slices) > SLICES_MAX:
        raise UsageError(
            f"Model {spec.name!r} declares {len(spec.slices)} slices; at most {SLICES_MAX}."
        )
    if len(set(spec.classes)) != len(spec.classes):
        raise UsageError(f"Model {spec.name!r} declares a class name twice.")
    if not 0 < spec.log_rate <= 1:
        raise UsageError(f"log_rate of model {spec.name!r} is {spec.log_rate}; it lies in (0, 1].")
    for name in ("keep_rate", "keep_rate_low_margin"):
        if not 0 <= getattr(spec, name) <= 1:
            raise UsageError(f"{name} of model {spec.name!r} lies outside [0, 1].")
    _check_source(spec.name, "version_from", spec.version_from, ("answer",), ("parameter", "tag"))
    _check_source(spec.name, "id_from", spec.id_from, ("fresh", "request"), ("parameter", "header"))


def _check_source(
    model: str, name: str, value: str, plain: tuple[str, ...], prefixed: tuple[str, ...]
) -> None:
    head, _, tail = value.partition(":")
    if value in plain or (head in prefixed and tail):
        return
    allowed = ", ".join([*plain, *(f"{prefix}:NAME" for prefix in prefixed)])
    raise UsageError(f"{name} of model {model!r} is {value!r}; it is one of: {allowed}.")


def check_name(what: str, name: str) -> None:
    """Raises UsageError for a name that could not stand in a resource name."""
    if not name or len(name) > NAME_LENGTH_MAX or "/" in name or not name.isprintable():
        raise UsageError(
            f"{name!r} is no {what} name: 1 to {NAME_LENGTH_MAX} printable characters without '/'."
        )


def class_digest(classes: tuple[str, ...]) -> int:
    """SHA-256 of the names joined by newlines, its first 8 bytes read big-endian; 0 if empty."""
    if not classes:
        return 0
    return int.from_bytes(hashlib.sha256("\n".join(classes).encode()).digest()[:8], "big")


def grown(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether a class list only grew: the old list is a prefix of the new one."""
    return new[: len(old)] == old
