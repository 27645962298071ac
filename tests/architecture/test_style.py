"""House rules that no linter knows: sizes, what tests may not do, what no file may name."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70

# Put together from halves, so that this file does not contain what it forbids.
MACHINE_PATHS = ["/" + "work/", "/" + "root/", "/home" + "/"]
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "repo1.maven" + ".org",
    "repo.maven.apache" + ".org",
    "proxy.golang" + ".org",
    "registry.npmjs" + ".org",
    "deb.debian" + ".org",
]
IN_TESTS = {
    "time" + ".sleep(": "await a condition with a deadline instead",
    "Magic" + "Mock": "use a real object, or a small one written for the purpose",
}


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, without those deleted in the working tree."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file()]


def generated(path: Path) -> bool:
    return "leadline/v1" in path.as_posix()


def read(path: Path) -> str | None:
    """The text of a file; None for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def sources() -> list[Path]:
    return [path for path in tracked("*.py") if not generated(path)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def too_long(path: Path) -> list[str]:
    """Functions of a file that are longer than allowed, their docstrings not counted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        if lines >= MAX_FUNCTION_LINES:
            found.append(f"{name(path)}:{node.lineno} {node.name}: {lines} lines")
    return found


def mentions(paths: list[Path], words: list[str]) -> list[str]:
    """Where one of the words stands: file, line and the word."""
    pattern = re.compile("|".join(map(re.escape, words)))
    return [
        f"{name(path)}:{number} {match[0]}"
        for path in paths
        if (text := read(path)) is not None
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def test_the_repository_is_found():
    assert ROOT / "pyproject.toml" in tracked()
    assert len(sources()) > 10


def test_files_are_short():
    code = [*sources(), *tracked("*.js", "*.css", "*.html", "*.sql", "Makefile")]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert {each: lines for each, lines in lengths.items() if lines >= MAX_FILE_LINES} == {}


def test_functions_are_short():
    assert [each for path in sources() for each in too_long(path)] == []


@pytest.mark.parametrize("word", IN_TESTS)
def test_tests_do_not(word):
    assert mentions(tracked("tests/*.py", "load_tests/*.py"), [word]) == [], IN_TESTS[word]


def test_no_file_names_a_machine_path():
    assert mentions(tracked(), MACHINE_PATHS) == []


def test_no_file_names_a_registry_host():
    assert mentions(tracked(), REGISTRY_HOSTS) == []


def test_locks_hold_hashes_and_no_torch():
    locks = tracked("requirements/*.txt")
    assert locks
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        pins = re.findall(r"^([\w.\[\]-]+)==", text, re.MULTILINE)
        assert text.count("==") and pins, name(lock)
        assert len(re.findall(r"^\S.*==.*\\$", text, re.MULTILINE)) == len(pins), name(lock)
        if lock.stem != "attribution":
            assert "torch" not in pins, name(lock)


@pytest.mark.parametrize("extra", ["client", "gateway", "metrics", "console", "all", "demo", "dev"])
def test_a_lock_is_what_pyproject_asks_for(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements" / f"{extra}.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    wanted = [*project["dependencies"], f"leadline[{extra}]"]
    while wanted:
        asked = Requirement(wanted.pop())
        if asked.name == "leadline":
            for each in asked.extras:
                wanted += project["optional-dependencies"][each]
            continue
        version = pinned.get(asked.name.lower(), "")
        assert asked.specifier.contains(version or "0"), f"{asked}: run `make locks`"
        assert version, f"{asked} is not in requirements/{extra}.txt: run `make locks`"


def test_packages_have_docstrings_and_every_folder_is_a_package():
    folders = {path.parent for path in tracked("services/leadline/*.py")}
    for folder in folders:
        start = folder / "__init__.py"
        assert start.is_file(), f"{name(folder)} has no __init__.py: it would not be installed"
        assert ast.get_docstring(ast.parse(start.read_text(encoding="utf-8"))), name(start)
