"""Answers as messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from leadline.metrics.answers import Basis, CrossingList, ModelRow, SliceList, Summary, Timeline
from leadline.metrics.api.names import case_name, version_name
from leadline.metrics.core.confusions import ConfusedPair, confused_pairs
from leadline.metrics.core.figures import Average, ClassFigures, Delay, Figures, Rate, confusion_of
from leadline.metrics.core.scope import MINUTE_US, Position, Window
from leadline.metrics.core.view import Counts
from leadline.metrics.measures.uncertainty import (
    NO_AVERAGE,
    AverageIntervals,
    f1_interval,
    macro_intervals,
    weighted_intervals,
)
from leadline.metrics.measures.volatility import volatility
from leadline.records.batches import InputAbsence, TaskKind, UnobservedReason
from leadline.records.cases import Case
from leadline.records.models import ModelSpec
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1 import events_pb2, models_pb2
from leadline.wire.models import model_to_proto

INTERVALS_CELLS_MAX = 10_000
"""Cells of a matrix up to which means over classes get intervals: that many take some 15 ms."""
CLASS_NAMES_MAX = 65_536
"""Numbers written as names beyond the declared list: an undeclared model may claim any number."""


def time_of(microseconds: int) -> Timestamp:
    """A time since 1970-01-01 UTC."""
    found = Timestamp()
    found.FromMicroseconds(microseconds)
    return found


def duration_of(milliseconds: int) -> Duration:
    """A duration."""
    found = Duration()
    found.FromMilliseconds(milliseconds)
    return found


def class_name(spec: ModelSpec | None, number: int) -> str:
    """The declared name of a class; its number where none is declared, "#7" beyond a declared list.

    The mark keeps a class that is called "7" apart from an unexpected class number 7.
    """
    if spec is None or not spec.classes:
        return str(number)
    return spec.classes[number] if number < len(spec.classes) else f"#{number}"


def name_in(found: Summary, number: int) -> str:
    """The name of a class in an answer: that of its merge, else as `class_name`."""
    for each in found.merges:
        if each.number == number:
            return each.name
    return class_name(found.spec, number)


def rate(found: Rate) -> messages.Rate:
    """A share with its interval; both absent without a trial."""
    message = messages.Rate()
    _fill(message, found)
    return message


def _fill(message: messages.Rate, found: Rate) -> None:
    message.successes, message.trials = found.successes, found.trials
    if (interval := found.interval) is not None:
        message.value = found.successes / found.trials
        message.lower, message.upper = interval


def average(found: Average, intervals: AverageIntervals = NO_AVERAGE) -> messages.Average:
    """Means and their intervals; absent where undefined."""
    return messages.Average(
        precision=found.precision,
        recall=found.recall,
        f1=found.f1,
        precision_interval=bounds(intervals.precision),
        recall_interval=bounds(intervals.recall),
        f1_interval=bounds(intervals.f1),
    )


def bounds(found: tuple[float, float] | None) -> messages.Bounds | None:
    """An interval; absent where there is none."""
    return None if found is None else messages.Bounds(lower=found[0], upper=found[1])


def interval_of(window: Window) -> messages.Interval:
    """A window as times."""
    return messages.Interval(
        start_time=time_of(window.from_minute * MINUTE_US),
        end_time=time_of(window.to_minute * MINUTE_US),
    )


def position(found: Position) -> messages.ShardPosition:
    """A shard's place in the vector."""
    return messages.ShardPosition(
        shard=found.shard,
        predictions_offset=found.p,
        labels_offset=found.l,
        epoch=found.epoch,
    )


def basis(found: Basis) -> messages.Basis:
    """Where an answer holds."""
    return messages.Basis(
        vector=[position(each) for each in found.vector],
        exact_until=time_of(found.exact_until_ms * 1000) if found.exact_until_ms else None,
        interval=interval_of(found.window) if found.window else None,
        predictions=found.predictions,
        labelled=found.labelled,
        label_coverage=rate(Rate(found.labelled, found.predictions)),
        log_rate=found.log_rate,
    )


def summary(found: Summary, *, with_classes: bool = True) -> messages.Summary:
    """Headline figures with those of all classes, or of the worst class only."""
    figures = found.figures
    worst = figures.worst_class
    classes = [each for each in figures.classes if with_classes or each.number == worst]
    macro, micro, weighted = _intervals(found) if with_classes else (NO_AVERAGE,) * 3
    minute = found.last_prediction_minute
    kind = found.spec.kind if found.spec else TaskKind.MULTICLASS
    message = messages.Summary(
        name=version_name(found.model, found.version),
        kind=events_pb2.TaskKind.ValueType(kind),
        class_count=class_count(found.spec, figures),
        basis=basis(found.basis),
        accuracy=rate(figures.accuracy),
        top_k=[messages.TopK(k=k, rate=rate(each)) for k, each in figures.top_k],
        macro=average(figures.macro, macro),
        micro=average(figures.micro, micro),
        weighted=average(figures.weighted, weighted),
        worst_class=figures.worst_class,
        label_delay=_delay(figures.delay),
        counters=_counters(found.counts),
        notices=[
            messages.Notice(code=each.code, text=each.text, remedy=each.remedy)
            for each in found.notices
        ],
        last_prediction_time=None if minute is None else time_of(minute * MINUTE_US),
        last_label_time=time_of(found.last_label_ms * 1000) if found.last_label_ms else None,
    )
    _add_classes(message, found, classes)
    return message


