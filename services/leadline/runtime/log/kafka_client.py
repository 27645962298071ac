"""Connections to Kafka: settings, start-up checks, and clients that end when they cannot start."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kafka
from kafka import errors as k
from kafka.net.compat import KafkaNetClient
from kafka.producer.transaction_manager import TransactionState
from kafka.record import util as record_util

from leadline.records.errors import LeadlineError, TransientError, UsageError
from leadline.runtime.log.kafka_errors import mapped

_OLDEST_CLIENT = (3, 0, 12)
RECEIVE_BYTES = 256 * 1024
"""Of a connection's buffer: what is there at once is read by one call."""
_SECURITY = frozenset(
    {
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_username",
        "sasl_plain_password",
        "sasl_kerberos_name",
        "sasl_kerberos_service_name",
        "sasl_kerberos_domain_name",
        "ssl_check_hostname",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_crlfile",
        "ssl_password",
    }
)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Bounds and tuning of a Kafka log.

    Attributes:
        max_queued_bytes: what a writer holds before it is durable; beyond it append() waits.
        append_timeout_seconds: how long append() waits for room, and close() for its last flush.
        answer_timeout_seconds: how long any other call waits for the cluster.
        delivery_timeout_seconds: how long a record is tried before it counts as not durable.
        stall_seconds: a reader with lag whose position does not move for so long is made anew.
        fetch_bytes: of one fetch of one partition; a reader holds up to twice that.
        batch_bytes: of one batch of a partition on its way; below what topics take by default.
        linger_ms: how long a batch waits for more records; flush() does not wait for it.
        security: the client's own names: security_protocol, sasl_*, ssl_*.
    """

    max_queued_bytes: int = 64 * 1024 * 1024
    append_timeout_seconds: float = 5.0
    answer_timeout_seconds: float = 10.0
    delivery_timeout_seconds: float = 120.0
    stall_seconds: float = 30.0
    fetch_bytes: int = 8 * 1024 * 1024
    batch_bytes: int = 1_000_000
    linger_ms: int = 5
    security: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.security) - _SECURITY)
        if unknown:
            raise UsageError(
                f"log option(s) {', '.join(unknown)} are not known",
                f"use the settings' names or {', '.join(sorted(_SECURITY))}",
            )
        _check_security(self.security)


def security_names() -> frozenset[str]:
    """The client's security settings that may be given."""
    return _SECURITY


def check_client() -> None:
    """Refuses a client that would be wrong or some 40 times too slow.

    Raises:
        UsageError: with what to install.
    """
    found = tuple(int(part) for part in kafka.__version__.split(".")[:3] if part.isdecimal())
    if found < _OLDEST_CLIENT:
        raise UsageError(
            f"kafka-python {kafka.__version__} loses or stalls partitions",
            "install 'kafka-python[crc32c]>=3.0.12,<4'",
        )
    if record_util.crc32c_c is None:
        raise UsageError(
            "kafka-python runs without the crc32c package, up to 40 times slower",
            "install 'kafka-python[crc32c]'",
        )


