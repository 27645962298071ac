"""Writes docs/configuration.md from the settings, and the values in docs/limits.md from the code.

With --check it only says whether they are current.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from leadline.cli.sections import SECTIONS, settings_class
from leadline.runtime.declaration import InputDeclaration, ModelDeclaration, OutputDeclaration
from leadline.runtime.log.kafka_client import KafkaSettings
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.producer import ProducerLimits
from leadline.runtime.settings import SettingRow, describe_settings

PAGE = Path(__file__).with_name("configuration.md")
LIMITS = PAGE.with_name("limits.md")
LIMIT = re.compile(r"^\| `([\w.]+)` \| (\S+) \|", re.MULTILINE)
"""Name and value of a bound: a setting, an option of the log, or a constant by its module."""
OPTIONS = {each.__name__: each for each in (KafkaSettings, LocalSettings, ProducerLimits)}
INTRODUCTION = """# Configuration

This page is generated from the settings themselves: `python docs/generate.py`.

A service reads its settings once, at its start:

1. from the variable `LEADLINE_<SECTION>_<SETTING>`: `LEADLINE_GATEWAY_STREAM=fraud`;
2. else from its section of the YAML file given by `leadline serve SERVICE --config FILE`;
3. else, for `log_url`, `store_url` and `blob_url`, from `LEADLINE_LOG_URL`, `LEADLINE_STORE_URL`
   and `LEADLINE_BLOB_URL`, which hold for all sections;
4. else the default.

A name that no setting has is an error that names the nearest one. `leadline doctor --config FILE`
checks all sections. Values with more than one part are written as YAML: `[a, b]`.

```yaml
gateway:
  triton_address: triton:8001
  log_url: kafka://broker:9092
console:
  listen_address: 0.0.0.0:8430
```

The client and the commands read `LEADLINE_LOG_URL`, `LEADLINE_STORE_URL`, `LEADLINE_READER` and
`LEADLINE_GATEWAY`; an option on the command line stands over its variable.
"""
DECLARATIONS = """## Declarations of models

The fields of a file for `leadline models apply`.
"""


def main() -> int:
    """Writes or checks the page."""
    current = True
    for target, text in ((PAGE, page()), (LIMITS, limits(LIMITS.read_text(encoding="utf-8")))):
        if "--check" not in sys.argv:
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{target.name} is not current: run `python docs/generate.py`\n")
            current = False
    return 0 if current else 1


def limits(text: str) -> str:
    """The page of limits with the values of the code; its words are written by hand."""
    return LIMIT.sub(lambda row: f"| `{row[1]}` | {limit(row[1])} |", text)


def limit(name: str) -> object:
    """The value of a bound by its name on the page.

    Raises:
        LookupError, AttributeError, ImportError: the code has none of that name.
    """
    head, _, last = name.rpartition(".")
    if head in SECTIONS:
        return settings_class(head).model_fields[last].default
    if head in OPTIONS:
        return {each.name: each.default for each in fields(OPTIONS[head])}[last]
    return getattr(import_module(f"leadline.{head}"), last)


def page() -> str:
    """The whole page."""
    sections = [
        f"## {section}\n\n" + _settings(describe_settings(settings_class(section), section))
        for section in SECTIONS
    ]
    return "\n".join([INTRODUCTION, *sections, DECLARATIONS + "\n" + _fields()])


def _settings(rows: list[SettingRow]) -> str:
    lines = ["| setting | kind | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        name = row.name.partition(".")[2]
        variables = f"`{row.variable}`" + (f" or `{row.shared}`" if row.shared else "")
        kind = row.kind + (f" {row.bounds}" if row.bounds else "")
        cells = [f"`{name}`<br>{variables}", _cell(kind), _cell(row.default), _cell(row.text)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _fields() -> str:
    lines = ["| field | kind | default | meaning |", "|---|---|---|---|"]
    for prefix, cls in (
        ("", ModelDeclaration),
        ("output.", OutputDeclaration),
        ("input.", InputDeclaration),
    ):
        for row in describe_settings(cls, "model"):
            name = prefix + row.name.partition(".")[2]
            if name in {"output", "input"}:
                continue
            kind = row.kind.replace("Literal", "one of ").replace("list[str]", "list of texts")
            kind += f" {row.bounds}" if row.bounds else ""
            default = "empty" if row.default == "[]" else row.default
            lines.append(f"| `{name}` | {_cell(kind)} | {_cell(default)} | {_cell(row.text)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
