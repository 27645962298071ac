"""Resource names and scopes of requests, read once, here.

models/NAME
models/NAME/versions/VERSION
models/NAME/versions/VERSION/cases/ID      ID: 32 hexadecimal digits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from leadline.metrics.core.merging import Merge, Merges
from leadline.metrics.core.scope import MINUTE_US, Last, Scope, Window
from leadline.runtime.grpc_status import FieldError
from leadline.v1 import evaluation_pb2

WINDOW_MINUTES_MAX = 10 * 366 * 24 * 60
"""Ten years: nobody looks back further, and sums stay within their types."""
MERGED_CLASSES_MAX = 10_000
"""Classes in the merges of one question: they are part of the key by which answers are kept."""
COLUMNS_MAX = 3
"""A series has no more slice columns."""


@dataclass(frozen=True, slots=True)
class CaseName:
    """A case: its version and its 16 id bytes."""

    model: str
    version: str
    id: bytes


def model_name(model: str) -> str:
    """The resource name of a model."""
    return f"models/{model}"


def version_name(model: str, version: str) -> str:
    """The resource name of a version."""
    return f"models/{model}/versions/{version}"


def case_name(model: str, version: str, case_id: bytes) -> str:
    """The resource name of a case."""
    return f"{version_name(model, version)}/cases/{case_id.hex()}"


def parse_model(name: str, field: str = "name") -> str:
    """The model in "models/NAME"; raises FieldError for another name."""
    parts = name.split("/")
    if len(parts) == 2 and parts[0] == "models" and parts[1]:
        return parts[1]
    raise FieldError(field, f"{name!r} is no model name.", "It is written models/NAME.")


def parse_version(name: str, field: str) -> tuple[str, str]:
    """(model, version) in a model's or a version's name; version is empty for a model's.

    Raises:
        FieldError: it is neither.
    """
    parts = name.split("/")
    if parts[0] == "models" and all(parts):
        if len(parts) == 2:
            return parts[1], ""
        if len(parts) == 4 and parts[2] == "versions":
            return parts[1], parts[3]
    raise FieldError(
        field,
        f"{name!r} names no model and no version.",
        "It is written models/NAME for the champion, or models/NAME/versions/VERSION.",
    )


def parse_case(name: str, field: str = "name") -> CaseName:
    """The case of a name; raises FieldError for another name."""
    parts = name.split("/")
    form = [part for at, part in enumerate(parts) if at % 2 == 0]
    if len(parts) == 6 and form == ["models", "versions", "cases"] and all(parts):
        try:
            case_id = bytes.fromhex(parts[5])
        except ValueError:
            case_id = b""
        if len(case_id) == 16:
            return CaseName(parts[1], parts[3], case_id)
    raise FieldError(
        field,
        f"{name!r} names no case.",
        "It is written models/NAME/versions/VERSION/cases/ID, ID as 32 hexadecimal digits.",
    )


def parse_scope(message: evaluation_pb2.Scope) -> Scope:
    """What a request asks about; raises FieldError for what cannot be meant."""
    model, version = parse_version(message.name, "scope.name")
    slices = tuple(sorted((each.column, each.value) for each in message.slices))
    if any(not column for column, _ in slices):
        raise FieldError("scope.slices", "A slice condition names no column.")
    return Scope(model, version, parse_window(message, "scope"), slices, _merges(message))


def parse_unmerged(message: evaluation_pb2.Scope, what: str) -> Scope:
    """As `parse_scope`, of a question that merged classes have no answer to.

    Args:
        message: the scope.
        what: cannot be told of them, such as "Calibration".
    """
    scope = parse_scope(message)
    if scope.merges:
        raise FieldError(
            "scope.merges", f"{what} cannot be told of merged classes.", "Ask without merges."
        )
    return scope


def parse_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The slice columns to cross; raises FieldError for too many, an empty or a repeated one."""
    found = tuple(columns)
    if len(found) > COLUMNS_MAX or len(set(found)) < len(found) or not all(found):
        raise FieldError("columns", f"Crossed are at most {COLUMNS_MAX} different columns.")
    return found


def _merges(message: evaluation_pb2.Scope) -> Merges:
    merges = tuple(Merge(each.name, tuple(sorted(each.class_numbers))) for each in message.merges)
    numbers = [number for each in merges for number in each.classes]
    if any(len(each.classes) < 2 or not each.name for each in merges):
        raise FieldError("scope.merges", "A merge has a name and at least two classes.")
    if len(set(numbers)) < len(numbers):
        raise FieldError("scope.merges", "A class is in at most one merge, and once.")
    if len(numbers) > MERGED_CLASSES_MAX:
        raise FieldError("scope.merges", f"At most {MERGED_CLASSES_MAX} classes are merged.")
    return merges


def parse_window(
    message: evaluation_pb2.Scope | evaluation_pb2.ListSummariesRequest, field: str
) -> Window | Last | None:
    """The window of a request, widened to whole minutes; None when it asks for everything.

    Raises:
        FieldError: it is empty, negative or longer than ten years.
    """
    which = message.WhichOneof("window")
    if which == "last":
        return Last(minutes_of(message.last, f"{field}.last"))
    if which == "interval":
        return _interval(message.interval, f"{field}.interval")
    return None


def minutes_of(duration: Duration, field: str) -> int:
    """A positive duration in minutes, rounded up; raises FieldError for another one."""
    minutes = -(-duration.ToMicroseconds() // MINUTE_US)
    if not 0 < minutes <= WINDOW_MINUTES_MAX:
        raise FieldError(field, "A window is longer than 0 and at most ten years.")
    return minutes


def _interval(interval: evaluation_pb2.Interval, field: str) -> Window:
    if not interval.HasField("start_time") or not interval.HasField("end_time"):
        raise FieldError(field, "An interval has a start_time and an end_time.")
    start = interval.start_time.ToMicroseconds() // MINUTE_US
    end = -(-interval.end_time.ToMicroseconds() // MINUTE_US)
    if start < 0 or not start < end <= start + WINDOW_MINUTES_MAX:
        raise FieldError(
            field, "An interval starts before it ends, after 1970, and is at most ten years long."
        )
    return Window(start, end)
