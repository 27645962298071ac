"""Topics, and what opens a log: no log is needed for these rules."""

import subprocess
import sys

import pytest

from leadline.records.errors import UsageError
from leadline.records.rules import Rules
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.kafka_topics import configs_of, problems_of
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.log.open import open_log, settings_from
from leadline.runtime.log.port import Stream, TopicSpec
from leadline.runtime.log.topics import Retention, needed_events_ms, topics_of


def test_a_stream_has_six_topics_and_rules_are_kept_for_ever():
    topics = {spec.name: spec for spec in topics_of(Stream("fraud", 4), Retention(events_ms=10))}
    assert list(topics) == [
        "fraud.predictions",
        "fraud.labels",
        "fraud.dead-letters",
        "fraud.cases",
        "fraud.policies",
        "fraud.rules",
    ]
    assert [spec.partitions for spec in topics.values()] == [4, 4, 1, 1, 1, 1]
    assert topics["fraud.labels"].retention_ms == 10
    assert topics["fraud.rules"].retention_ms == topics["fraud.policies"].retention_ms == -1


def test_the_main_stream_has_plain_names():
    assert topics_of(Stream())[0].name == "predictions"


@pytest.mark.parametrize(
    ("label", "prediction", "pair", "needed"),
    [(100, 5, 0, 205), (100, 5, 60, 260), (100, 70, 60, 270), (100, 300, 0, 500), (0, 0, 0, 0)],
)
def test_retention_covers_the_older_of_the_two_rebuilds_and_the_outage(
    label, prediction, pair, needed
):
    rules = Rules(label_window_ms=label, prediction_window_ms=prediction, pair_window_ms=pair)
    assert needed_events_ms(rules, 0) == needed
    assert needed_events_ms(rules, 7) == needed + 7


def test_many_replicas_must_not_acknowledge_alone():
    assert "min.insync.replicas" not in configs_of(TopicSpec("t", 1, -1, 1))
    assert configs_of(TopicSpec("t", 1, -1, 3))["min.insync.replicas"] == "2"
    assert problems_of({"min.insync.replicas": "1"}, replicas=1) == []
    (problem,) = problems_of({"min.insync.replicas": "1"}, replicas=3)
    assert "set min.insync.replicas=2" in problem


def test_what_is_created_has_no_problems():
    assert problems_of(configs_of(TopicSpec("t", 1, 1000, 3)), replicas=3) == []


@pytest.mark.parametrize("url", ["", "local", "local:", "kafka://", "kafka:host:1", "redis://x"])
def test_a_url_that_names_no_log_is_refused_by_the_settings_name(url):
    with pytest.raises(UsageError, match="log_url") as error:
        open_log(url, SystemClock())
    assert "local:PATH" in error.value.remedy


def test_options_are_numbers_by_name():
    settings = settings_from(LocalSettings, {"max_queued_bytes": "7"})
    assert settings == LocalSettings(max_queued_bytes=7)
    with pytest.raises(UsageError, match="'colour' is not known") as error:
        settings_from(LocalSettings, {"colour": "1"})
    assert "max_queued_bytes" in error.value.remedy
    with pytest.raises(UsageError, match="'many' is not a number"):
        settings_from(LocalSettings, {"max_queued_bytes": "many"})


def test_kafkas_options_do_not_mix_with_anything_else():
    with pytest.raises(UsageError, match="'bootstrap_servers' is not known"):
        open_log("kafka://127.0.0.1:1", SystemClock(), {"bootstrap_servers": "evil"})
    security = {"security_protocol": "SSL", "ssl_check_hostname": "maybe"}
    with pytest.raises(UsageError, match="none of true, false"):
        open_log("kafka://127.0.0.1:1", SystemClock(), security)


def test_the_embedded_log_needs_no_kafka_client(tmp_path):
    code = (
        "import sys; sys.modules['kafka'] = None\n"
        "from leadline.runtime.clock import SystemClock\n"
        "from leadline.runtime.log.open import open_log\n"
        f"open_log('local:{tmp_path}/log.db', SystemClock()).close()\n"
        "try:\n"
        "    open_log('kafka://127.0.0.1:1', SystemClock())\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("UsageError install 'kafka-python[crc32c]")
