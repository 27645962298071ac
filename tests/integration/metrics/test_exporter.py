"""The exporter: promtool, golden text, a real Prometheus through a correction and a restart."""

import asyncio
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from scored_traffic import CLASSES, Traffic
from sklearn.metrics import f1_score, roc_auc_score

from leadline.metrics.exporter import WINDOW_GAUGES, Exporter
from leadline.metrics.exporter_classes import CLASS_GAUGES
from leadline.metrics.reader import Reader
from leadline.metrics.settings import ReaderSettings
from leadline.records.cells import CellKind, Series
from leadline.records.models import ModelSpec
from leadline.testing.servers.prometheus import Prometheus, promtool_check
from leadline.testing.truth import TruthWriter
from leadline.v1 import evaluation_pb2 as messages
from leadline.v1.evaluation_pb2_grpc import EvaluationServiceStub

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 60
GOLDEN = Path(__file__).parents[2] / "golden" / "exposition.txt"


@pytest.fixture
def writer(store, now_minute):
    """Two named classes, an unexpected third, one correction, and events beside the matrix."""
    store.save_model(ModelSpec("digits", classes=("cat", 'do"g')), None)
    writer = TruthWriter(store)
    for number, (true, predicted) in enumerate([(0, 0), (0, 0), (0, 1), (1, 1), (2, 1)]):
        writer.predict(number, predicted, now_minute - number, ranked=(predicted, true))
        writer.label(number, true, delay_ms=1000 * number)
    writer.predict(9, 0, now_minute - 90)
    writer.label(3, 0)
    writer.count(CellKind.UNOBSERVED, Series("digits", "1", "digits"), now_minute, 1, 3)
    writer.count(CellKind.UNMATCHED, Series(task="digits"), now_minute, 0, 2)
    writer.commit(append_ms=now_minute * 60_000, dead_letters=4)
    return writer


def page(store, clock, **settings) -> str:
    registry = CollectorRegistry()
    registry.register(Exporter(Reader(store, clock), ReaderSettings(**settings)))
    return generate_latest(registry).decode()


