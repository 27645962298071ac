"""Settings of a service: read once, from one section of a file and the environment.

| where                               | example                         | order |
|-------------------------------------|---------------------------------|-------|
| variable of the section             | LEADLINE_GATEWAY_STREAM=fraud   | first |
| section of the file                 | gateway: {stream: fraud}        |       |
| variable shared by all sections     | LEADLINE_LOG_URL=kafka://b:9092 |       |
| default                             |                                 | last  |

A name that no setting has is an error, with the nearest one that exists: a misspelt setting must
not be a setting that silently does not hold.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from leadline.records.errors import UsageError

Settings = TypeVar("Settings", bound=BaseModel)

SHARED_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "log_url": "LEADLINE_LOG_URL",
        "store_url": "LEADLINE_STORE_URL",
        "blob_url": "LEADLINE_BLOB_URL",
    }
)
"""Settings that every section with such a field takes from one variable."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, for people.

    Attributes:
        name: "gateway.stream".
        variable: "LEADLINE_GATEWAY_STREAM".
        shared: a variable for all sections; empty for most.
        kind: "text", "whole number" …
        default: as it would be written; "required" where there is none.
        bounds: "> 0, <= 60"; empty without any.
        text: what it means.
    """

    name: str
    variable: str
    shared: str
    kind: str
    default: str
    bounds: str
    text: str


def variable_of(section: str, field: str) -> str:
    """The environment variable of a setting."""
    return f"LEADLINE_{section}_{field}".upper()


def load_settings(
    cls: type[Settings], section: str, *, file: Path | None, environ: Mapping[str, str]
) -> Settings:
    """The settings of a section.

    Args:
        cls: a frozen pydantic model whose fields are the settings.
        section: its name in the file and in the variables.
        file: YAML; None: the environment and defaults alone.
        environ: the process's environment.

    Raises:
        UsageError: naming the setting, its variable and what to do.
    """
    values, origins = _from_shared(cls, environ)
    for name, value in _from_file(cls, section, file).items():
        values[name], origins[name] = value, f"{file}"
    for name, (variable, text) in _from_environ(cls, section, environ).items():
        values[name], origins[name] = _parsed(text, cls.model_fields[name]), variable
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise _usage_error(cls, section, error, origins) from None


def describe_settings(cls: type[BaseModel], section: str) -> list[SettingRow]:
    """All settings of a section, in the order of the model."""
    return [
        SettingRow(
            name=f"{section}.{name}",
            variable=variable_of(section, name),
            shared=SHARED_VARIABLES.get(name, ""),
            kind=_kind(field),
            default=_default(field),
            bounds=", ".join(_bounds(field)),
            text=field.description or "",
        )
        for name, field in cls.model_fields.items()
    ]


def _from_shared(
    cls: type[BaseModel], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    found = {
        name: variable
        for name, variable in SHARED_VARIABLES.items()
        if name in cls.model_fields and environ.get(variable)
    }
    return {name: environ[variable] for name, variable in found.items()}, found


def _from_file(cls: type[BaseModel], section: str, file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(
            f"The settings file {str(file)!r} cannot be read: {error.strerror}.",
            "Correct the path, or leave the option out to use defaults and the environment.",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(file)!r} is no YAML: {error}", "Correct that line.") from None
    values = content.get(section) if isinstance(content, dict) else "no sections"
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(
            f"{str(file)!r} has no settings under {section!r}.",
            f"Write them as `{section}:` with one `name: value` a line below.",
        )
    for name in values:
        _known(str(name), cls.model_fields, f"{file}: {section}.{name}")
    return values


def _from_environ(
    cls: type[BaseModel], section: str, environ: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    prefix = variable_of(section, "")
    found = {}
    for variable, text in environ.items():
        if variable.startswith(prefix):
            name = variable.removeprefix(prefix).lower()
            _known(name, cls.model_fields, variable)
            found[name] = (variable, text)
    return found


def _known(name: str, fields: Iterable[str], where: str) -> None:
    known = list(fields)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1)
    remedy = f"Did you mean {near[0]!r}?" if near else f"Settings are: {', '.join(known)}."
    raise UsageError(f"{where}: there is no such setting.", remedy)


def _parsed(text: str, field: FieldInfo) -> Any:  # noqa: ANN401 - whatever the setting is
    """A variable's text; lists and mappings are written as YAML: [a, b]."""
    if field.annotation in {str, int, float, bool} or not text.startswith(("[", "{")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _usage_error(
    cls: type[BaseModel], section: str, error: ValidationError, origins: Mapping[str, str]
) -> UsageError:
    """The first error in words; pydantic's own text has neither the variable nor the remedy."""
    found = error.errors()
    first = found[0]
    if not first["loc"]:  # the model's own check of several settings together
        return UsageError(f"Section {section!r}: {reason_of(first)}.", "Change one of them.")
    name = str(first["loc"][0])
    field = cls.model_fields.get(name)
    given = f" is {first['input']!r}" if first["type"] != "missing" else ""
    origin = f" (from {origins[name]})" if name in origins else ""
    more = f" ({len(found) - 1} more settings are wrong.)" if len(found) > 1 else ""
    meaning = f" It means: {field.description}" if field and field.description else ""
    return UsageError(
        f"Setting {section}.{name}{given}{origin}: {reason_of(first)}.{more}",
        f"Set {variable_of(section, name)}, or {name} under `{section}:` in the settings file."
        + meaning,
    )


def reason_of(error: ErrorDetails) -> str:
    """What is wrong with a value, as a phrase."""
    text = error["msg"].removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:]


def _kind(field: FieldInfo) -> str:
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if isinstance(field.annotation, type) and field.annotation in words:
        return words[field.annotation]
    return str(field.annotation).replace("typing.", "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=False)
    if value is PydanticUndefined or (value is None and field.is_required()):
        return "required"
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value >= 1 << 20 and value % (1 << 20) == 0:
        return f"{value} ({value >> 20} MiB)"
    return str(value)


def _bounds(field: FieldInfo) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return [
        f"{sign} {getattr(part, name):g}"
        for part in field.metadata
        for name, sign in signs.items()
        if getattr(part, name, None) is not None
    ]
