"""The pages speak of everything there is, and lead nowhere that is not there.

What must be documented is derived from the code: reasons, cell kinds, metrics, make targets.
"""

import re
import subprocess
from pathlib import Path

import click
import pytest
from prometheus_client import CollectorRegistry

from leadline.cli.root import root
from leadline.console.service import _Health as ConsoleHealth
from leadline.gateway.handover import Depth
from leadline.gateway.telemetry import QueueCollector, Telemetry
from leadline.metrics.exporter import Exporter
from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.reader import Reader
from leadline.metrics.settings import ReaderSettings
from leadline.records.batches import UnobservedReason
from leadline.records.cells import CellKind
from leadline.records.errors import DeadLetterReason
from leadline.runtime.producer import ProducerStats
from leadline.runtime.store.open import open_store
from leadline.testing.clock import ManualClock

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CONTEXT = click.Context(root)
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """All markdown files of the repository, new ones too."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [ROOT / name for name in names.split("\0") if name]
    return [page for page in found if page.is_file()]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def documented() -> str:
    """What a user reads."""
    user = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return "\n".join(text_of(page) for page in user)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = HEADING.findall(FENCE.sub("", text_of(page)))
    words = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {each.replace(" ", "-") for each in words}


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def metric_names(registry: CollectorRegistry) -> set[str]:
    """Names of all metrics of a registry as Prometheus sees them, without what a client adds."""
    return {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
    }


def exported(tmp_path: Path) -> set[str]:
    """Every metric of every service, from the collectors themselves."""
    registry = CollectorRegistry()
    Telemetry(registry)
    registry.register(QueueCollector({"handover": lambda: Depth(0, 0, 0)}, ProducerStats))
    OwnerHealth(registry)
    registry.register(ConsoleHealth(_Viewers()))
    store = open_store(f"sqlite:{tmp_path / 'truth.sqlite'}")
    store.migrate()
    try:
        registry.register(Exporter(Reader(store, ManualClock()), ReaderSettings()))
        return metric_names(registry)
    finally:
        store.close()


class _Viewers:
    """What the console's collector reads."""

    viewers = 0
    renderings = 0


def calls() -> list[str]:
    """Every call of the command in fences and code spans of what a user reads."""
    text = documented().replace("\\\n", " ")
    fenced = re.findall(r"^(?:\$ )?(leadline [a-z].*)$", text, re.MULTILINE)
    spans = re.findall(r"`(leadline [a-z][^`]*)`", text)
    return sorted({each.partition("#")[0].strip() for each in [*fenced, *spans]})


def wrong_in(call: str) -> str:
    """What of a call does not exist; empty when all does."""
    words = call.split()[1:]
    command: click.Command = root
    while isinstance(command, click.Group) and words and words[0] in command.list_commands(CONTEXT):
        command = command.get_command(CONTEXT, words.pop(0))
    if isinstance(command, click.Group) and words and words[0].islower():
        return f"no command {words[0]}"
    options = {option for param in command.params for option in param.opts}
    named = {word.partition("=")[0].rstrip(".,;:") for word in words if word.startswith("--")}
    return ", ".join(sorted(named - options - {"--help"}))


def targets() -> list[str]:
    """Targets of the Makefile that `make help` lists."""
    return re.findall(r"^([a-z-]+):.*## ", text_of(ROOT / "Makefile"), re.MULTILINE)


def test_there_are_pages():
    assert ROOT / "docs" / "design.md" in pages()
    assert len(pages()) > 8


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A b\n[x](gone.md) [y](#a-b) [z](#c) [w](https://example.org)\n")
    assert broken(page) == ["gone.md", "#c"]


@pytest.mark.parametrize("name", [*DeadLetterReason.__members__, *CellKind.__members__])
def test_reasons_and_cell_kinds_are_documented(name):
    assert f"`{name}`" in documented()


@pytest.mark.parametrize("name", UnobservedReason.__members__)
def test_reasons_of_unobserved_requests_are_documented(name):
    text = text_of(ROOT / "docs" / "operations.md")
    assert f"`{name}`" in text or f"`{name.lower()}`" in text or f"`log_{name.lower()}`" in text


def test_every_metric_is_documented(tmp_path):
    text = documented()
    names = exported(tmp_path)
    assert len(names) > 40
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_metric_that_is_documented_exists(tmp_path):
    named = set(re.findall(r"`(leadline_[a-z0-9_]+)`", documented()))
    assert sorted(named - exported(tmp_path)) == []


@pytest.mark.parametrize("target", targets())
def test_every_make_target_is_documented(target):
    assert re.search(rf"make {target}\b(?!-)", documented()), f"make {target}"


def test_calls_of_the_command_name_what_exists():
    assert len(calls()) > 20
    assert {call: wrong for call in calls() if (wrong := wrong_in(call))} == {}


def test_a_call_of_what_does_not_exist_is_noticed():
    assert wrong_in("leadline topics destroy") == "no command destroy"
    assert wrong_in("leadline up --sideways") == "--sideways"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_snippets_compile(page):
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", text_of(page), re.S | re.M)):
        compile(code, f"{page.name}, snippet {number}", "exec", flags=0x2000)


def test_the_api_page_has_snippets_of_every_service():
    snippets = "\n".join(
        re.findall(r"^```python\n(.*?)^```", text_of(ROOT / "docs" / "api.md"), re.S | re.M)
    )
    for stub in ("EvaluationServiceStub", "ModelServiceStub", "IngestServiceStub"):
        assert f"{stub}(" in snippets
