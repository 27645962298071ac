"""What `leadline doctor` looks at. Each check returns findings and raises nothing of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leadline.cli.sections import EXTRAS, SECTIONS, settings_class
from leadline.cli.topics import stream_problems
from leadline.cli.version import versions
from leadline.records.errors import LeadlineError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.settings import load_settings

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: "wrong" makes the exit code 1; a "note" does not.
        text: what was found.
        remedy: what to do; empty when all is well.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def failed(check: str, error: LeadlineError) -> Finding:
    """The finding of a check that raised."""
    remedy = (
        error.remedy if isinstance(error, UsageError) else "Check that it runs and is reachable"
    )
    return Finding(check, "wrong", str(error), remedy)


def check_settings(file: Path | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every service's settings can be read."""
    for section in SECTIONS:
        try:
            load_settings(settings_class(section), section, file=file, environ=environ)
        except UsageError as error:
            yield failed(f"settings of {section}", error)
        except ImportError as error:
            text = f"not installed ({error.name})"
            yield Finding(
                f"settings of {section}", "note", text, f"pip install 'leadline[{EXTRAS[section]}]'"
            )
        else:
            yield Finding(f"settings of {section}", "ok", "can be read")


def check_libraries(log_url: str, store_url: str) -> Iterator[Finding]:
    """What the configured log and store need is installed."""
    found = versions()
    listed = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Finding("libraries", "ok", listed)
    needed = []
    if log_url.startswith("kafka:"):
        needed += [("kafka-python", "leadline[client]"), ("crc32c", "leadline[client]")]
    if store_url.startswith("postgres"):
        needed.append(("psycopg", "leadline[metrics]"))
    for name, extra in needed:
        if not found[name]:
            slow = " (without it Kafka is up to 40 times slower)" if name == "crc32c" else ""
            text = f"not installed{slow}"
            yield Finding(f"library {name}", "wrong", text, f"pip install '{extra}'")


def check_log(url: str, stream: str, timeout_seconds: float) -> Iterator[Finding]:
    """The log answers, and the stream's topics are as they must be."""
    if url.startswith("local:") and not Path(url.removeprefix("local:")).exists():
        text = f"{url} does not exist yet"
        yield Finding("log", "note", text, "It is made by the first service or client")
        return
    try:
        log = open_log(url, SystemClock())
        try:
            log.ping(timeout_seconds)
        finally:
            log.close()
        yield Finding("log", "ok", f"{url.partition('?')[0]} answers")
        problems, partitions = stream_problems(url, stream)
    except LeadlineError as error:
        yield failed("log", error)
        return
    for problem in problems:
        text, _, remedy = problem.partition("; ")
        yield Finding("topics", "wrong", text, remedy)
    if not problems:
        text = f"stream {stream!r}: {partitions} partition(s), equal, stamped by the log, kept"
        yield Finding("topics", "ok", text)


def check_store(url: str) -> Iterator[Finding]:
    """The truth store answers, and its schema is this version's."""
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:")).exists():
        text = f"{url} does not exist yet"
        yield Finding("store", "note", text, "It is made by the first owner")
        return
    if importlib.util.find_spec("zstandard") is None:
        text = "cannot be looked at: the store's libraries are not installed"
        yield Finding("store", "note", text, "pip install 'leadline[metrics]'")
        return
    try:
        yield _schema(url)
    except LeadlineError as error:
        yield failed("store", error)


def _schema(url: str) -> Finding:
    from leadline.runtime.store.migrate import migrations, schema_version  # noqa: PLC0415 - extra
    from leadline.runtime.store.sql import open_database  # noqa: PLC0415 - an extra

    database = open_database(url)
    try:
        with database.read() as session:
            found = schema_version(session)
    finally:
        database.close()
    wanted = migrations()[-1].version
    if found > wanted:
        text = f"schema {found} is newer than this version's {wanted}"
        return Finding("store", "wrong", text, "Upgrade Leadline here")
    if found < wanted:
        text = f"schema {found} is older than this version's {wanted}"
        return Finding("store", "note", text, "The next owner that starts upgrades it")
    return Finding("store", "ok", f"answers, schema {found}")


def check_server(name: str, address: str, timeout_seconds: float) -> Finding:
    """A service of ours is serving, by gRPC's health protocol."""
    import grpc  # noqa: PLC0415 - an extra
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - an extra

    def ask(channel: grpc.Channel) -> Finding:
        request = health_pb2.HealthCheckRequest()
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_seconds)
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return Finding(name, "ok", f"{address} serves")
        return Finding(name, "wrong", f"{address} says {status}", "Its own log says why")

    return _asked(name, address, ask)


def check_triton(address: str, timeout_seconds: float) -> Finding:
    """An inference server is ready, by the Open Inference Protocol."""
    import grpc  # noqa: PLC0415 - an extra

    def ask(channel: grpc.Channel) -> Finding:
        ready: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerReady"
        )
        if ready(b"", timeout=timeout_seconds) == b"\x08\x01":  # field 1 is true
            return Finding("triton", "ok", f"{address} is ready")
        return Finding("triton", "wrong", f"{address} is not ready", "Is a model failing to load?")

    return _asked("triton", address, ask)


def _asked(name: str, address: str, ask: Callable[..., Finding]) -> Finding:
    import grpc  # noqa: PLC0415 - an extra

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            return ask(channel)
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else "no answer"
            remedy = "Is it running, and is the address right?"
            if code == "UNIMPLEMENTED":
                remedy = "Something else listens there: correct the address"
            return Finding(name, "wrong", f"{address}: {code}", remedy)
