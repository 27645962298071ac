"""The client never blocks or raises into its caller, and says what it refuses."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import datetime

import numpy as np
import pytest

from leadline.client import Log, ProducerLimits, RefusedError, new_id
from leadline.records.errors import UsageError

NOWHERE = "kafka://127.0.0.1:9"


@pytest.fixture
def url(tmp_path):
    return f"local:{tmp_path / 'log.db'}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no log is given"),
        ({"to": "redis://x"}, "names no log"),
        ({"to": "local:"}, "names no log"),
        ({"to": "local:x", "model": ""}, "neither a model nor a task"),
        ({"to": "local:x", "model": "a/b"}, "no model name"),
        ({"to": "local:x", "kind": "detection"}, "kind"),
        ({"to": "local:x", "scores": "logits"}, "scores"),
        ({"to": "local:x", "log_rate": 0}, "log_rate"),
    ],
)
def test_what_cannot_be_right_is_told_at_construction(arguments, words):
    with pytest.raises(UsageError, match=words):
        Log(**{"model": "digits", "version": "2", "environ": {}, **arguments})


def test_the_log_comes_from_the_environment_unless_given(url):
    with Log("digits", "2", environ={"LEADLINE_LOG_URL": url}) as log:
        log.prediction("a", [0.5, 0.5])
    assert log.stats().written_rows == 1


WRONG = [
    ("id", lambda log: log.prediction(17, [0.5, 0.5])),
    ("id", lambda log: log.label("", 1)),
    ("time", lambda log: log.prediction("a", [1, 0], event_time=datetime(2024, 1, 1))),  # noqa: DTZ001
    ("class", lambda log: log.prediction("a", predicted="cat")),
    ("class", lambda log: log.label("a", "cat")),
    ("score_count", lambda log: log.prediction("a", [])),
    ("score_count", lambda log: log.prediction("a", [[0.5, 0.5]])),
    ("score_range", lambda log: log.prediction("a", [-2.0, 7.0])),
    ("slices", lambda log: log.prediction("a", [1, 0], slices={"x": "y" * 1000})),
    ("no_prediction", lambda log: log.prediction("a")),
    ("lengths", lambda log: log.predictions(["a", "b"], [[1, 0]])),
    ("lengths", lambda log: log.labels(["a", "b"], [1])),
    ("class", lambda log: log.labels(["a", "b"], [1, "cat"])),
    ("ValueError", lambda log: log.prediction("a", "text")),
    ("TypeError", lambda log: log.predictions(None, None)),
    ("TypeError", lambda log: log.labels(["a"], None)),
]


@pytest.mark.parametrize(("cause", "call"), WRONG)
def test_bad_input_is_counted_told_once_and_never_raised(url, caplog, cause, call):
    caplog.set_level(logging.WARNING, "leadline.client")
    with Log("digits", "2", to=url) as log:
        call(log)
        call(log)
        log.flush()
    assert log.stats().refused == {cause: 2}
    assert len([record for record in caplog.records if record.name == "leadline.client"]) == 1


@pytest.mark.parametrize(("cause", "call"), WRONG)
def test_strict_raises_for_tests(url, cause, call):
    with Log("digits", "2", to=url, strict=True) as log:
        with pytest.raises(Exception) as raised:
            call(log)
        assert getattr(raised.value, "cause", type(raised.value).__name__) == cause
        assert set(log.stats().refused) == {cause}


def test_predictions_without_a_version_are_refused_and_labels_are_not(url):
    with Log(task="digits", to=url) as log:
        log.prediction("a", [0.5, 0.5])
        log.label("a", 1)
        assert log.flush()
    assert log.stats().refused == {"no_version": 1}
    assert log.stats().labels == log.stats().written_rows == 1


def test_an_unreachable_log_costs_the_caller_nothing_and_is_counted():
    limits = ProducerLimits(queued_rows_max=1000)
    log = Log("digits", "2", to=NOWHERE, limits=limits)
    scores = [0.1] * 10
    before = time.perf_counter()
    for at in range(10_000):
        log.prediction(f"order-{at}", scores)
    assert time.perf_counter() - before < 5
    log.close(0.1)
    stats = log.stats()
    assert stats.written_rows == 0
    assert sum(stats.dropped_rows.values()) == 10_000


def test_after_close_events_are_dropped_and_counted(url):
    log = Log("digits", "2", to=url)
    log.close()
    log.close()
    log.prediction("a", [0.5, 0.5])
    log.label("a", 1)
    log.flush(0)
    assert sum(log.stats().dropped_rows.values()) == 2


def test_a_buffer_that_is_used_again_does_not_change_what_was_logged(url):
    with Log("digits", "2", to=url) as log:
        scores = np.array([0.9, 0.1], np.float32)
        log.prediction("a", scores)
        scores[:] = -5
        assert log.flush()
    assert log.stats().refused == {}


def test_fresh_ids_are_uuid7_and_differ():
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(text[14] == "7" for text in ids)


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_client_is_light():
    heavy = "grpc pydantic torch pandas click rich kafka pyarrow sqlite3 scipy"
    code = "import sys, leadline.client; print([m for m in sys.argv[1:] if m in sys.modules])"
    assert run(code, *heavy.split()) == "[]"


def test_what_is_queued_is_written_at_the_end_of_the_process(url):
    run(
        "import sys; from leadline.client import Log\n"
        "log = Log('digits', '2', to=sys.argv[1])\n"
        "for at in range(100): log.prediction(f'order-{at}', [0.5, 0.5])",
        url,
    )
    assert predictions_in(url) == 100


def test_an_unreachable_log_does_not_keep_the_process(tmp_path):
    before = time.monotonic()
    run(
        "import sys; from leadline.client import Log\n"
        "Log('digits', '2', to=sys.argv[1], exit_seconds=0.2).prediction('a', [0.5, 0.5])",
        NOWHERE,
    )
    assert time.monotonic() - before < 30


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_client_made_before_a_fork_works_in_the_child_and_in_the_parent(url):
    run(
        "import os, sys; from leadline.client import Log\n"
        "log = Log('digits', '2', to=sys.argv[1])\n"
        "log.prediction('before', [0.5, 0.5]); assert log.flush()\n"
        "child = os.fork()\n"
        "log.prediction(f'after-{child == 0}', [0.5, 0.5]); assert log.flush(20)\n"
        "os._exit(0) if child == 0 else None\n"
        "assert os.waitpid(child, 0)[1] == 0",
        url,
    )
    assert predictions_in(url) == 3


def predictions_in(url: str) -> int:
    from leadline.runtime.clock import SystemClock
    from leadline.runtime.log.open import open_log
    from leadline.wire.batches import decode_predictions

    log = open_log(url, SystemClock())
    records = log.reader("predictions", 0).poll(10_000, 0)
    log.close()
    return sum(len(decode_predictions(record.value, 0, 1).batch) for record in records)


def test_refusals_are_usage_errors_with_a_remedy():
    assert issubclass(RefusedError, UsageError)
