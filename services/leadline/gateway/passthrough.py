"""Calls through the gateway, as bytes both ways.

Metadata, deadlines, cancellation, statuses and trailing metadata go through unchanged in both
directions; what the transport itself writes (user-agent, encodings) is written anew by each hop.
Methods that are not known go through as streams, which carry every kind of call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc

from leadline.gateway.tee import Tee

SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
STREAM_INFER = SERVICE + "ModelStreamInfer"
UNARY = frozenset(
    SERVICE + name
    for name in (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
        "TraceSetting",
        "LogSettings",
    )
)
HOP_HEADERS = frozenset(
    {"user-agent", "te", "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"}
)
DRAINING = "The gateway is stopping; connect again."

_log = logging.getLogger(__name__)

Pair = tuple[str, str | bytes]
if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]
    UnaryCall = grpc.aio.UnaryUnaryCall[bytes, bytes]
    StreamCall = grpc.aio.StreamStreamCall[bytes, bytes]
    Handler = grpc.RpcMethodHandler[bytes, bytes]


class Passthrough(grpc.GenericRpcHandler):
    """Sends every call that no other handler takes to the inference server.

    Args:
        channel: to the inference server.
        tee: looks at what passes.
        draining: set when open streams shall end.
    """

    def __init__(self, channel: grpc.aio.Channel, tee: Tee, draining: asyncio.Event) -> None:
        self._channel = channel
        self._tee = tee
        self._draining = draining
        self._model_infer: Any = channel.unary_unary(INFER)
        self._handlers = {name: self._unary_handler(name) for name in UNARY}
        self._handlers[INFER] = grpc.unary_unary_rpc_method_handler(self._infer)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """The handler of a call; every method has one."""
        method = handler_call_details.method
        known = self._handlers.get(method)
        return known or grpc.stream_stream_rpc_method_handler(self._stream_behaviour(method))

    async def _infer(self, request: bytes, context: Context) -> bytes:
        """ModelInfer: passes it through, then lets the tee know what passed."""
        began = time.perf_counter()
        metadata = forwarded(context.invocation_metadata())
        plan = self._tee.plan(request, metadata)
        sent = time.perf_counter()
        call = self._model_infer(
            request, timeout=context.time_remaining(), metadata=metadata or None
        )
        try:
            answer: bytes = await call
        except grpc.aio.AioRpcError as error:
            self._tee.refused(plan, error.code())
            await relay_error(context, call, error)
            raise AssertionError("abort always raises") from error
        back = time.perf_counter()
        trailing = await relay_initial(context, call)
        trailing += self._tee.answered(plan, request, answer)
        if trailing:
            context.set_trailing_metadata(trailing)
        self._tee.added(sent - began + time.perf_counter() - back)
        return answer

    def _unary_handler(self, method: str) -> Handler:
        upstream: Any = self._channel.unary_unary(method)

        async def unary(request: bytes, context: Context) -> bytes:
            metadata = forwarded(context.invocation_metadata())
            call = upstream(request, timeout=context.time_remaining(), metadata=metadata or None)
            try:
                answer: bytes = await call
            except grpc.aio.AioRpcError as error:
                await relay_error(context, call, error)
            if trailing := await relay_initial(context, call):
                context.set_trailing_metadata(trailing)
            return answer

        return grpc.unary_unary_rpc_method_handler(unary)

    def _stream_behaviour(self, method: str) -> Callable[..., Any]:
        upstream: Any = self._channel.stream_stream(method)
        look = self._tee.streamed if method == STREAM_INFER else None

        async def stream(requests: AsyncIterator[bytes], context: Context) -> None:
            metadata = forwarded(context.invocation_metadata())
            call = upstream(timeout=context.time_remaining(), metadata=metadata or None)
            sending = asyncio.create_task(_send(requests, call, look))
            ending = asyncio.create_task(self._end(call))
            try:
                await self._receive(call, context)
            finally:
                sending.cancel()
                ending.cancel()
                call.cancel()

        return stream

    async def _end(self, call: StreamCall) -> None:
        await self._draining.wait()
        call.cancel()

    async def _receive(self, call: StreamCall, context: Context) -> None:
        """Passes answers on until the stream ends, then its status."""
        try:
            if initial := pairs(await call.initial_metadata()):
                await context.send_initial_metadata(initial)
            while isinstance(answer := await call.read(), bytes):
                await context.write(answer)
        except grpc.aio.AioRpcError:
            pass  # the status says it
        except asyncio.CancelledError:
            # Ours to end only when we drain; else the caller has gone, or we are being stopped.
            if not self._draining.is_set():
                raise
        if self._draining.is_set() and call.cancelled():
            await context.abort(grpc.StatusCode.UNAVAILABLE, DRAINING)
        code = await call.code()
        trailing = pairs(await call.trailing_metadata())
        if code is not grpc.StatusCode.OK:
            await context.abort(code, await call.details() or "", trailing)
        if trailing:
            context.set_trailing_metadata(trailing)


async def _send(
    requests: AsyncIterator[bytes], call: StreamCall, look: Callable[[bytes], None] | None
) -> None:
    """Passes requests on until the caller has said all, or the server has ended the call.

    Messages are written below the library's own `write`: that one, when the server ends the call
    meanwhile, puts a status of its own in the place of the server's.
    """
    try:
        await call.wait_for_connection()
        below = getattr(call, "_cython_call", None)
        write = call.write if below is None else below.send_serialized_message
        async for request in requests:
            if look is not None:
                look(request)
            await write(request)
        await call.done_writing()
    except Exception as error:  # the call has ended; its status says why
        _log.debug("a stream takes no more requests: %r", error)


def forwarded(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[Pair, ...]:
    """Metadata without what each hop writes itself."""
    return tuple((key, value) for key, value in metadata or () if key not in HOP_HEADERS)


def pairs(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[Pair, ...]:
    """Metadata of a call as plain pairs."""
    return tuple((key, value) for key, value in metadata or ())


async def relay_initial(context: Context, call: UnaryCall) -> tuple[Pair, ...]:
    """Sends an answer's initial metadata on, where it has any; returns its trailing metadata."""
    if initial := pairs(await call.initial_metadata()):
        await context.send_initial_metadata(initial)
    return pairs(await call.trailing_metadata())


async def relay_error(context: Context, call: UnaryCall, error: grpc.aio.AioRpcError) -> None:
    """Ends the call as the inference server ended it: code, words and trailing metadata."""
    if initial := pairs(await call.initial_metadata()):
        await context.send_initial_metadata(initial)
    await context.abort(error.code(), error.details() or "", pairs(error.trailing_metadata()))