def _intervals(found: Summary) -> tuple[AverageIntervals, AverageIntervals, AverageIntervals]:
    """Intervals of the macro, micro and weighted means."""
    matrix = confusion_of(found.counts.confusion)
    if len(matrix.count) > INTERVALS_CELLS_MAX:
        return NO_AVERAGE, NO_AVERAGE, NO_AVERAGE
    accuracy = found.figures.accuracy.interval
    micro = AverageIntervals(accuracy, accuracy, accuracy)
    return macro_intervals(matrix), micro, weighted_intervals(matrix)


def class_count(spec: ModelSpec | None, figures: Figures) -> int:
    """Declared classes, or one more than the highest number that was seen."""
    declared = len(spec.classes) if spec else 0
    return max(declared, figures.classes[-1].number + 1 if figures.classes else 0)


def _add_classes(
    message: messages.Summary, found: Summary, classes: Iterable[ClassFigures]
) -> None:
    """Made in place: copies of a thousand messages would take as long again."""
    merged = {each.number: each.name for each in found.merges}
    for each in classes:
        added = message.classes.add(
            class_number=each.number,
            class_name=merged.get(each.number) or class_name(found.spec, each.number),
            support=each.support,
            predicted=each.predicted,
            f1=each.f1,
        )
        right = each.precision.successes
        wrong, missed = each.precision.trials - right, each.recall.trials - right
        if (interval := f1_interval(right, wrong, missed)) is not None:
            added.f1_interval.lower, added.f1_interval.upper = interval
        _fill(added.precision, each.precision)
        _fill(added.recall, each.recall)


def _delay(found: Delay) -> messages.LabelDelay:
    return messages.LabelDelay(
        p50_seconds=found.p50_seconds,
        p95_seconds=found.p95_seconds,
        count=found.count,
        bins=[messages.DelayBin(upper_seconds=upper, count=n) for upper, n in found.bins],
    )


def _counters(found: Counts) -> messages.Counters:
    return messages.Counters(
        duplicates=found.duplicates,
        clamped=found.clamped,
        unmatched=found.unmatched,
        superseded=found.superseded,
        defaulted=found.defaulted,
        unobserved={reason_name(reason): count for reason, count in found.unobserved},
    )


def reason_name(reason: int) -> str:
    """The stable word of a reason for not logging, "queue_full"; "reason_N" for an unknown one."""
    known = {int(each): each.name.lower() for each in UnobservedReason}
    return known.get(reason, f"reason_{reason}")


def matrix(found: Summary, pairs_max: int) -> messages.GetConfusionMatrixResponse:
    """The matrix behind a summary as sparse triples, by true class, then predicted class.

    Args:
        found: the summary.
        pairs_max: most confused pairs to name.
    """
    count = class_count(found.spec, found.figures)
    confusion = confusion_of(found.counts.confusion)
    declared = len(found.spec.classes) if found.spec else 0
    named = max(declared, min(count, CLASS_NAMES_MAX))
    return messages.GetConfusionMatrixResponse(
        basis=basis(found.basis),
        class_count=count,
        class_names=_names(found, named),
        true_class=confusion.true.tolist(),
        predicted_class=confusion.predicted.tolist(),
        count=confusion.count.tolist(),
        confused_pairs=[_pair(found, each) for each in confused_pairs(confusion, pairs_max)],
    )


def _names(found: Summary, number: int) -> list[str]:
    """The names of the classes below a number."""
    names = [class_name(found.spec, at) for at in range(number)]
    for each in found.merges:
        if each.number < number:
            names[each.number] = each.name
    return names


def _pair(found: Summary, pair: ConfusedPair) -> messages.ConfusedPair:
    return messages.ConfusedPair(
        true_class=pair.true,
        predicted_class=pair.predicted,
        true_class_name=name_in(found, pair.true),
        predicted_class_name=name_in(found, pair.predicted),
        share_of_true=rate(pair.share),
        reverse_count=pair.reverse,
    )


