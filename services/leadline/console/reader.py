"""Questions to the reader, over gRPC; foreign errors become a `Failure` here and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ParamSpec, TypeVar

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from leadline.console import convert, convert_analysis
from leadline.console.core import analysis as a
from leadline.console.core import figures as f
from leadline.console.core.pane import PAGE
from leadline.console.core.urlstate import View
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import analysis_pb2_grpc, evaluation_pb2_grpc, models_pb2_grpc
from leadline.v1 import evaluation_pb2 as ev
from leadline.v1 import models_pb2 as md

P = ParamSpec("P")
T = TypeVar("T")
CASES_ASKED = 2 * PAGE
THRESHOLD = 0.5
"""Judged where a page names none."""
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
"""A matrix of 1,000 classes, full, is 12 MB; an input may be 8 MB."""
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_reconnect_backoff_ms", 4000),
    ("grpc.enable_http_proxy", 0),
)
_LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class ReaderError(Exception):
    """The reader gave no answer; `failure` says why in words."""

    def __init__(self, failure: f.Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Reader:
    """The reader at one address; every question has the same deadline.

    Every method raises ReaderError; `settle` turns that into a value.
    """

    def __init__(self, address: str, deadline_seconds: float) -> None:
        self.address = address
        self._deadline = deadline_seconds
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self._channel)
        self._analysis = analysis_pb2_grpc.AnalysisServiceStub(self._channel)
        self._models = models_pb2_grpc.ModelServiceStub(self._channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel that all questions go through."""
        return self._channel

    async def close(self) -> None:
        """Closes the channel; open questions end."""
        await self._channel.close()

    async def models(self) -> tuple[f.Model, ...]:
        """All models, by name."""
        found: list[f.Model] = []
        token = ""
        while True:
            request = md.ListModelsRequest(page_size=1000, page_token=token)
            answer = await self._ask(self._models.ListModels(request, timeout=self._deadline))
            found += [convert.model(m) for m in answer.models]
            token = answer.next_page_token
            if not token:
                return tuple(found)

    async def summaries(self, view: View) -> tuple[f.Summary, ...]:
        """Headline figures of every champion, over the view's window."""
        found: list[f.Summary] = []
        token = ""
        while True:
            request = ev.ListSummariesRequest(page_size=500, page_token=token)
            if view.fixed:
                request.interval.CopyFrom(_interval(view))
            elif (seconds := view.window_seconds()) is not None:
                request.last.CopyFrom(Duration(seconds=seconds))
            call = self._evaluation.ListSummaries(request, timeout=self._deadline)
            answer = await self._ask(call)
            found += [convert.summary(s) for s in answer.summaries]
            token = answer.next_page_token
            if not token:
                return tuple(found)

    async def status(self) -> f.Status:
        """Where the counting stands."""
        call = self._evaluation.GetStatus(ev.GetStatusRequest(), timeout=self._deadline)
        return convert.status(await self._ask(call))

    async def summary(self, name: str, view: View) -> f.Summary:
        """Headline figures of one version."""
        request = ev.GetSummaryRequest(scope=scope(name, view))
        call = self._evaluation.GetSummary(request, timeout=self._deadline)
        return convert.summary((await self._ask(call)).summary)

    async def matrix(self, name: str, view: View) -> f.Matrix:
        """The confusion matrix of one version."""
        request = ev.GetConfusionMatrixRequest(scope=scope(name, view))
        call = self._evaluation.GetConfusionMatrix(request, timeout=self._deadline)
        return convert.matrix(await self._ask(call))

    async def timeline(self, name: str, view: View) -> f.Timeline:
        """Figures by steps of time, as many as the reader chooses."""
        request = ev.GetTimelineRequest(scope=scope(name, view))
        call = self._evaluation.GetTimeline(request, timeout=self._deadline)
        return convert.timeline(await self._ask(call))

    async def slices(self, name: str, view: View) -> tuple[f.SliceFigures, ...]:
        """Values of the slice columns, whatever slice is chosen."""
        asked = scope(name, view)
        del asked.slices[:]
        request = ev.ListSlicesRequest(scope=asked)
        call = self._evaluation.ListSlices(request, timeout=self._deadline)
        return convert.slices(await self._ask(call))

    async def cases(self, name: str, view: View) -> f.Cases:
        """Kept cases of the view's cell, or the newest wrong ones."""
        request = ev.ListCasesRequest(
            scope=scope(name, view),
            errors_only=not view.cell,
            by_score=view.cell,
            page_size=CASES_ASKED,
        )
        if view.true is not None:
            request.true_class = view.true
        if view.pred is not None:
            request.predicted_class = view.pred
        call = self._evaluation.ListCases(request, timeout=self._deadline)
        return convert.cases(await self._ask(call))

    async def case(self, name: str, case_id: str) -> f.Case:
        """One case by its id."""
        request = ev.GetCaseRequest(name=f"{name}/cases/{case_id}")
        call = self._evaluation.GetCase(request, timeout=self._deadline)
        return convert.case((await self._ask(call)).case)

    async def case_input(self, name: str, case_id: str) -> tuple[str, bytes]:
        """(media type, content) of a case's stored input, as a person sees it."""
        request = ev.GetCaseInputRequest(name=f"{name}/cases/{case_id}")
        call = self._evaluation.GetCaseInput(request, timeout=self._deadline)
        answer = await self._ask(call)
        return answer.media_type, answer.content

    async def curves(self, name: str, view: View, number: int | None) -> a.Curves:
        """Curves of one class, or only the areas of all when number is None."""
        request = an.GetCurvesRequest(
            scope=scope(name, view),
            class_numbers=[] if number is None else [number],
            areas_only=number is None,
        )
        call = self._analysis.GetCurves(request, timeout=self._deadline)
        return convert_analysis.curves(await self._ask(call))

    async def thresholds(
        self, name: str, view: View, number: int, objective: an.Objective, points: int
    ) -> a.Thresholds:
        """Figures of one class at up to `points` thresholds, the best and the view's own."""
        request = an.GetThresholdsRequest(
            scope=scope(name, view), class_number=number, objective=objective, points_max=points
        )
        request.threshold = THRESHOLD if view.threshold is None else view.threshold
        call = self._analysis.GetThresholds(request, timeout=self._deadline)
        return convert_analysis.thresholds(await self._ask(call))

    async def calibration(self, name: str, view: View, numbers: list[int]) -> a.Calibration:
        """Calibration of the predicted class, and of the classes of those numbers."""
        request = an.GetCalibrationRequest(scope=scope(name, view), class_numbers=numbers)
        call = self._analysis.GetCalibration(request, timeout=self._deadline)
        return convert_analysis.calibration(await self._ask(call))

    async def comparisons(self, name: str, view: View, versions: list[str]) -> a.Comparisons:
        """A version against others, or against all that were seen when none is named."""
        request = an.CompareVersionsRequest(scope=scope(name, view), challengers=versions)
        call = self._analysis.CompareVersions(request, timeout=self._deadline)
        return convert_analysis.comparisons(await self._ask(call))

    async def advice(self, name: str, view: View) -> tuple[a.AdviceItem, ...]:
        """What to do about one version, the largest effect first."""
        request = an.ListAdviceRequest(scope=scope(name, view))
        call = self._analysis.ListAdvice(request, timeout=self._deadline)
        return convert_analysis.advice(await self._ask(call))

    async def watch(self, name: str, view: View, min_seconds: float) -> AsyncIterator[None]:
        """Yields whenever the figures of a scope have changed; raises ReaderError at its end."""
        request = ev.WatchSummaryRequest(scope=scope(name, view))
        request.min_interval.FromMilliseconds(int(min_seconds * 1000))
        try:
            async for _ in self._evaluation.WatchSummary(request):
                yield
        except grpc.aio.AioRpcError as error:
            raise ReaderError(self._failure(error)) from error
        raise ReaderError(f.Failure("lost", "The reader ended the stream of changes."))

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise ReaderError(self._failure(error)) from error

    def _failure(self, error: grpc.aio.AioRpcError) -> f.Failure:
        details = (error.details() or "").strip()
        if error.code() in _LOST:
            return f.Failure(
                "lost",
                f"The reader at {self.address} does not answer.",
                "Start it with `leadline serve metrics`, or set reader_address to where it is.",
            )
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return f.Failure("missing", details or "Nothing of that name.")
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return f.Failure(
                "old",
                "This reader is older than the console and cannot tell this yet.",
                "Bring the reader to the console's version; nothing has to be counted anew.",
            )
        return f.Failure("refused", details or f"The reader answered {error.code().name}.")


async def settle(
    ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T | f.Failure:
    """The answer, or why there is none: so that one failed part leaves the others.

    The question begins with it: one that is cancelled before has asked nothing.
    """
    try:
        return await ask(*args, **kwargs)
    except ReaderError as error:
        return error.failure


def scope(name: str, view: View) -> ev.Scope:
    """The scope of a view."""
    asked = ev.Scope(name=name)
    if view.fixed:
        asked.interval.CopyFrom(_interval(view))
    elif (seconds := view.window_seconds()) is not None:
        asked.last.CopyFrom(Duration(seconds=seconds))
    for column, value in view.slices:
        asked.slices.add(column=column, value=value)
    return asked


def _interval(view: View) -> ev.Interval:
    return ev.Interval(start_time=_stamp(view.start_us), end_time=_stamp(view.end_us))


def _stamp(at_us: int | None) -> Timestamp:
    return Timestamp(seconds=(at_us or 0) // 1_000_000)
