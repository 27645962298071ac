"""The server of all services: errors as statuses, deadlines, drain."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from leadline.records.errors import (
    DeadLetterReason,
    FencedError,
    InputError,
    LeadlineError,
    NotFoundError,
    StoppedError,
    TransientError,
    UsageError,
)
from leadline.runtime import grpc_status
from leadline.runtime.grpc_server import GrpcOptions, GrpcServer
from leadline.runtime.grpc_status import BusyError, FieldError, failure_of

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 20
ERRORS = {
    "input": InputError(DeadLetterReason.HEADER, "no model"),
    "field": FieldError("scope.name", "wrong", "write it so"),
    "missing": NotFoundError("nothing of that name", "look there"),
    "stopped": StoppedError("cut", "reset it"),
    "usage": UsageError("wrong", "do that"),
    "fenced": FencedError("moved on"),
    "busy": BusyError("full"),
    "transient": TransientError("secret host is down"),
    "bug": RuntimeError("secret"),
}


async def answer(request: bytes, _context: object) -> bytes:
    """Raises the named error, hangs, or echoes."""
    if request == b"hang":
        await asyncio.Event().wait()
    if (error := ERRORS.get(request.decode())) is not None:
        raise error
    return request


async def answers(request: bytes, context: object):
    yield request
    yield await answer(request, context)


class Handlers(grpc.GenericRpcHandler):
    """A service without messages: /test.Echo/One and /test.Echo/Many."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "/test.Echo/One": grpc.unary_unary_rpc_method_handler(answer),
            "/test.Echo/Many": grpc.unary_stream_rpc_method_handler(answers),
        }.get(details.method)


@pytest.fixture
async def server():
    made = GrpcServer(GrpcOptions(deadline_seconds=0.3))
    made.server.add_generic_rpc_handlers((Handlers(),))
    await made.start(["test.Echo"])
    yield made
    await made.close(0.0)


@pytest.fixture
async def channel(server):
    async with grpc.aio.insecure_channel(server.address) as opened:
        yield opened


async def failure(channel, request: bytes) -> tuple[grpc.aio.AioRpcError, status_pb2.Status]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await channel.unary_unary("/test.Echo/One")(request)
    trailing = dict(failed.value.trailing_metadata())
    return failed.value, status_pb2.Status.FromString(trailing[grpc_status.DETAILS_KEY])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("input", "INVALID_ARGUMENT"),
        ("field", "INVALID_ARGUMENT"),
        ("missing", "NOT_FOUND"),
        ("stopped", "FAILED_PRECONDITION"),
        ("usage", "INVALID_ARGUMENT"),
        ("fenced", "ABORTED"),
        ("busy", "RESOURCE_EXHAUSTED"),
        ("transient", "UNAVAILABLE"),
        ("bug", "INTERNAL"),
    ],
)
async def test_every_error_has_a_code_and_details(channel, name, code):
    error, status = await failure(channel, name.encode())
    assert error.code().name == code
    assert status.code == error.code().value[0]
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, bool(info.reason)) == ("leadline", True)
    assert "secret" not in str(status)


async def test_a_field_is_named_and_a_retry_is_advised(channel):
    _, status = await failure(channel, b"field")
    violations = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(violations)
    assert violations.field_violations[0].field == "scope.name"
    _, status = await failure(channel, b"transient")
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToSeconds() == 1


async def test_a_client_reads_the_remedy(channel):
    call = channel.unary_unary("/test.Echo/One")(b"usage")
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    error, _ = await failure(channel, b"usage")
    assert grpc_status.remedy_of(error) == "do that"


async def test_a_stream_fails_like_a_call_after_what_it_sent(channel):
    call = channel.unary_stream("/test.Echo/Many")(b"missing")
    assert await call.read() == b"missing"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_call_that_hangs_ends(channel):
    async with asyncio.timeout(DEADLINE_SECONDS):
        error, _ = await failure(channel, b"hang")
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_what_works_is_left_alone(channel):
    assert await channel.unary_unary("/test.Echo/One")(b"fine") == b"fine"


async def test_an_address_that_is_taken_is_named(server):
    other = GrpcServer(GrpcOptions(address=server.address))
    with pytest.raises(UsageError, match="Cannot listen"):
        await other.start([])


def test_every_error_of_the_tree_is_mapped():
    """A new kind of error must be given a code: none falls through to INTERNAL."""

    def tree(kind: type[LeadlineError]):
        for child in kind.__subclasses__():
            yield child
            yield from tree(child)

    for kind in tree(LeadlineError):
        if kind.__module__.startswith("leadline.records"):
            made = kind.__new__(kind)
            assert failure_of(made).code is not grpc.StatusCode.INTERNAL, kind
