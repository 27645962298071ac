"""What may change in a declaration, and the change in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec, grown

NAMES_SHOWN = 8
"""Class names in one sentence; more are counted."""


def check_change(old: ModelSpec | None, new: ModelSpec, others: Iterable[ModelSpec]) -> None:
    """Whether a declaration may become another one.

    A class number means the same for ever, so a class list only grows; and models of one task share
    its labels, so of any two of their lists one continues the other.

    Raises:
        UsageError: it may not; the remedy says what to do.
    """
    if old is not None and old.task == new.task and not grown(old.classes, new.classes):
        at = _first_difference(old.classes, new.classes)
        now = repr(new.classes[at]) if at < len(new.classes) else "missing"
        raise UsageError(
            f"The class list of model {new.name!r} only grows: class {at} is "
            f"{old.classes[at]!r}, and would be {now}.",
            "Append new classes at the end; for other classes declare another task.",
        )
    for other in others:
        if other.name == new.name or other.task != new.task:
            continue
        if not grown(other.classes, new.classes) and not grown(new.classes, other.classes):
            at = _first_difference(other.classes, new.classes)
            raise UsageError(
                f"Model {other.name!r} of the same task {new.task!r} calls class {at} "
                f"{other.classes[at]!r}, model {new.name!r} calls it {new.classes[at]!r}.",
                "Give both models the same class list, or another task.",
            )


def changes_of(old: ModelSpec | None, new: ModelSpec) -> list[str]:
    """What changes from one declaration to the other, one sentence each; empty when nothing does.

    >>> changes_of(None, ModelSpec("digits"))
    ["Model 'digits' is declared."]
    >>> changes_of(ModelSpec("digits"), ModelSpec("digits", champion="2"))
    ["champion: was '', is '2'."]
    """
    if old is None:
        return [f"Model {new.name!r} is declared."]
    found = []
    for each in fields(ModelSpec):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before == after:
            continue
        if each.name == "classes":
            found.append(_classes_changed(old.classes, new.classes))
        elif each.name in {"output", "input"}:
            found += [
                f"{each.name}.{part.name}: was {_word(before, part.name)}, "
                f"is {_word(after, part.name)}."
                for part in fields(before)
                if getattr(before, part.name) != getattr(after, part.name)
            ]
        else:
            found.append(f"{each.name}: was {before!r}, is {after!r}.")
    return found


def _classes_changed(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    if not grown(before, after):
        return f"classes: {len(after)} of another task."
    added = after[len(before) :]
    shown = ", ".join(repr(name) for name in added[:NAMES_SHOWN])
    more = f" and {len(added) - NAMES_SHOWN} more" if len(added) > NAMES_SHOWN else ""
    return f"classes: grow from {len(before)} to {len(after)} by {shown}{more}."


def _word(holder: object, name: str) -> str:
    value = getattr(holder, name)
    return str(getattr(value, "name", repr(value))).lower()


def _first_difference(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))
