"""Declarations of models in files: YAML or JSON, checked strictly.

    name: digits
    kind: multiclass
    classes_from: digits/labels.txt      # or classes: [zero, one, two]
    output: {name: scores, form: softmax}
    slices: [device]

A file holds one declaration, a list of them, or a list under `models:`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadline.records.batches import SLICES_MAX, TaskKind
from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm
from leadline.runtime.class_file import read_classes

Share = Annotated[float, Field(ge=0, le=1)]

KINDS = {"binary": TaskKind.BINARY, "multiclass": TaskKind.MULTICLASS}
SCORE_FORMS = {
    "unspecified": ScoreForm.UNSPECIFIED,
    "probabilities": ScoreForm.PROBABILITIES,
    "softmax": ScoreForm.LOGITS_SOFTMAX,
    "sigmoid": ScoreForm.LOGITS_SIGMOID,
    "labels": ScoreForm.LABELS,
}
INPUT_FORMS = {
    "unspecified": InputForm.UNSPECIFIED,
    "encoded_image": InputForm.ENCODED_IMAGE,
    "image_array": InputForm.IMAGE_ARRAY,
    "text": InputForm.TEXT,
    "numbers": InputForm.NUMBERS,
}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class OutputDeclaration(_Strict):
    """Which output holds the scores."""

    name: str = Field(
        default="", description="The output's name; empty: the first floating-point output."
    )
    form: Literal["unspecified", "probabilities", "softmax", "sigmoid", "labels"] = Field(
        default="unspecified",
        description="What it holds: probabilities, logits (softmax or sigmoid), or labels alone.",
    )


class InputDeclaration(_Strict):
    """Which input is kept, and how a person sees it."""

    name: str = Field(default="", description="The input's name; empty: the first.")
    form: Literal["unspecified", "encoded_image", "image_array", "text", "numbers"] = Field(
        default="unspecified", description="What it is; unspecified: it is not shown."
    )
    layout: Literal["", "HW", "HWC", "CHW"] = Field(default="", description="Of an image_array.")
    scale: float = Field(
        default=1.0, description="Shown pixel = value * scale + offset, cut to 0..255."
    )
    offset: float = Field(default=0.0, description="See scale.")
    uri_parameter: str = Field(
        default="",
        description="The request parameter that says where the input lives; never copied.",
    )


class ModelDeclaration(_Strict):
    """One model."""

    name: str = Field(description="The model, as Triton knows it.")
    task: str = Field(default="", description="The label space; empty: the model's own name.")
    kind: Literal["multiclass", "binary"] = Field(
        default="multiclass", description="What the model answers with."
    )
    classes: list[str] = Field(
        default=[], description="Class names in the order of the outputs; the list may only grow."
    )
    classes_from: str = Field(
        default="", description="Instead: a file of names, one a line, as Triton's label files are."
    )
    output: OutputDeclaration = Field(
        default=OutputDeclaration(), description="Which output is logged."
    )
    version_from: str = Field(
        default="answer",
        description="answer, parameter:NAME, or tag:VALUE where directories stay 1.",
    )
    id_from: str = Field(
        default="fresh", description="fresh, request, parameter:NAME or header:NAME."
    )
    slices: list[str] = Field(
        default=[],
        max_length=SLICES_MAX,
        description="Request parameters by which figures are cut.",
    )
    input: InputDeclaration = Field(default=InputDeclaration(), description="Which input is kept.")
    log_rate: float = Field(
        default=1.0, gt=0, le=1, description="Share of the traffic that is logged."
    )
    keep_rate: Share = Field(
        default=0.05, description="Share of logged predictions that become cases."
    )
    keep_rate_low_margin: Share = Field(
        default=0.5, description="The share of those whose margin is below low_margin."
    )
    low_margin: Share = Field(default=0.2, description="Bound on best score less second score.")
    champion: str = Field(default="", description="Version in charge; empty: the one seen last.")
    description: str = Field(default="", description="For people.")


def read_declarations(file: Path) -> list[ModelSpec]:
    """All declarations in a file, in order.

    Raises:
        UsageError: naming the file, the model, the field and what to do.
    """
    return [_spec(value, number, file) for number, value in enumerate(_values(file), 1)]


def declaration_of(spec: ModelSpec) -> dict[str, Any]:
    """The declaration as a file would hold it, without what is default."""
    declared = ModelDeclaration(
        name=spec.name,
        task="" if spec.task == spec.name else spec.task,
        kind=_word(KINDS, spec.kind),
        classes=list(spec.classes),
        output=OutputDeclaration(name=spec.output.name, form=_word(SCORE_FORMS, spec.output.form)),
        version_from=spec.version_from,
        id_from=spec.id_from,
        slices=list(spec.slices),
        input=InputDeclaration(
            name=spec.input.name,
            form=_word(INPUT_FORMS, spec.input.form),
            layout=spec.input.layout,  # type: ignore[arg-type]  # one of the four, or refused
            scale=spec.input.scale,
            offset=spec.input.offset,
            uri_parameter=spec.input.uri_parameter,
        ),
        log_rate=spec.log_rate,
        keep_rate=spec.keep_rate,
        keep_rate_low_margin=spec.keep_rate_low_margin,
        low_margin=spec.low_margin,
        champion=spec.champion,
        description=spec.description,
    )
    return declared.model_dump(exclude_defaults=True)


def _word(words: dict[str, Any], value: object) -> Any:  # noqa: ANN401 - one of its keys
    return next(word for word, number in words.items() if number == value)


def _values(file: Path) -> list[Any]:
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(
            f"{str(file)!r} cannot be read: {error.strerror}", "Correct the path"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{str(file)!r} is not UTF-8", "Convert it") from None
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{str(file)!r} is neither YAML nor JSON: {error}") from None
    if isinstance(content, dict) and set(content) == {"models"}:
        content = content["models"]
    values = content if isinstance(content, list) else [content]
    if not values or not all(isinstance(value, dict) for value in values):
        raise UsageError(
            f"{str(file)!r} holds no declaration", "Begin with `name: MODEL`; see docs/api.md"
        )
    return values


def _spec(value: dict[str, Any], number: int, file: Path) -> ModelSpec:
    where = f"{str(file)!r}, model {value.get('name', f'number {number}')!r}"
    try:
        declared = ModelDeclaration.model_validate(value)
    except ValidationError as error:
        raise _usage_error(where, error) from None
    if declared.classes and declared.classes_from:
        raise UsageError(f"{where}: both classes and classes_from are given", "Keep one of them")
    classes = tuple(declared.classes)
    if declared.classes_from:
        classes = read_classes(file.parent / declared.classes_from)
    try:
        return _model_spec(declared, classes)
    except UsageError as error:
        raise UsageError(f"{where}: {error}", error.remedy) from None


def _model_spec(declared: ModelDeclaration, classes: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(
        name=declared.name,
        task=declared.task,
        kind=KINDS[declared.kind],
        classes=classes,
        output=OutputSpec(declared.output.name, SCORE_FORMS[declared.output.form]),
        version_from=declared.version_from,
        id_from=declared.id_from,
        slices=tuple(declared.slices),
        input=InputSpec(
            declared.input.name,
            INPUT_FORMS[declared.input.form],
            declared.input.layout,
            declared.input.scale,
            declared.input.offset,
            declared.input.uri_parameter,
        ),
        log_rate=declared.log_rate,
        keep_rate=declared.keep_rate,
        keep_rate_low_margin=declared.keep_rate_low_margin,
        low_margin=declared.low_margin,
        champion=declared.champion,
        description=declared.description,
    )


def _usage_error(where: str, error: ValidationError) -> UsageError:
    """The first error in words."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        known = ", ".join(ModelDeclaration.model_fields)
        return UsageError(f"{where}: there is no field {field!r}", f"Fields are: {known}")
    if kind == "missing":
        return UsageError(f"{where}: field {field!r} is missing", f"Add `{field}: ...`")
    remedy = "Correct it"
    if kind == "string_type":
        remedy = f'Write it in quotes: "{first["input"]}" (YAML reads yes, no and 1 as no text)'
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return UsageError(f"{where}: {field} is {first['input']!r}: {reason}", remedy)
