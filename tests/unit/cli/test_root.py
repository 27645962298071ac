"""The command line as a whole: help, errors, exit codes, start-up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from leadline.__main__ import run
from leadline.cli.root import COMMANDS, root

GOLDEN = Path(__file__).parents[2] / "golden" / "help"
OWN = [name for name in COMMANDS if name not in {"up", "serve"}]


def paths() -> list[str]:
    context = click.Context(root)
    found = []
    for name in OWN:
        command = root.get_command(context, name)
        found.append(name)
        if isinstance(command, click.Group):
            found += [f"{name} {sub}" for sub in command.list_commands(context)]
    return found


@pytest.mark.parametrize("path", paths())
def test_help_texts_are_the_golden_ones(path):
    """Change them on purpose: rm tests/golden/help/*.txt, run the test twice, look at the diff."""
    shown = CliRunner().invoke(
        root, [*path.split(), "--help"], prog_name="leadline", terminal_width=100
    )
    assert shown.exit_code == 0, shown.output
    golden = GOLDEN / f"{path.replace(' ', '-')}.txt"
    if not golden.exists():
        golden.write_text(shown.output, encoding="utf-8")
        pytest.fail(f"{golden.name} did not exist and was written")
    assert shown.output == golden.read_text(encoding="utf-8")


def test_the_root_lists_commands_without_importing_them():
    code = (
        "import sys; from leadline.__main__ import run; run(['--help']); "
        "print([m for m in ('rich', 'numpy', 'grpc', 'pydantic', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in OWN:
        assert f"  {name} " in done.stdout


def test_help_starts_fast():
    def once() -> float:
        before = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "leadline", "--help"], check=True, capture_output=True
        )
        return time.perf_counter() - before

    assert min(once() for _ in range(5)) < 0.5  # 0.1 s on an idle machine


def test_a_users_mistake_is_one_red_line_with_the_remedy(capsys, monkeypatch):
    monkeypatch.delenv("LEADLINE_LOG_URL", raising=False)
    assert run(["topics", "check", "--log", "redis://x"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "names no log" in shown
    assert "kafka://" in shown


def test_an_unknown_option_is_told_by_click_with_exit_code_2(capsys):
    assert run(["topics", "check", "--what"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_exit_code_1_without_a_traceback(capsys):
    assert run(["show", "digits", "--reader", "127.0.0.1:1", "--timeout", "5"]) == 1
    shown = capsys.readouterr().err
    assert "127.0.0.1:1 gave no answer" in shown
    assert "Traceback" not in shown


def test_version_as_json(capsys):
    assert run(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["leadline"]
    assert found["python"].startswith("3.")


def test_the_package_exposes_its_version_and_evaluate():
    import leadline

    assert callable(leadline.evaluate)
    assert "Evaluation" in leadline.__all__
    with pytest.raises(AttributeError):
        _ = leadline.nothing


def test_a_library_that_is_not_installed_is_told(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("leadline.cli.")]:
        if name != "leadline.cli.root":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    assert run(["show", "digits"]) == 2
    shown = capsys.readouterr().err
    assert "needs grpc" in shown
    assert "pip install" in shown
