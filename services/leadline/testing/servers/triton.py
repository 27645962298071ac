"""NVIDIA Triton on loopback, out of the wheel `nvidia-pytriton` (CPU, Python backend).

`make tools` unpacks the wheel into `<tools>/triton` and makes the environment that models run in,
`<tools>/triton-python`. The two are apart from Leadline's own environment because models need
numpy below 2 there: with numpy 2 this server answers without an error but with empty or wrong
tensors. `write_onnx_model` fills a model repository.
"""

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leadline.testing.servers.process import (
    ManagedProcess,
    MissingProgramError,
    ServerError,
    answers_ok,
    free_ports,
)

MAX_BATCH = 64
LIBRARY_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64")


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model.

    Attributes:
        name: as in the ONNX file.
        datatype: Triton's name of it: "FP32", "INT64", "UINT8", "BOOL", "STRING" ...
        shape: without the batch's dimension; -1 is any length.
        labels: names of the classes, in the order of an output's elements.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()


class Triton:
    """One Triton server on loopback.

    Args:
        folder: its log and the backend's links. Made if missing.
        model_repository: existing folder of models; every version of each is served.
        tools: the folder that `make tools` filled.

    Raises:
        MissingProgramError: the tools are not there, or this system cannot run them.
    """

    def __init__(self, folder: Path, model_repository: Path, tools: Path) -> None:
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._installation = Installation.find(tools.resolve())
        self._http, self._grpc, self._metrics = free_ports(3)
        self._shared_memory = f"leadline_triton_{self._grpc}"
        self._process = ManagedProcess(
            "triton",
            self._command(model_repository.resolve()),
            self._folder,
            environment=self._installation.environment(),
        )

    @property
    def http_address(self) -> str:
        """`host:port` of the HTTP inference protocol."""
        return f"127.0.0.1:{self._http}"

    @property
    def grpc_address(self) -> str:
        """`host:port` of the gRPC inference protocol."""
        return f"127.0.0.1:{self._grpc}"

    @property
    def metrics_address(self) -> str:
        """`host:port` of the server's own Prometheus metrics, under `/metrics`."""
        return f"127.0.0.1:{self._metrics}"

    @property
    def process(self) -> ManagedProcess:
        """The running program, for its log and its process id."""
        return self._process

    def start(self, deadline_s: float = 60.0) -> None:
        """Starts the server; returns once every model is loaded (2 to 4 s).

        Raises:
            ServerError: it was not ready in time, or a model does not load.
        """
        self._installation.link_backend(self._folder / "backends")
        self._process.start(self.ready, deadline_s)

    def ready(self) -> bool:
        """Whether the server and all its models take requests."""
        return answers_ok(self._http, "/v2/health/ready")

    def stop(self, budget_s: float = 15.0) -> None:
        """Stops in an orderly way: requests in flight are answered first."""
        self._process.stop(budget_s)
        self._forget_shared_memory()

    def kill(self) -> None:
        """Crashes the server; `start` afterwards serves the same models at the same addresses."""
        self._process.kill()
        self._forget_shared_memory()

    def pause(self) -> None:
        """Freezes the server: connections stay open, requests wait."""
        self._process.pause()

    def resume(self) -> None:
        """Lets a frozen server go on."""
        self._process.resume()

    def _command(self, model_repository: Path) -> list[str]:
        return [
            str(self._installation.server),
            f"--model-repository={model_repository}",
            f"--backend-directory={self._folder / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory}",
            "--http-address=127.0.0.1",
            f"--http-port={self._http}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self._grpc}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={self._metrics}",
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=10",
        ]

    def _forget_shared_memory(self) -> None:
        """Removes what a killed server leaves behind in memory."""
        for leftover in Path("/dev/shm").glob(f"{self._shared_memory}*"):  # noqa: S108
            leftover.unlink(missing_ok=True)


