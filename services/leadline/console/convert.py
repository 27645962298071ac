"""From the reader's messages to the console's records; the only place that knows both."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from leadline.console.core import figures as f
from leadline.v1 import evaluation_pb2 as ev
from leadline.v1 import events_pb2 as events
from leadline.v1 import models_pb2 as md

KINDS = {
    events.TASK_KIND_BINARY: "binary",
    events.TASK_KIND_MULTICLASS: "multiclass",
    events.TASK_KIND_MULTILABEL: "multilabel",
    events.TASK_KIND_DETECTION: "detection",
    events.TASK_KIND_REGRESSION: "regression",
}
FORMS = {
    md.INPUT_FORM_ENCODED_IMAGE: "images",
    md.INPUT_FORM_IMAGE_ARRAY: "images",
    md.INPUT_FORM_TEXT: "text",
    md.INPUT_FORM_NUMBERS: "numbers",
}
ABSENCES = {
    events.INPUT_ABSENCE_NOT_STORED: "the input was not stored",
    events.INPUT_ABSENCE_TOO_LARGE: "the input was too large to keep",
    events.INPUT_ABSENCE_STORE_FAILED: "the blob store failed",
    events.INPUT_ABSENCE_SHARED_MEMORY: "the input was in shared memory",
    events.INPUT_ABSENCE_QUEUE_FULL: "the gateway's queue was full",
}


def micros(stamp: Timestamp) -> int:
    """The time in microseconds since 1970."""
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000


def parts_of(name: str) -> dict[str, str]:
    """{"models": M, "versions": V, ...} of a resource name; a name has no '/'."""
    words = name.split("/")
    return dict(zip(words[::2], words[1::2], strict=False))


def rate(message: ev.Rate) -> f.Rate:
    """A share with its interval."""
    return f.Rate(
        message.value if message.HasField("value") else None,
        message.lower if message.HasField("lower") else None,
        message.upper if message.HasField("upper") else None,
        message.successes,
        message.trials,
    )


def _interval(mean: ev.Average) -> tuple[float, float] | None:
    """The interval of a mean F1."""
    if not mean.HasField("f1_interval"):
        return None
    return mean.f1_interval.lower, mean.f1_interval.upper


def basis(message: ev.Basis) -> f.Basis:
    """Where an answer holds."""
    window = message.interval
    return f.Basis(
        tuple(f.Position(p.shard, p.predictions_offset, p.labels_offset) for p in message.vector),
        micros(message.exact_until) if message.HasField("exact_until") else None,
        micros(window.start_time) if window.HasField("start_time") else None,
        micros(window.end_time) if window.HasField("end_time") else None,
        message.predictions,
        message.labelled,
        rate(message.label_coverage),
        message.log_rate or 1.0,
    )


def summary(message: ev.Summary) -> f.Summary:
    """Headline figures."""
    name = parts_of(message.name)
    delay = message.label_delay
    return f.Summary(
        model=name.get("models", ""),
        version=name.get("versions", ""),
        kind=KINDS.get(message.kind, ""),
        class_count=message.class_count,
        basis=basis(message.basis),
        accuracy=rate(message.accuracy),
        top_k=tuple((t.k, rate(t.rate)) for t in message.top_k),
        macro_f1=message.macro.f1 if message.macro.HasField("f1") else None,
        macro_f1_interval=_interval(message.macro),
        classes=tuple(_class(c) for c in message.classes),
        worst_class=message.worst_class if message.HasField("worst_class") else None,
        delay_p50_seconds=delay.p50_seconds if delay.HasField("p50_seconds") else None,
        delay_p95_seconds=delay.p95_seconds if delay.HasField("p95_seconds") else None,
        notices=tuple(f.Notice(n.code, n.text, n.remedy) for n in message.notices),
        last_prediction_us=_optional(message, "last_prediction_time"),
        last_label_us=_optional(message, "last_label_time"),
    )


def matrix(message: ev.GetConfusionMatrixResponse) -> f.Matrix:
    """The confusion matrix; classes without a name are called by their number."""
    named = list(message.class_names)
    names = [named[i] if i < len(named) and named[i] else str(i) for i in _range(message)]
    triples = zip(message.true_class, message.predicted_class, message.count, strict=True)
    return f.Matrix(tuple(names), {(t, p): n for t, p, n in triples if n})


def timeline(message: ev.GetTimelineResponse) -> f.Timeline:
    """Figures by steps; the window's ends come from the points where the basis has none."""
    step = message.step.seconds * 1_000_000 + message.step.nanos // 1000
    points = tuple(
        f.Point(micros(p.start_time), p.predictions, p.labelled, rate(p.accuracy))
        for p in message.points
    )
    where = basis(message.basis)
    first = points[0].start_us if points else 0
    last = points[-1].start_us + step if points else 0
    start, end = where.start_us, where.end_us
    settled = micros(message.settled_until) if message.HasField("settled_until") else None
    return f.Timeline(
        step, points, settled, first if start is None else start, last if end is None else end
    )


