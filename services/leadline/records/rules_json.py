"""Rules and exceptions as JSON: rows of the truth, and records of the topic `rules`.

Canonical: ASCII, keys sorted, no blanks. What this version does not know it does not guess: rules
with a field or a kind more would count otherwise than they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from leadline.records.errors import StoppedError
from leadline.records.rules import KINDS, ExceptionRow, Rules, RulesRow

_UPGRADE = "Upgrade the metric service (owners and readers) to the version that wrote them."
_NAMES = frozenset(field.name for field in fields(Rules))
_OBJECTS = ("default_labels", "kinds")


def rules_to_json(rules: Rules) -> str:
    """The text of rules, with every field."""
    found = {name: getattr(rules, name) for name in sorted(_NAMES)}
    found["default_labels"] = {task: int(one) for task, one in rules.default_labels.items()}
    found["kinds"] = sorted(rules.kinds)
    return _text(found)


def rules_from_json(text: str | bytes) -> Rules:
    """The rules of a text of `rules_to_json`.

    Raises:
        StoppedError: a field or a kind is unknown or missing, or the text is no such text.
    """
    found = _object(text)
    unknown, missing = sorted(found.keys() - _NAMES), sorted(_NAMES - found.keys())
    if unknown or missing:
        words = f"unknown: {', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}"
        raise StoppedError(f"Rules have fields that are not those known here ({words}).", _UPGRADE)
    try:
        numbers = {name: int(found[name]) for name in _NAMES.difference(_OBJECTS)}
        labels = {str(task): int(one) for task, one in found["default_labels"].items()}
        kinds = frozenset(map(str, found["kinds"]))
    except (AttributeError, TypeError, ValueError) as error:
        raise StoppedError(f"Rules hold a value of another type: {error}.", _UPGRADE) from error
    if kinds - KINDS:
        raise StoppedError(
            f"Rules count kinds that are not known here: {', '.join(sorted(kinds - KINDS))}.",
            _UPGRADE,
        )
    return Rules(default_labels=MappingProxyType(labels), kinds=kinds, **numbers)


def fact_to_json(shard: str, row: RulesRow | ExceptionRow) -> bytes:
    """The record of the topic `rules` that says that a shard has this row."""
    if isinstance(row, ExceptionRow):
        return _text({"shard": shard, "kind": "exception", **asdict(row)}).encode()
    place = {"number": row.number, "from_p": row.from_p, "from_l": row.from_l}
    rules = json.loads(rules_to_json(row.rules))
    return _text({"shard": shard, "kind": "rules", **place, "rules": rules}).encode()


def fact_from_json(value: bytes) -> tuple[str, RulesRow | ExceptionRow]:
    """The shard and its row of a record of `fact_to_json`.

    Raises:
        StoppedError: it is of a kind that is not known, or no such record.
    """
    found = _object(value)
    try:
        shard, kind = str(found.pop("shard")), found.pop("kind")
        if kind == "exception":
            return shard, ExceptionRow(**{name: int(one) for name, one in found.items()})
        if kind == "rules":
            rules = rules_from_json(_text(found.pop("rules")))
            place = {name: int(one) for name, one in found.items()}
            return shard, RulesRow(rules=rules, **place)
    except (KeyError, TypeError, ValueError) as error:
        raise StoppedError(f"A record of the topic `rules` is damaged: {error}.", _UPGRADE) from (
            error
        )
    raise StoppedError(f"A record of the topic `rules` has the kind {kind!r}.", _UPGRADE)


def _text(found: Mapping[str, object]) -> str:
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise StoppedError(f"Rules are no JSON: {error}.", _UPGRADE) from error
    if not isinstance(found, dict):
        raise StoppedError("Rules are no JSON object.", _UPGRADE)
    return found
