"""Nothing of the base install, or of the services, is for Linux alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("extra", ["", "all"])
@pytest.mark.parametrize("platform", ["windows", "aarch64-apple-darwin"])
def test_every_dependency_has_a_wheel(platform, extra, tmp_path):
    """Resolves from wheels only: a dependency without one for the platform has no solution."""
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    assert uv, "uv is missing: run `make setup`"
    command = [uv, "pip", "compile", "-q", "--only-binary", ":all:", "--python-version", "3.11"]
    command += ["--python-platform", platform, "pyproject.toml", "-o", str(tmp_path / "found.txt")]
    command += ["--extra", extra] if extra else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
