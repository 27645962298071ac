"""ONNX models out of a folder laid out as Triton's model repository, run by onnxruntime.

    <repository>/<model>/config.pbtxt           optional
    <repository>/<model>/labels.txt             optional, one class name a line
    <repository>/<model>/<version>/model.onnx

Every version is loaded; the version policy of config.pbtxt is not read.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2

# The protocol's name of a type, numpy's, and the field of InferTensorContents that may carry it.
_TYPES: tuple[tuple[str, str, str], ...] = (
    ("BOOL", "bool", "bool_contents"),
    ("UINT8", "uint8", "uint_contents"),
    ("UINT16", "uint16", "uint_contents"),
    ("UINT32", "uint32", "uint_contents"),
    ("UINT64", "uint64", "uint64_contents"),
    ("INT8", "int8", "int_contents"),
    ("INT16", "int16", "int_contents"),
    ("INT32", "int32", "int_contents"),
    ("INT64", "int64", "int64_contents"),
    ("FP16", "float16", ""),
    ("FP32", "float32", "fp32_contents"),
    ("FP64", "float64", "fp64_contents"),
)


class RequestError(Exception):
    """A request that cannot be answered, with the gRPC status that says why."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TensorSpec:
    """A named input or output: the protocol's type and a shape in which -1 is any size."""

    name: str
    datatype: str
    dtype: np.dtype[Any]
    contents: str
    shape: tuple[int, ...]


@dataclass
class Counts:
    """What `ModelStatistics` tells of one model version."""

    inferences: int = 0
    executions: int = 0
    success_ns: int = 0
    failures: int = 0
    failure_ns: int = 0


@dataclass
class Model:
    """One loaded version of a model. Safe to run from several threads."""

    name: str
    version: str
    session: onnxruntime.InferenceSession
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    config: model_config_pb2.ModelConfig
    counts: Counts = field(default_factory=Counts)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Returns the named outputs, C-contiguous, in that order.

        Raises:
            RequestError: INVALID_ARGUMENT, the model refuses these inputs.
        """
        try:
            results = self.session.run(list(outputs), dict(inputs))
        except Exception as error:  # onnxruntime's errors share no public base class
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        return [np.ascontiguousarray(result) for result in results]

    def count(self, *, rows: int, nanoseconds: int, success: bool) -> None:
        """Adds one request to the statistics."""
        with self.lock:
            if success:
                self.counts.inferences += rows
                self.counts.executions += 1
                self.counts.success_ns += nanoseconds
            else:
                self.counts.failures += 1
                self.counts.failure_ns += nanoseconds

    def snapshot(self) -> Counts:
        """Returns the statistics of one moment."""
        with self.lock:
            return replace(self.counts)


def load_repository(repository: Path, threads: int = 1) -> dict[tuple[str, str], Model]:
    """Loads every `<model>/<version>/model.onnx`.

    Args:
        repository: the folder of the models.
        threads: of each model, for one request.

    Returns:
        The models by (name, version).

    Raises:
        FileNotFoundError: there is none.
        ValueError: a version is not a positive whole number, or a type is not in the protocol.
    """
    models: dict[tuple[str, str], Model] = {}
    for path in sorted(repository.glob("*/*/model.onnx")):
        version = path.parent.name
        if not version.isdecimal() or int(version) < 1:
            raise ValueError(f"{path.parent}: a version is a whole number from 1")
        model = _load(path, threads)
        models[model.name, model.version] = model
    if not models:
        raise FileNotFoundError(f"{repository} has no <model>/<version>/model.onnx")
    return models


def decode_inputs(
    request: service_pb2.ModelInferRequest, specs: Mapping[str, TensorSpec]
) -> dict[str, NDArray[Any]]:
    """Returns the request's tensors, checked against what the model takes.

    Raises:
        RequestError: INVALID_ARGUMENT, with what was expected.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"{len(request.inputs)} inputs but {len(raw)} raw_input_contents")
    tensors: dict[str, NDArray[Any]] = {}
    for i, tensor in enumerate(request.inputs):
        spec = specs.get(tensor.name)
        if spec is None or tensor.name in tensors:
            raise invalid(f"input '{tensor.name}' is unknown or given twice; takes {list(specs)}")
        tensors[tensor.name] = _decode(tensor, raw[i] if raw else None, spec)
    missing = sorted(specs.keys() - tensors.keys())
    if missing:
        raise invalid(f"missing inputs: {missing}")
    return tensors


def invalid(message: str) -> RequestError:
    """Returns the error of a request that does not fit the model."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _decode(
    tensor: service_pb2.ModelInferRequest.InferInputTensor, raw: bytes | None, spec: TensorSpec
) -> NDArray[Any]:
    shape = tuple(tensor.shape)
    if tensor.parameters:
        raise RequestError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"input '{spec.name}': parameters {sorted(tensor.parameters)} are not supported",
        )
    if tensor.datatype != spec.datatype:
        raise invalid(f"input '{spec.name}' is {spec.datatype}, not {tensor.datatype}")
    if not _fits(shape, spec.shape):
        raise invalid(f"input '{spec.name}' has shape {list(spec.shape)}, not {list(shape)}")
    size = math.prod(shape)
    if raw is not None:
        if len(raw) != size * spec.dtype.itemsize:
            raise invalid(
                f"input '{spec.name}' needs {size * spec.dtype.itemsize} bytes, has {len(raw)}"
            )
        return np.frombuffer(raw, spec.dtype).reshape(shape)
    values = getattr(tensor.contents, spec.contents) if spec.contents else ()
    if len(values) != size:
        raise invalid(f"input '{spec.name}' needs {size} values, has {len(values)}")
    try:
        return np.array(values, spec.dtype).reshape(shape)
    except OverflowError as error:
        raise invalid(f"input '{spec.name}': {error}") from error


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(
        size >= 0 and want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )


def _load(path: Path, threads: int) -> Model:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {tensor.name: _spec(tensor) for tensor in session.get_inputs()}
    outputs = {tensor.name: _spec(tensor) for tensor in session.get_outputs()}
    folder = path.parent.parent
    config = _config(folder, inputs, outputs)
    return Model(folder.name, path.parent.name, session, inputs, outputs, config)


def _spec(tensor: onnxruntime.NodeArg) -> TensorSpec:
    """Translates onnxruntime's 'tensor(float)' and its sizes, of which free ones are names."""
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    for datatype, numpy_name, contents in _TYPES:
        if numpy_name == dtype:
            shape = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
            return TensorSpec(tensor.name, datatype, np.dtype(dtype), contents, shape)
    raise ValueError(f"tensor '{tensor.name}' is a {tensor.type}, which is not supported")


def _config(
    folder: Path, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> model_config_pb2.ModelConfig:
    """Returns the folder's config.pbtxt, or what can be told from the model without one."""
    written = folder / "config.pbtxt"
    if written.exists():
        return text_format.Parse(written.read_text("utf-8"), model_config_pb2.ModelConfig())
    config = model_config_pb2.ModelConfig(
        name=folder.name, platform="onnxruntime_onnx", backend="onnxruntime"
    )
    # Without a configured batch size the sizes of a tensor are all its sizes, rows included.
    for tensors, specs in ((config.input, inputs), (config.output, outputs)):
        for spec in specs.values():
            kind = model_config_pb2.DataType.Value(f"TYPE_{spec.datatype}")
            tensors.add(name=spec.name, data_type=kind, dims=spec.shape)
    if (folder / "labels.txt").exists():
        config.output[0].label_filename = "labels.txt"
    return config
