"""`make bench`: runs scenarios, prints their table, writes JSON beside it and draws the plots.

    python -m load_tests [SCENARIO ...] [--out FOLDER] [--quick] [--no-plots]

Each scenario is a module with `run(options) -> Result` and runs in a process of its own, so that
none inherits memory, threads or caches of another. Goals stand as constants in the scenarios.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

from load_tests import page, plots
from load_tests.options import Options
from load_tests.result import Result, machine, read, table

SCENARIOS = (
    "fold",
    "classification",
    "sizes",
    "decode",
    "kafka_to_truth",
    "row_per_message",
    "peers",
    "freshness",
    "pending",
    "query",
    "store_growth",
    "hop",
    "stall",
)


def main() -> int:
    """Runs the chosen scenarios one after the other; returns how many failed or missed a goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of: {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("test-results/bench"), help="for the JSON")
    parser.add_argument("--quick", action="store_true", help="small: whether it runs, not how fast")
    parser.add_argument("--plots", type=Path, default=Path("docs/images/bench"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--no-plots", action="store_true", help="leave plots and page as they are")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.one:
        return one(given.scenario[0], given.out, Options(quick=given.quick))
    return several(given.scenario or list(SCENARIOS), given)


def one(name: str, out: Path, options: Options) -> int:
    """Runs one scenario in this process and writes its JSON."""
    module = import_module(f"load_tests.{name}")
    found = module.run(options) if "options" in signature(module.run).parameters else module.run()
    words = found.as_json() if isinstance(found, Result) else _as_result(name, found).as_json()
    text = json.dumps({"machine": machine(), "quick": options.quick, **words}, indent=1)
    (out / f"{name}.json").write_text(text + "\n")
    return 0


def several(names: list[str], given: argparse.Namespace) -> int:
    """Runs scenarios in processes of their own; tells all that is known of them in one table."""
    failed = 0
    for name in names:
        if find_spec(f"load_tests.{name}") is None:
            print(f"== {name}: not here", flush=True)
            continue
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "load_tests", name, "--one", "--out", str(given.out)]
        command += ["--quick"] if given.quick else []
        (given.out / f"{name}.json").unlink(missing_ok=True)
        failed += subprocess.run(command, check=False).returncode != 0
    files = [given.out / f"{name}.json" for name in names]
    results = [read(json.loads(file.read_text())) for file in files if file.exists()]
    print("\n" + table(results))
    told = {"machine": machine(), "results": [each.as_json() for each in results]}
    (given.out / "bench.json").write_text(json.dumps(told, indent=1) + "\n")
    if not given.no_plots and not given.quick:
        plots.draw(given.out, given.plots)
        page.fill(given.out, given.page)
    return failed + sum(each.met is False for result in results for each in result.figures)


def _as_result(name: str, words: dict) -> Result:
    """Of a scenario that returns cases with a peer each: nanoseconds an event."""
    result = Result(name, data=words)
    for case in words["cases"]:
        result.add(
            case["case"],
            case["ns_per_event"],
            "ns/event",
            goal=case["goal_ns_per_event"],
            at_least=False,
            peer="one by one",
            ratio=1 / case["times_faster"],
        )
    return result


if __name__ == "__main__":
    sys.exit(main())
