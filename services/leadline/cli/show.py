"""`leadline show`: a model's figures and matrix in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import click
import numpy as np
import numpy.typing as npt
from rich.live import Live

from leadline.cli.figures_view import (
    MATRIX_CLASSES_MAX,
    PAIRS_MAX,
    ClassLine,
    View,
    interval,
    print_view,
    render,
)
from leadline.cli.options import json_option, reader_option, timeout_option
from leadline.cli.output import console, message_dict, percent, print_json
from leadline.cli.reader_client import ReaderClient, open_reader
from leadline.cli.scopes import scope_of, slice_option
from leadline.v1 import evaluation_pb2 as pb


@click.command("show")
@click.argument("model")
@click.option("--version", "version", default="", help="Else the champion.")
@click.option("--last", default="", help="Window up to now: 30m, 24h, 7d. Else everything.")
@slice_option
@click.option("--watch", is_flag=True, help="Stay, and show every change.")
@reader_option
@timeout_option
@json_option
def command(
    *,
    model: str,
    version: str,
    last: str,
    slices: tuple[str, ...],
    watch: bool,
    reader: str,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Show headline figures, classes and confusion matrix of MODEL."""
    scope = scope_of(model, version, last, slices)
    terminal = console()
    with open_reader(reader, timeout_seconds) as client:
        if not watch:
            summary, matrix = _ask(client, scope)
            if as_json:
                print_json(_plain(summary, matrix))
            else:
                print_view(view_of(summary, matrix), terminal)
            return
        states = _states(client, scope)
        if as_json:
            for summary, matrix in states:
                print_json(_plain(summary, matrix))
            return
        with Live(console=terminal, auto_refresh=False) as live:
            for summary, matrix in states:
                live.update(render(view_of(summary, matrix)), refresh=True)


def _ask(client: ReaderClient, scope: pb.Scope) -> tuple[pb.Summary, pb.GetConfusionMatrixResponse]:
    asked = pb.GetSummaryRequest(scope=scope)
    summary = client.ask(client.evaluation.GetSummary, asked).summary
    return summary, _matrix(client, scope)


def _matrix(client: ReaderClient, scope: pb.Scope) -> pb.GetConfusionMatrixResponse:
    request = pb.GetConfusionMatrixRequest(scope=scope)
    return client.ask(client.evaluation.GetConfusionMatrix, request)


def _states(
    client: ReaderClient, scope: pb.Scope
) -> Iterator[tuple[pb.Summary, pb.GetConfusionMatrixResponse]]:
    """Every state that the reader sends, with its matrix, until it is interrupted."""
    with client.errors():
        for answer in client.evaluation.WatchSummary(pb.WatchSummaryRequest(scope=scope)):
            yield answer.summary, _matrix(client, scope)


def view_of(summary: pb.Summary, answer: pb.GetConfusionMatrixResponse) -> View:
    """A reader's answers as they are shown."""
    names = _class_names(summary, answer)
    return View(
        headline=_headline(summary),
        classes=[_class_line(each) for each in summary.classes],
        names=names,
        matrix=_dense(answer, len(names)) if len(names) <= MATRIX_CLASSES_MAX else None,
        pairs=_pairs(answer, names),
        notes=[f"{notice.text} {notice.remedy}".strip() for notice in summary.notices],
    )


def _headline(summary: pb.Summary) -> list[tuple[str, str]]:
    basis, delay = summary.basis, summary.label_delay
    rows = [
        ("model", summary.name.removeprefix("models/").replace("/versions/", " version ")),
        ("accuracy", _rate(summary.accuracy)),
        *((f"top-{top.k}", percent(_optional(top.rate))) for top in summary.top_k),
        ("macro F1", percent(summary.macro.f1 if summary.macro.HasField("f1") else None)),
        ("labelled", f"{basis.labelled:,} of {basis.predictions:,}"),
    ]
    if delay.HasField("p50_seconds"):
        median, slow = delay.p50_seconds, delay.p95_seconds
        rows.append(("label delay", f"{median:,.1f} s median, {slow:,.1f} s at 95 %"))
    if 0 < basis.log_rate < 1:
        rows.append(("logged", f"{percent(basis.log_rate)} of the traffic"))
    vector = [
        f"{at.shard} ({at.predictions_offset:,}, {at.labels_offset:,})" for at in basis.vector
    ]
    more = f" and {len(vector) - 4} more" if len(vector) > 4 else ""
    rows.append(("at", ", ".join(vector[:4]) + more))
    return rows


def _rate(rate: pb.Rate) -> str:
    lower = rate.lower if rate.HasField("lower") else None
    upper = rate.upper if rate.HasField("upper") else None
    return percent(_optional(rate)) + interval(lower, upper)


def _optional(rate: pb.Rate) -> float | None:
    return rate.value if rate.HasField("value") else None


def _class_line(each: pb.ClassFigures) -> ClassLine:
    return ClassLine(
        each.class_name or str(each.class_number),
        each.support,
        each.predicted,
        _optional(each.precision),
        _optional(each.recall),
        each.f1 if each.HasField("f1") else None,
    )


def _class_names(summary: pb.Summary, answer: pb.GetConfusionMatrixResponse) -> list[str]:
    """A name for each class of the matrix; its number where it has none."""
    numbers = [*answer.true_class, *answer.predicted_class]
    count = max([answer.class_count, summary.class_count, *(number + 1 for number in numbers)])
    if count > MATRIX_CLASSES_MAX * 1000:  # class numbers of nobody's list: name what is there
        count = max(answer.class_count, summary.class_count)
    given = list(answer.class_names)
    return [
        given[number] if number < len(given) and given[number] else str(number)
        for number in range(count)
    ]


def _dense(answer: pb.GetConfusionMatrixResponse, size: int) -> npt.NDArray[np.int64]:
    dense = np.zeros((size, size), np.int64)
    dense[list(answer.true_class), list(answer.predicted_class)] = list(answer.count)
    return dense


def _pairs(answer: pb.GetConfusionMatrixResponse, names: list[str]) -> list[tuple[str, str, int]]:
    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    cells = zip(answer.true_class, answer.predicted_class, answer.count, strict=True)
    wrong = sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: -cell[2])
    return [(name(true), name(said), count) for true, said, count in wrong[:PAIRS_MAX]]


def _plain(
    summary: pb.Summary, matrix: pb.GetConfusionMatrixResponse
) -> dict[str, dict[str, object]]:
    return {
        "summary": message_dict(summary),
        "confusion_matrix": message_dict(matrix),
    }
