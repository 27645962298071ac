"""Where the gateway learns what models are declared."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any, Protocol

import grpc

from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec
from leadline.v1 import models_pb2, models_pb2_grpc
from leadline.wire.models import model_from_proto

PAGES_MAX = 100
"""Pages of one reading, of 1,000 models each: an answer that never ends is an error."""
PAGE_SIZE = 1000

_log = logging.getLogger(__name__)


class ModelSource(Protocol):
    """Declarations as last known. Never blocks."""

    def get(self, name: str) -> ModelSpec | None:
        """The declaration of a model; None when it has none."""

    def for_task(self, task: str) -> ModelSpec | None:
        """Of the models of a task, the one with the longest class list; None without any."""


class StaticModels:
    """Declarations that are given once, or set by whoever holds them in the same process."""

    def __init__(self, specs: Iterable[ModelSpec] = ()) -> None:
        self._by_name: dict[str, ModelSpec] = {}
        self._by_task: dict[str, ModelSpec] = {}
        self.replace(specs)

    def replace(self, specs: Iterable[ModelSpec]) -> None:
        """Sets all declarations at once; one that did not change stays the same object."""
        old = self._by_name
        by_name: dict[str, ModelSpec] = {}
        by_task: dict[str, ModelSpec] = {}
        for spec in specs:
            known = old.get(spec.name)
            kept = known if known is not None and known == spec else spec
            by_name[spec.name] = kept
            best = by_task.get(spec.task)
            if best is None or len(kept.classes) > len(best.classes):
                by_task[spec.task] = kept
        self._by_name, self._by_task = by_name, by_task

    def get(self, name: str) -> ModelSpec | None:
        """The declaration of a model; None when it has none."""
        return self._by_name.get(name)

    def for_task(self, task: str) -> ModelSpec | None:
        """Of the models of a task, the declaration with the longest class list."""
        return self._by_task.get(task)


class PolledModels(StaticModels):
    """Declarations read from the ModelService, again and again in the background.

    While the service does not answer, what was read last stays.

    Args:
        address: host:port.
        poll_seconds: pause between two readings.
        channel: for tests and TLS; by default an insecure one to `address`.
    """

    def __init__(
        self, address: str, poll_seconds: float, channel: grpc.aio.Channel | None = None
    ) -> None:
        super().__init__()
        self._address = address
        self._poll_seconds = poll_seconds
        self._channel = channel
        self._task: asyncio.Task[None] | None = None
        self._read = asyncio.Event()
        self._failing = False

    async def start(self, wait_seconds: float) -> bool:
        """Starts reading; returns whether the first reading came in time."""
        channel = self._channel or grpc.aio.insecure_channel(self._address)
        self._channel = channel
        self._task = asyncio.create_task(self._run(channel), name="leadline-models")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._read.wait(), wait_seconds)
        return self._read.is_set()

    async def close(self) -> None:
        """Ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._channel is not None:
            await self._channel.close()

    async def _run(self, channel: grpc.aio.Channel) -> None:
        while True:
            try:
                self.replace(await self._fetch(channel))
                self._read.set()
                self._failing = False
            except Exception as error:  # what was read last stays, whatever is wrong
                if not self._failing:
                    _log.warning(
                        "Declarations cannot be read from %s (%s); those known stay in force. "
                        "Check models_address and that the metric service is up.",
                        self._address,
                        error.details() if isinstance(error, grpc.aio.AioRpcError) else error,
                    )
                self._failing = True
            await asyncio.sleep(self._poll_seconds)

    async def _fetch(self, channel: grpc.aio.Channel) -> list[ModelSpec]:
        stub: Any = models_pb2_grpc.ModelServiceStub(channel)
        found: list[ModelSpec] = []
        token = ""
        for _ in range(PAGES_MAX):
            answer = await stub.ListModels(
                models_pb2.ListModelsRequest(page_size=PAGE_SIZE, page_token=token), timeout=5.0
            )
            for model in answer.models:
                if not model.declared:
                    continue
                try:
                    found.append(model_from_proto(model))
                except UsageError as error:
                    _log.warning("A declaration is passed over: %s", error)
            token = answer.next_page_token
            if not token:
                return found
        raise UsageError(f"ModelService at {self._address} gave more than {PAGES_MAX} pages.")
