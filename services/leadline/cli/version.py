"""`leadline version`."""

from __future__ import annotations

import platform
from importlib import metadata

import click

import leadline
from leadline.cli.options import json_option
from leadline.cli.output import print_json

LIBRARIES = ("numpy", "protobuf", "kafka-python", "crc32c", "grpcio", "psycopg", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Leadline, Python and the libraries that matter; empty: not installed."""
    found = {"leadline": leadline.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


@click.command("version")
@json_option
def command(*, as_json: bool) -> None:
    """Print versions of Leadline and of the libraries that matter."""
    found = versions()
    if as_json:
        print_json(found)
        return
    for name, version in found.items():
        click.echo(f"{name:<14}{version or 'not installed'}")
