"""What the soak sees of owners: recoveries, vectors that go back, bugs, memory; and its report."""

import argparse
from time import time_ns
from types import SimpleNamespace

import pytest
from soak.finish import Outcome, facts_by_shard
from soak.owners import judged, known
from soak.readback import documents
from soak.report import failures, lines, summary
from soak.watch import Seen, Watch, peak_bytes, percentile


@pytest.fixture
def watch():
    return Watch("", list)  # not started: rows are given by hand


def now_us():
    return time_ns() // 1000


def test_a_recovery_ends_when_every_shard_committed_something_new(watch):
    watch.note("main/0", 5, 5, now_us(), "")
    recovery = watch.expect("broker", {"main/0", "main/1"})
    watch.note("main/0", 5, 5, recovery.since_us, "")
    watch.note("main/1", 9, 9, recovery.since_us + 2_000_000, "")
    assert recovery.seconds is None
    watch.note("main/0", 5, 5, recovery.since_us + 2_500_000, "")  # the vector stands still
    assert recovery.seconds is None
    watch.note("main/0", 6, 5, recovery.since_us + 3_000_000, "")
    assert recovery.seconds == 3.0
    watch.note("main/0", 7, 5, recovery.since_us + 9_000_000, "")
    assert recovery.seconds == 3.0


def test_what_was_read_before_a_broker_died_is_no_recovery(watch):
    recovery = watch.expect("broker", {"main/0"})
    recovery.healed_us = recovery.since_us + 5_000_000
    watch.note("main/0", 6, 5, recovery.since_us + 1_000_000, "")
    assert recovery.seconds is None
    watch.note("main/0", 7, 5, recovery.since_us + 9_000_000, "")
    assert recovery.seconds == 9.0


def test_a_vector_that_goes_back_and_a_stop_are_problems(watch):
    watch.note("main/0", 5, 7, 1, "")
    watch.note("main/0", 6, 7, 2, "")
    assert watch.seen.problems == []
    assert watch.seen.commits == 2
    watch.note("main/0", 6, 6, 3, "")
    watch.note("main/0", 6, 8, 4, "a topic was cut")
    watch.note("main/0", 6, 8, 4, "a topic was cut")
    assert len(watch.seen.problems) == 2


def test_a_bug_is_one_also_when_the_owner_was_asked_to_end():
    bug = "INFO fine\nEnded by a failure in shard-main/0: KeyError(3)"
    for asked in (True, False):
        assert judged(0, bug, asked).bug
    assert judged(0, "Traceback of a client that reconnects\nINFO fine", True) is None
    refused = judged(0, "INFO fine\nKafka does not answer", False)
    assert not refused.bug
    assert "does not answer" in refused.words


def test_settings_that_an_owner_does_not_have_are_not_given():
    assert known({"replicas": 3, "no_such_setting": 1}) == {"replicas": 3}


def test_peak_memory_is_the_kernels():
    assert peak_bytes("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n") == 2048 * 1024
    assert peak_bytes("Name:\tgone\n") == 0


def test_percentiles():
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1, 2, 3, 4], 0.5) == 3


def rules_document(number, window, from_p=0):
    rules = {
        "revision": number, "label_window_ms": window, "prediction_window_ms": 2,
        "pair_window_ms": 3, "event_time_bound_ms": 4, "slices_per_version_max": 5,
        "pairs_max": 6, "default_labels": {"clicks": 0}, "kinds": ["pairs"],
    }  # fmt: skip
    place = {"number": number, "from_p": from_p, "from_l": 0}
    return {"shard": "main/0", "kind": "rules", "rules": rules, **place}


def test_rules_and_exceptions_of_a_shard_are_read_once():
    exception = {
        "shard": "main/1", "kind": "exception", "side": 1, "from_offset": 3, "to_offset": 4,
        "append_ms": 9,
    }  # fmt: skip
    found = [rules_document(1, 20, 10), rules_document(0, 10), rules_document(0, 10), exception]
    rules, exceptions = facts_by_shard(found, "none")
    assert [(rule.from_p, rule.label_window_ms) for rule in rules("main/0")] == [(0, 10), (10, 20)]
    assert rules("main/0")[0].kinds == {"pairs"}
    assert rules("main/1") == ["none"]
    assert [(one.side, one.from_offset) for one in exceptions("main/1")] == [(1, 3)]
    assert exceptions("main/0") == []


def test_two_rules_of_one_number_are_an_error():
    with pytest.raises(ValueError, match="said twice"):
        facts_by_shard([rules_document(0, 10), rules_document(0, 11)], None)


def test_rules_are_read_as_the_services_write_them():
    from leadline.records.rules import ExceptionRow, Rules, RulesRow
    from leadline.records.rules_json import fact_to_json

    rows = [RulesRow(0, 0, 0, Rules(label_window_ms=77)), ExceptionRow(1, 3, 4, 9)]
    raws = [SimpleNamespace(value=fact_to_json("main/2", row)) for row in rows]
    rules, exceptions = facts_by_shard(documents(raws), None)
    assert rules("main/2")[0].label_window_ms == 77
    assert exceptions("main/2")[0].append_ms == 9


def summary_of(outcome, *, bugs=(), problems=(), drained=True):
    return summary(
        argparse.Namespace(seed=1, rounds=2),
        SimpleNamespace(counts={"kill owner": 2}, bugs=list(bugs), restarts=0),
        SimpleNamespace(recoveries=[], seen=Seen(5, list(problems), {1: 1 << 20})),
        SimpleNamespace(sent=10, lost=0),
        outcome,
        drained,
        3.0,
    )


GOOD = {"cells": 5, "control": 2}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"outcome": Outcome(**GOOD, wrong=1)}, "inequalities"),
        ({"bugs": [SimpleNamespace(slot=1, words="x")]}, "bug"),
        ({"problems": ["main/0 went back"]}, "vector"),
        ({"drained": False}, "in time"),
        ({"outcome": Outcome(cells=5)}, "nothing was compared"),
    ],
)
def test_a_run_fails_for_each_reason(changes, why):
    outcome = changes.pop("outcome", Outcome(**GOOD))
    found = summary_of(outcome, **changes)
    last = lines(found, outcome)[-1]
    assert bool(failures(found)) == bool(why)
    assert why in last
    assert (last == "every count is right") == (not why)
