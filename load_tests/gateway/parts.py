"""The processes of the gateway's load tests: a tiny inference server, the gateway, Envoy.

Run as a program it is one of the processes: `python parts.py echo`, `python parts.py gateway ...`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
from prometheus_client import CollectorRegistry
from tritonclient.grpc import service_pb2 as pb

from leadline.gateway.models import StaticModels
from leadline.gateway.service import GatewayService
from leadline.gateway.settings import GatewaySettings
from leadline.gateway.tuning import EXPERIMENTS, loop_factory, tune_process
from leadline.records.models import ModelSpec, OutputSpec, ScoreForm
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.local import LocalLog
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.log.port import LABELS, PREDICTIONS, TopicSpec
from leadline.testing.faults import FaultyLog
from leadline.testing.servers.triton import Tensor, Triton, write_onnx_model

INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL = ModelSpec(name="echo", output=OutputSpec("", ScoreForm.PROBABILITIES), keep_rate=0.01)
CLASSES = 8


def request_bytes(width: int = CLASSES, model: str = "echo") -> bytes:
    """A request of one row of `width` numbers."""
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="FP32", shape=[1, width])
    message.raw_input_contents.append(np.zeros(width, "<f4").tobytes())
    return message.SerializeToString()


def answer_bytes() -> bytes:
    """An answer of probabilities of CLASSES classes."""
    scores = np.linspace(0.0, 1.0, CLASSES, dtype="<f4")
    message = pb.ModelInferResponse(model_name="echo", model_version="1")
    message.outputs.add(name="scores", datatype="FP32", shape=[1, CLASSES])
    message.raw_output_contents.append((scores / scores.sum()).tobytes())
    return message.SerializeToString()


async def echo() -> None:
    """Answers each inference with the same bytes; says its address on the first line."""
    answer = answer_bytes()

    async def infer(_request: bytes, _context: Any) -> bytes:
        return answer

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(infer)

    options = [("grpc.max_receive_message_length", 64 << 20)]
    server = grpc.aio.server(handlers=[Handler()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say(address=f"127.0.0.1:{port}")
    await ended()
    await server.stop(1)


async def gateway(triton: str, folder: Path, changes: dict[str, Any]) -> None:
    """The gateway on an embedded log that stalls on SIGUSR1 and heals on SIGUSR2."""
    clock = SystemClock()
    inner = LocalLog(str(folder / "log.sqlite"), clock, LocalSettings())
    inner.create([TopicSpec(name, 1, -1) for name in (PREDICTIONS, LABELS)])
    log = FaultyLog(inner, append_timeout_seconds=3600.0)
    registry = CollectorRegistry()
    service = GatewayService(
        GatewaySettings(
            listen_address="127.0.0.1:0", triton_address=triton, metrics_address="", **changes
        ),
        log=log,
        blobs=None,
        models=StaticModels([MODEL]),
        clock=clock,
        registry=registry,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, log.stall)
    loop.add_signal_handler(signal.SIGUSR2, log.heal)
    await service.start()
    say(address=service.address)
    asker = asyncio.create_task(answer_questions(registry))
    await ended()
    asker.cancel()
    log.heal()
    await service.close(5.0)
    say(metrics=values_of(registry))
    inner.close()


async def answer_questions(registry: CollectorRegistry) -> None:
    """Says the metrics for each line on standard input."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(asked.put_nowait, line)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        await asked.get()
        say(metrics=values_of(registry))


def values_of(registry: CollectorRegistry) -> dict[str, float]:
    """All samples but the buckets, by name and label values."""
    return {
        "/".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


async def ended() -> None:
    """Returns on SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()


def say(**words: object) -> None:
    """One line of JSON to whoever started this process."""
    print(json.dumps(words), flush=True)


class Part:
    """A process of this file."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address
        self._stats = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads and children."""
        found = 0.0
        for process in [self._stats, *self._stats.children(recursive=True)]:
            times = process.cpu_times()
            found += times.user + times.system
        return found

    def memory_bytes(self) -> int:
        """Resident memory."""
        return int(self._stats.memory_info().rss)

    def metrics(self) -> dict[str, float]:
        """The gateway's metrics now."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("metrics\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self.process.stdout.readline())["metrics"]
        return found

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)


@contextmanager
def part(*words: str) -> Iterator[Part]:
    """Starts `python parts.py WORDS`; ended on leaving."""
    command = [sys.executable, __file__, *words]
    # As `tune_process` sets it; here grpc is imported before it could.
    tuned = {"GRPC_EXPERIMENTS": EXPERIMENTS, **os.environ}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=tuned
    )
    try:
        assert process.stdout is not None
        yield Part(process, json.loads(process.stdout.readline())["address"])
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def triton(tools: Path, folder: Path) -> Iterator[str]:
    """Starts a real Triton that serves `echo`, four numbers in and three probabilities out."""
    network = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "linear.onnx"
    inputs, outputs = [Tensor("x", "FP32", (4,))], [Tensor("probabilities", "FP32", (3,))]
    write_onnx_model(folder / "models", "echo", 1, network, inputs, outputs)
    server = Triton(folder / "triton", folder / "models", tools)
    server.start()
    try:
        yield server.grpc_address
    finally:
        server.stop()


@contextmanager
def envoy(program: Path, upstream: str, port: int, folder: Path) -> Iterator[Part]:
    """Starts Envoy as a plain gRPC proxy in front of `upstream`, with one worker thread."""
    configuration = folder / "envoy.json"
    configuration.write_text(json.dumps(envoy_configuration(upstream, port)))
    command = [str(program), "-c", str(configuration), "--concurrency", "1", "-l", "error"]
    command += ["--disable-hot-restart"]
    process = subprocess.Popen(command, text=True)
    try:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(channel).result(timeout=30)
        channel.close()
        yield Part(process, f"127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


def envoy_configuration(upstream: str, port: int) -> dict[str, Any]:
    """One listener that sends every HTTP/2 call to one cluster."""
    host, _, upstream_port = upstream.rpartition(":")

    def socket(address: str, number: int) -> dict[str, Any]:
        return {"socket_address": {"address": address, "port_value": number}}

    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network."
        "http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "triton", "timeout": "0s"},
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    cluster = {
        "name": "triton",
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "triton",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket(host, int(upstream_port))}}]}
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3."
                "HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    network_filter = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }
    listener = {
        "name": "in",
        "address": socket("127.0.0.1", port),
        "filter_chains": [{"filters": [network_filter]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def main() -> None:
    """Is one of the processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["echo", "gateway"])
    parser.add_argument("--triton", default="")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--set", type=json.loads, default={}, help="settings, as JSON")
    given = parser.parse_args()
    tune_process()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            echo() if given.part == "echo" else gateway(given.triton, given.folder, given.set)
        )


if __name__ == "__main__":
    main()
