"""`leadline compare`: which version is better, for people and for rollouts."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from leadline.cli.options import json_option, reader_option, timeout_option
from leadline.cli.output import console, message_dict, percent, print_json
from leadline.cli.reader_client import open_reader
from leadline.cli.scopes import scope_of, slice_option, window_option
from leadline.records.errors import NotFoundError
from leadline.v1 import analysis_pb2 as pb
from leadline.v1 import evaluation_pb2
from leadline.v1.evaluation_pb2 import Rate

CLASSES_MAX = 15
FAILED = 3
"""Exit code when a condition of --fail-if holds."""
VERDICTS = {
    pb.Comparison.VERDICT_BETTER: "better",
    pb.Comparison.VERDICT_WORSE: "worse",
    pb.Comparison.VERDICT_SAME: "same",
}
STYLES = {"better": "bold green", "worse": "bold red", "same": "bold"}


@click.command("compare")
@click.argument("model")
@click.option("--champion", default="", metavar="VERSION", help="Else the one in charge.")
@click.option(
    "--challenger",
    "challengers",
    multiple=True,
    metavar="VERSION",
    help="Repeatable. Else all others that were seen in the window.",
)
@window_option
@slice_option
@click.option(
    "--margin",
    default=0.5,
    show_default=True,
    type=click.FloatRange(min=0, max=100, min_open=True, max_open=True),
    help="Points of accuracy that do not matter: a difference within them is called the same.",
)
@click.option(
    "--fail-if",
    "fail_if",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 when it holds for any challenger; repeatable.",
)
@reader_option
@timeout_option
@json_option
def command(  # noqa: PLR0913 - options
    *,
    model: str,
    champion: str,
    challengers: tuple[str, ...],
    window: str,
    slices: tuple[str, ...],
    margin: float,
    fail_if: tuple[str, ...],
    reader: str,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Compare the versions of MODEL, on the same inputs where both answered.

    The verdict may be read as often as you like: from the first input on, the
    chance that it is ever wrong stays below 5 %. So a rollout can ask every
    minute and stop at the first answer.

    \b
    A rollout that stops by itself:
        for minute in $(seq 60); do
            leadline compare digits --challenger 7 \\
                --fail-if worse --fail-if "recall[fox] drop > 2 points"
            [ $? -eq 3 ] && exec ./roll-back 7
            sleep 60
        done
        ./promote 7

    \b
    A CONDITION is one of
        worse | better | same | undecided         the verdict
        accuracy drop > 0.5 points                for sure: the whole interval is beyond
        maybe accuracy drop > 0.5 points          as counted, whatever the interval
    and drops of recall[CLASS], macro_precision, macro_recall, macro_f1.

    \b
    Exit codes: 0 no condition holds; 3 one does; 2 the call must be
    changed; 1 the reader did not answer.
    """  # noqa: D301 - a marker of click
    request = pb.CompareVersionsRequest(
        scope=scope_of(model, champion, window, slices),
        challengers=challengers,
        margin=margin / 100,
        fail_if=fail_if,
    )
    with open_reader(reader, timeout_seconds) as client:
        answer = client.ask(client.analysis.CompareVersions, request)
    if fail_if and not answer.comparisons:
        raise NotFoundError(
            f"No other version of {model} answered in this window", "Name it: --challenger VERSION"
        )
    if as_json:
        print_json(message_dict(answer))
    else:
        _print(model, answer)
    if any(told.fails for found in answer.comparisons for told in found.judgements):
        click.get_current_context().exit(FAILED)


def _print(model: str, answer: pb.CompareVersionsResponse) -> None:
    terminal = console()
    if not answer.comparisons:
        terminal.print(Text(f"No other version of {model} answered in this window."))
        return
    for found in answer.comparisons:
        style = STYLES.get(VERDICTS.get(found.verdict, ""), "bold yellow")
        terminal.print(Text(found.words, style=style))
    terminal.print()
    terminal.print(differences(answer))
    for found in answer.comparisons:
        if found.classes:
            terminal.print()
            terminal.print(recalls(found, named=len(answer.comparisons) > 1))
    for found in answer.comparisons:
        for told in found.judgements:
            word, style = ("stop", "bold red") if told.fails else ("pass", "green")
            line = Text.assemble((f"{word}  ", style), f"{told.condition}: {told.text}")
            terminal.print(line)


def version_of(name: str) -> str:
    """The version out of "models/NAME/versions/VERSION"."""
    return name.rpartition("/versions/")[2]


def differences(answer: pb.CompareVersionsResponse) -> Table:
    """One line a version: its accuracy, and how far it is from the champion's."""
    table = Table(box=None, header_style="dim")
    table.add_column("version")
    for title in ("accuracy", "inputs", "difference", "at every look", "at one look"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    first = answer.comparisons[0]
    champion = first.champion_accuracy
    table.add_row(
        version_of(first.champion), percent(_value(champion)), f"{champion.trials:,}",
        "", "", "", "champion",
    )  # fmt: skip
    for found in answer.comparisons:
        verdict = VERDICTS.get(found.verdict, "undecided")
        rate = found.challenger_accuracy
        table.add_row(
            version_of(found.challenger),
            percent(_value(rate)),
            f"{rate.trials:,}{' both' if found.paired else ''}",
            points(found.difference if found.HasField("difference") else None),
            span(found.interval if found.HasField("interval") else None),
            span(found.fixed_interval if found.HasField("fixed_interval") else None),
            Text(verdict, style=STYLES.get(verdict, "yellow")),
        )
    return table


def changed_first(found: pb.Comparison) -> list[pb.ClassComparison]:
    """Classes with a verdict first, then by the size of the difference."""
    return sorted(
        found.classes,
        key=lambda each: (each.verdict not in VERDICTS, -abs(each.difference), each.class_number),
    )


def recalls(found: pb.Comparison, *, named: bool) -> Table:
    """Recall by class, the changed ones first."""
    of = f" of version {version_of(found.challenger)}" if named else ""
    table = Table(title=f"Recall by class{of}", title_justify="left", box=None, header_style="dim")
    table.add_column("class")
    titles = (version_of(found.champion), version_of(found.challenger), "difference", "95 %")
    for title in titles:
        table.add_column(title, justify="right")
    table.add_column("verdict")
    for each in changed_first(found)[:CLASSES_MAX]:
        verdict = VERDICTS.get(each.verdict, "unsure")
        table.add_row(
            Text(each.class_name or str(each.class_number)),
            percent(_value(each.champion_recall)),
            percent(_value(each.challenger_recall)),
            points(each.difference if each.HasField("difference") else None),
            span(each.interval if each.HasField("interval") else None),
            Text(verdict, style=STYLES.get(verdict, "dim")),
        )
    left = len(found.classes) - CLASSES_MAX
    if left > 0:
        table.add_row(Text(f"… and {left} more", style="dim"))
    return table


def points(difference: float | None) -> str:
    """A difference of shares in points; a dash where there is none."""
    return "-" if difference is None else f"{difference * 100:+.2f}"


def span(bounds: evaluation_pb2.Bounds | None) -> str:
    """An interval of a difference in points; empty where there is none."""
    return "" if bounds is None else f"{points(bounds.lower)} to {points(bounds.upper)}"


def _value(rate: Rate) -> float | None:
    return rate.value if rate.HasField("value") else None
