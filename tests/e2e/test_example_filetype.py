"""`make example-filetype` as a program, on some hundred generated files."""

import gzip
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ports import free_row

from leadline.testing.servers.process import accepts, dies_with_parent

pytestmark = pytest.mark.timeout(300)
EACH, DEADLINE_SECONDS = 40, 200
WORDS = [
    "river",
    "stone",
    "window",
    "garden",
    "letter",
    "morning",
    "paper",
    "silver",
    "number",
    "table",
    "answer",
    "light",
]

PYTHON = '''"""{name}."""

import os


def {name}(x: int) -> int:
    return x + {number}


class {other}:
    pass
'''
HTML = """<!DOCTYPE html>
<html><head><title>{name}</title></head><body><p>{other} {number}</p></body></html>
"""
C = """#include <stdio.h>

int main(void) {
  int NAME = NUMBER;
  printf("%d\\n", NAME);
  return 0;
}
"""
SHELL = """#!/bin/sh
set -e
for NAME in 1 2 NUMBER; do
  echo "$NAME"
done
"""


def texts(rng):
    """(extension, content) of a small file of each of some types."""
    name, other = (str(rng.choice(WORDS)) for _ in range(2))
    number = int(rng.integers(2, 99))
    rows = "".join(f"{at},{rng.choice(WORDS)},{rng.integers(999)}\n" for at in range(number + 3))
    yield "py", PYTHON.format(name=name, other=other.title(), number=number)
    yield "json", json.dumps({name: [number, other], other: {name: None, "more": [True] * 5}})
    yield "html", HTML.format(name=name, other=other, number=number)
    yield "c", C.replace("NAME", name).replace("NUMBER", str(number))
    yield "csv", "id,word,value\n" + rows
    yield "sh", SHELL.replace("NAME", name).replace("NUMBER", str(number))
    yield "xml", f'<?xml version="1.0"?>\n<{name}><{other} n="{number}">x</{other}></{name}>\n'


def generate(folder):
    rng, types = np.random.default_rng(6), set()
    for at in range(EACH):
        for extension, content in texts(rng):
            types.add(extension)
            (folder / f"{at}.{extension}").write_text(content)
        noise = rng.integers(0, 256, 2_000, np.uint8).tobytes()
        (folder / f"{at}.gz").write_bytes(gzip.compress(noise))
        with zipfile.ZipFile(folder / f"{at}.zip", "w") as packed:
            packed.writestr("inside.bin", noise)
    return EACH * (len(types) + 2)


def test_generated_files_are_recognised(tmp_path, file_model_tools):
    folder, data, port = tmp_path / "files", tmp_path / "data", free_row(6)
    folder.mkdir()
    files = generate(folder)
    command = [sys.executable, "-u", "-m", "leadline.demo.filetype", "--root", str(folder)]
    command += ["--data", str(data), "--tools", str(file_model_tools), "--port", str(port)]
    done = subprocess.run(
        [*dies_with_parent(), *command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal, cell by cell" in done.stdout
    assert "Triton cannot run here" not in done.stdout
    assert f"{files:,} files asked" in done.stdout
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("accuracy")]
    assert f"of {files:,} files of 9 types" in line
    assert float(line.split()[1].rstrip("%")) > 70
    assert not any(accepts(each) for each in range(port, port + 6))


def test_a_folder_without_a_known_type_is_told(tmp_path, file_model_tools):
    (tmp_path / "file.unheard").write_text("0123456789")
    command = [sys.executable, "-m", "leadline.demo.filetype", "--root", str(tmp_path)]
    command += ["--data", str(tmp_path / "data"), "--tools", str(file_model_tools)]
    done = subprocess.run(
        [*command, "--port", str(free_row(6))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no file of" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
