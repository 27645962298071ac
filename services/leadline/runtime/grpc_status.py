"""Errors as canonical gRPC statuses with details; the only mapping.

    InputError          INVALID_ARGUMENT
    FieldError          INVALID_ARGUMENT, with BadRequest naming the field
    NotFoundError       NOT_FOUND
    StoppedError        FAILED_PRECONDITION
    UsageError          INVALID_ARGUMENT
    FencedError         ABORTED: read again, then write
    BusyError           RESOURCE_EXHAUSTED
    TransientError      UNAVAILABLE, with RetryInfo
    asyncio's timeout   DEADLINE_EXCEEDED
    anything else       INTERNAL, without its text: that may hold what callers must not see

Every status carries google.rpc.ErrorInfo (reason, domain "leadline", metadata.remedy) and a
LocalizedMessage with the text and the remedy for people.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from leadline.records.errors import (
    FencedError,
    InputError,
    LeadlineError,
    NotFoundError,
    StoppedError,
    TransientError,
    UsageError,
)

DOMAIN = "leadline"
RETRY_SECONDS = 1
"""Long enough for a database to fail over its connection, short enough for a person."""
DETAILS_KEY = "grpc-status-details-bin"


class FieldError(UsageError):
    """A field of a request is wrong.

    Attributes:
        field: its path in the request, for example "scope.name".
    """

    def __init__(self, field: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class BusyError(LeadlineError):
    """A bound of the server is reached; the same call may succeed later."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a caller may see it.

    Attributes:
        reason: a stable word for scripts, UPPER_SNAKE_CASE.
        text: what is wrong.
        remedy: what to do; empty when the text says it.
        field: the request's field, when one is wrong.
    """

    code: grpc.StatusCode
    reason: str
    text: str
    remedy: str = ""
    field: str = ""


_CODES: tuple[tuple[type[LeadlineError], grpc.StatusCode, str], ...] = (
    (InputError, grpc.StatusCode.INVALID_ARGUMENT, "INPUT_REFUSED"),
    (FieldError, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
    (NotFoundError, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (StoppedError, grpc.StatusCode.FAILED_PRECONDITION, "SHARD_STOPPED"),
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
    (FencedError, grpc.StatusCode.ABORTED, "CHANGED_MEANWHILE"),
    (BusyError, grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY"),
    (TransientError, grpc.StatusCode.UNAVAILABLE, "TRY_AGAIN"),
)
"""The first row whose class fits decides: special errors stand above their base."""


def failure_of(error: BaseException) -> Failure:
    """What a caller may know of an error; never an unexpected error's text."""
    for kind, code, reason in _CODES:
        if isinstance(error, kind):
            if isinstance(error, TransientError) and not isinstance(error, FencedError):
                text = "The service cannot reach what it needs to answer; nothing is lost."
                return Failure(code, reason, text, "Try again in a moment.")
            return Failure(
                code,
                reason,
                str(error),
                getattr(error, "remedy", ""),
                getattr(error, "field", ""),
            )
    if isinstance(error, TimeoutError):
        return Failure(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE",
            "The answer took longer than the server allows.",
            "Ask for a shorter window, or try again when the service is less busy.",
        )
    return Failure(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        "The service failed to answer; its log says why.",
        "Report it with the time of the call.",
    )


def status_of(failure: Failure) -> status_pb2.Status:
    """The google.rpc.Status of a failure."""
    metadata = {"remedy": failure.remedy} if failure.remedy else {}
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=metadata)
    ]
    if failure.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=failure.field, description=failure.text
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if failure.code is grpc.StatusCode.UNAVAILABLE:
        delay = duration_pb2.Duration(seconds=RETRY_SECONDS)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    message = f"{failure.text} {failure.remedy}".strip()
    details.append(error_details_pb2.LocalizedMessage(locale="en", message=message))
    return status_pb2.Status(
        code=failure.code.value[0],
        message=failure.text,
        details=[_packed(detail) for detail in details],
    )


def trailing_of(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries a status with its details."""
    return ((DETAILS_KEY, status.SerializeToString()),)


def remedy_of(call: grpc.Call | grpc.aio.AioRpcError) -> str:
    """The remedy in a failed call's details, for clients; empty when it carries none."""
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.metadata.get("remedy", ""))
    return ""


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
