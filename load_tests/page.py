"""Fills the tables of docs/benchmarks.md out of the scenarios' JSON.

A table stands between `<!-- bench NAME -->` and `<!-- end -->`; what stands around is written by
people.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from load_tests.result import Figure, Result, number, read

PLACE = re.compile(r"<!-- bench (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(found: Path, page: Path) -> None:
    """Writes the tables of all scenarios whose JSON is there."""

    def table_of(match: re.Match[str]) -> str:
        file = found / f"{match[1]}.json"
        if not file.exists():
            return match[0]
        result = read(json.loads(file.read_text()))
        return f"<!-- bench {match[1]} -->\n{markdown(result)}\n<!-- end -->"

    page.write_text(PLACE.sub(table_of, page.read_text()))


def markdown(result: Result) -> str:
    """One row a figure."""
    rows = ["| | median | runs | unit | goal |", "|---|---:|---|---|---|"]
    for each in result.figures:
        name = f"{each.name}, against {each.peer}: {each.ratio:.3g}" if each.ratio else each.name
        rows.append(
            f"| {name} | {number(each.value)} | {_runs(each)} | {each.unit} | {_goal(each)} |"
        )
    return "\n".join(rows)


def _runs(each: Figure) -> str:
    if each.low is None or each.high is None:
        return ""
    return f"{number(each.low)} to {number(each.high)}"


def _goal(each: Figure) -> str:
    if each.goal is None:
        return ""
    words = f"{'at least' if each.at_least else 'at most'} {number(each.goal)}"
    return f"{words}: met" if each.met else f"{words}: **missed**"
