"""The exporter's gauges by class, of a bounded and steady choice of classes.

The budget of classes. A version exports at most `export_classes_max` classes, the same in every
window: those with the most errors in the widest one. A class that is shown stays until another one
has a quarter more errors, so series do not come and go. `leadline_classes_left_out` counts the
others; their figures are in the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric

from leadline.metrics.answers import Summary, Survey
from leadline.metrics.api.convert import class_name
from leadline.metrics.core.budget import choose_classes
from leadline.metrics.exported import ExportedClass, exported_classes
from leadline.metrics.measures.uncertainty import Interval
from leadline.metrics.scored import ScoredCounts

VERSION = ("model", "version")
WINDOW = (*VERSION, "window")


@dataclass(frozen=True, slots=True)
class ClassGauge:
    """A gauge by version, window and class; None leaves the sample out."""

    name: str
    text: str
    value: Callable[[ExportedClass], float | None]


def _bound(interval: Interval | None, side: int) -> float | None:
    return interval[side] if interval else None


def _with_bounds(
    name: str,
    text: str,
    value: Callable[[ExportedClass], float | None],
    interval: Callable[[ExportedClass], Interval | None],
) -> tuple[ClassGauge, ...]:
    """A figure and the bounds of its 95 % interval."""
    short = text.partition(":")[0].rstrip(".")
    return (
        ClassGauge(f"leadline_class_{name}_ratio", text, value),
        ClassGauge(
            f"leadline_class_{name}_lower_ratio",
            f"Lower bound of the 95 % interval of: {short}.",
            lambda each: _bound(interval(each), 0),
        ),
        ClassGauge(
            f"leadline_class_{name}_upper_ratio",
            f"Upper bound of the 95 % interval of: {short}.",
            lambda each: _bound(interval(each), 1),
        ),
    )


CLASS_GAUGES = (
    *_with_bounds(
        "precision",
        "Share of the labelled predictions of this class that are right.",
        lambda each: each.figures.precision.value,
        lambda each: each.figures.precision.interval,
    ),
    *_with_bounds(
        "recall",
        "Share of the labelled predictions of this true class that are right.",
        lambda each: each.figures.recall.value,
        lambda each: each.figures.recall.interval,
    ),
    *_with_bounds(
        "f1",
        "F1 of this class.",
        lambda each: each.figures.f1,
        lambda each: each.f1_interval,
    ),
    *_with_bounds(
        "auc",
        "Area under the ROC curve of this class against the rest: of whole hours.",
        lambda each: each.auc.value if each.auc else None,
        lambda each: each.auc_interval,
    ),
    ClassGauge(
        "leadline_class_best_f1_threshold",
        "Least score at which this class should be said for the highest F1: of whole hours.",
        lambda each: min(each.best.threshold, 1.0) if each.best else None,
    ),
    ClassGauge(
        "leadline_class_best_f1_ratio",
        "F1 of this class at that threshold, on the labels that chose it: of whole hours.",
        lambda each: each.best.value if each.best else None,
    ),
    ClassGauge(
        "leadline_class_labelled_predictions",
        "Labelled predictions of this true class.",
        lambda each: each.figures.support,
    ),
    ClassGauge(
        "leadline_class_predictions",
        "Predictions of this class, labelled or not.",
        lambda each: each.figures.predicted,
    ),
)


@dataclass(slots=True)
class ClassSeries:
    """The gauges by class; remembers which classes it has shown. Not safe from several threads.

    Args:
        classes_max: of a version, at least 1.
    """

    classes_max: int
    _shown: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict)

    def families(self, survey: Survey) -> Iterator[Metric]:
        """All gauges by class, and how many classes each version leaves out."""
        left_out = self._choose(survey)
        rows = [
            (_labels(minutes, each), each.spec, self._told(each, counts))
            for (minutes, each), counts in zip(survey.summaries, survey.scores, strict=True)
        ]
        for gauge in CLASS_GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.text, labels=(*WINDOW, "class"))
            for labels, spec, classes in rows:
                for one in classes:
                    value = gauge.value(one)
                    if value is not None:
                        family.add_metric([*labels, class_name(spec, one.figures.number)], value)
            yield family
        family = GaugeMetricFamily(
            "leadline_classes_left_out",
            "Classes of the widest window beyond the budget of classes: they have no series.",
            labels=VERSION,
        )
        for key, number in left_out.items():
            family.add_metric(list(key), number)
        yield family

    def _choose(self, survey: Survey) -> dict[tuple[str, str], int]:
        """Chooses the classes of each version anew; how many are left out."""
        widest = max((minutes for minutes, _ in survey.summaries), default=0)
        left_out = {}
        before, self._shown = self._shown, {}
        for minutes, each in survey.summaries:
            if minutes != widest:
                continue
            key, classes = (each.model, each.version), each.figures.classes
            chosen = choose_classes(classes, before.get(key, frozenset()), self.classes_max)
            self._shown[key] = frozenset(one.number for one in chosen)
            left_out[key] = sum(1 for one in classes if one.support or one.predicted) - len(chosen)
        return left_out

    def _told(self, summary: Summary, counts: ScoredCounts | None) -> list[ExportedClass]:
        """The chosen classes that occur in a window."""
        shown = self._shown[summary.model, summary.version]
        return exported_classes(
            [
                each
                for each in summary.figures.classes
                if each.number in shown and (each.support or each.predicted)
            ],
            counts,
        )


def _labels(minutes: int, summary: Summary) -> list[str]:
    return [summary.model, summary.version, window_name(minutes)]


def window_name(minutes: int) -> str:
    """A window as Prometheus writes durations.

    >>> window_name(5), window_name(60), window_name(1440), window_name(90)
    ('5m', '1h', '24h', '90m')
    """
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
