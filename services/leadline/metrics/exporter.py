"""The Prometheus exporter: one snapshot of the truth, translated at scrape time.

Counters never fall though labels are corrected: a correction adds to one counter and to another's
`retracted` twin, and the truth is the difference. They are sums over all time, read from the
store, so a restart of the exporter or of an owner changes no value.

The budget of pairs. A version exports at most `export_pairs_max` pairs. A matrix that fits is
whole; else the most frequent confusions come first, then the diagonal. A pair that is exported
stays so while the exporter lives (up to twice the budget, then the choice is made afresh), so that
series do not come and go. There is no pair that sums up the rest: its counter would fall whenever a
pair leaves it, and Prometheus would read that as a restart. In its place
`leadline_outcomes_*_total` counts all pairs, right and wrong, without any choice; what the listed
pairs leave out is the difference.

Gauges are the API's figures over windows of event time that end at the scrape. A figure that is
undefined (no label) has no sample. What rests on scores and strata is kept by the hour: it is told
of the whole hours that a window touches, and not of windows shorter than one.
`exporter_classes` tells which classes have series.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leadline.metrics.answers import History, Summary, Survey
from leadline.metrics.api.convert import class_name, reason_name
from leadline.metrics.core.budget import choose_pairs, outcomes
from leadline.metrics.core.figures import Rate, Tally
from leadline.metrics.core.scope import Position
from leadline.metrics.exported import accuracy_of_all
from leadline.metrics.exporter_classes import VERSION, WINDOW, ClassSeries, window_name
from leadline.metrics.measures.strata import Reweighted
from leadline.metrics.reader import Reader
from leadline.metrics.settings import ReaderSettings
from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec

_LOG = logging.getLogger("leadline.metrics.exporter")

_COUNTERS = (
    ("added", "Labelled predictions that were counted"),
    ("retracted", "Labelled predictions that were taken back because their label changed"),
)


@dataclass(frozen=True, slots=True)
class WindowGauge:
    """A gauge by version and window; None leaves the sample out."""

    name: str
    text: str
    value: Callable[[Summary], float | None]


@dataclass(frozen=True, slots=True)
class TrafficGauge:
    """A gauge by version and window of the accuracy of all traffic; None leaves the sample out."""

    name: str
    text: str
    value: Callable[[Reweighted], float | None]


@dataclass(frozen=True, slots=True)
class ShardGauge:
    """A gauge by shard; None leaves the sample out."""

    name: str
    text: str
    value: Callable[[Position], float | None]


def _lower(rate: Rate) -> float | None:
    return rate.interval[0] if rate.interval else None


def _upper(rate: Rate) -> float | None:
    return rate.interval[1] if rate.interval else None


WINDOW_GAUGES = (
    WindowGauge(
        "leadline_accuracy_ratio",
        "Share of labelled predictions that are right.",
        lambda each: each.figures.accuracy.value,
    ),
    WindowGauge(
        "leadline_accuracy_lower_ratio",
        "Lower bound of the 95 % Wilson interval of the accuracy.",
        lambda each: _lower(each.figures.accuracy),
    ),
    WindowGauge(
        "leadline_accuracy_upper_ratio",
        "Upper bound of the 95 % Wilson interval of the accuracy.",
        lambda each: _upper(each.figures.accuracy),
    ),
    WindowGauge(
        "leadline_macro_precision_ratio",
        "Mean precision over classes that were labelled or predicted.",
        lambda each: each.figures.macro.precision,
    ),
    WindowGauge(
        "leadline_macro_recall_ratio",
        "Mean recall over classes that were labelled or predicted.",
        lambda each: each.figures.macro.recall,
    ),
    WindowGauge(
        "leadline_macro_f1_ratio",
        "Mean F1 over classes that were labelled or predicted.",
        lambda each: each.figures.macro.f1,
    ),
    WindowGauge(
        "leadline_label_coverage_ratio",
        "Share of the predictions that are labelled.",
        lambda each: each.figures.coverage.value,
    ),
    WindowGauge(
        "leadline_label_delay_p50_seconds",
        "Half of the labels came at most so long after their prediction.",
        lambda each: each.figures.delay.p50_seconds,
    ),
    WindowGauge(
        "leadline_label_delay_p95_seconds",
        "95 % of the labels came at most so long after their prediction.",
        lambda each: each.figures.delay.p95_seconds,
    ),
    WindowGauge(
        "leadline_predictions",
        "Predictions of the window, labelled or not.",
        lambda each: each.figures.predictions,
    ),
    WindowGauge(
        "leadline_labelled_predictions",
        "Predictions of the window that are labelled.",
        lambda each: each.figures.accuracy.trials,
    ),
    WindowGauge(
        "leadline_duplicate_predictions",
        "Predictions of the window that repeat an id and are not counted.",
        lambda each: each.counts.duplicates,
    ),
    WindowGauge(
        "leadline_clamped_events",
        "Predictions and labels of the window whose event time was absurd.",
        lambda each: each.counts.clamped,
    ),
    WindowGauge(
        "leadline_unmatched_labels",
        "Labels of the task in the window whose prediction has not arrived.",
        lambda each: each.counts.unmatched,
    ),
    WindowGauge(
        "leadline_superseded_labels",
        "Labels of predictions of the window that another label outranked.",
        lambda each: each.counts.superseded,
    ),
    WindowGauge(
        "leadline_defaulted_predictions",
        "Labelled predictions of the window whose label is the task's default.",
        lambda each: each.counts.defaulted,
    ),
)

TRAFFIC_GAUGES = (
    TrafficGauge(
        "leadline_accuracy_post_stratified_ratio",
        "Accuracy reweighted from labelled to all predictions: of whole hours.",
        lambda each: each.rate.value if each.rate else None,
    ),
    TrafficGauge(
        "leadline_accuracy_post_stratified_lower_ratio",
        "Lower bound of the 95 % interval of that, if what has no label were all wrong.",
        lambda each: each.interval[0] if each.interval else None,
    ),
    TrafficGauge(
        "leadline_accuracy_post_stratified_upper_ratio",
        "Upper bound of the 95 % interval of that, if what has no label were all right.",
        lambda each: each.interval[1] if each.interval else None,
    ),
)

SHARD_GAUGES = (
    ShardGauge(
        "leadline_shard_predictions_position",
        "Next offset of the topic predictions: everything below it is counted.",
        lambda each: each.p,
    ),
    ShardGauge(
        "leadline_shard_labels_position",
        "Next offset of the topic labels: everything below it is counted.",
        lambda each: each.l,
    ),
    ShardGauge(
        "leadline_shard_predictions_clock_timestamp_seconds",
        "Newest append time that was read of the topic predictions.",
        lambda each: each.predictions_clock_ms / 1000 or None,
    ),
    ShardGauge(
        "leadline_shard_labels_clock_timestamp_seconds",
        "Newest append time that was read of the topic labels.",
        lambda each: each.labels_clock_ms / 1000 or None,
    ),
    ShardGauge(
        "leadline_shard_committed_timestamp_seconds",
        "When the shard was counted last.",
        lambda each: each.committed_us / 1e6 or None,
    ),
    ShardGauge(
        "leadline_shard_stopped",
        "1 when the shard stands still and needs a person; GetStatus says why.",
        lambda each: float(bool(each.stopped)),
    ),
)


class Exporter(Collector):
    """Translates one snapshot of the truth a scrape. Safe to scrape from several threads.

    Args:
        reader: where the figures come from; blocks.
        settings: windows and budgets.
    """

    def __init__(self, reader: Reader, settings: ReaderSettings) -> None:
        self._reader = reader
        self._settings = settings
        self._lock = threading.Lock()
        self._pairs: dict[tuple[str, str], frozenset[int]] = {}
        self._classes = ClassSeries(settings.export_classes_max)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics; only `leadline_truth_up` 0 when the store does not answer."""
        up = GaugeMetricFamily("leadline_truth_up", "1 when the truth store answered this scrape.")
        try:
            with self._lock:
                survey = self._reader.survey(
                    self._settings.window_minutes, self._settings.export_versions_max
                )
                families = [*self._counters(survey), *self._gauges(survey), *_shards(survey)]
        except Exception:
            _LOG.exception("no snapshot for this scrape")
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from families

    def _counters(self, survey: Survey) -> Iterator[Metric]:
        specs = {(each.model, each.version): each.spec for _, each in survey.summaries}
        for what, text in _COUNTERS:
            pairs = CounterMetricFamily(
                f"leadline_confusion_{what}",
                f"{text}, by pair of classes, within the budget of pairs.",
                labels=(*VERSION, "true_class", "predicted_class"),
            )
            totals = CounterMetricFamily(
                f"leadline_outcomes_{what}",
                f"{text}, right or wrong, over all pairs.",
                labels=(*VERSION, "outcome"),
            )
            for history in survey.histories:
                key = (history.model, history.version)
                found = history.added if what == "added" else history.retracted
                chosen = self._chosen(key, history)
                _add_pairs(pairs, key, specs.get(key), found, chosen)
                right, wrong = outcomes(found)
                totals.add_metric([*key, "right"], right)
                totals.add_metric([*key, "wrong"], wrong)
            yield pairs
            yield totals

    def _chosen(self, key: tuple[str, str], history: History) -> frozenset[int]:
        kept = self._pairs.get(key, frozenset())
        chosen = choose_pairs(history.added, kept, self._settings.export_pairs_max)
        self._pairs[key] = chosen
        return chosen

    def _gauges(self, survey: Survey) -> Iterator[Metric]:
        labelled = [(window_name(minutes), each) for minutes, each in survey.summaries]
        for gauge in WINDOW_GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.text, labels=WINDOW)
            for window, each in labelled:
                _add(family, [each.model, each.version, window], gauge.value(each))
            yield family
        yield from _traffic(survey)
        yield from self._classes.families(survey)
        unobserved = GaugeMetricFamily(
            "leadline_unobserved_requests",
            "Requests of the window that were answered and not logged.",
            labels=(*WINDOW, "reason"),
        )
        for window, each in labelled:
            for reason, count in each.counts.unobserved:
                labels = [each.model, each.version, window, reason_name(reason)]
                unobserved.add_metric(labels, count)
        yield unobserved


