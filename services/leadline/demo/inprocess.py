"""A model server for machines that Triton has no build for.

`InProcessServer` speaks the Open Inference Protocol over gRPC (`inference.GRPCInferenceService`)
and runs ONNX files out of a folder laid out as Triton's model repository
(see `leadline.demo.onnx_repository`).

Differences from Triton: every version is served (config.pbtxt's version policy is not read), there
is no dynamic batching, no shared memory, no streaming, no classification extension and no loading
or unloading while it runs. What is not supported is answered by UNIMPLEMENTED, never ignored.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from tritonclient.grpc import service_pb2

from leadline import __version__
from leadline.demo.onnx_repository import (
    Model,
    RequestError,
    decode_inputs,
    invalid,
    load_repository,
)

SERVICE = "inference.GRPCInferenceService"
_TENSOR_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would share its calls in silence.
    ("grpc.so_reuseport", 0),
)


class InProcessServer:
    """Serves a model repository on a port of this machine, in threads of this process.

    Args:
        repository: folder of models (see the module).
        port: 0 lets the system choose; read `grpc_address` after `start`.
        host: address to listen on.
        workers: requests that run at the same time.
        clock_ns: a clock for the statistics, in nanoseconds.
    """

    def __init__(
        self,
        repository: Path,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        workers: int = 4,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._repository = repository
        self._host = host
        self._port = port
        self._workers = workers
        self._clock_ns = clock_ns
        self._server: grpc.Server | None = None

    @property
    def grpc_address(self) -> str:
        """`host:port` of the started server."""
        return f"{self._host}:{self._port}"

    def start(self) -> None:
        """Loads the models and answers from then on.

        Raises:
            FileNotFoundError: the repository has no model.
            RuntimeError: the port is taken, or the server was started before.
        """
        if self._server is not None:
            raise RuntimeError("the server was started before")
        protocol = Protocol(load_repository(self._repository), self._clock_ns)
        server = grpc.server(ThreadPoolExecutor(self._workers, "infer"), options=_TENSOR_OPTIONS)
        server.add_generic_rpc_handlers((protocol.handlers(),))
        self._port = server.add_insecure_port(self.grpc_address)
        server.start()
        self._server = server

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Refuses new requests, lets those that run finish within the grace, closes the port.

        May be called more than once.
        """
        if self._server is not None:
            self._server.stop(grace_seconds).wait()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Protocol:
    """The calls of `inference.GRPCInferenceService`, each from a request to its response.

    Args:
        models: by (name, version).
        clock_ns: a clock for the statistics, in nanoseconds.
    """

    def __init__(
        self, models: Mapping[tuple[str, str], Model], clock_ns: Callable[[], int]
    ) -> None:
        # Oldest first, so that the last of those that match is the newest.
        self._models = sorted(models.values(), key=lambda m: (m.name, int(m.version)))
        self._clock_ns = clock_ns

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the calls for a gRPC server, which answers all others with UNIMPLEMENTED."""
        calls = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "ModelInfer": self.model_infer,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE, {name: _handler(name, call) for name, call in calls.items()}
        )

    def server_live(self, _: service_pb2.ServerLiveRequest) -> service_pb2.ServerLiveResponse:
        """Says that the process runs."""
        return service_pb2.ServerLiveResponse(live=True)

    def server_ready(self, _: service_pb2.ServerReadyRequest) -> service_pb2.ServerReadyResponse:
        """Says that every model is loaded: before that the port is closed."""
        return service_pb2.ServerReadyResponse(ready=True)

    def server_metadata(
        self, _: service_pb2.ServerMetadataRequest
    ) -> service_pb2.ServerMetadataResponse:
        """Names the server and the extensions of the protocol that it has."""
        return service_pb2.ServerMetadataResponse(
            name="leadline-inprocess",
            version=__version__,
            extensions=["model_configuration", "statistics"],
        )

    def model_ready(self, request: service_pb2.ModelReadyRequest) -> service_pb2.ModelReadyResponse:
        """Says whether a model, or one version of it, is loaded."""
        ready = bool(request.name and self._select(request.name, request.version))
        return service_pb2.ModelReadyResponse(ready=ready)

    def model_metadata(
        self, request: service_pb2.ModelMetadataRequest
    ) -> service_pb2.ModelMetadataResponse:
        """Describes the tensors of a version; their shapes include the rows, as -1.

        Raises:
            RequestError: NOT_FOUND.
        """
        model = self._newest(request.name, request.version)
        response = service_pb2.ModelMetadataResponse(
            name=model.name,
            versions=[m.version for m in self._select(model.name, "")],
            platform="onnxruntime_onnx",
        )
        for tensors, specs in (
            (response.inputs, model.inputs),
            (response.outputs, model.outputs),
        ):
            for spec in specs.values():
                tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        return response

    def model_config(
        self, request: service_pb2.ModelConfigRequest
    ) -> service_pb2.ModelConfigResponse:
        """Returns the model's configuration.

        Raises:
            RequestError: NOT_FOUND.
        """
        config = self._newest(request.name, request.version).config
        return service_pb2.ModelConfigResponse(config=config)

    def model_statistics(
        self, request: service_pb2.ModelStatisticsRequest
    ) -> service_pb2.ModelStatisticsResponse:
        """Counts rows and requests of the matching versions; without a name, of all models.

        Raises:
            RequestError: NOT_FOUND.
        """
        models = self._select(request.name, request.version)
        if not models:
            raise _unknown(request.name, request.version)
        response = service_pb2.ModelStatisticsResponse()
        for model in models:
            counts = model.snapshot()
            stats = response.model_stats.add(
                name=model.name,
                version=model.version,
                inference_count=counts.inferences,
                execution_count=counts.executions,
            )
            stats.inference_stats.success.count = counts.executions
            stats.inference_stats.success.ns = counts.success_ns
            stats.inference_stats.fail.count = counts.failures
            stats.inference_stats.fail.ns = counts.failure_ns
        return response

    def model_infer(self, request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
        """Runs a model; without a version, its newest.

        Raises:
            RequestError: NOT_FOUND, INVALID_ARGUMENT or UNIMPLEMENTED.
        """
        return infer(
            self._newest(request.model_name, request.model_version), request, self._clock_ns
        )

    def _select(self, name: str, version: str) -> list[Model]:
        """Returns the models of a name and version, oldest first; an empty one matches all."""
        return [m for m in self._models if name in ("", m.name) and version in ("", m.version)]

    def _newest(self, name: str, version: str) -> Model:
        found = self._select(name, version)
        if not name or not found:
            raise _unknown(name, version)
        return found[-1]


def infer(
    model: Model, request: service_pb2.ModelInferRequest, clock_ns: Callable[[], int]
) -> service_pb2.ModelInferResponse:
    """Runs one request and counts it.

    Returns:
        The requested outputs in the requested order (all of them when none is named), in
        `raw_output_contents`, with the request's id and the version that answered.

    Raises:
        RequestError: INVALID_ARGUMENT or UNIMPLEMENTED.
    """
    start, rows, success = clock_ns(), 0, False
    try:
        names = _requested(request, model)
        inputs = decode_inputs(request, model.inputs)
        arrays = model.run(inputs, names)
        rows, success = len(next(iter(inputs.values()))), True
    finally:
        model.count(rows=rows, nanoseconds=clock_ns() - start, success=success)
    response = service_pb2.ModelInferResponse(
        model_name=model.name, model_version=model.version, id=request.id
    )
    for name, array in zip(names, arrays, strict=True):
        response.outputs.add(name=name, datatype=model.outputs[name].datatype, shape=array.shape)
        response.raw_output_contents.append(array.tobytes())
    return response


def _handler(name: str, call: Callable[[Any], Any]) -> "grpc.RpcMethodHandler[Any, Any]":
    def answer(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401
        try:
            return call(request)
        except RequestError as error:
            context.abort(error.code, str(error))

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=getattr(service_pb2, f"{name}Request").FromString,
        response_serializer=getattr(service_pb2, f"{name}Response").SerializeToString,
    )


def _unknown(name: str, version: str) -> RequestError:
    wanted = f"'{name}' version {version}" if version else f"'{name}'"
    return RequestError(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: {wanted}")


def _requested(request: service_pb2.ModelInferRequest, model: Model) -> list[str]:
    for output in request.outputs:
        if output.name not in model.outputs:
            raise invalid(f"output '{output.name}' is unknown; gives {list(model.outputs)}")
        if output.parameters:
            raise RequestError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"output '{output.name}': parameters {sorted(output.parameters)} are not supported",
            )
    return [output.name for output in request.outputs] or list(model.outputs)
