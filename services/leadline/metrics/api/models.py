"""ModelService: declarations of models, and models that are counted without one."""

from __future__ import annotations

from typing import Any

import grpc

from leadline.metrics.api import convert, names, pages
from leadline.metrics.api.workers import Workers
from leadline.metrics.core.declare import changes_of, check_change
from leadline.metrics.reader import Reader
from leadline.records.errors import FencedError
from leadline.records.models import ModelSpec
from leadline.runtime.store.port import TruthStore
from leadline.v1 import models_pb2, models_pb2_grpc
from leadline.wire.models import model_from_proto

MODELS_DEFAULT = 100
MODELS_MAX = 1000
MODELS_PLACE = {"after": str}

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(models_pb2_grpc.ModelServiceServicer):
    """Declares and lists models.

    Args:
        reader, store: block; called in the workers only.
        workers: threads for what blocks.
    """

    def __init__(self, reader: Reader, store: TruthStore, workers: Workers) -> None:
        self._reader = reader
        self._store = store
        self._workers = workers

    async def ApplyModel(
        self, request: models_pb2.ApplyModelRequest, context: Context
    ) -> models_pb2.ApplyModelResponse:
        """Declares a model or changes its declaration."""
        names.parse_model(request.model.name, "model.name")
        spec = model_from_proto(request.model)
        changes = await self._workers.run(
            self._apply, spec, request.model.revision, validate_only=request.validate_only
        )
        if request.validate_only:
            preview = convert.declaration(spec, request.model.revision)
            return models_pb2.ApplyModelResponse(model=preview, changes=changes)
        row = await self._workers.run(self._reader.model, spec.name)
        return models_pb2.ApplyModelResponse(model=convert.model(row), changes=changes)

    async def GetModel(
        self, request: models_pb2.GetModelRequest, context: Context
    ) -> models_pb2.GetModelResponse:
        """One model."""
        row = await self._workers.run(self._reader.model, names.parse_model(request.name))
        return models_pb2.GetModelResponse(model=convert.model(row))

    async def ListModels(
        self, request: models_pb2.ListModelsRequest, context: Context
    ) -> models_pb2.ListModelsResponse:
        """Declared and counted models, by name."""
        size = pages.page_size(request.page_size, MODELS_DEFAULT, MODELS_MAX)
        question = pages.question_digest(request)
        place = pages.read_token(request.page_token, question, MODELS_PLACE) or {"after": ""}
        rows = await self._workers.run(self._reader.models)
        left = [row for row in rows if row.name > str(place["after"])]
        token = ""
        if len(left) > size:
            token = pages.write_token(question, {"after": left[size - 1].name})
        listed = [convert.model(row) for row in left[:size]]
        return models_pb2.ListModelsResponse(models=listed, next_page_token=token)

    def _apply(self, spec: ModelSpec, revision: int, *, validate_only: bool) -> list[str]:
        """Checks and saves; returns what changed, in words.

        Raises:
            FencedError: the declaration was changed since `revision`, or between reading and
            writing. UsageError: the change would take away or rename a class.
        """
        with self._store.snapshot() as snapshot:
            declared = {each.name: (each, number) for each, number in snapshot.models()}
        old, current = declared.get(spec.name, (None, 0))
        if revision and revision != current:
            raise FencedError(
                f"Model {spec.name!r} is at revision {current}, not {revision}: "
                "read it again, and apply your change to what you read."
            )
        check_change(old, spec, [each for each, _ in declared.values()])
        changes = changes_of(old, spec)
        if changes and not validate_only:
            self._store.save_model(spec, current)
        return changes
