"""`leadline evaluate`: figures of files, with no server."""

from __future__ import annotations

from pathlib import Path

import click

from leadline.cli.evaluating import FileOptions, evaluate_files, evaluate_two, file_options
from leadline.cli.options import json_option
from leadline.cli.output import print_json
from leadline.evaluation import compared
from leadline.evaluation.goals import costs, goal


@click.command("evaluate")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("labels_file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Predictions of another model for the same rows: which one is better?",
)
@click.option(
    "--need",
    "needs",
    multiple=True,
    metavar="CONSTRAINT",
    help='What a threshold must hold: "recall>=0.95"; repeatable.',
)
@click.option(
    "--cost",
    default="",
    metavar="MISSED:FALSE_ALARM",
    help="Costs of errors, 20:1: the threshold with the lowest cost is best.",
)
@file_options
@json_option
def command(  # noqa: PLR0913 - options
    *,
    file: Path,
    labels_file: Path | None,
    against: Path | None,
    needs: tuple[str, ...],
    cost: str,
    id_: str,
    predicted: str,
    scores: str,
    scores_as: str,
    kind: str,
    label: str,
    classes: str,
    classes_from: Path | None,
    as_json: bool,
) -> None:
    """Figures of the predictions in FILE, with labels beside them or in LABELS_FILE.

    Files are CSV, TSV, JSON lines or Parquet. Columns are guessed by their names unless given, and
    the guesses are printed. Two files are joined by id; the last label of an id counts, and the
    first of its predictions. With scores there are areas under curves, calibration and the best
    threshold of each class; where labels are missing, the accuracy of all rows too.
    """
    options = FileOptions(
        id_, predicted, scores, label, scores_as, kind, classes, classes_from, as_json
    )
    price = costs(cost) if cost else None
    goal(needs, price)  # a mistake is told before a long file is read
    other = None
    if against is None:
        found = evaluate_files(file, labels_file, options)
    else:
        found, other = evaluate_two(file, labels_file, against, options)
    versus = None
    if other is not None and against is not None:
        versus = compared(found.result, other.result, (file.stem, against.stem))
    if as_json:
        plain = found.result.to_dict(needs, price)
        print_json(plain if versus is None else {**plain, "comparison": versus.to_dict()})
        return
    from leadline.cli.figures_view import print_evaluation  # noqa: PLC0415 - half of a start-up

    print_evaluation(found.result, found.result.best_thresholds(needs, price))
    if versus is not None:
        click.echo(versus.words)
    if found.repeated:
        click.echo(f"{found.repeated:,} predictions of an id that was there before: not counted")
