"""Answers of a reader as rows of plain values, one function a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from leadline.records.errors import NotFoundError, UsageError
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

if TYPE_CHECKING:
    from leadline.cli.reader_client import ReaderClient

Row = dict[str, Any]
PAGE = 500
CLASSES_MAX = 100
"""Thresholds are asked class by class; with more classes, name the one that is meant."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a reader.

    Attributes:
        client: of the reader.
        scope: model, version, window and slices.
        of: a class by name or number; None for all.
        objective: what a threshold shall achieve.
        challengers: versions; empty for all others.
        limit: most cases.
    """

    client: ReaderClient
    scope: ev.Scope
    of: str | int | None
    objective: an.Objective
    challengers: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of one shape, and where they hold."""

    rows: list[Row]
    basis: ev.Basis | None = None


def plain_of(message: Message) -> Row:
    """A message as plain values, zeros too."""
    found: Row = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def _of(message: Message, field: str) -> Any:  # noqa: ANN401 - as the field is
    """A field, None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def _rate(name: str, rate: ev.Rate) -> Row:
    """A share in columns NAME, NAME_lower and NAME_upper."""
    return {
        name: _of(rate, "value"),
        f"{name}_lower": _of(rate, "lower"),
        f"{name}_upper": _of(rate, "upper"),
    }


def _bounded(name: str, owner: Message, field: str) -> Row:
    """A figure with certain bounds, in the columns of a share."""
    found = _of(owner, field)
    values = (None,) * 3 if found is None else (found.value, found.lower, found.upper)
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))


def _class(message: Any) -> Row:  # noqa: ANN401 - messages with a class
    number = message.class_number
    return {"class_number": number, "class_name": message.class_name or str(number)}


def _summary_of(question: Question) -> ev.Summary:
    request = ev.GetSummaryRequest(scope=question.scope)
    found: ev.Summary = question.client.ask(question.client.evaluation.GetSummary, request).summary
    return found


def summary(question: Question) -> Answer:
    """One row of headline figures."""
    found = _summary_of(question)
    model, _, version = found.name.removeprefix("models/").partition("/versions/")
    row = {
        "model": model,
        "version": version,
        "predictions": found.basis.predictions,
        "labelled": found.basis.labelled,
        **_rate("label_coverage", found.basis.label_coverage),
        **_rate("accuracy", found.accuracy),
        **{f"top_{each.k}": _of(each.rate, "value") for each in found.top_k},
    }
    for kind in ("macro", "micro", "weighted"):
        for figure in ("precision", "recall", "f1"):
            row[f"{kind}_{figure}"] = _of(getattr(found, kind), figure)
    return Answer([row], found.basis)


def classes(question: Question) -> Answer:
    """One row a class."""
    found = _summary_of(question)
    rows = [
        {
            **_class(each),
            "support": each.support,
            "predicted": each.predicted,
            **_rate("precision", each.precision),
            **_rate("recall", each.recall),
            "f1": _of(each, "f1"),
        }
        for each in found.classes
    ]
    return Answer(rows, found.basis)


def _matrix_of(question: Question) -> ev.GetConfusionMatrixResponse:
    client = question.client
    request = ev.GetConfusionMatrixRequest(scope=question.scope)
    found: ev.GetConfusionMatrixResponse = client.ask(client.evaluation.GetConfusionMatrix, request)
    return found


def confusion(question: Question) -> Answer:
    """One row a pair of classes that occurs."""
    found = _matrix_of(question)
    names = dict(enumerate(found.class_names))
    cells = zip(found.true_class, found.predicted_class, found.count, strict=True)
    rows = [
        {
            "true_class": true,
            "true_name": names.get(true, str(true)),
            "predicted_class": said,
            "predicted_name": names.get(said, str(said)),
            "count": count,
        }
        for true, said, count in cells
    ]
    return Answer(rows, found.basis)


def timeline(question: Question) -> Answer:
    """One row a step of time."""
    client = question.client
    request = ev.GetTimelineRequest(scope=question.scope)
    found = client.ask(client.evaluation.GetTimeline, request)
    rows = [
        {
            "start_time": each.start_time.ToDatetime(tzinfo=UTC),
            "predictions": each.predictions,
            "labelled": each.labelled,
            **_rate("accuracy", each.accuracy),
            "macro_f1": _of(each, "macro_f1"),
        }
        for each in found.points
    ]
    return Answer(rows, found.basis)


def slices_of(question: Question) -> Answer:
    """One row a value of a slice column."""
    client = question.client
    found = client.ask(client.evaluation.ListSlices, ev.ListSlicesRequest(scope=question.scope))
    rows = [
        {
            "column": each.slice.column,
            "value": each.slice.value,
            "predictions": each.predictions,
            "labelled": each.accuracy.trials,
            **_rate("accuracy", each.accuracy),
        }
        for each in found.slices
    ]
    return Answer(rows, found.basis)


def _curves_of(question: Question, *, areas_only: bool) -> an.GetCurvesResponse:
    client = question.client
    chosen = [] if question.of is None else [_number(question)]
    request = an.GetCurvesRequest(scope=question.scope, class_numbers=chosen, areas_only=areas_only)
    found: an.GetCurvesResponse = client.ask(client.analysis.GetCurves, request)
    return found


def areas(question: Question) -> Answer:
    """One row a class: AUC and average precision with certain bounds."""
    found = _curves_of(question, areas_only=True)
    rows = [
        {
            **_class(each),
            "positives": each.positives,
            "negatives": each.negatives,
            **_bounded("auc", each, "auc"),
            **_bounded("average_precision", each, "average_precision"),
        }
        for each in found.classes
    ]
    return Answer(rows, found.basis.basis)


def curves(question: Question) -> Answer:
    """One row a point of a curve: ROC has x false positive rate, y recall; the other is named."""
    found = _curves_of(question, areas_only=False)
    rows = [
        {**_class(each), "curve": name, "x": x, "y": y, "threshold": threshold}
        for each in found.classes
        for name in ("roc", "precision_recall")
        for x, y, threshold in zip(
            getattr(each, name).x, getattr(each, name).y, getattr(each, name).threshold, strict=True
        )
    ]
    return Answer(rows, found.basis.basis)


def thresholds(question: Question) -> Answer:
    """Rows of thresholds of one class, the best one marked; without a class the best of each."""
    client = question.client
    if question.of is not None:
        numbers = [_number(question)]
    else:
        numbers = [c.class_number for c in _curves_of(question, areas_only=True).classes]
    if len(numbers) > CLASSES_MAX:
        raise UsageError(f"{len(numbers)} classes are too many at once", "Name one: of=CLASS")
    rows, basis = [], None
    for number in numbers:
        request = an.GetThresholdsRequest(
            scope=question.scope, class_number=number, objective=question.objective
        )
        found = client.ask(client.analysis.GetThresholds, request)
        basis = found.basis.basis
        name = _class(found)
        if question.of is not None:
            rows += [{**name, **_threshold(each), "best": False} for each in found.rows]
        if found.HasField("best"):
            optimism = {"optimism": _of(found, "optimism")}
            rows.append({**name, **_threshold(found.best), "best": True, **optimism})
    return Answer(rows, basis)


def _threshold(found: an.ThresholdFigures) -> Row:
    return {
        "threshold": found.threshold,
        "true_positives": found.true_positives,
        "false_positives": found.false_positives,
        "false_negatives": found.false_negatives,
        "true_negatives": found.true_negatives,
        **_rate("precision", found.precision),
        **_rate("recall", found.recall),
        **_rate("flagged", found.flagged),
        "f1": _of(found, "f1"),
        "cost": _of(found, "cost"),
    }


def calibration(question: Question) -> Answer:
    """One row a bin of scores: of the predicted class, or of the class that is named."""
    client = question.client
    chosen = [] if question.of is None else [_number(question)]
    request = an.GetCalibrationRequest(scope=question.scope, class_numbers=chosen)
    found = client.ask(client.analysis.GetCalibration, request)
    bins = [b for each in found.classes for b in each.bins] if chosen else found.confidence
    rows = [
        {
            **_bounded("score", each, "score"),
            **_rate("observed", each.observed),
            "labelled": each.observed.trials,
        }
        for each in bins
    ]
    return Answer(rows, found.basis.basis)


def comparison(question: Question) -> Answer:
    """One row a challenger over all classes, without a class number; then one a class."""
    client = question.client
    request = an.CompareVersionsRequest(scope=question.scope, challengers=question.challengers)
    found = client.ask(client.analysis.CompareVersions, request)
    rows = [row for each in found.comparisons for row in _comparison(each)]
    return Answer(rows, found.basis)


def _comparison(found: an.Comparison) -> Iterable[Row]:
    versions = {
        "champion": found.champion.rpartition("/versions/")[2],
        "challenger": found.challenger.rpartition("/versions/")[2],
        "paired": found.paired,
    }
    yield {
        **versions,
        "class_number": None,
        "class_name": None,
        **_rate("champion_rate", found.champion_accuracy),
        **_rate("challenger_rate", found.challenger_accuracy),
        **_difference(found),
        "words": found.words,
    }
    for each in found.classes:
        yield {
            **versions,
            **_class(each),
            **_rate("champion_rate", each.champion_recall),
            **_rate("challenger_rate", each.challenger_recall),
            **_difference(each),
            "words": None,
        }


def _difference(found: Any) -> Row:  # noqa: ANN401 - a comparison, of all or of one class
    bounds = _of(found, "interval")
    verdict = an.Comparison.Verdict.Name(found.verdict).removeprefix("VERDICT_").lower()
    return {
        "difference": _of(found, "difference"),
        "difference_lower": None if bounds is None else bounds.lower,
        "difference_upper": None if bounds is None else bounds.upper,
        "verdict": verdict,
    }


def advice(question: Question) -> Answer:
    """One row a piece of advice, the largest effect first."""
    client = question.client
    found = client.ask(client.analysis.ListAdvice, an.ListAdviceRequest(scope=question.scope))
    return Answer([plain_of(each) for each in found.advice], found.basis)


def cases(question: Question) -> Answer:
    """One row a kept prediction, the newest first."""
    client, token = question.client, ""
    rows: list[Row] = []
    while len(rows) < question.limit:
        size = min(PAGE, question.limit - len(rows))
        request = ev.ListCasesRequest(scope=question.scope, page_size=size, page_token=token)
        page = client.ask(client.evaluation.ListCases, request)
        rows += [_case(each) for each in page.cases]
        token = page.next_page_token
        if not token:
            break
    return Answer(rows)


def _case(found: ev.CaseSummary) -> Row:
    return {
        "name": found.name,
        "id_text": found.id_text,
        "event_time": found.event_time.ToDatetime(tzinfo=UTC),
        "predicted_class": found.predicted_class,
        "score": found.top_score[0] if found.top_score else None,
        "true_class": _of(found, "true_class"),
        "label_source": found.label_source,
        "keep_probability": found.keep_probability,
        "has_input": found.has_input,
        **{each.column: each.value for each in found.slices},
    }


def _number(question: Question) -> int:
    """The number of the class that is meant."""
    of = question.of
    if isinstance(of, int):
        return of
    names = list(_matrix_of(question).class_names)
    if of is not None and of in names:
        return names.index(of)
    if of is not None and of.isdecimal():
        return int(of)
    known = ", ".join(names[:8])
    raise NotFoundError(f"there is no class {of!r}", f"There are: {known}")


TABLES: dict[str, Callable[[Question], Answer]] = {
    "summary": summary,
    "classes": classes,
    "confusion": confusion,
    "timeline": timeline,
    "slices": slices_of,
    "areas": areas,
    "curves": curves,
    "thresholds": thresholds,
    "calibration": calibration,
    "comparison": comparison,
    "advice": advice,
    "cases": cases,
}
