"""What the demo prints: what the reader sees, and its check against a batch computation."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from google.protobuf.duration_pb2 import Duration
from rich.table import Table

from leadline.demo.player import Played
from leadline.demo.recompute import Figures
from leadline.records.models import ModelSpec
from leadline.v1 import evaluation_pb2 as pb
from leadline.v1 import evaluation_pb2_grpc
from leadline.v1.models_pb2 import ApplyModelRequest
from leadline.v1.models_pb2_grpc import ModelServiceStub
from leadline.wire.models import model_to_proto

CALL_SECONDS = 10.0


class Reader:
    """The demo's own client of the figures of one model."""

    def __init__(self, address: str, model: str) -> None:
        self._model = model
        self._channel = grpc.insecure_channel(address)
        self._figures = evaluation_pb2_grpc.EvaluationServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)

    def close(self) -> None:
        """Ends."""
        self._channel.close()

    def apply(self, spec: ModelSpec) -> None:
        """Declares the model."""
        self._models.ApplyModel(ApplyModelRequest(model=model_to_proto(spec)), timeout=CALL_SECONDS)

    def summary(self, version: str, last_seconds: int = 0, device: str = "") -> pb.Summary | None:
        """The figures of one version; None while nothing was counted."""
        scope = pb.Scope(name=f"models/{self._model}/versions/{version}")
        if last_seconds:
            scope.last.CopyFrom(Duration(seconds=last_seconds))
        if device:
            scope.slices.add(column="device", value=device)
        try:
            answer = self._figures.GetSummary(
                pb.GetSummaryRequest(scope=scope), timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return answer.summary

    def matrix(self, version: str, pairs_max: int = 1) -> pb.GetConfusionMatrixResponse:
        """The matrix of one version, and so many of its most confused pairs."""
        name = f"models/{self._model}/versions/{version}"
        request = pb.GetConfusionMatrixRequest(
            scope=pb.Scope(name=name), confused_pairs_max=pairs_max
        )
        return self._figures.GetConfusionMatrix(request, timeout=CALL_SECONDS)

    def figures(self, version: str) -> Figures:
        """The live figures of one version, in the form of the batch computation."""
        matrix = self.matrix(version)
        found = Figures(predictions=matrix.basis.predictions)
        for true, said, count in zip(
            matrix.true_class, matrix.predicted_class, matrix.count, strict=True
        ):
            found.matrix[true, said] = count
        return found

    def vector(self) -> dict[str, tuple[int, int]]:
        """The positions of each shard."""
        status = self._figures.GetStatus(pb.GetStatusRequest(), timeout=CALL_SECONDS)
        return {
            shard.position.shard: (
                shard.position.predictions_offset,
                shard.position.labels_offset,
            )
            for shard in status.shards
        }


def progress_line(second: float, played: Played, summary: pb.Summary | None) -> str:
    """One line: what was sent, and what the reader sees of two minutes."""
    sent = f"{second:4.0f} s {played.requests:6,} predictions {played.labels:6,} labels"
    if summary is None or not summary.accuracy.trials:
        return f"{sent}  no label counted yet"
    accuracy = summary.accuracy
    return (
        f"{sent}  accuracy {accuracy.value:6.1%} "
        f"({accuracy.lower:.1%} to {accuracy.upper:.1%}) "
        f"of {accuracy.trials:,} labelled"
    )


def device_lines(reader: Reader, version: str, devices: tuple[str, ...]) -> Iterator[str]:
    """Accuracy of the last two minutes by device, in words."""
    for device in devices:
        summary = reader.summary(version, last_seconds=120, device=device)
        if summary is not None and summary.accuracy.trials:
            rate = summary.accuracy
            yield (
                f"  {device}   {rate.value:6.1%} ({rate.lower:.1%} to {rate.upper:.1%}) "
                f"of {rate.trials:,} labelled"
            )


def comparison(live: dict[str, Figures], batch: dict[str, Figures]) -> Table:
    """Live figures beside those of the batch computation, by version."""
    table = Table(title="Live figures, and the same out of the log in one batch", box=None)
    for column in ("version", "", "predictions", "labelled", "correct", "cells", "accuracy"):
        table.add_column(column, justify="left" if column in ("version", "") else "right")
    for version in sorted({*live, *batch}):
        for name, figures in (("live", live.get(version)), ("batch", batch.get(version))):
            shown = figures or Figures()
            accuracy = shown.correct / shown.labelled if shown.labelled else float("nan")
            table.add_row(
                version,
                name,
                f"{shown.predictions:,}",
                f"{shown.labelled:,}",
                f"{shown.correct:,}",
                f"{len(shown.matrix):,}",
                f"{accuracy:.4%}",
            )
    return table
