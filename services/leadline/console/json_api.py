"""Every read method of the reader as JSON over HTTP.

    GET  /api/v1/EvaluationService/GetSummary?scope.name=models/digits&scope.last=3600s
    POST /api/v1/EvaluationService/GetSummary    {"scope": {"name": "models/digits"}}

A request is the method's message as JSON (protobuf's mapping, names as in the .proto files), or a
query whose keys are paths of fields: a repeated field may be given several times, and a message is
given as JSON. Errors have the status of HTTP that goes with gRPC's, and a body that says what is
wrong and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response

from leadline.runtime.grpc_status import remedy_of
from leadline.v1 import analysis_pb2, evaluation_pb2, models_pb2

FILES = (evaluation_pb2, analysis_pb2, models_pb2)
READS = ("Get", "List", "Compare")
"""How methods begin that change nothing."""
BODY_BYTES_MAX = 65_536
"""No question is longer."""
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
HEADERS = {"Cache-Control": "no-store"}


class QuestionError(ValueError):
    """A request that is no message of its method; the text says why."""


def read_methods() -> dict[tuple[str, str], MethodDescriptor]:
    """The methods that are served, by (service, method) without the package."""
    return {
        (service.name, method.name): method
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name.startswith(READS) and not method.server_streaming
    }


class JsonApi:
    """Answers requests out of a reader.

    Args:
        channel: to the reader.
        deadline_seconds: of each question.
    """

    def __init__(self, channel: grpc.aio.Channel, deadline_seconds: float) -> None:
        self._channel = channel
        self._deadline_seconds = deadline_seconds
        self._methods = read_methods()

    async def answer(self, request: Request) -> Response:
        """The answer to GET or POST /api/v1/SERVICE/METHOD."""
        name = request.path_params["service"], request.path_params["method"]
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(sorted("/".join(each) for each in self._methods))
            return _error(404, "UNKNOWN_METHOD", f"There is no {'/'.join(name)}.", f"Try: {known}.")
        try:
            question = await _question(request, method.input_type)
        except QuestionError as error:
            return _error(400, "REQUEST_INVALID", str(error), "See docs/api.md.")
        try:
            return _json(await self._ask(method, question))
        except grpc.aio.AioRpcError as error:
            return _failure(error)

    async def _ask(self, method: MethodDescriptor, question: Message) -> Message:
        call: Any = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(question).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        answer: Message = await call(question, timeout=self._deadline_seconds)
        return answer


async def _question(request: Request, kind: Descriptor) -> Message:
    if request.method == "POST":
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise QuestionError(f"A request has at most {BODY_BYTES_MAX} bytes.")
        try:
            found = json.loads(body or b"{}")
        except ValueError as error:
            raise QuestionError(f"The body is not JSON: {error}.") from error
        if not isinstance(found, dict):
            raise QuestionError("The body must be a JSON object.")
    else:
        found = message_of_query(request.query_params.multi_items(), kind)
    try:
        return json_format.ParseDict(found, GetMessageClass(kind)())
    except (json_format.ParseError, RecursionError) as error:
        raise QuestionError(str(error)) from error


def message_of_query(pairs: Iterable[tuple[str, str]], kind: Descriptor) -> dict[str, Any]:
    """The JSON object of a message out of (path of a field, value) pairs.

    Raises:
        QuestionError: a path names no field.
    """
    found: dict[str, Any] = {}
    for path, text in pairs:
        inner, message = found, kind
        *outer, last = path.split(".")
        for name in outer:
            field = _field(message, name, path)
            if field.message_type is None or field.is_repeated:
                raise QuestionError(f"{path!r}: {name!r} has no fields; give it as JSON.")
            message = field.message_type
            inner = inner.setdefault(field.name, {})
        field = _field(message, last, path)
        value = _value(field, text)
        if field.is_repeated:
            inner.setdefault(field.name, []).append(value)
        else:
            inner[field.name] = value
    return found


def _field(message: Descriptor, name: str, path: str) -> FieldDescriptor:
    field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
    if field is None:
        known = ", ".join(each.name for each in message.fields)
        raise QuestionError(f"{path!r}: {message.name} has no {name!r}; it has {known}.")
    return field


def _value(field: FieldDescriptor, text: str) -> Any:  # noqa: ANN401 - whatever JSON has
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if field.message_type is None or not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise QuestionError(f"{field.name} is not JSON: {error}.") from error


def _json(message: Message, status: int = 200) -> Response:
    text = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    return Response(text, status, HEADERS, "application/json")


def _failure(error: grpc.aio.AioRpcError) -> Response:
    code: grpc.StatusCode = error.code()
    text = error.details() or "No answer."
    return _error(STATUSES.get(code, 502), code.name, text, remedy_of(error))


def _error(status: int, code: str, text: str, remedy: str) -> Response:
    body: Mapping[str, str] = {"code": code, "message": text, "remedy": remedy}
    return Response(json.dumps({"error": body}), status, HEADERS, "application/json")