class Connector:
    """Makes the client's objects for one cluster.

    Args:
        bootstrap: "host:port" of some brokers.
        settings: bounds and security.
    """

    def __init__(self, bootstrap: tuple[str, ...], settings: KafkaSettings) -> None:
        self._settings = settings
        self._common: dict[str, Any] = {
            "bootstrap_servers": list(bootstrap),
            "reconnect_backoff_max_ms": 2000,  # a broker that is back is used within seconds
            **_security(settings),
        }
        self._name = ",".join(bootstrap)

    def __str__(self) -> str:
        return f"kafka://{self._name}"

    def admin(self, timeout_seconds: float) -> Any:  # noqa: ANN401 (the client has no types)
        """A client for topics and settings, every answer within that time."""
        return self._make(
            kafka.KafkaAdminClient,
            timeout_seconds,
            request_timeout_ms=_ms(timeout_seconds),
        )

    def consumer(self) -> Any:  # noqa: ANN401 (the client has no types)
        """A client that reads; nothing is assigned yet."""
        return self._make(
            kafka.KafkaConsumer,
            self._settings.answer_timeout_seconds,
            request_timeout_ms=_ms(max(self._settings.answer_timeout_seconds, 2.0)),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_uncommitted",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=self._settings.fetch_bytes,
            fetch_max_bytes=max(self._settings.fetch_bytes, 1024 * 1024),
            fetch_max_wait_ms=500,
            metrics_enabled=False,
        )

    def producer(self, max_request_bytes: int) -> Any:  # noqa: ANN401 (the client has no types)
        """A client that writes, once and in order."""
        request_ms = _ms(min(15.0, self._settings.delivery_timeout_seconds / 2))
        producer = self._make(
            kafka.KafkaProducer,
            self._settings.answer_timeout_seconds,
            request_timeout_ms=request_ms,
            acks="all",
            enable_idempotence=True,
            linger_ms=self._settings.linger_ms,
            batch_size=self._settings.batch_bytes,
            max_request_size=max_request_bytes,
            max_block_ms=_ms(self._settings.append_timeout_seconds),
            delivery_timeout_ms=_ms(self._settings.delivery_timeout_seconds),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        _mend(producer)
        return producer

    def _make(self, kind: Callable[..., Any], timeout_seconds: float, **configs: Any) -> Any:  # noqa: ANN401
        """Builds one; ends its network thread when it cannot start (the client leaves it running).

        Raises:
            TransientError: the cluster does not answer.
            UsageError: rights, addresses or settings.
        """
        nets: list[Any] = []
        causes: deque[BaseException] = deque(maxlen=16)  # it goes on noting later failures

        def net(**options: Any) -> Any:  # noqa: ANN401
            nets.append(KafkaNetClient(**options))
            _note_failures(nets[-1]._manager, causes)
            _widen_reads(nets[-1]._manager)
            return nets[-1]

        configs.update(self._common, kafka_client=net, bootstrap_timeout_ms=_ms(timeout_seconds))
        try:
            return kind(**configs)
        except (ValueError, TypeError, AssertionError) as error:
            _end(nets)
            raise UsageError(f"{self}: {error}", "correct log_url and the log's options") from error
        except (k.KafkaError, OSError) as error:
            _end(nets)
            raise _refused(f"connecting to {self}", error, causes) from error
        except BaseException:
            _end(nets)
            raise


def _note_failures(manager: Any, causes: deque[BaseException]) -> None:  # noqa: ANN401
    """Keeps why connections failed: the client tells its log only, and then that time is over."""
    connect = manager.get_connection

    def connect_and_watch(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        connection = connect(*args, **options)
        connection.init_future.add_errback(causes.append)
        return connection

    manager.get_connection = connect_and_watch


def _widen_reads(manager: Any) -> None:  # noqa: ANN401
    """Lets connections read RECEIVE_BYTES at a time.

    The client reads 4 kB a call, which costs a fetch of megabytes more than all else it does.
    """
    build = manager._build_transport

    async def build_and_widen(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        transport = await build(*args, **options)
        transport._sock_recv = partial(_receive, transport._sock, bytearray(RECEIVE_BYTES))
        return transport

    manager._build_transport = build_and_widen


def _receive(sock: Any, buffer: bytearray) -> tuple[bytes | memoryview, Any]:  # noqa: ANN401
    """What a socket has at once, and why it has ended, if it has.

    The bytes are a view of the buffer, good until the next call, where the buffer holds them all;
    else a copy. All are taken: what an encrypted connection has decrypted wakes nobody up.
    """
    full: list[bytes] = []
    view, filled, ended = memoryview(buffer), 0, None
    try:
        while True:
            size = sock.recv_into(view[filled:])
            if not size:
                ended = k.KafkaConnectionError("socket disconnected")
                break
            filled += size
            if filled == len(buffer):
                full.append(bytes(buffer))
                filled = 0
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    except OSError as error:
        ended = k.KafkaConnectionError(error)
    received = view[:filled]
    return b"".join([*full, received]) if full else received, ended


def _refused(doing: str, error: BaseException, causes: deque[BaseException]) -> Exception:
    """Our error for a client that could not start, with the cause that a person can mend if any."""
    found = [mapped(cause, doing) for cause in causes]
    for ours in found:
        if isinstance(ours, UsageError):
            return ours
    ours = mapped(error, doing)
    if ours is not None and any("disconnected" in str(cause) for cause in causes):
        return TransientError(
            f"{ours}; servers took the connection and closed it: if they are up, check the log's "
            "options security_protocol, sasl_* and ssl_*"
        )
    return ours or LeadlineError(f"{doing}: {error}")


def _mend(producer: Any) -> None:  # noqa: ANN401 (the client has no types)
    """Lets an idempotent producer go on after a batch that it had sent has expired.

    The client (3.0.12) then forgets its producer id but stays in the state of having one, so that
    it never asks for another, and sends nothing any more.
    """
    manager = producer._transaction_manager
    forget = manager.reset_producer_id

    def forget_and_ask_again() -> None:
        with manager._lock:
            forget()
            manager._current_state = TransactionState.UNINITIALIZED

    manager.reset_producer_id = forget_and_ask_again


def _end(nets: list[Any]) -> None:
    for net in nets:
        net._manager.close()
        net._net.stop(timeout_ms=1000)
        net.close()


def _check_security(security: Mapping[str, str]) -> None:
    """Refuses what the client would pass over: it speaks plain text under a misspelt protocol."""
    choices = {
        "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"),
        "ssl_check_hostname": ("true", "false"),
    }
    for name, allowed in choices.items():
        if name in security and security[name] not in allowed:
            raise UsageError(
                f"log option {name} = {security[name]!r} is none of {', '.join(allowed)}"
            )
    protocol = security.get("security_protocol", "PLAINTEXT")
    for prefix in ("sasl_", "ssl_"):
        given = [name for name in security if name.startswith(prefix)]
        if given and prefix.rstrip("_").upper() not in protocol.split("_"):
            raise UsageError(
                f"log option(s) {', '.join(given)} have no effect under {protocol}",
                "set security_protocol to the listener's protocol, for instance SASL_SSL",
            )
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        if name in security and not Path(security[name]).is_file():
            raise UsageError(f"log option {name}: there is no file {security[name]}")


def _security(settings: KafkaSettings) -> dict[str, Any]:
    chosen: dict[str, Any] = dict(settings.security)
    if "ssl_check_hostname" in chosen:
        chosen["ssl_check_hostname"] = chosen["ssl_check_hostname"] == "true"
    return chosen


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
