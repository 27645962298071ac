"""A stalled log at full rate: memory stays flat, latency stays as it was, drops are counted.

    python load_tests/gateway/stall.py [--seconds 60] [--callers 4] [--json FILE]

Callers send one request after the other, without pause. The log is well, then takes nothing for the
given time, then is well again; each state is measured for the same time. The stalled p99 is
compared with the mean of the two others. A p99 is the median of those of single seconds, so that
what else the machine does for a moment does not decide.

Goal: memory grows by less than 32 MiB during the stall, p99 within 20 % of the unstalled run, and
every answered request is accounted for: written, dropped and counted, or still in a queue.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from parts import INFER, Part, part, request_bytes

GOAL_BYTES = 32 * 1024 * 1024
GOAL_P99 = 1.2
LOOK_SECONDS = 1.0


class Callers:
    """Threads that call without pause; latencies are kept by phase."""

    def __init__(self, address: str, count: int) -> None:
        self.failed = 0
        self._address = address
        self._ending = threading.Event()
        self._latencies: list[float] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def take(self) -> np.ndarray:
        """Latencies in ms since the last time."""
        taken, self._latencies = self._latencies, []
        return np.array(taken) * 1000

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        body = request_bytes()
        with grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as link:
            call = link.unary_unary(INFER)
            while not self._ending.is_set():
                began = time.perf_counter()
                try:
                    call(body, timeout=10)
                except grpc.RpcError:
                    self.failed += 1
                self._latencies.append(time.perf_counter() - began)


def phase(name: str, hop: Part, callers: Callers, seconds: float) -> dict:
    """Measures one state for so long."""
    callers.take()
    memory = [hop.memory_bytes()]
    looks: list[np.ndarray] = []
    pause, end = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < end:
        pause.wait(LOOK_SECONDS)
        memory.append(hop.memory_bytes())
        looks.append(callers.take())
    latencies = np.concatenate(looks)
    found = {
        "calls": len(latencies),
        "rate": len(latencies) / seconds,
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_all_ms": float(np.percentile(latencies, 99)),
        "p99_ms": float(np.median([np.percentile(look, 99) for look in looks if len(look)])),
        "memory_growth_bytes": max(memory) - memory[0],
    }
    print(
        f"{name:10} {found['rate']:8.0f} calls/s   p50 {found['p50_ms']:7.2f} ms   "
        f"p99 {found['p99_ms']:7.2f} ms   memory +{found['memory_growth_bytes'] / 2**20:.1f} MiB"
    )
    return found


def measure(hop: Part, callers: Callers, seconds: float) -> dict:
    """The three states, and the metrics after the stall and at the end."""
    phase("warming up", hop, callers, min(10.0, seconds))
    result = {"before": phase("log well", hop, callers, seconds)}
    hop.send(signal.SIGUSR1)
    result["stalled"] = phase("stalled", hop, callers, seconds)
    result["metrics_stalled"] = hop.metrics()
    hop.send(signal.SIGUSR2)
    result["after"] = phase("log well", hop, callers, seconds)
    return result


def settled(hop: Part) -> dict[str, float]:
    """The metrics once the queues are empty."""
    pause = threading.Event()
    for _ in range(100):
        pause.wait(0.1)
        found = hop.metrics()
        if (
            not found["leadline_gateway_queue_depth/handover"]
            + found["leadline_gateway_queue_depth/log"]
        ):
            break
    return found


def judge(result: dict, failed: int) -> list[str]:
    """What was missed of the goal, in words."""
    metrics = result["metrics_end"]
    answered = metrics.get("leadline_gateway_requests_total/echo/1/OK", 0)
    dropped = sum(
        value
        for name, value in metrics.items()
        if name.startswith("leadline_gateway_dropped_total")
    )
    written = metrics["leadline_gateway_written_rows_total"]
    base = (result["before"]["p99_ms"] + result["after"]["p99_ms"]) / 2
    stalled = result["stalled"]
    print(f"answered {answered:.0f}, written {written:.0f}, dropped and counted {dropped:.0f}")
    missed = []
    if stalled["memory_growth_bytes"] >= GOAL_BYTES:
        missed.append("memory grew by 32 MiB or more")
    if stalled["p99_ms"] > GOAL_P99 * base:
        missed.append(f"p99 is {stalled['p99_ms']:.2f} ms, over 1.2 x {base:.2f} ms")
    if answered != written + dropped:
        missed.append("rows are not accounted for")
    if not dropped:
        missed.append("nothing was dropped: the stall was too short to fill the queue")
    if failed:
        missed.append(f"{failed} calls failed")
    return missed


def main() -> int:
    """Runs the test; the exit code says whether the goal was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--set", default="{}", help="settings of the gateway, as JSON")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, part("echo") as server:
        words = ["--triton", server.address, "--folder", folder, "--set", given.set]
        with part("gateway", *words) as hop:
            callers = Callers(hop.address, given.callers)
            callers.start()
            result = measure(hop, callers, given.seconds)
            callers.close()
            result["metrics_end"] = settled(hop)
    missed = judge(result, callers.failed)
    print("goal met" if not missed else "goal missed: " + "; ".join(missed))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
