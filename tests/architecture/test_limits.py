"""docs/limits.md names every bound that can be set, and its values are those of the code."""

import re
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from leadline.cli.options import stop_option
from leadline.cli.sections import SECTIONS, settings_class
from leadline.cli.stopping import STOP_SECONDS
from leadline.runtime.log.kafka_client import KafkaSettings
from leadline.runtime.log.local_file import LocalSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows(text):
    """Name to (value, what happens, where it shows)."""
    return {name: (value, told, shown) for name, value, told, shown in ROW.findall(text)}


LISTED = rows(PAGE.read_text(encoding="utf-8"))


def settable():
    """Settings that are bounds by their name."""
    found = [
        f"{section}.{name}"
        for section in SECTIONS
        for name in settings_class(section).model_fields
        if name.endswith("_max")
    ]
    for kind in (KafkaSettings, LocalSettings):
        names = [each.name for each in fields(kind)]
        found += [f"{kind.__name__}.{name}" for name in names if "max" in name or "timeout" in name]
    return found


@pytest.mark.parametrize("name", settable())
def test_every_bound_that_can_be_set_is_listed(name):
    assert name in LISTED, f"add `{name}` to docs/limits.md: what happens, and where it shows"


def test_every_line_of_a_table_is_read():
    """A name or a number that ROW does not read would be checked by nobody."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("| `")]
    assert len(tables) == len(LISTED) > 50


@pytest.mark.parametrize("name", LISTED)
def test_a_bound_says_what_happens_and_where_that_shows(name):
    _, told, shown = LISTED[name]
    assert told.strip()
    assert shown.strip()


def test_values_are_those_of_the_code(generate):
    """`python docs/generate.py` writes them; its --check is a test of the reference pages."""
    stale = "| `wire.dead_letters.COPY_BYTES` | 5 | cut | nowhere |"
    assert generate.limits(stale) == "| `wire.dead_letters.COPY_BYTES` | 4096 | cut | nowhere |"
    assert generate.limit("owner.pairs_max") == 4
    assert generate.limit("KafkaSettings.stall_seconds") == 30.0


@pytest.mark.parametrize("name", ["owner.none_max", "KafkaSettings.none", "wire.rows.NONE", "x.Y"])
def test_a_bound_that_the_code_does_not_have_is_noticed(generate, name):
    with pytest.raises((LookupError, AttributeError, ImportError)):
        generate.limits(f"| `{name}` | 5 | cut | nowhere |")


@pytest.fixture(scope="module")
def generate():
    """docs/generate.py as a module."""
    spec = spec_from_file_location("docs_generate", PAGE.with_name("generate.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_option_has_the_constants_default():
    command = stop_option(lambda: None)
    assert [each.default for each in command.__click_params__] == [STOP_SECONDS]
