"""Whose prediction it is: the id of a request, its rows' ids, and its version."""

from __future__ import annotations

from collections.abc import Mapping

from leadline.gateway.core.scan import Parameter, as_text
from leadline.records.ids import id_from_text, row_id
from leadline.records.models import NAME_LENGTH_MAX

ID_HEADER = "leadline-id"
"""Metadata in which a caller may send the id, and in which every logged answer carries it."""
LOG_HEADER = "leadline-log"
"""Metadata; "off" asks that the request is not logged."""
HEADER_TEXT_MAX = 256
"""Longer ids come back as the UUID that stands for them: metadata is small by contract."""
UNKNOWN_VERSION = "unknown"


def id_text(
    id_from: str,
    request_id: str,
    parameters: Mapping[str, Parameter],
    metadata: Mapping[str, str],
) -> str:
    """The id as the caller wrote it; empty: a fresh one is needed.

    The caller's own `leadline-id` metadata comes first, then what the model declares. Where the
    declared place is empty the id is fresh: the answer says which.
    """
    if own := metadata.get(ID_HEADER, ""):
        return own
    head, _, name = id_from.partition(":")
    if head == "request":
        return request_id
    if head == "parameter":
        return as_text(parameters[name]) if name in parameters else ""
    if head == "header":
        return metadata.get(name.lower(), "")
    return ""


def canonical(identity: bytes) -> str:
    """The 16 bytes as the canonical text of a UUID; `id_from_text` gives the bytes back."""
    digits = identity.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def returned(text: str) -> str:
    """What goes back in metadata for an id that came as text: the text, where metadata can hold it.

    Metadata is printable ASCII, and spaces at its ends are lost on the way: such a text comes back
    as the UUID that stands for it, which names the same prediction.
    """
    plain = text.isascii() and text.isprintable() and text == text.strip()
    return text if plain and len(text) <= HEADER_TEXT_MAX else canonical(id_from_text(text))


def row_ids(request_id: bytes, rows: int) -> list[bytes]:
    """Ids of the rows of a request; row 0 has the request's own."""
    return [request_id] if rows == 1 else [row_id(request_id, row) for row in range(rows)]


def version_of(
    version_from: str,
    answered: str,
    answer_parameters: Mapping[str, Parameter],
    request_parameters: Mapping[str, Parameter],
) -> str:
    """The version that is logged: the answer's, a parameter's (answer before request), or a tag.

    Where a declared parameter is missing, the answer's own version stands.
    """
    head, _, name = version_from.partition(":")
    version = answered
    if head == "tag":
        version = name
    elif head == "parameter":
        found = answer_parameters.get(name, request_parameters.get(name))
        version = answered if found is None else as_text(found)
    allowed = version and "/" not in version and version.isprintable()
    return version[:NAME_LENGTH_MAX] if allowed else UNKNOWN_VERSION
