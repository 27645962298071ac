"""IngestService: labels, and predictions that did not pass the gateway, into the log.

Names become numbers here, by the declaration of the task; a row that is wrong is refused in words
and does not hold up the others. A call returns once its rows are queued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from leadline.gateway.core.intake import (
    Fault,
    LabelRow,
    PredictionRow,
    label_batch,
    prediction_batch,
)
from leadline.gateway.core.observe import Declaration
from leadline.gateway.models import ModelSource
from leadline.gateway.observer import Outlet
from leadline.records.errors import LeadlineError
from leadline.records.models import check_name
from leadline.runtime.clock import Clock
from leadline.runtime.grpc_status import BusyError, FieldError, failure_of, status_of, trailing_of
from leadline.v1 import ingest_pb2, ingest_pb2_grpc

BUSY = (
    "The queue for the log is full: none of these rows was taken. Send the same call again in a "
    "second; rows that arrive twice count once."
)
NAME_PARTS = 4

if TYPE_CHECKING:
    LabelsContext = grpc.aio.ServicerContext[
        ingest_pb2.ReportLabelsRequest, ingest_pb2.ReportLabelsResponse
    ]
    PredictionsContext = grpc.aio.ServicerContext[
        ingest_pb2.ReportPredictionsRequest, ingest_pb2.ReportPredictionsResponse
    ]


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Takes labels and predictions.

    Args:
        models: declarations.
        outlet: where events leave.
        producer: who writes, for people.
        clock: label times and event times that are not given.
    """

    def __init__(self, models: ModelSource, outlet: Outlet, producer: str, clock: Clock) -> None:
        self._models = models
        self._outlet = outlet
        self._producer = producer
        self._clock = clock

    async def ReportLabels(  # noqa: N802 - the protocol's name
        self, request: ingest_pb2.ReportLabelsRequest, context: LabelsContext
    ) -> ingest_pb2.ReportLabelsResponse:
        """Takes true labels."""
        try:
            return self.labels(request)
        except LeadlineError as error:
            await _abort(context, error)
            raise

    async def ReportPredictions(  # noqa: N802 - the protocol's name
        self, request: ingest_pb2.ReportPredictionsRequest, context: PredictionsContext
    ) -> ingest_pb2.ReportPredictionsResponse:
        """Takes predictions that did not pass the gateway."""
        try:
            return self.predictions(request)
        except LeadlineError as error:
            await _abort(context, error)
            raise

    def labels(self, request: ingest_pb2.ReportLabelsRequest) -> ingest_pb2.ReportLabelsResponse:
        """Queues labels.

        Raises:
            FieldError: the task is not a name.
            BusyError: the queue is full; nothing was taken.
        """
        try:
            check_name("task", request.task)
        except LeadlineError as error:
            raise FieldError("task", str(error), "Name the task whose labels these are.") from error
        spec = self._models.for_task(request.task)
        rows = [_label_row(label) for label in request.labels]
        batch, faults = label_batch(
            rows,
            task=request.task,
            source=request.source,
            source_rank=request.source_rank,
            spec=spec,
            now_us=self._clock.now_us(),
            producer=self._producer,
        )
        if batch is not None and not self._outlet.offer_labels(batch):
            raise BusyError(BUSY)
        accepted = 0 if batch is None else len(batch)
        return ingest_pb2.ReportLabelsResponse(accepted=accepted, refused=_refused(faults))

    def predictions(
        self, request: ingest_pb2.ReportPredictionsRequest
    ) -> ingest_pb2.ReportPredictionsResponse:
        """Queues predictions; those outside the model's `log_rate` are accepted and not logged.

        Raises:
            FieldError: the name is not "models/NAME/versions/VERSION".
            BusyError: the queue is full; nothing was taken.
        """
        model, version = _parsed(request.name)
        declaration = Declaration.of(model, self._models.get(model))
        rows = [_prediction_row(prediction) for prediction in request.predictions]
        batches, faults = prediction_batch(
            rows, declaration, version, now_us=self._clock.now_us(), producer=self._producer
        )
        taken = [self._outlet.offer_predictions(batch) for batch in batches]
        if not all(taken):
            raise BusyError(BUSY)
        accepted = len(rows) - len(faults)
        return ingest_pb2.ReportPredictionsResponse(accepted=accepted, refused=_refused(faults))


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: LeadlineError) -> None:
    failure = failure_of(error)
    await context.abort(failure.code, failure.text, trailing_of(status_of(failure)))


def _parsed(name: str) -> tuple[str, str]:
    parts = name.split("/")
    remedy = "Write it as models/NAME/versions/VERSION."
    if len(parts) != NAME_PARTS or parts[0] != "models" or parts[2] != "versions":
        raise FieldError("name", f"{name!r} is no model version.", remedy)
    try:
        check_name("model", parts[1])
        check_name("version", parts[3])
    except LeadlineError as error:
        raise FieldError("name", str(error), remedy) from error
    return parts[1], parts[3]


def _label_row(label: ingest_pb2.Label) -> LabelRow:
    value = label.WhichOneof("value")
    return LabelRow(
        id_bytes=label.id_bytes if label.WhichOneof("id") == "id_bytes" else None,
        id_text=label.id_text,
        row=label.row,
        class_name=label.class_name if value == "class_name" else None,
        class_number=label.class_number if value == "class_number" else None,
        retracted=label.retracted if value == "retracted" else False,
        time_us=label.label_time.ToMicroseconds() if label.HasField("label_time") else None,
    )


def _prediction_row(prediction: ingest_pb2.Prediction) -> PredictionRow:
    predicted = prediction.WhichOneof("predicted")
    return PredictionRow(
        id_bytes=prediction.id_bytes if prediction.WhichOneof("id") == "id_bytes" else None,
        id_text=prediction.id_text,
        class_name=prediction.class_name if predicted == "class_name" else None,
        class_number=prediction.class_number if predicted == "class_number" else None,
        score=tuple(prediction.score),
        slices=dict(prediction.slices),
        input_uri=prediction.input_uri,
        time_us=(
            prediction.event_time.ToMicroseconds() if prediction.HasField("event_time") else None
        ),
    )


def _refused(faults: list[Fault]) -> list[ingest_pb2.RefusedRow]:
    return [ingest_pb2.RefusedRow(row=fault.row, reason=fault.reason) for fault in faults]
