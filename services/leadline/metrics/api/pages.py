"""Pagination by opaque tokens.

A token holds the place from which the next page goes on, what was resolved for the first page (the
version, the window: "the last hour" must not move between two pages), and a digest of the
question, so that a token of another question is refused instead of giving nonsense. It is signed
by nothing: it grants nothing that a request could not ask for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping

from google.protobuf.message import Message

from leadline.runtime.grpc_status import FieldError

TOKEN_LENGTH_MAX = 2048
"""A token holds a few numbers and a name; a longer text is none."""

Place = dict[str, int | str]


def page_size(asked: int, default: int, most: int, field: str = "page_size") -> int:
    """Rows of a page: 0 means the default, more than `most` means `most`.

    Raises:
        FieldError: it is negative.
    """
    if asked < 0:
        raise FieldError(field, f"{field} is {asked}; it is 0 for {default}, or positive.")
    return min(asked or default, most)


def question_digest(request: Message) -> str:
    """A digest of everything in a request but its page_size and page_token."""
    question = type(request)()
    question.CopyFrom(request)
    question.ClearField("page_size")
    question.ClearField("page_token")
    text = type(request).__name__.encode() + question.SerializeToString(deterministic=True)
    return hashlib.sha256(text).hexdigest()[:16]


def write_token(question: str, place: Mapping[str, int | str]) -> str:
    """The token of a place in the answer to a question."""
    text = json.dumps({"q": question, **place}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, question: str, like: Mapping[str, type]) -> Place | None:
    """The place in a token; None for an empty token, which asks for the first page.

    Args:
        token: as a client sent it.
        question: digest of the request that carries it.
        like: the keys that the place has, with their types.

    Raises:
        FieldError: it is no token of this question.
    """
    if not token:
        return None
    try:
        found = json.loads(_decoded(token))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.pop("q", None) != question:
        raise _refused()
    if {key: type(value) for key, value in found.items()} != dict(like):
        raise _refused()
    return found


def _decoded(token: str) -> bytes:
    if len(token) > TOKEN_LENGTH_MAX:
        raise _refused()
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(token) from error


def _refused() -> FieldError:
    return FieldError(
        "page_token",
        "This page_token does not belong to this request.",
        "Send the next_page_token of an answer to the same request, or none for the first page.",
    )
