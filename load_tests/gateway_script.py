"""Runs a script of `gateway/` and reads what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def outcome(script: str, words: list[str]) -> dict[str, Any]:
    """The JSON of a script; its exit code says only whether goals were met."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        place = Path(__file__).parent / "gateway" / script
        subprocess.run([sys.executable, str(place), *words, "--json", str(file)], check=False)
        found: dict[str, Any] = json.loads(file.read_text())
        return found
