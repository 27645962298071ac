"""docs/limits.md names every bound that can be set, and its values are those of the code."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from leadline.cli.options import stop_option
from leadline.cli.sections import SECTIONS, settings_class
from leadline.cli.stopping import STOP_SECONDS
from leadline.runtime.log.kafka_client import KafkaSettings
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.producer import ProducerLimits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
PLAIN = {each.__name__: each for each in (KafkaSettings, LocalSettings, ProducerLimits)}


def rows(text):
    """Name to (default, what happens, where it shows)."""
    return {name: (value, told, shown) for name, value, told, shown in ROW.findall(text)}


LISTED = rows(PAGE.read_text(encoding="utf-8"))


def value_of(name):
    """What the code has for a name of the page."""
    head, _, last = name.rpartition(".")
    if head in SECTIONS:
        return settings_class(head).model_fields[last].default
    if head in PLAIN:
        return next(each.default for each in fields(PLAIN[head]) if each.name == last)
    return getattr(import_module(f"leadline.{head}"), last)


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


@pytest.mark.parametrize("name", LISTED)
def test_the_page_states_the_value_of_the_code(name):
    value, told, shown = LISTED[name]
    assert str(value_of(name)) == value
    assert told.strip()
    assert shown.strip()


def test_every_line_of_a_table_is_read():
    """A name or a number that ROW does not read would be checked by nobody."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("| `")]
    assert len(tables) == len(LISTED) > 50


def test_a_wrong_value_is_noticed():
    (value, *_) = rows("| `owner.pairs_max` | 5 | x | y |")["owner.pairs_max"]
    assert str(value_of("owner.pairs_max")) != value


def test_the_option_has_the_constants_default():
    command = stop_option(lambda: None)
    assert [each.default for each in command.__click_params__] == [STOP_SECONDS]