def series_of(text: str, name: str) -> dict[str, float]:
    """Samples of a metric by their labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_promtool_finds_nothing(writer, store, clock):
    assert promtool_check(page(store, clock)) == []


def test_promtool_finds_nothing_in_an_empty_store(store, clock):
    assert promtool_check(page(store, clock)) == []


def test_the_page_is_the_golden_one(writer, store, clock):
    """Names, help texts and labels are an interface: dashboards and alerts are written to them."""
    text = page(store, clock, window_minutes=(60,))
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_a_correction_adds_and_retracts(writer, store, clock, now_minute):
    before = page(store, clock)
    writer.label(2, 1)
    writer.commit()
    after = page(store, clock)
    for name in (
        "leadline_confusion_added_total",
        "leadline_confusion_retracted_total",
        "leadline_outcomes_added_total",
        "leadline_outcomes_retracted_total",
    ):
        old, new = series_of(before, name), series_of(after, name)
        assert all(new[labels] >= value for labels, value in old.items())
        assert sum(new.values()) == sum(old.values()) + 1


def test_counters_never_fall_when_the_budget_is_small(writer, store, clock, now_minute):
    """The choice of pairs changes; no exported pair and no total ever falls."""
    registry = CollectorRegistry()
    settings = ReaderSettings(export_pairs_max=2)
    registry.register(Exporter(Reader(store, clock), settings))
    last: dict[str, float] = {}
    for number in range(100, 160):
        writer.predict(number, number % 7, now_minute)
        writer.label(number, number % 5)
        writer.commit()
        text = generate_latest(registry).decode()
        samples = {
            f"{name}{labels}": value
            for name in ("leadline_confusion_added_total", "leadline_outcomes_added_total")
            for labels, value in series_of(text, name).items()
        }
        assert all(value >= last.get(key, 0) for key, value in samples.items())
        assert len(series_of(text, "leadline_confusion_added_total")) <= 4
        last.update(samples)


def test_classes_are_bounded(writer, store, clock):
    text = page(store, clock, export_classes_max=1, window_minutes=(60,))
    assert len(series_of(text, "leadline_class_labelled_predictions")) == 1


def test_a_store_that_fails_gives_a_page_that_says_so(store, clock, tmp_path):
    store.close()
    for path in tmp_path.glob("truth.sqlite*"):
        path.unlink()
    (tmp_path / "truth.sqlite").write_bytes(b"no database" * 1000)
    text = page(store, clock)
    assert series_of(text, "leadline_truth_up") == {"": 0.0}
    assert promtool_check(text) == []


async def test_gauges_equal_the_api(writer, start_reader, store, clock):
    """The same windows at the same vector: the same numbers, class by class."""
    service = await start_reader()
    text = page(store, clock)
    async with grpc.aio.insecure_channel(service.address) as channel:
        for window, seconds in (("5m", 300), ("1h", 3600), ("24h", 86_400)):
            scope = messages.Scope(name="models/digits/versions/1")
            scope.last.FromSeconds(seconds)
            request = messages.GetSummaryRequest(scope=scope)
            found = (await EvaluationServiceStub(channel).GetSummary(request)).summary
            labels = f'model="digits",version="1",window="{window}"'
            wanted = {
                "leadline_accuracy_ratio": found.accuracy.value,
                "leadline_accuracy_lower_ratio": found.accuracy.lower,
                "leadline_accuracy_upper_ratio": found.accuracy.upper,
                "leadline_macro_precision_ratio": found.macro.precision,
                "leadline_macro_recall_ratio": found.macro.recall,
                "leadline_macro_f1_ratio": found.macro.f1,
                "leadline_label_coverage_ratio": found.basis.label_coverage.value,
                "leadline_label_delay_p50_seconds": found.label_delay.p50_seconds,
                "leadline_label_delay_p95_seconds": found.label_delay.p95_seconds,
                "leadline_predictions": found.basis.predictions,
                "leadline_labelled_predictions": found.basis.labelled,
                "leadline_duplicate_predictions": found.counters.duplicates,
                "leadline_clamped_events": found.counters.clamped,
                "leadline_unmatched_labels": found.counters.unmatched,
                "leadline_superseded_labels": found.counters.superseded,
                "leadline_defaulted_predictions": found.counters.defaulted,
            }
            assert set(wanted) == {gauge.name for gauge in WINDOW_GAUGES}
            for name, value in wanted.items():
                assert series_of(text, name)[labels] == value, name
            recalls = series_of(text, "leadline_class_recall_ratio")
            of_class = {each.class_name: each.recall for each in found.classes}
            assert recalls[f'class="cat",{labels}'] == of_class["cat"].value
            lower = series_of(text, "leadline_class_recall_lower_ratio")
            assert lower[f'class="cat",{labels}'] == of_class["cat"].lower


@pytest.fixture
def traffic(store, now_minute):
    found = Traffic()
    found.write(store, now_minute)
    return found


def test_areas_and_thresholds_are_those_of_the_rows(traffic, store, clock):
    """All of it within the last day; areas and thresholds against scikit-learn."""
    text = page(store, clock)
    scores, true = traffic.scores["1"][traffic.labelled], traffic.true[traffic.labelled]
    for number in range(CLASSES):
        mine, given = true == number, scores[:, number]
        labels = f'class="{number}",model="m",version="1",window="24h"'
        told = {each.name: series_of(text, each.name)[labels] for each in CLASS_GAUGES}
        area = told["leadline_class_auc_ratio"]
        assert area == pytest.approx(roc_auc_score(mine, given), abs=2e-4)
        assert told["leadline_class_auc_lower_ratio"] < area
        assert area < told["leadline_class_auc_upper_ratio"]
        flagged = given >= told["leadline_class_best_f1_threshold"]
        best = told["leadline_class_best_f1_ratio"]
        assert best == pytest.approx(f1_score(mine, flagged))
        assert best >= max(f1_score(mine, given >= each) for each in np.linspace(0, 1, 50)) - 1e-9
        assert told["leadline_class_f1_lower_ratio"] < told["leadline_class_f1_ratio"]


def test_the_accuracy_of_all_traffic_is_told(traffic, store, clock):
    """Sure predictions are labelled more often, so the plain accuracy is too high."""
    text = page(store, clock)
    labels = 'model="m",version="1",window="24h"'
    name = "leadline_accuracy_post_stratified"
    told = [series_of(text, f"{name}{part}_ratio")[labels] for part in ("_lower", "", "_upper")]
    everything = (traffic.scores["1"].argmax(axis=1) == traffic.true).mean()
    assert told[0] < everything < told[2]
    plain = series_of(text, "leadline_accuracy_ratio")[labels]
    assert abs(told[1] - everything) < abs(plain - everything)


def test_what_is_kept_by_the_hour_is_not_told_of_five_minutes(traffic, store, clock):
    text = page(store, clock)
    for name in ("leadline_class_auc_ratio", "leadline_accuracy_post_stratified_ratio"):
        windows = {labels.partition('window="')[2] for labels in series_of(text, name)}
        assert windows == {'1h"', '24h"'}


def test_shown_classes_stay_and_the_others_are_counted(store, clock, now_minute):
    registry, writer = CollectorRegistry(), TruthWriter(store)
    settings = ReaderSettings(export_classes_max=2, window_minutes=(60,))
    registry.register(Exporter(Reader(store, clock), settings))
    known = 0

    def miss(true, times):
        nonlocal known
        for _ in range(times):
            known += 1
            writer.predict(known, 9, now_minute)
            writer.label(known, true)
        writer.commit()
        text = generate_latest(registry).decode()
        shown = series_of(text, "leadline_class_recall_ratio")
        (left,) = series_of(text, "leadline_classes_left_out").values()
        return {re.search(r'class="(\d+)"', labels)[1] for labels in shown}, left

    assert miss(1, 20) == ({"1"}, 0)  # class 9 was never true: it has no recall
    assert miss(2, 21) == ({"1"}, 1)  # one more error does not replace a class that is shown
    assert miss(2, 5) == ({"2"}, 1)  # 26 do: a quarter more than 20


async def until(prometheus: Prometheus, promql: str, value: float) -> None:
    """Waits until a query answers one sample of this value."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            found = await asyncio.to_thread(prometheus.query, promql)
            if [each.value for each in found] == [value]:
                return
            await asyncio.sleep(0.2)