def timeline(found: Timeline) -> messages.GetTimelineResponse:
    """Figures by steps."""
    settled = found.settled_until_us
    return messages.GetTimelineResponse(
        basis=basis(found.basis),
        step=duration_of(found.step_minutes * 60_000),
        points=[
            messages.TimelinePoint(
                start_time=time_of(each.from_minute * MINUTE_US),
                predictions=each.predictions,
                labelled=each.accuracy.trials,
                accuracy=rate(each.accuracy),
                macro_f1=each.macro_f1,
            )
            for each in found.steps
        ],
        settled_until=None if settled is None else time_of(max(0, settled)),
        accuracy_volatility=_volatility(found),
    )


def _volatility(found: Timeline) -> messages.Volatility | None:
    rates = [each.accuracy for each in found.steps]
    told = volatility([each.successes for each in rates], [each.trials for each in rates])
    if told is None:
        return None
    return messages.Volatility(
        steps=told.windows,
        mean=told.mean,
        deviation=told.deviation,
        expected_deviation=told.expected,
        ratio=told.ratio,
        excess_deviation=told.excess,
    )


def slices(found: SliceList) -> messages.ListSlicesResponse:
    """Slices, the commonest first."""
    return messages.ListSlicesResponse(
        basis=basis(found.basis),
        slices=[
            messages.SliceFigures(
                slice=messages.SliceValue(column=each.column, value=each.value),
                predictions=each.predictions,
                accuracy=rate(each.accuracy),
            )
            for each in found.slices
        ],
    )


def crossings(found: CrossingList) -> messages.ListSlicesResponse:
    """Combinations of slice values, the commonest first."""
    return messages.ListSlicesResponse(
        basis=basis(found.basis),
        slices=[
            messages.SliceFigures(
                crossing=[messages.SliceValue(column=c, value=v) for c, v in each.values],
                predictions=each.predictions,
                accuracy=rate(each.accuracy),
            )
            for each in found.found.rows
        ],
        left_out=found.found.left_out,
        left_out_predictions=found.found.left_out_predictions,
        without_columns=found.found.without_columns,
    )


def case(found: Case, others: Sequence[Case] = ()) -> messages.CaseSummary:
    """A case, with what other versions of its task said of the same input."""
    label = found.label
    message = messages.CaseSummary(
        name=case_name(found.model, found.version, found.id),
        id_text=found.id_text,
        event_time=time_of(found.event_time_us),
        predicted_class=found.predicted,
        top_class=found.top_classes,
        top_score=found.top_scores,
        keep_probability=found.keep_probability,
        slices=[messages.SliceValue(column=c, value=v) for c, v in found.slices],
        has_input=bool(found.input_ref),
        absence=events_pb2.InputAbsence.ValueType(_absence(found)),
        input_uri=found.input_uri,
        others=[_other(each) for each in others],
    )
    if label is not None:
        message.true_class = label.true_class
        message.label_source = label.source
        message.label_delay.CopyFrom(duration_of(label.delay_ms))
    return message


def _absence(found: Case) -> int:
    if found.input_ref or found.absence is not InputAbsence.PRESENT:
        return int(found.absence)
    return int(InputAbsence.NOT_STORED)


def _other(found: Case) -> messages.OtherVersion:
    scores = dict(zip(found.top_classes, found.top_scores, strict=False))
    return messages.OtherVersion(
        version=found.version,
        predicted_class=found.predicted,
        score=scores.get(found.predicted, 0.0),
    )


def status(vector: Sequence[Position], exact_until_ms: int) -> messages.GetStatusResponse:
    """Where the counting stands."""
    return messages.GetStatusResponse(
        shards=[_shard(each) for each in vector],
        exact_until=time_of(exact_until_ms * 1000) if exact_until_ms else None,
    )


def _shard(found: Position) -> messages.ShardStatus:
    predictions, labels = found.predictions_clock_ms, found.labels_clock_ms
    return messages.ShardStatus(
        position=position(found),
        predictions_clock=time_of(predictions * 1000) if predictions else None,
        labels_clock=time_of(labels * 1000) if labels else None,
        committed_time=time_of(found.committed_us) if found.committed_us else None,
        stopped=found.stopped,
        remedy=found.remedy,
        dead_letters=found.dead_letters,
    )


def declaration(spec: ModelSpec, revision: int) -> models_pb2.Model:
    """A declaration that is not applied, without versions."""
    return model_to_proto(spec, revision=revision)


def model(found: ModelRow) -> models_pb2.Model:
    """A model with its versions; an undeclared one has its name, kind and versions alone."""
    if found.spec is None:
        message = models_pb2.Model(
            name=f"models/{found.name}", kind=events_pb2.TASK_KIND_MULTICLASS, log_rate=1.0
        )
    else:
        message = model_to_proto(found.spec, revision=found.revision)
    for each in found.versions:
        message.versions.add(
            name=version_name(each.model, each.version),
            first_seen_time=time_of(each.first_minute * MINUTE_US),
            last_seen_time=time_of(each.last_minute * MINUTE_US),
            champion=each.version == found.champion,
        )
    return message
