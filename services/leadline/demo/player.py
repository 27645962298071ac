"""Plays the demo's traffic: asks the model through the gateway, and reports labels later."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from leadline.demo.traffic import LabelEvent, Request
from leadline.runtime.clock import Clock
from leadline.v1 import ingest_pb2, ingest_pb2_grpc

MODEL = "digits"
CHAMPION, SHADOW = "2", "1"
ID_METADATA = "leadline-id"
CALL_SECONDS = 10.0


@dataclass(slots=True)
class Played:
    """What was sent so far.

    Attributes:
        requests: to the champion.
        shadows: to the shadow version.
        right: of its answers, those of the true class, labelled or not.
        degraded: requests of the bad camera.
        labels: reported, corrections and retractions among them.
        corrections: labels of an annotator.
    """

    requests: int = 0
    shadows: int = 0
    right: int = 0
    degraded: int = 0
    labels: int = 0
    corrections: int = 0


@dataclass(slots=True)
class Player:
    """Sends events in the order of their time, at their time.

    Args:
        gateway: address, host:port.
        clock: when; late events are sent at once.
        shadow_every: each so-manieth request goes to the shadow version too, under the same id.
    """

    gateway: str
    clock: Clock
    shadow_every: int = 3
    played: Played = field(default_factory=Played)
    _ids: dict[int, tuple[str, int]] = field(default_factory=dict)

    def play(self, events: Iterator[Request | LabelEvent]) -> Iterator[float]:
        """Sends everything; yields the time of each event in seconds after it was sent."""
        start = self.clock.monotonic_seconds()
        with grpc.insecure_channel(self.gateway) as channel:
            model = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            ingest = ingest_pb2_grpc.IngestServiceStub(channel)
            for event in events:
                wait = start + event.at_seconds - self.clock.monotonic_seconds()
                if wait > 0:
                    self.clock.sleep(wait)
                if isinstance(event, Request):
                    self._ask(model, event)
                else:
                    self._label(ingest, event)
                yield event.at_seconds

    def _ask(self, model: service_pb2_grpc.GRPCInferenceServiceStub, request: Request) -> None:
        sent_us = self.clock.now_us()
        message = infer_request(CHAMPION, request.image, request.device)
        answer, call = model.ModelInfer.with_call(message, timeout=CALL_SECONDS)
        trailing = dict((*call.initial_metadata(), *call.trailing_metadata()))
        one = trailing[ID_METADATA]
        self._ids[request.index] = (one, sent_us)
        said = int(scores_of(answer).argmax())
        self.played.requests += 1
        self.played.right += said == request.true_class
        self.played.degraded += request.degraded
        if request.index % self.shadow_every == 0:
            shadow = infer_request(SHADOW, request.image, request.device)
            model.ModelInfer(shadow, timeout=CALL_SECONDS, metadata=((ID_METADATA, one),))
            self.played.shadows += 1

    def _label(self, ingest: ingest_pb2_grpc.IngestServiceStub, event: LabelEvent) -> None:
        one, sent_us = self._ids[event.request_index]
        decided = Timestamp()
        decided.FromMicroseconds(sent_us + int(event.time_offset * 1_000_000))
        label = ingest_pb2.Label(id_text=one, label_time=decided)
        if event.class_ is None:
            label.retracted = True
        else:
            label.class_name = str(event.class_)
        answer = ingest.ReportLabels(
            ingest_pb2.ReportLabelsRequest(
                task=MODEL, source=event.source, source_rank=event.rank, labels=[label]
            ),
            timeout=CALL_SECONDS,
        )
        if answer.refused:
            raise RuntimeError(f"a label was refused: {answer.refused[0].reason}")
        self.played.labels += 1
        self.played.corrections += event.rank > 1


def infer_request(
    version: str, image: NDArray[np.uint8], device: str
) -> service_pb2.ModelInferRequest:
    """A request for one digit, uint8 [28, 28], in the Open Inference Protocol."""
    message = service_pb2.ModelInferRequest(
        model_name=MODEL, model_version=version, id=uuid.uuid4().hex
    )
    message.parameters["device"].string_param = device
    message.inputs.add(name="image", datatype="UINT8", shape=[1, *image.shape])
    message.outputs.add(name="scores")
    message.raw_input_contents.append(image.tobytes())
    return message


def scores_of(answer: service_pb2.ModelInferResponse) -> NDArray[np.float32]:
    """The class scores of an answer, float32 [10]."""
    names = [output.name for output in answer.outputs]
    return np.frombuffer(answer.raw_output_contents[names.index("scores")], "<f4")
