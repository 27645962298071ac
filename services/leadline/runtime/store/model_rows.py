"""Rows of declared models: JSON with a revision."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from leadline.records.batches import TaskKind
from leadline.records.errors import FencedError, UsageError
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm
from leadline.runtime.store.session import Row, Session
from leadline.runtime.store.tombstone_rows import dead_models


def save_model(session: Session, spec: ModelSpec, expected_revision: int | None) -> int:
    """Writes a declaration if its revision is the expected one (0: it must be new; None: any).

    Returns the new revision, from 1 on.

    Raises:
        FencedError: the revision is another one.
        UsageError: a model of that name was deleted.
    """
    if spec.name in dead_models(session):
        raise UsageError(
            f"A model named {spec.name!r} was deleted: what comes under that name is not shown.",
            "Choose another name.",
        )
    row = _save(session, spec.name, json.dumps(asdict(spec)), expected_revision)
    if row is None:
        raise FencedError(
            f"The declaration of model {spec.name!r} is not at revision {expected_revision} any "
            "more: read it again."
        )
    return int(row[0])


def read_models(session: Session) -> list[tuple[ModelSpec, int]]:
    """All declared models with their revision, by name."""
    rows = session.rows("SELECT body, revision FROM models ORDER BY name")
    return [(_spec(json.loads(body)), revision) for body, revision in rows]


def read_model(session: Session, name: str) -> tuple[ModelSpec, int] | None:
    """One declared model with its revision."""
    row = session.row("SELECT body, revision FROM models WHERE name = ?", [name])
    return (_spec(json.loads(row[0])), row[1]) if row else None


def _save(session: Session, name: str, body: str, expected: int | None) -> Row | None:
    insert = "INSERT INTO models (name, revision, body) VALUES (?, 1, ?) ON CONFLICT (name) DO "
    if expected is None:
        return session.row(
            insert + "UPDATE SET revision = models.revision + 1, body = excluded.body "
            "RETURNING revision",
            [name, body],
        )
    if expected == 0:
        return session.row(insert + "NOTHING RETURNING revision", [name, body])
    return session.row(
        "UPDATE models SET revision = revision + 1, body = ? WHERE name = ? AND revision = ? "
        "RETURNING revision",
        [body, name, expected],
    )


def _spec(found: dict[str, Any]) -> ModelSpec:
    """The declaration in its JSON; a field that is younger than the row has its default."""
    output, shown = found.pop("output", {}), found.pop("input", {})
    return ModelSpec(
        **{
            **found,
            "kind": TaskKind(found["kind"]),
            "classes": tuple(found["classes"]),
            "slices": tuple(found["slices"]),
        },
        output=OutputSpec(**{**output, "form": ScoreForm(output["form"])}),
        input=InputSpec(**{**shown, "form": InputForm(shown["form"])}),
    )
