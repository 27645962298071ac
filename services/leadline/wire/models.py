"""Model declarations between messages and records."""

from __future__ import annotations

from leadline.records.batches import TaskKind
from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm
from leadline.v1 import models_pb2

PREFIX = "models/"


def model_to_proto(
    spec: ModelSpec, *, revision: int = 0, declared: bool = True
) -> models_pb2.Model:
    """The message of a declaration; versions are left out."""
    return models_pb2.Model(
        name=PREFIX + spec.name,
        task="" if spec.task == spec.name else spec.task,
        kind=int(spec.kind),  # type: ignore[arg-type]
        classes=spec.classes,
        output=models_pb2.OutputSpec(
            name=spec.output.name,
            form=int(spec.output.form),  # type: ignore[arg-type]
        ),
        version_from=spec.version_from,
        id_from=spec.id_from,
        slices=spec.slices,
        input=models_pb2.InputSpec(
            name=spec.input.name,
            form=int(spec.input.form),  # type: ignore[arg-type]
            layout=spec.input.layout,
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
        declared=declared,
        revision=revision,
    )


def model_from_proto(message: models_pb2.Model) -> ModelSpec:
    """The declaration in a message; empty fields take their defaults.

    Raises:
        UsageError: the declaration is not possible; the message says why.
    """
    if not message.name.startswith(PREFIX):
        raise UsageError(f"{message.name!r} is no model name; it is written 'models/NAME'.")
    try:
        kind = TaskKind(message.kind or TaskKind.MULTICLASS)
        form = ScoreForm(message.output.form)
        input_form = InputForm(message.input.form)
    except ValueError as error:
        raise UsageError(f"Model {message.name!r}: {error}.") from error
    return ModelSpec(
        name=message.name.removeprefix(PREFIX),
        task=message.task,
        kind=kind,
        classes=tuple(message.classes),
        output=OutputSpec(message.output.name, form),
        version_from=message.version_from or "answer",
        id_from=message.id_from or "fresh",
        slices=tuple(message.slices),
        input=InputSpec(
            name=message.input.name,
            form=input_form,
            layout=message.input.layout,
            scale=message.input.scale or 1.0,
            offset=message.input.offset,
            uri_parameter=message.input.uri_parameter,
        ),
        log_rate=message.log_rate or 1.0,
        keep_rate=message.keep_rate,
        keep_rate_low_margin=message.keep_rate_low_margin,
        low_margin=message.low_margin,
        champion=message.champion,
        description=message.description,
    )
