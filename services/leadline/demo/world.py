"""Starts what the demo needs: the model server, log, database, and `leadline up`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2_grpc

from leadline.demo.assets import VERSIONS, load_heldout, model_path
from leadline.demo.inprocess import InProcessServer
from leadline.demo.onnx_repository import load_repository
from leadline.demo.player import CALL_SECONDS, infer_request, scores_of
from leadline.testing.servers.kafka import Kafka, fetch_jars
from leadline.testing.servers.postgres import Postgres
from leadline.testing.servers.process import (
    ManagedProcess,
    MissingProgramError,
    ServerError,
    accepts,
)
from leadline.testing.servers.triton import Tensor, Triton, write_onnx_model

Say = Callable[[str], None]
UP_SECONDS = 60.0
PORTS = 6
CLASSES = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, slots=True)
class Choices:
    """What the demo was asked for.

    Attributes:
        data: folder of everything that the demo writes.
        tools: folder of Triton and Kafka, as `make tools` fills it.
        kafka, postgres: the real ones rather than embedded files.
        port: the console's; the next five are the services'.
    """

    data: Path
    tools: Path
    kafka: bool
    postgres: bool
    port: int

    @property
    def partitions(self) -> int:
        """Partitions of both topics."""
        return 3 if self.kafka else 1

    def address(self, offset: int) -> str:
        """Address of one of the services of `leadline up`, host:port."""
        return f"127.0.0.1:{self.port + offset}"


def require_free_ports(choices: Choices) -> None:
    """Raises ServerError when a port of `leadline up` is taken: before anything is started."""
    for port in range(choices.port, choices.port + PORTS):
        if accepts(port):
            raise ServerError(f"port {port} is in use: stop what listens there, or set PORT")


def start_log(stack: ExitStack, choices: Choices, say: Say) -> str:
    """The log's URL; starts Kafka where it was chosen."""
    if not choices.kafka:
        return f"local:{choices.data / 'log.sqlite'}"
    jars = fetch_jars(choices.tools / "kafka")
    kafka = Kafka(choices.data / "kafka", jars)
    kafka.start()
    stack.callback(kafka.stop)
    say(f"Apache Kafka          {kafka.bootstrap}")
    return f"kafka://{kafka.bootstrap}"


def start_store(stack: ExitStack, choices: Choices, say: Say) -> str:
    """The truth store's URL; starts PostgreSQL where it was chosen."""
    if not choices.postgres:
        return f"sqlite:{choices.data / 'truth.sqlite'}"
    postgres = Postgres(choices.data / "postgres")
    postgres.start()
    stack.callback(postgres.stop)
    say(f"PostgreSQL            {postgres.uri.rpartition('@')[2]}")
    return postgres.uri


def start_model(stack: ExitStack, choices: Choices, say: Say) -> str:
    """Address of a server of both versions: Triton, or the same protocol in process."""
    repository = choices.data / "models"
    shutil.rmtree(repository, ignore_errors=True)
    for version in VERSIONS:
        write_onnx_model(
            repository,
            "digits",
            version,
            model_path(version),
            [Tensor("image", "UINT8", (28, 28))],
            [
                Tensor("scores", "FP32", (10,), labels=CLASSES),
                Tensor("features", "FP32", (-1, 7, 7)),
            ],
        )
    address = serve_models(stack, choices, repository, say, "digits, versions 1 and 2")
    check_answer(address, repository)
    return address


def serve_models(stack: ExitStack, choices: Choices, repository: Path, say: Say, what: str) -> str:
    """Address of a server of a repository: Triton, or the same protocol in process.

    Args:
        stack: stops it at its end.
        choices: where Triton is and may write.
        repository: folder of the models.
        say: what is told to people.
        what: the models, in words.
    """
    try:
        triton = Triton(choices.data / "triton", repository, choices.tools)
    except MissingProgramError as error:
        say(f"Triton cannot run here: {error}")
        say("The same models answer the same protocol in this process instead.")
        server = InProcessServer(repository)
        server.start()
        stack.callback(server.stop)
        return server.grpc_address
    triton.start()
    stack.callback(triton.stop)
    say(f"Triton                {triton.grpc_address}  ({what})")
    return triton.grpc_address


def check_answer(address: str, repository: Path) -> None:
    """Compares one answer of each version with the model computed here.

    A server with an unfit Python answers wrong numbers without an error.

    Raises:
        ServerError: an answer differs.
    """
    image = load_heldout()[0][0]
    models = load_repository(repository)
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for version in VERSIONS:
            request = infer_request(str(version), image, "check")
            served = scores_of(stub.ModelInfer(request, timeout=CALL_SECONDS))
            (scores,) = models["digits", str(version)].run({"image": image[None]}, ["scores"])
            local = scores[0]
            if served.shape != local.shape or not np.allclose(served, local, atol=1e-4):
                raise ServerError(
                    f"version {version} of the model answers {served}, and {local} is right: "
                    "run `make clean` and `make tools`"
                )


def start_leadline(
    stack: ExitStack, choices: Choices, log_url: str, store_url: str, triton: str
) -> ManagedProcess:
    """Starts `leadline up`; returns once all its ports answer.

    Raises:
        ServerError: it did not start; the message ends with its log.
    """
    command = [
        *(sys.executable, "-m", "leadline", "up"),
        *("--data", str(choices.data)),
        *("--log", log_url),
        *("--store", store_url),
        *("--partitions", str(choices.partitions)),
        *("--port", str(choices.port)),
        *(("--triton", triton) if triton else ()),
    ]
    process = ManagedProcess("leadline", command, choices.data)
    ports = [choices.port, choices.port + 1, *([choices.port + 3] if triton else [])]
    process.start(lambda: all(accepts(port) for port in ports), UP_SECONDS)
    stack.callback(process.stop)
    return process
