"""What a command asks about: the options of a scope as its message."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click
from google.protobuf.duration_pb2 import Duration

from leadline.records.errors import UsageError
from leadline.v1 import evaluation_pb2 as pb

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}

window_option = click.option(
    "--window",
    default="",
    metavar="LENGTH",
    help="Up to now: 30m, 24h, 7d, 4w. Else everything.",
)
slice_option = click.option(
    "--slice", "slices", multiple=True, metavar="COLUMN=VALUE", help="Only these; repeatable."
)


def scope_of(model: str, version: str, window: str, slices: Iterable[str]) -> pb.Scope:
    """The scope that options say.

    Raises:
        UsageError: one cannot be read.
    """
    name = f"models/{model.removeprefix('models/')}"
    scope = pb.Scope(name=f"{name}/versions/{version}" if version else name)
    if window:
        match = re.fullmatch(r"(\d+)([mhdw])", window)
        if match is None:
            raise UsageError(f"window {window!r}", "Write a number and m, h, d or w: 24h")
        scope.last.CopyFrom(Duration(seconds=int(match[1]) * _UNITS[match[2]]))
    for each in slices:
        column, found, value = each.partition("=")
        if not found:
            raise UsageError(f"slice {each!r}", "Write COLUMN=VALUE")
        scope.slices.add(column=column, value=value)
    return scope
