"""A reader in memory: answers the console's questions from a generated, deterministic world.

Every event of a model is one row of a few arrays, so that any window and slice is exact by
counting; `label` and `stop` change the world, and who watches is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from analysis_world import AnalysisWorld, other_version
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from traffic import DAY, DEVICES, I64, NOW, SOURCES, Traffic, models, picture

from leadline.console.core.wilson import wilson
from leadline.v1 import analysis_pb2_grpc, evaluation_pb2_grpc, events_pb2, models_pb2_grpc
from leadline.v1 import evaluation_pb2 as ev
from leadline.v1 import models_pb2 as md


class World(
    AnalysisWorld,
    evaluation_pb2_grpc.EvaluationServiceServicer,
    models_pb2_grpc.ModelServiceServicer,
):
    """The twin of the reader."""

    def __init__(self, found: list[Traffic] | None = None) -> None:
        super().__init__()
        self.traffic = {t.model: t for t in (models() if found is None else found)}
        self.now = NOW
        self.offset = 88_214_701
        self.stopped: dict[str, tuple[str, str]] = {}
        self.failing: set[str] = set()
        self.calls: dict[str, int] = {}
        self.server: grpc.aio.Server | None = None
        self._changed = asyncio.Event()
        self._watching = 0

    def label(self, model: str, many: int) -> None:
        """So many labels arrive for predictions that wait, all of them saying "wrong"."""
        found = self.traffic[model]
        waiting = np.flatnonzero(~found.labelled)[:many]
        found.labelled[waiting] = True
        found.true[waiting] = (found.pred[waiting] + 1) % len(found.classes)
        self.offset += many
        self.tell()

    def stop(self, shard: str, cause: str, remedy: str) -> None:
        """A shard stops."""
        self.stopped[shard] = (cause, remedy)
        self.tell()

    def tell(self) -> None:
        """Wakes who watches."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # what is computed

    def _mask(self, found: Traffic, scope: ev.Scope) -> npt.NDArray[np.bool_]:
        start, end = self._window(found, scope)
        mask = (found.at >= start) & (found.at < end)
        for wanted in scope.slices:
            if wanted.column != "device" or wanted.value not in DEVICES:
                return np.zeros(len(found.at), dtype=bool)
            mask &= found.device == DEVICES.index(wanted.value)
        return mask

    def _window(self, found: Traffic, scope: ev.Scope | ev.ListSummariesRequest) -> tuple[int, int]:
        which = scope.WhichOneof("window")
        end = -(-self.now // 60) * 60
        if which == "interval":
            return scope.interval.start_time.seconds, scope.interval.end_time.seconds
        if which == "last":
            return end - scope.last.seconds, end
        return int(found.at.min()) // 60 * 60 if len(found.at) else end - DAY, end

    def _basis(self, found: Traffic, scope: ev.Scope, mask: npt.NDArray[np.bool_]) -> ev.Basis:
        start, end = self._window(found, scope)
        labelled = int((mask & found.labelled).sum())
        return ev.Basis(
            vector=[self._position(i) for i in range(6)],
            exact_until=Timestamp(seconds=self.now - 2),
            interval=ev.Interval(
                start_time=Timestamp(seconds=start), end_time=Timestamp(seconds=end)
            ),
            predictions=int(mask.sum()),
            labelled=labelled,
            label_coverage=_rate(labelled, int(mask.sum())),
            log_rate=1.0,
        )

    def _position(self, partition: int) -> ev.ShardPosition:
        return ev.ShardPosition(
            shard=f"main/{partition}",
            predictions_offset=self.offset + partition,
            labels_offset=self.offset // 2 + partition,
            epoch=1,
        )

    def _counts(self, found: Traffic, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        chosen = mask & found.labelled
        n = len(found.classes)
        flat = found.true[chosen] * n + found.pred[chosen]
        return np.bincount(flat, minlength=n * n).reshape(n, n)

    def summary(self, found: Traffic, scope: ev.Scope) -> ev.Summary:
        mask = self._mask(found, scope)
        counts = self._counts(found, mask)
        predicted = np.bincount(found.pred[mask], minlength=len(found.classes))
        answer = ev.Summary(
            name=f"models/{found.model}/versions/{found.version}",
            kind=events_pb2.TASK_KIND_MULTICLASS,
            class_count=len(found.classes),
            basis=self._basis(found, scope, mask),
            accuracy=_rate(int(np.trace(counts)), int(counts.sum())),
            last_prediction_time=Timestamp(seconds=self.now - 3),
        )
        if found.last_label is not None:
            answer.last_label_time.seconds = found.last_label
        if answer.basis.labelled:
            answer.label_delay.p50_seconds = found.delay_p50
            answer.label_delay.p95_seconds = found.delay_p95
        total, right = int(counts.sum()), int(np.trace(counts))
        if len(found.classes) > 3:
            answer.top_k.add(k=3, rate=_rate(right + (total - right) * 7 // 10, total))
        for code, text, remedy in found.notices:
            answer.notices.add(code=code, text=text, remedy=remedy)
        self._classes(answer, found, counts, predicted)
        return answer

    def _classes(
        self, answer: ev.Summary, found: Traffic, counts: npt.NDArray[np.int64], predicted: I64
    ) -> None:
        f1s, worst = [], (2.0, -1)
        for c, name in enumerate(found.classes):
            hit, row, column = int(counts[c, c]), int(counts[c].sum()), int(counts[:, c].sum())
            figures = answer.classes.add(
                class_number=c,
                class_name=name,
                support=row,
                predicted=int(predicted[c]),
                precision=_rate(hit, column),
                recall=_rate(hit, row),
            )
            if row + column:
                figures.f1 = 2 * hit / (row + column)
                f1s.append(figures.f1)
            if row >= 30:
                worst = min(worst, (hit / row, c))
        if f1s:
            answer.macro.f1 = float(np.mean(f1s))
        if worst[1] >= 0:
            answer.worst_class = worst[1]

    # EvaluationService

    async def ListSummaries(self, request, context):
        await self._enter("ListSummaries", context)
        answer = ev.ListSummariesResponse()
        for found in self.traffic.values():
            scope = ev.Scope()
            if request.HasField("last"):
                scope.last.CopyFrom(request.last)
            elif request.HasField("interval"):
                scope.interval.CopyFrom(request.interval)
            answer.summaries.append(self.summary(found, scope))
        return answer

    async def GetSummary(self, request, context):
        found = await self._find("GetSummary", request.scope.name, context)
        version = request.scope.name.rpartition("/")[2]
        if version != found.version:
            found = replace(found, version=version, pred=other_version(found))
        return ev.GetSummaryResponse(summary=self.summary(found, request.scope))

    async def GetConfusionMatrix(self, request, context):
        found = await self._find("GetConfusionMatrix", request.scope.name, context)
        mask = self._mask(found, request.scope)
        counts = self._counts(found, mask)
        true, pred = np.nonzero(counts)
        return ev.GetConfusionMatrixResponse(
            basis=self._basis(found, request.scope, mask),
            class_count=len(found.classes),
            class_names=found.classes,
            true_class=true.tolist(),
            predicted_class=pred.tolist(),
            count=counts[true, pred].tolist(),
        )

    async def GetTimeline(self, request, context):
        found = await self._find("GetTimeline", request.scope.name, context)
        mask = self._mask(found, request.scope)
        start, end = self._window(found, request.scope)
        step = max(-(-(end - start) // 48 // 60) * 60, 60)
        for nice in (60, 300, 600, 1800, 3600, 10800, 21600, 86400):
            if (end - start) / nice <= 50:
                step = nice
                break
        answer = ev.GetTimelineResponse(
            basis=self._basis(found, request.scope, mask),
            step=Duration(seconds=step),
            settled_until=Timestamp(seconds=int(self.now - found.delay_p95 / 2)),
        )
        for at in range(start // step * step, end, step):
            inside = mask & (found.at >= at) & (found.at < at + step)
            counted = inside & found.labelled
            right = int((counted & (found.true == found.pred)).sum())
            answer.points.add(
                start_time=Timestamp(seconds=at),
                predictions=int(inside.sum()),
                labelled=int(counted.sum()),
                accuracy=_rate(right, int(counted.sum())),
            )
        return answer

    async def ListSlices(self, request, context):
        found = await self._find("ListSlices", request.scope.name, context)
        mask = self._mask(found, request.scope)
        answer = ev.ListSlicesResponse(basis=self._basis(found, request.scope, mask))
        for i, device in enumerate(DEVICES):
            inside = mask & (found.device == i)
            counted = inside & found.labelled
            right = int((counted & (found.true == found.pred)).sum())
            answer.slices.add(
                slice=ev.SliceValue(column="device", value=device),
                predictions=int(inside.sum()),
                accuracy=_rate(right, int(counted.sum())),
            )
        return answer

    async def ListCases(self, request, context):
        found = await self._find("ListCases", request.scope.name, context)
        mask = self._mask(found, request.scope) & found.kept
        if request.HasField("true_class"):
            mask &= found.labelled & (found.true == request.true_class)
        if request.HasField("predicted_class"):
            mask &= found.pred == request.predicted_class
        if request.errors_only:
            mask &= found.labelled & (found.true != found.pred)
        rows = np.flatnonzero(mask)
        order = [-_score(r) if request.by_score else -found.at[r] for r in rows]
        rows = rows[np.argsort(order, kind="stable")]
        shown = rows[: request.page_size or 36]
        return ev.ListCasesResponse(cases=[_case(found, int(r)) for r in shown], total=len(rows))

    async def GetCase(self, request, context):
        found = await self._find("GetCase", request.name, context)
        row = int(request.name.rpartition("/")[2][:8], 16) - 0x01930000
        if not 0 <= row < len(found.at):
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no case of that id.")
        return ev.GetCaseResponse(case=_case(found, row))

    async def GetCaseInput(self, request, context):
        found = await self._find("GetCaseInput", request.name, context)
        row = int(request.name.rpartition("/")[2][:8], 16) - 0x01930000
        if found.form == md.INPUT_FORM_TEXT:
            text = f"Review {row}: <b>not bad</b> & not good either.".encode()
            return ev.GetCaseInputResponse(media_type="text/plain; charset=utf-8", content=text)
        if found.form == md.INPUT_FORM_NUMBERS:
            return ev.GetCaseInputResponse(media_type="application/json", content=b"[0.1, 2, 3]")
        return ev.GetCaseInputResponse(media_type="image/png", content=picture(found, row))

    async def WatchSummary(self, request, context) -> AsyncIterator[ev.WatchSummaryResponse]:
        found = await self._find("WatchSummary", request.scope.name, context)
        while True:
            changed = self._changed
            yield ev.WatchSummaryResponse(summary=self.summary(found, request.scope))
            await changed.wait()

    async def GetStatus(self, request, context):
        await self._enter("GetStatus", context)
        answer = ev.GetStatusResponse(exact_until=Timestamp(seconds=self.now - 2))
        for i in range(6):
            cause, remedy = self.stopped.get(f"main/{i}", ("", ""))
            at = self.now - 1082 if cause else self.now - 2
            answer.shards.add(
                position=self._position(i),
                committed_time=Timestamp(seconds=at),
                stopped=cause,
                remedy=remedy,
            )
        return answer

    # ModelService

    async def ListModels(self, request, context):
        await self._enter("ListModels", context)
        return md.ListModelsResponse(models=[self._model(t) for t in self.traffic.values()])

    def _model(self, found: Traffic) -> md.Model:
        versions = found.versions or (found.version,)
        return md.Model(
            name=f"models/{found.model}",
            kind=events_pb2.TASK_KIND_MULTICLASS,
            classes=found.classes,
            slices=["device"],
            input=md.InputSpec(form=found.form),
            declared=found.declared,
            versions=[
                md.ModelVersion(
                    name=f"models/{found.model}/versions/{v}", champion=v == found.version
                )
                for v in versions
            ],
        )

    async def _enter(self, call: str, context) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1
        if call in self.failing:
            await context.abort(grpc.StatusCode.INTERNAL, f"{call} failed in the truth store.")

    async def _find(self, call: str, name: str, context) -> Traffic:
        await self._enter(call, context)
        parts = name.split("/")
        found = self.traffic.get(parts[1])
        if found is None or parts[3] not in (found.versions or (found.version,)):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{name} was never counted.")
        assert found is not None
        return found


async def serve(world: World, port: int = 0) -> tuple[grpc.aio.Server, int]:
    """A started server of the world, and its port."""
    server = grpc.aio.server()
    evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(world, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(world, server)
    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(world, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


def _rate(successes: int, trials: int) -> ev.Rate:
    found = wilson(successes, trials)
    if found.value is None:
        return ev.Rate(successes=successes, trials=trials)
    return ev.Rate(
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        successes=successes,
        trials=trials,
    )


def _score(row: int) -> float:
    return round(0.99 - 0.5 * ((row * 7919) % 1000) / 1000, 3)


def _case(found: Traffic, row: int) -> ev.CaseSummary:
    true, pred, classes = int(found.true[row]), int(found.pred[row]), len(found.classes)
    score = _score(row)
    second = true if true != pred else (pred + 1) % classes
    third = (max(pred, second) + 1) % classes
    tops = [pred, second] + ([third] if third not in (pred, second) else [])
    identity = f"{row + 0x01930000:08x}a5e27c117f41d00d{row:08x}"
    answer = ev.CaseSummary(
        name=f"models/{found.model}/versions/{found.version}/cases/{identity}",
        id_text=f"{identity[:8]}-{identity[8:12]}-7f41-8000-{identity[-12:]}",
        event_time=Timestamp(seconds=int(found.at[row])),
        predicted_class=pred,
        top_class=tops,
        top_score=[score, (1 - score) * 0.7, (1 - score) * 0.2][: len(tops)],
        keep_probability=1 / 6 if true != pred else 1 / 50,
        slices=[ev.SliceValue(column="device", value=DEVICES[int(found.device[row])])],
        has_input=row % 37 != 0,
        absence=events_pb2.INPUT_ABSENCE_QUEUE_FULL,
        others=[ev.OtherVersion(version="1", predicted_class=pred, score=score - 0.02)]
        if len(found.versions) > 1
        else [],
    )
    if found.labelled[row]:
        answer.true_class = true
        answer.label_source = SOURCES[row % 3]
        answer.label_delay.seconds = 600 + (row * 131) % 9000
    return answer
