"""Asks the file model through the gateway, several files at a time, and reports the labels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from leadline.demo.filetype_data import LabelledFile, read_features, size_band
from leadline.demo.player import CALL_SECONDS, ID_METADATA
from leadline.runtime.clock import Clock
from leadline.v1 import ingest_pb2, ingest_pb2_grpc

MODEL, VERSION = "filetype", "1"
INPUT, OUTPUT = "bytes", "target_label"
IN_FLIGHT = 8
"""Requests that wait for an answer: the server batches those that come together."""
LABELS_A_CALL = 200


class FilePlayer:
    """Sends files to the model, and then what their extensions say.

    Args:
        gateway: address, host:port.
        clock: the labels' times.

    Attributes:
        predictions, labels: what was sent.
    """

    def __init__(self, gateway: str, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self.predictions = 0
        self.labels = 0

    def play(self, files: Iterable[LabelledFile]) -> Iterator[int]:
        """Sends everything; yields the number of answered files after each."""
        flying: deque[tuple[str, LabelledFile, Any]] = deque()
        answered: list[tuple[str, str]] = []
        with grpc.insecure_channel(self._gateway) as channel:
            model = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            ingest = ingest_pb2_grpc.IngestServiceStub(channel)
            for number, file in enumerate(files):
                fed = read_features(file.path)
                if fed is None:
                    continue
                one = f"file-{number:06d}"
                call = model.ModelInfer.future(
                    infer_request(fed, file.size),
                    timeout=CALL_SECONDS,
                    metadata=((ID_METADATA, one),),
                )
                flying.append((one, file, call))
                if len(flying) >= IN_FLIGHT:
                    yield self._land(flying, answered)
                if len(answered) >= LABELS_A_CALL:
                    self._report(ingest, answered)
            while flying:
                yield self._land(flying, answered)
            self._report(ingest, answered)

    def _land(
        self, flying: deque[tuple[str, LabelledFile, Any]], answered: list[tuple[str, str]]
    ) -> int:
        one, file, call = flying.popleft()
        call.result()
        self.predictions += 1
        answered.append((one, file.true_type))
        return self.predictions

    def _report(
        self, ingest: ingest_pb2_grpc.IngestServiceStub, answered: list[tuple[str, str]]
    ) -> None:
        """Reports the labels of what was answered, and forgets it."""
        decided = Timestamp()
        decided.FromMicroseconds(self._clock.now_us())
        request = ingest_pb2.ReportLabelsRequest(
            task=MODEL,
            source="extension",
            labels=[
                ingest_pb2.Label(id_text=one, class_name=name, label_time=decided)
                for one, name in answered
            ],
        )
        if not answered:
            return
        answer = ingest.ReportLabels(request, timeout=CALL_SECONDS)
        if answer.refused:
            raise RuntimeError(f"a label was refused: {answer.refused[0].reason}")
        self.labels += len(answered)
        answered.clear()


def infer_request(fed: NDArray[np.int32], size: int) -> service_pb2.ModelInferRequest:
    """A request for one file, its features int32 [2048] and its size in bytes."""
    message = service_pb2.ModelInferRequest(model_name=MODEL, model_version=VERSION)
    message.parameters["size"].string_param = size_band(size)
    message.inputs.add(name=INPUT, datatype="INT32", shape=[1, len(fed)])
    message.outputs.add(name=OUTPUT)
    message.raw_input_contents.append(fed.astype("<i4").tobytes())
    return message


def scores_of(answer: service_pb2.ModelInferResponse) -> NDArray[np.float32]:
    """The class scores of an answer, float32 [214]."""
    names: Sequence[str] = [output.name for output in answer.outputs]
    return np.frombuffer(answer.raw_output_contents[names.index(OUTPUT)], "<f4")