async def test_prometheus_sees_no_spike_through_correction_and_restart(
    store, clock, now_minute, start_reader, prometheus_factory
):
    """increase() of all counters stays the number of events, though the reader is replaced."""
    writer = TruthWriter(store)
    for number in range(1000):
        writer.predict(number, number % 10, now_minute)
        writer.label(number, number % 10)
    writer.commit()
    first = await start_reader(exporter_address="127.0.0.1:0", export_pairs_max=5)
    prometheus = await asyncio.to_thread(prometheus_factory, [first.exporter_address])
    await until(prometheus, "leadline_accuracy_ratio{window='5m'}", 1.0)

    for number in range(10):
        writer.label(number, (number + 1) % 10)
    writer.commit()
    await until(prometheus, "leadline_accuracy_ratio{window='5m'}", 0.99)
    await until(prometheus, "sum(leadline_outcomes_retracted_total)", 10)
    await first.close(1.0)
    await until(prometheus, "up", 0)
    await start_reader(exporter_address=first.exporter_address, export_pairs_max=5)
    await until(prometheus, "up", 1)
    writer.label(500, 3)
    writer.commit()
    await until(prometheus, "sum(leadline_outcomes_retracted_total)", 11)

    for what in ("leadline_outcomes_added_total", "leadline_outcomes_retracted_total"):
        (total,) = await asyncio.to_thread(prometheus.query, f"sum(increase({what}[5m]))")
        assert 5 <= total.value <= 40, what
        (resets,) = await asyncio.to_thread(prometheus.query, f"sum(resets({what}[5m]))")
        assert resets.value == 0, what
    for what in ("leadline_confusion_added_total", "leadline_confusion_retracted_total"):
        resets = await asyncio.to_thread(prometheus.query, f"sum(resets({what}[5m]))")
        assert [each.value for each in resets] == [0], what
        increase = await asyncio.to_thread(prometheus.query, f"sum(increase({what}[5m]))")
        assert all(each.value <= 40 for each in increase), what
