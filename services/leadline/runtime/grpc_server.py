"""The gRPC server of every service: health, reflection, limits, errors, deadlines, graceful drain.

    server = GrpcServer(options)
    add_EvaluationServiceServicer_to_server(servicer, server.server)
    await server.start(["leadline.v1.EvaluationService"])
    ...
    await server.close(grace_seconds=10)

Draining goes: health answers NOT_SERVING, so that balancers look elsewhere; the hook of the service
ends its streams; new calls are refused; calls under way have the grace period.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from leadline.records.errors import LeadlineError, UsageError
from leadline.runtime.grpc_status import failure_of, status_of, trailing_of

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]
Call = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncIterator[Any]]

_LOG = logging.getLogger("leadline.grpc")


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """Bounds of a server.

    Attributes:
        address: "HOST:PORT"; port 0 takes a free one.
        message_bytes_max: of a request or an answer: an image of a case, a matrix of 1,000 classes.
        concurrent_calls_max: further calls get RESOURCE_EXHAUSTED; streams count.
        deadline_seconds: of unary calls that bring no earlier deadline, so that a forgotten call
            does not hold a thread for ever; 0 sets none.
        keepalive_seconds: idle connections are pinged, so that dead ones are noticed behind a
            balancer that drops them silently.
        connection_age_seconds: connections are asked to reconnect after it, so that load spreads
            over new replicas; 0 never.
        connection_grace_seconds: what calls under way have after that.
    """

    address: str = "127.0.0.1:0"
    message_bytes_max: int = 16 * 1024 * 1024
    concurrent_calls_max: int = 1000
    deadline_seconds: float = 30.0
    keepalive_seconds: float = 60.0
    connection_age_seconds: float = 0.0
    connection_grace_seconds: float = 30.0

    def channel_arguments(self) -> list[tuple[str, int]]:
        """The options as grpc wants them."""
        found = [
            ("grpc.max_receive_message_length", self.message_bytes_max),
            ("grpc.max_send_message_length", self.message_bytes_max),
            ("grpc.keepalive_time_ms", int(self.keepalive_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.so_reuseport", 0),
        ]
        if self.connection_age_seconds:
            age, grace = self.connection_age_seconds, self.connection_grace_seconds
            found.append(("grpc.max_connection_age_ms", int(age * 1000)))
            found.append(("grpc.max_connection_age_grace_ms", int(grace * 1000)))
        return found


class GrpcServer:
    """A server on grpc.aio. Construct and use it within one running event loop.

    Args:
        options: bounds.
        on_drain: called when draining starts; ends the service's streams.
        extra_interceptors: run outside the error mapping.

    Attributes:
        server: where servicers are added before `start`.
        address: "HOST:PORT" with the real port, after `start`.
    """

    def __init__(
        self,
        options: GrpcOptions,
        *,
        on_drain: Callable[[], Awaitable[None]] | None = None,
        extra_interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._options = options
        self._on_drain = on_drain
        self._health = health.aio.HealthServicer()
        self.server: grpc.aio.Server = grpc.aio.server(
            interceptors=[*extra_interceptors, ErrorInterceptor(options.deadline_seconds)],
            options=options.channel_arguments(),
            maximum_concurrent_rpcs=options.concurrent_calls_max,
        )
        self.address = ""

    async def start(self, services: Sequence[str]) -> None:
        """Listens and serves.

        Args:
            services: full names of the services that were added, for health and reflection.

        Raises:
            UsageError: the address is taken or no address.
        """
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self.server)
        host = self._options.address.rpartition(":")[0]
        try:
            port = self.server.add_insecure_port(self._options.address)
        except RuntimeError as error:
            raise UsageError(
                f"Cannot listen on {self._options.address!r}.",
                "Choose a free port: another process listens there, or it is no HOST:PORT.",
            ) from error
        await self.server.start()
        self.address = f"{host}:{port}"
        for name in ("", *services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def close(self, grace_seconds: float) -> None:
        """Drains and ends; calls under way have at most that long."""
        await self._health.enter_graceful_shutdown()
        if self._on_drain is not None:
            await self._on_drain()
        await self.server.stop(grace_seconds)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps what handlers raise to statuses with details, and bounds the time of unary answers.

    Args:
        deadline_seconds: for unary answers; 0 sets none.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a call, guarded. Handlers that write by themselves are left alone."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method
        for kind in ("unary_unary", "stream_unary"):
            inner = getattr(handler, kind)
            if inspect.iscoroutinefunction(inner):
                return _rebuilt(handler, kind, self._guarded_call(inner, name))
        for kind in ("unary_stream", "stream_stream"):
            inner = getattr(handler, kind)
            if inspect.isasyncgenfunction(inner):
                return _rebuilt(handler, kind, _guarded_stream(inner, name))
        return handler

    def _guarded_call(self, inner: Call, name: str) -> Call:
        limit = self._deadline_seconds or None

        async def call(request: object, context: Context) -> object:
            try:
                async with asyncio.timeout(limit):
                    return await inner(request, context)
            except Exception as error:
                await _abort(context, error, name)

        return call


def _guarded_stream(inner: Stream, name: str) -> Stream:
    async def stream(request: object, context: Context) -> AsyncIterator[object]:
        try:
            async for answer in inner(request, context):
                yield answer
        except Exception as error:
            await _abort(context, error, name)

    return stream


def _rebuilt(handler: Handler, kind: str, behaviour: Callable[..., Any]) -> Handler:
    build = getattr(grpc, f"{kind}_rpc_method_handler")
    rebuilt: Handler = build(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return rebuilt


async def _abort(context: Context, error: BaseException, name: str) -> NoReturn:
    """Ends the call with the error's status; logs what no caller may see.

    A handler that has aborted by itself goes on with its own status.
    """
    if isinstance(error, (grpc.aio.AbortError, grpc.aio.BaseError)):
        raise error
    if not isinstance(error, (LeadlineError, TimeoutError)):
        _LOG.error("%s failed", name, exc_info=error)
    elif not isinstance(error, UsageError):
        _LOG.warning("%s: %s", name, error)
    failure = failure_of(error)
    status = status_of(failure)
    await context.abort(failure.code, failure.text, trailing_of(status))
    raise AssertionError("abort always raises")
