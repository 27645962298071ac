"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console


def console() -> Console:
    """The terminal; colour and width as it has them."""
    from rich.console import Console as Terminal  # noqa: PLC0415 - half of a start-up

    return Terminal(highlight=False, soft_wrap=False)


def print_json(value: object) -> None:
    """One JSON value, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def percent(value: float | None) -> str:
    """A share as text; a dash without a trial."""
    return "-" if value is None else f"{100 * value:.2f} %"


def message_dict(message: Message) -> dict[str, Any]:
    """A message as plain values, zeros too; 64-bit numbers are texts, as in protobuf's JSON."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - only for --json

    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found
