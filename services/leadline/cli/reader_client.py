"""Questions of commands to a reader over gRPC, and its errors as ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from leadline.records.errors import NotFoundError, TransientError, UsageError
from leadline.records.models import ModelSpec
from leadline.runtime.grpc_status import remedy_of
from leadline.v1 import analysis_pb2_grpc, evaluation_pb2_grpc, models_pb2, models_pb2_grpc
from leadline.wire.models import model_from_proto

Answer = TypeVar("Answer")

_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""A full matrix of 1,000 classes is 12 MB."""
_LOST = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}


class ReaderClient:
    """The services of one reader. Every call has the same time limit.

    Args:
        address: host:port.
        timeout_seconds: of each call.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self.evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self._channel)
        self.analysis = analysis_pb2_grpc.AnalysisServiceStub(self._channel)
        self.models = models_pb2_grpc.ModelServiceStub(self._channel)

    def ask(self, method: Callable[..., Answer], request: Any) -> Answer:  # noqa: ANN401 - messages
        """The answer.

        Raises:
            NotFoundError, UsageError, TransientError: as the reader says, with its remedy.
        """
        with self.errors():
            return method(request, timeout=self.timeout_seconds)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns gRPC's errors into ours."""
        try:
            yield
        except grpc.RpcError as error:
            raise self._mapped(error) from None

    def _mapped(self, error: grpc.RpcError) -> Exception:
        if not isinstance(error, grpc.Call):
            return TransientError(f"The reader at {self.address} gave no answer")
        code, text = error.code(), error.details() or ""
        if code in _LOST:
            return TransientError(
                f"The reader at {self.address} gave no answer ({text.rstrip('.')})"
            )
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return UsageError(
                f"{self.address} answers, but is no reader", "Set --reader to a reader's address"
            )
        kind = NotFoundError if code is grpc.StatusCode.NOT_FOUND else UsageError
        return kind(text, remedy_of(error))

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


@contextmanager
def open_reader(address: str, timeout_seconds: float) -> Iterator[ReaderClient]:
    """A reader's client, closed at the end."""
    client = ReaderClient(address, timeout_seconds)
    try:
        yield client
    finally:
        client.close()


def declared_model(address: str, name: str, timeout_seconds: float) -> ModelSpec:
    """The declaration of a model.

    Raises:
        NotFoundError: it was neither declared nor counted.
    """
    with open_reader(address, timeout_seconds) as reader:
        request = models_pb2.GetModelRequest(name=f"models/{name}")
        return model_from_proto(reader.ask(reader.models.GetModel, request).model)