@dataclass(frozen=True)
class Installation:
    """Where the unpacked wheel and the models' environment are."""

    server: Path
    backend: Path
    stub: Path
    libraries: Path
    python_library: Path
    environment_programs: Path

    @classmethod
    def find(cls, tools: Path) -> "Installation":
        """The installation below `tools`.

        Raises:
            MissingProgramError: a part is missing; the message says which and what to do.
        """
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise MissingProgramError("Triton's wheel exists for Linux on x86-64 only.")
        home = tools / "triton" / "pytriton" / "tritonserver"
        models = tools / "triton-python"
        packages = next((models / "lib").glob("python3.*/site-packages"), None)
        if packages is None or not home.is_dir():
            raise MissingProgramError(f"Triton is not in {tools}: run `make tools`.")
        version = packages.parent.name.removeprefix("python")
        found = cls(
            server=home / "bin" / "tritonserver",
            backend=home / "backends" / "python",
            stub=home / "python_backend_stubs" / version / "triton_python_backend_stub",
            libraries=tools / "triton" / "nvidia_pytriton.libs",
            python_library=python_library(models, version),
            environment_programs=models / "bin",
        )
        if not found.stub.exists():
            raise MissingProgramError(f"Triton's wheel has no Python backend for Python {version}.")
        for program in (found.server, found.stub):
            if not os.access(program, os.X_OK):
                program.chmod(0o755)
        return found

    def link_backend(self, backends: Path) -> None:
        """Makes `backends`/python: the Python backend and the stub of this Python, side by side."""
        folder = backends / "python"
        folder.mkdir(parents=True, exist_ok=True)
        for source in (*self.backend.iterdir(), self.stub):
            link = folder / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source)

    def environment(self) -> dict[str, str]:
        """The server's whole environment: nothing of the caller's Python reaches the models.

        The embedded Python ignores PYTHONPATH; it finds its packages by the `python3` on PATH.
        """
        return {
            "PATH": f"{self.environment_programs}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{self.python_library.parent}:{self.libraries}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def python_library(environment: Path, version: str) -> Path:
    """The shared library of Python `version`, which the Python backend's stub is linked to.

    Raises:
        MissingProgramError: there is none.
    """
    name = f"libpython{version}.so.1.0"
    base = (environment / "bin" / "python").resolve().parent.parent / "lib"
    for folder in (base, *map(Path, LIBRARY_FOLDERS)):
        if (folder / name).exists():
            return folder / name
    raise MissingProgramError(f"`{name}` is missing: `apt-get install libpython{version}`.")


def write_onnx_model(
    repository: Path,
    name: str,
    version: int,
    onnx: Path,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    max_batch: int = MAX_BATCH,
    queue_delay_us: int | None = None,
) -> None:
    """Adds one version of a model to a repository, as an ONNX file run by the Python backend.

    Writing another version of the same model keeps the earlier ones; the declaration is the last
    one written, so the tensors of all versions must agree.

    Args:
        repository: the folder that `Triton` serves. Made if missing.
        name: the model's name.
        version: 1 or more.
        onnx: the network; it is copied.
        inputs: in any order.
        outputs: those to return; an output with labels answers classification requests by name.
        max_batch: rows of one call; 0 for a network without a batch dimension.
        queue_delay_us: how long a request may wait for others to join its batch; None for no
            dynamic batching.

    Raises:
        ServerError: the version is below 1, or there is no input or output.
    """
    if version < 1 or not inputs or not outputs:
        raise ServerError(f"{name}: a model needs a version from 1, an input and an output")
    model = repository / name
    folder = model / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(onnx, folder / "model.onnx")
    shutil.copyfile(Path(__file__).with_name("onnx_model.py"), folder / "model.py")
    for tensor in outputs:
        if tensor.labels:
            lines = "".join(f"{label}\n" for label in tensor.labels)
            (model / labels_file(tensor)).write_text(lines, encoding="utf-8")
    parts = [
        f'name: "{name}"',
        'backend: "python"',
        f"max_batch_size: {max_batch}",
        "version_policy { all { } }",
        "instance_group [ { kind: KIND_CPU, count: 1 } ]",
        *(f"input [ {{ {declared(tensor)} }} ]" for tensor in inputs),
        *(f"output [ {{ {declared(tensor)} }} ]" for tensor in outputs),
    ]
    if queue_delay_us is not None:
        parts.append(f"dynamic_batching {{ max_queue_delay_microseconds: {queue_delay_us} }}")
    (model / "config.pbtxt").write_text("\n".join(parts) + "\n", encoding="utf-8")


def declared(tensor: Tensor) -> str:
    """The tensor's fields in Triton's configuration language."""
    shape = ", ".join(map(str, tensor.shape))
    fields = f'name: "{tensor.name}", data_type: TYPE_{tensor.datatype}, dims: [ {shape} ]'
    return f'{fields}, label_filename: "{labels_file(tensor)}"' if tensor.labels else fields


def labels_file(tensor: Tensor) -> str:
    """Name of the file with an output's class labels, one a line."""
    return f"labels-{tensor.name}.txt"