def _traffic(survey: Survey) -> Iterator[Metric]:
    rows = [
        ([each.model, each.version, window_name(minutes)], accuracy_of_all(counts))
        for (minutes, each), counts in zip(survey.summaries, survey.scores, strict=True)
    ]
    for gauge in TRAFFIC_GAUGES:
        family = GaugeMetricFamily(gauge.name, gauge.text, labels=WINDOW)
        for labels, found in rows:
            _add(family, labels, gauge.value(found) if found else None)
        yield family


def _add_pairs(
    family: CounterMetricFamily,
    key: tuple[str, str],
    spec: ModelSpec | None,
    found: Tally,
    chosen: frozenset[int],
) -> None:
    """One sample for each chosen pair, 0 for one that is not in `found`."""
    counts = dict(zip(found.index.tolist(), found.count.tolist(), strict=True))
    for index in sorted(chosen):
        true, predicted = index >> 32, index & 0xFFFF_FFFF
        labels = [*key, class_name(spec, true), class_name(spec, predicted)]
        family.add_metric(labels, counts.get(index, 0))


def _shards(survey: Survey) -> Iterator[Metric]:
    for gauge in SHARD_GAUGES:
        family = GaugeMetricFamily(gauge.name, gauge.text, labels=["shard"])
        for each in survey.vector:
            _add(family, [each.shard], gauge.value(each))
        yield family
    refused = CounterMetricFamily(
        "leadline_shard_dead_letters", "Records and rows that were refused.", labels=["shard"]
    )
    for each in survey.vector:
        refused.add_metric([each.shard], each.dead_letters)
    yield refused
    until = GaugeMetricFamily(
        "leadline_exact_until_timestamp_seconds",
        "Append time up to which every record is counted.",
    )
    _add(until, [], survey.exact_until_ms / 1000 or None)
    yield until


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)


class ExporterServer:
    """Serves a registry over HTTP from threads of its own.

    Args:
        address: "HOST:PORT"; port 0 takes a free one.
        registry: what to serve.

    Attributes:
        address: with the real port.

    Raises:
        UsageError: the address is taken or no address.
    """

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(
                int(port), host.strip("[]"), registry=registry
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The exporter cannot listen on {address!r}.",
                "Choose a free HOST:PORT in exporter_address, or leave it empty.",
            ) from error
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Ends after the scrape under way."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
