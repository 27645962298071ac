"""Runs one ONNX file inside Triton's Python backend.

`write_onnx_model` copies this file into a model repository as `<model>/<version>/model.py`, beside
`model.onnx`. It runs in the environment of the models, where Leadline is not installed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What the Python backend calls. Requests of one batch run as one call of the network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the network; refuses an environment in which this server answers wrongly."""
        if not np.__version__.startswith("1."):
            raise RuntimeError(
                f"numpy {np.__version__}: with numpy 2 this server returns wrong tensors without "
                "an error. The models' environment needs numpy below 2."
            )
        config = json.loads(args["model_config"])
        self._batched = config["max_batch_size"] > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        network = Path(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the server's instances share the processors
        self._session = onnxruntime.InferenceSession(
            str(network), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers each request; rows keep their order."""
        if not self._batched:
            return [self._answer(self._run([request])) for request in requests]
        rows = [len(self._column(request, self._inputs[0])) for request in requests]
        outputs = self._run(requests)
        ends = np.cumsum(rows)[:-1]
        parts = [np.split(output, ends) for output in outputs]
        return [self._answer(list(answer)) for answer in zip(*parts, strict=True)]

    def _run(self, requests: list[Any]) -> list[Any]:
        feed = {
            name: np.concatenate([self._column(request, name) for request in requests])
            if self._batched
            else self._column(requests[0], name)
            for name in self._inputs
        }
        outputs: list[Any] = self._session.run(self._outputs, feed)
        return outputs

    def _column(self, request: Any, name: str) -> Any:  # noqa: ANN401
        return triton.get_input_tensor_by_name(request, name).as_numpy()

    def _answer(self, outputs: list[Any]) -> Any:  # noqa: ANN401
        tensors = [
            triton.Tensor(name, np.ascontiguousarray(output))
            for name, output in zip(self._outputs, outputs, strict=True)
        ]
        return triton.InferenceResponse(tensors)
