"""EvaluationService: requests in, the reader's answers out as messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from leadline.metrics.answers import ModelRow
from leadline.metrics.api import convert, inputs, names, pages
from leadline.metrics.api.cases import list_cases
from leadline.metrics.api.workers import Workers
from leadline.metrics.core.scope import Scope, Window, resolve
from leadline.metrics.reader import Reader
from leadline.metrics.watch import Pulse, Shared
from leadline.records.cases import Case
from leadline.records.errors import NotFoundError
from leadline.records.models import InputSpec
from leadline.runtime.clock import Clock
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1 import evaluation_pb2_grpc

SUMMARIES_DEFAULT = 50
SUMMARIES_MAX = 200
"""Each costs a read of its window."""
CONFUSED_DEFAULT = 20
CONFUSED_MAX = 1_000
"""More pairs are read off the matrix, which is there whole."""
SUMMARIES_PLACE = {"after": str, "from": int, "to": int}
INTERVAL_DEFAULT_SECONDS = 1.0
INTERVAL_MIN_SECONDS = 0.05
"""Figures that change faster are not read by anyone, and each state costs a snapshot."""
INTERVAL_MAX_SECONDS = 3600.0

Context = grpc.aio.ServicerContext[Any, Any]


class Blobs(Protocol):
    """Where kept inputs are."""

    def get(self, key: str) -> tuple[bytes, str]:
        """(bytes, media type); raises NotFoundError when it is not there."""


class EvaluationServicer(evaluation_pb2_grpc.EvaluationServiceServicer):
    """Answers out of a reader.

    Args:
        reader: blocks; called in the workers only.
        blobs: kept inputs; None when there is no access to them.
        pulse: tells watchers when to look.
        workers: threads for what blocks.
        clock: for windows that end now.
    """

    def __init__(
        self, reader: Reader, blobs: Blobs | None, pulse: Pulse, workers: Workers, clock: Clock
    ) -> None:
        self._reader = reader
        self._blobs = blobs
        self._pulse = pulse
        self._workers = workers
        self._clock = clock
        self._watched: Shared[Scope, messages.Summary] = Shared(
            lambda scope: workers.run(self._summary, scope)
        )

    async def ListSummaries(
        self, request: messages.ListSummariesRequest, context: Context
    ) -> messages.ListSummariesResponse:
        """Headline figures of every model's champion, by model; per-class figures are left out."""
        size = pages.page_size(request.page_size, SUMMARIES_DEFAULT, SUMMARIES_MAX)
        question = pages.question_digest(request)
        place = pages.read_token(request.page_token, question, SUMMARIES_PLACE)
        if place is None:
            window = resolve(names.parse_window(request, "window"), self._clock.now_us())
            place = {"after": "", "from": window.from_minute, "to": window.to_minute}
        window = Window(int(place["from"]), int(place["to"]))
        found, more = await self._workers.run(
            self._reader.summaries, window, str(place["after"]), size
        )
        token = ""
        if more:
            token = pages.write_token(question, {**place, "after": found[-1].model})
        listed = [convert.summary(each, with_classes=False) for each in found]
        return messages.ListSummariesResponse(summaries=listed, next_page_token=token)

    async def GetSummary(
        self, request: messages.GetSummaryRequest, context: Context
    ) -> messages.GetSummaryResponse:
        """Headline and per-class figures of one version."""
        scope = names.parse_scope(request.scope)
        return messages.GetSummaryResponse(summary=await self._workers.run(self._summary, scope))

    async def GetConfusionMatrix(
        self, request: messages.GetConfusionMatrixRequest, context: Context
    ) -> messages.GetConfusionMatrixResponse:
        """The confusion matrix as sparse triples."""
        scope = names.parse_scope(request.scope)
        pairs = pages.page_size(
            request.confused_pairs_max, CONFUSED_DEFAULT, CONFUSED_MAX, "confused_pairs_max"
        )
        return await self._workers.run(lambda: convert.matrix(self._reader.summary(scope), pairs))

    async def GetTimeline(
        self, request: messages.GetTimelineRequest, context: Context
    ) -> messages.GetTimelineResponse:
        """Figures by equal steps of event time."""
        scope = names.parse_scope(request.scope)
        step = names.minutes_of(request.step, "step") if request.HasField("step") else 0
        return await self._workers.run(lambda: convert.timeline(self._reader.timeline(scope, step)))

    async def ListSlices(
        self, request: messages.ListSlicesRequest, context: Context
    ) -> messages.ListSlicesResponse:
        """Values of the slice columns, or of their crossings, the commonest first."""
        scope = names.parse_scope(request.scope)
        if request.columns:
            columns = names.parse_columns(request.columns)
            return await self._workers.run(
                lambda: convert.crossings(self._reader.crossings(scope, columns))
            )
        return await self._workers.run(lambda: convert.slices(self._reader.slices(scope)))

    async def ListCases(
        self, request: messages.ListCasesRequest, context: Context
    ) -> messages.ListCasesResponse:
        """Kept predictions, the newest first."""
        page = await self._workers.run(list_cases, self._reader, request, self._clock.now_us())
        return messages.ListCasesResponse(
            cases=[convert.case(each) for each in page.cases],
            next_page_token=page.next_token,
            total=page.total,
        )

    async def GetCase(
        self, request: messages.GetCaseRequest, context: Context
    ) -> messages.GetCaseResponse:
        """One case, with what other versions said of the same input."""
        name = names.parse_case(request.name)
        case, others = await self._workers.run(self._reader.case, name.model, name.version, name.id)
        return messages.GetCaseResponse(case=convert.case(case, others))

    async def GetCaseInput(
        self, request: messages.GetCaseInputRequest, context: Context
    ) -> messages.GetCaseInputResponse:
        """The stored input, as a person sees it or raw."""
        name = names.parse_case(request.name)
        return await self._workers.run(self._input, name, raw=request.raw)

    async def WatchSummary(
        self, request: messages.WatchSummaryRequest, context: Context
    ) -> AsyncIterator[messages.WatchSummaryResponse]:
        """The summary whenever it changes; the newest state, never a queue of old ones."""
        scope = names.parse_scope(request.scope)
        sent: messages.Summary | None = None
        async for number, pace in self._pulse.follow(_interval_seconds(request)):
            summary = await self._watched.get(scope, number)
            if summary == sent:
                continue
            sent = summary
            missed = pace.on_sent(number, self._clock.monotonic_seconds())
            yield messages.WatchSummaryResponse(summary=summary, coalesced=missed)

    async def GetStatus(
        self, request: messages.GetStatusRequest, context: Context
    ) -> messages.GetStatusResponse:
        """Where the counting stands, shard by shard."""
        return convert.status(*await self._workers.run(self._reader.status))

    def _summary(self, scope: Scope) -> messages.Summary:
        return convert.summary(self._reader.summary(scope))

    def _input(self, name: names.CaseName, *, raw: bool) -> messages.GetCaseInputResponse:
        case, _ = self._reader.case(name.model, name.version, name.id)
        if not case.input_ref:
            raise NotFoundError(
                f"The input of case {name.id.hex()} was not kept: {_why_absent(case)}.",
                "See keep_rate in the model's declaration, and `absence` of the case.",
            )
        if self._blobs is None:
            raise NotFoundError(
                "This reader has no access to kept inputs.", "Set blob_url as in the gateway."
            )
        content, media_type = self._blobs.get(case.input_ref)
        if raw:
            return messages.GetCaseInputResponse(media_type=media_type, content=content)
        shown = inputs.show(content, media_type, _input_spec(self._reader.model(name.model)))
        return messages.GetCaseInputResponse(media_type=shown.media_type, content=shown.content)


def _interval_seconds(request: messages.WatchSummaryRequest) -> float:
    if not request.HasField("min_interval"):
        return INTERVAL_DEFAULT_SECONDS
    seconds = request.min_interval.ToMicroseconds() / 1e6
    if not 0 <= seconds <= INTERVAL_MAX_SECONDS:
        raise FieldError("min_interval", "min_interval lies between 0 and one hour.")
    return max(INTERVAL_MIN_SECONDS, seconds) if seconds else INTERVAL_DEFAULT_SECONDS


def _input_spec(row: ModelRow) -> InputSpec:
    return row.spec.input if row.spec else InputSpec()


def _why_absent(case: Case) -> str:
    return case.absence.name.lower().replace("_", " ")
