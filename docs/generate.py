"""Writes docs/configuration.md from the settings; with --check only says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from leadline.cli.sections import SECTIONS, settings_class
from leadline.runtime.declaration import InputDeclaration, ModelDeclaration, OutputDeclaration
from leadline.runtime.settings import SettingRow, describe_settings

PAGE = Path(__file__).with_name("configuration.md")
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
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE.name} is not current: run `python docs/generate.py`\n")
    return 1


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
