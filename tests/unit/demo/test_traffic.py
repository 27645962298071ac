"""The stream is ordered, repeatable, and as bad as it says."""

from collections import Counter, defaultdict
from itertools import islice, pairwise

import numpy as np
import pytest

from leadline.demo import assets
from leadline.demo.traffic import LabelEvent, LabelHabits, Request, Traffic

HABITS = LabelHabits()


def traffic(seed=3, **changes):
    images, labels = assets.load_heldout()
    return Traffic(images, labels, np.random.default_rng(seed), **changes)


@pytest.fixture(scope="module")
def events():
    return list(traffic(rate_per_second=100.0, duration_seconds=120.0))


@pytest.fixture(scope="module")
def requests(events):
    return [event for event in events if isinstance(event, Request)]


@pytest.fixture(scope="module")
def labels(events):
    """Label events by the request that they are about, in order of arrival."""
    by_request = defaultdict(list)
    for event in events:
        if isinstance(event, LabelEvent):
            by_request[event.request_index].append(event)
    return by_request


def plain(event):
    values = dict(vars(event))
    if isinstance(event, Request):
        values["image"] = event.image.tobytes()
    return values


def test_a_seed_fixes_the_stream():
    first, same, other = (
        [plain(event) for event in traffic(seed, duration_seconds=5.0)] for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_time_never_runs_back_and_labels_follow_their_request(events):
    assert all(a.at_seconds <= b.at_seconds for a, b in pairwise(events))
    seen = set()
    for event in events:
        if isinstance(event, Request):
            seen.add(event.index)
        else:
            assert event.request_index in seen


def test_requests_come_at_the_rate_for_the_duration(requests):
    assert [request.index for request in requests] == list(range(len(requests)))
    assert len(requests) == pytest.approx(12_000, rel=0.04)
    assert all(0 <= request.at_seconds < 120 for request in requests)
    gaps = np.diff([request.at_seconds for request in requests])
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # Poisson arrivals


def test_every_digit_is_shown_once_before_any_is_shown_again(requests):
    rows = [request.row for request in requests]
    for start in range(0, len(rows) - 1500, 1500):
        assert sorted(rows[start : start + 1500]) == list(range(1500))


def test_requests_show_their_digit_until_the_camera_breaks(requests):
    images, classes = assets.load_heldout()
    for request in requests:
        assert request.true_class == classes[request.row]
        assert request.degraded == (request.device == "kiosk-b" and request.at_seconds >= 60)
        assert (request.image == images[request.row]).all() != request.degraded
    devices = Counter(request.device for request in requests)
    assert sorted(devices) == ["kiosk-a", "kiosk-b", "kiosk-c"]
    assert min(devices.values()) > 0.3 * len(requests)


def test_the_share_with_a_label_is_as_declared(requests, labels):
    assert len(labels) / len(requests) == pytest.approx(HABITS.labelled, abs=0.015)


def test_wrong_first_labels_are_clicks_and_an_annotator_corrects_each(requests, labels):
    wrong = 0
    for index, about in labels.items():
        truth, first = requests[index].true_class, about[0]
        assert (first.source, first.rank) == ("clicks", 1)
        if first.class_ == truth:
            assert all(label.source == "clicks" for label in about)
            continue
        wrong += 1
        best = max(about, key=lambda label: (label.rank, label.time_offset))
        assert (best.class_, best.source, best.rank) == (truth, "annotator", 2)
    assert wrong / len(labels) == pytest.approx(HABITS.wrong, abs=0.01)


def test_a_few_are_retracted_by_their_source_after_it_spoke(labels):
    retracted = 0
    for about in labels.values():
        for label in about:
            assert label.class_ is None or 0 <= label.class_ <= 9
            if label.class_ is None:
                retracted += 1
                assert (label.source, label.rank) == ("clicks", 1)
                assert label.time_offset > about[0].time_offset
    assert retracted / len(labels) == pytest.approx(0.95 * HABITS.retracted, abs=0.006)


def test_a_few_arrive_twice_and_say_the_same(labels):
    repeated = 0
    for about in labels.values():
        said = [(label.class_, label.source, label.time_offset) for label in about]
        repeated += len(said) - len(set(said))
    assert repeated / len(labels) == pytest.approx(HABITS.repeated, abs=0.006)


def test_delays_are_log_normal_and_arrival_is_the_decision(requests, labels):
    firsts = [about[0] for about in labels.values()]
    logs = np.log([label.time_offset for label in firsts])
    assert np.exp(np.median(logs)) == pytest.approx(HABITS.median_delay_seconds, rel=0.05)
    assert logs.std() == pytest.approx(HABITS.delay_spread, rel=0.05)
    for label in firsts:
        asked = requests[label.request_index].at_seconds
        assert label.at_seconds == pytest.approx(asked + label.time_offset)


def test_without_a_duration_it_does_not_end_and_degrades_all_that_is_asked():
    devices = ("kiosk-a", "kiosk-b", "kiosk-c")
    stream = traffic(
        rate_per_second=1000.0,
        duration_seconds=None,
        degrade_at_seconds=1.0,
        degraded_devices=devices,
    )
    requests = [event for event in islice(stream, 4000) if isinstance(event, Request)]
    assert {r.degraded for r in requests if r.at_seconds < 1} == {False}
    assert {r.degraded for r in requests if r.at_seconds >= 1} == {True}


def test_the_usual_moment_of_degradation():
    assert traffic(duration_seconds=60.0).degrades_at_seconds == 30.0
    assert traffic(duration_seconds=None).degrades_at_seconds == 30.0
    assert traffic(degrade_at_seconds=0.0).degrades_at_seconds == 0.0


def test_habits_can_be_none_at_all():
    silent = traffic(duration_seconds=5.0, habits=LabelHabits(labelled=0.0))
    assert all(isinstance(event, Request) for event in silent)


def test_impossible_traffic_is_refused():
    images, labels = assets.load_heldout()
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="0 images"):
        Traffic(images[:0], labels[:0], rng)
    with pytest.raises(ValueError, match="1500 images and 3 labels"):
        Traffic(images, labels[:3], rng)
    with pytest.raises(ValueError, match="0 devices"):
        Traffic(images, labels, rng, devices=())
    with pytest.raises(ValueError, match="0 requests/s"):
        Traffic(images, labels, rng, rate_per_second=0)
