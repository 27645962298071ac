"""Every command and every setting is documented, and generated pages are current."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import click
import pytest

from leadline.cli.root import root
from leadline.cli.sections import SECTIONS, settings_class
from leadline.client import Log
from leadline.runtime.settings import describe_settings

DOCS = Path(__file__).parents[3] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str) -> list[str]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += commands(command, f"{path} {name}")
        else:
            found.append(f"{path} {name}")
    return found


@pytest.mark.parametrize("command", commands(root, "leadline"))
def test_every_command_is_documented(command):
    assert f"`{command}" in API


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented_with_its_meaning(section):
    for row in describe_settings(settings_class(section), section):
        assert row.variable in CONFIGURATION
        assert row.text, f"{row.name} has no description"


def test_every_argument_and_method_of_the_client_is_documented():
    for name in inspect.signature(Log).parameters:
        assert f"`{name}`" in API, name
    for name, _ in inspect.getmembers(Log, inspect.isfunction):
        if not name.startswith("_"):
            assert f"`{name}(" in API, name


def test_the_configuration_page_is_current():
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