def slices(message: ev.ListSlicesResponse) -> tuple[f.SliceFigures, ...]:
    """Values of the slice columns."""
    return tuple(
        f.SliceFigures(s.slice.column, s.slice.value, s.predictions, rate(s.accuracy))
        for s in message.slices
    )


def cases(message: ev.ListCasesResponse) -> f.Cases:
    """One page of kept cases."""
    return f.Cases(tuple(case(c) for c in message.cases), message.total)


def case(message: ev.CaseSummary) -> f.Case:
    """One kept prediction."""
    delay = message.label_delay
    absence = ABSENCES.get(message.absence, "the input was not stored")
    return f.Case(
        id=parts_of(message.name).get("cases", ""),
        id_text=message.id_text,
        event_us=micros(message.event_time),
        predicted=message.predicted_class,
        scores=tuple(zip(message.top_class, message.top_score, strict=False)),
        true=message.true_class if message.HasField("true_class") else None,
        label_source=message.label_source,
        label_delay_seconds=delay.seconds + delay.nanos / 1e9
        if message.HasField("label_delay")
        else None,
        keep_probability=message.keep_probability,
        slices=tuple((s.column, s.value) for s in message.slices),
        absence="" if message.has_input else absence,
        input_uri=message.input_uri,
        others=tuple(f.Other(o.version, o.predicted_class, o.score) for o in message.others),
    )


def status(message: ev.GetStatusResponse) -> f.Status:
    """Where the counting stands."""
    return f.Status(
        tuple(
            f.Shard(s.position.shard, _optional(s, "committed_time"), s.stopped, s.remedy)
            for s in message.shards
        ),
        _optional(message, "exact_until"),
    )


def model(message: md.Model) -> f.Model:
    """A declared or counted model."""
    return f.Model(
        name=parts_of(message.name).get("models", message.name),
        kind=KINDS.get(message.kind, ""),
        classes=tuple(message.classes),
        form=FORMS.get(message.input.form, ""),
        slices=tuple(message.slices),
        versions=tuple(
            f.Version(
                parts_of(v.name).get("versions", v.name),
                v.champion,
                _optional(v, "last_seen_time"),
            )
            for v in message.versions
        ),
        declared=message.declared,
    )


def _class(message: ev.ClassFigures) -> f.ClassFigures:
    return f.ClassFigures(
        message.class_number,
        message.class_name or str(message.class_number),
        message.support,
        message.predicted,
        rate(message.precision),
        rate(message.recall),
        message.f1 if message.HasField("f1") else None,
    )


def _range(message: ev.GetConfusionMatrixResponse) -> range:
    highest = max([*message.true_class, *message.predicted_class], default=-1)
    return range(max(message.class_count, len(message.class_names), highest + 1))


def _optional(
    message: ev.Summary | ev.ShardStatus | ev.GetStatusResponse | md.ModelVersion, field: str
) -> int | None:
    stamp: Timestamp = getattr(message, field)
    return micros(stamp) if message.HasField(field) else None  # type: ignore[arg-type]
