"""`leadline report`: everything about a model in one file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from leadline.cli.evaluating import FileOptions, evaluate_files, evaluate_two, file_options
from leadline.cli.options import reader_option, timeout_option
from leadline.cli.reader_client import open_reader
from leadline.cli.report_data import Report, from_files, from_reader
from leadline.cli.report_page import render
from leadline.cli.scopes import scope_of, slice_option, window_option
from leadline.evaluation import compared
from leadline.evaluation.goals import costs, goal
from leadline.querying import objective_of
from leadline.records.errors import UsageError
from leadline.runtime.clock import SystemClock
from leadline.v1 import analysis_pb2 as an

FILES_MAX = 2


@click.command("report")
@click.argument("model", required=False, default="")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file: .html to read, .json for all numbers.",
)
@click.option("--version", default="", help="Else the champion.")
@click.option(
    "--vs", "versus", multiple=True, metavar="VERSION", help="Compare with it; repeatable."
)
@window_option
@slice_option
@click.option(
    "--need",
    "needs",
    multiple=True,
    metavar="CONSTRAINT",
    help='What a threshold must hold: "recall>=0.95"; repeatable.',
)
@click.option("--cost", default="", metavar="MISSED:FALSE_ALARM", help="Costs of errors, 20:1.")
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of files, without a server: predictions, and labels where they lie apart.",
)
@file_options
@reader_option
@timeout_option
def command(  # noqa: PLR0913 - options
    *,
    model: str,
    output: Path,
    version: str,
    versus: tuple[str, ...],
    window: str,
    slices: tuple[str, ...],
    needs: tuple[str, ...],
    cost: str,
    sources: tuple[Path, ...],
    id_: str,
    predicted: str,
    scores: str,
    scores_as: str,
    kind: str,
    label: str,
    classes: str,
    classes_from: Path | None,
    reader: str,
    timeout_seconds: float,
) -> None:
    """Write everything about MODEL into one file that opens offline.

    The HTML holds headline figures with their intervals, classes, confusion
    matrix, curves of the weakest classes, thresholds, calibration, a
    comparison, advice, and where all of it holds. It asks nothing of any
    server and runs no script: mail it, or keep it beside the model.

    \b
    leadline report digits --window 7d --vs 6 --output digits.html
    leadline report --from predictions.csv --from labels.csv --output run.html
    """  # noqa: D301 - a marker of click
    if output.suffix not in {".html", ".json"}:
        raise UsageError(f"output {output.name!r}", "Name a file that ends with .html or .json")
    if bool(model) == bool(sources):
        raise UsageError("Nothing to report on", "Name a model, or files with --from, not both")
    price = costs(cost) if cost else None
    objective = objective_of(needs, price), str(goal(needs, price))
    made = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC).strftime("%d %b %Y %H:%M UTC")
    if sources:
        options = FileOptions(id_, predicted, scores, label, scores_as, kind, classes, classes_from)
        report = _of_files(sources, versus, options, objective, made)
    else:
        scope = scope_of(model, version, window, slices)
        with open_reader(reader, timeout_seconds) as client:
            report = from_reader(client, scope, versus, objective, made)
    if output.suffix == ".html":
        text = render(report)
    else:
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}  {len(text.encode()) / 1000:,.0f} kB", err=True)


def _of_files(
    sources: tuple[Path, ...],
    versus: tuple[str, ...],
    options: FileOptions,
    objective: tuple[an.Objective, str],
    made: str,
) -> Report:
    """A report of predictions, maybe labels apart; `--vs` names another model's file."""
    if len(sources) > FILES_MAX or len(versus) > 1:
        raise UsageError("Too many files", "Give predictions, labels, and one file to compare with")
    first, labels = sources[0], sources[1] if len(sources) > 1 else None
    if not versus:
        result = evaluate_files(first, labels, options).result
        return from_files(result, first.name, objective, made)
    other = Path(versus[0])
    one, two = evaluate_two(first, labels, other, options)
    both = compared(one.result, two.result, (first.stem, other.stem))
    return from_files(one.result, first.name, objective, made, both)
