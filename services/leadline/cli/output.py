"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
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
