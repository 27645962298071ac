"""How a process that runs the gateway is set up; imports nothing that would be too late."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

SWITCH_SECONDS = 0.0001
"""How long a thread may hold the interpreter while another wants it. The default of 5 ms would let
the thread that reads answers hold up the event loop that returns them."""
EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""gRPC hands each read and write to a pool of threads; without it the one polling thread does it
itself. On two cores that takes 0.2 ms of CPU and 0.15 ms of latency off each request
(load_tests/gateway/hop.py). A version of gRPC that does not know the names says so, and goes on."""


def tune_process() -> None:
    """Sets what belongs to the process; before `grpc` is imported, which reads it only then."""
    sys.setswitchinterval(SWITCH_SECONDS)
    os.environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it is installed: it costs half as much a call."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
