"""Each real component starts, answers, and can be crashed, frozen and stopped."""

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from playwright.sync_api import expect, sync_playwright
from tritonclient import grpc as triton_grpc

from leadline.testing.servers.process import (
    ManagedProcess,
    MissingProgramError,
    ServerError,
    find_program,
    free_ports,
    until,
)
from leadline.testing.servers.prometheus import promtool_check, promtool_check_rules
from leadline.testing.servers.triton import Tensor, Triton, write_onnx_model

LINEAR = Path(__file__).resolve().parents[1] / "fixtures" / "linear.onnx"
WEIGHT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, -0.5, 0.25]], np.float32)
BIAS = np.array([0.1, 0.2, 0.3], np.float32)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        producer.send(topic, value).get(timeout=30)


def values(bootstrap: str, topic: str, count: int) -> list[bytes]:
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [next(consumer).value for _ in range(count)]


def test_kafka_keeps_what_was_written(kafka, new_topic):
    topic = new_topic("predictions")
    produce(kafka.bootstrap, topic, b"one")
    assert values(kafka.bootstrap, topic, 1) == [b"one"]


def test_a_killed_kafka_comes_back_with_its_data(own_kafka):
    address = own_kafka.bootstrap
    own_kafka.create_topic("t")
    produce(address, "t", b"before")
    own_kafka.kill()
    assert not own_kafka.ready()
    own_kafka.start()
    assert own_kafka.bootstrap == address
    assert values(address, "t", 1) == [b"before"]


def test_each_postgres_database_is_empty_and_apart(postgres, postgres_database):
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)
    with psycopg.connect(postgres.uri) as connection:
        names = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    assert postgres_database.rpartition("/")[2] in names


def test_a_killed_postgres_keeps_what_was_committed(own_postgres):
    with psycopg.connect(own_postgres.uri) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS seven")
    own_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.uri)
    own_postgres.start()
    with psycopg.connect(own_postgres.uri) as connection:
        assert connection.execute("SELECT seven FROM t").fetchone() == (7,)


def test_a_frozen_postgres_answers_when_it_goes_on(own_postgres):
    with psycopg.connect(own_postgres.uri) as connection:
        own_postgres.pause()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(own_postgres.uri, connect_timeout=2)
        own_postgres.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture(scope="module")
def triton(tmp_path_factory, triton_tools):
    folder = tmp_path_factory.mktemp("triton")
    inputs = [Tensor("x", "FP32", (4,))]
    outputs = [Tensor("probabilities", "FP32", (3,), labels=("cat", "dog", "eel"))]
    for version in (1, 2):
        write_onnx_model(
            folder / "models", "linear", version, LINEAR, inputs, outputs, queue_delay_us=500
        )
    server = Triton(folder / "server", folder / "models", triton_tools)
    server.start()
    yield server
    server.stop()


def infer(server, rows, version="", **options):
    tensor = triton_grpc.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    wanted = triton_grpc.InferRequestedOutput("probabilities", **options)
    with triton_grpc.InferenceServerClient(server.grpc_address) as client:
        return client.infer("linear", [tensor], model_version=version, outputs=[wanted])


@pytest.mark.parametrize("version", ["1", "2"])
def test_triton_answers_what_the_network_computes(triton, version):
    rows = np.arange(20, dtype=np.float32).reshape(5, 4) / 7
    logits = rows @ WEIGHT + BIAS
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    answer = infer(triton, rows, version)
    assert answer.get_response().model_version == version
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, rtol=1e-5)


def test_triton_joins_requests_and_gives_each_its_own_rows(triton):
    batches = [np.full((n, 4), n, np.float32) for n in (1, 2, 3, 4)] * 8
    with triton_grpc.InferenceServerClient(triton.grpc_address) as client:
        pending = []
        for rows in batches:
            tensor = triton_grpc.InferInput("x", list(rows.shape), "FP32")
            tensor.set_data_from_numpy(rows)
            answers: list = []
            client.async_infer(
                "linear", [tensor], lambda result, error, to=answers: to.append((result, error))
            )
            pending.append(answers)
        until(lambda: all(pending), 20, "every answer")
    for rows, [(result, error)] in zip(batches, pending, strict=True):
        assert error is None
        assert result.as_numpy("probabilities").shape == (len(rows), 3)
        logits = rows @ WEIGHT + BIAS
        assert (result.as_numpy("probabilities").argmax(axis=1) == logits.argmax(axis=1)).all()


def test_triton_names_the_classes(triton):
    answer = infer(triton, np.array([[0, 9, 0, 0]], np.float32), class_count=1)
    assert answer.as_numpy("probabilities")[0][0].endswith(b":1:dog")


def test_a_killed_triton_comes_back_at_its_address(triton):
    address = triton.grpc_address
    triton.kill()
    triton.start()
    assert triton.grpc_address == address
    assert infer(triton, np.zeros((1, 4), np.float32)).as_numpy("probabilities").shape == (1, 3)


def test_prometheus_scrapes_triton(triton, prometheus_factory):
    prometheus = prometheus_factory([triton.metrics_address])
    until(lambda: [sample.value for sample in prometheus.query("up")] == [1.0], 20, "a scrape")
    assert prometheus.query("scalar(vector(2))")[0].value == 2
    with pytest.raises(ServerError, match="parse error"):
        prometheus.query("sum(")


def test_prometheus_evaluates_rules(tmp_path, prometheus_factory):
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: [{name: g, rules: [{record: 'two:x', expr: 'vector(2)'}]}]")
    assert promtool_check_rules(rules) == []
    prometheus = prometheus_factory([], rules=[rules])
    until(
        lambda: [sample.value for sample in prometheus.query("two:x")] == [2.0], 20, "an evaluation"
    )


def test_promtool_judges_metrics():
    good = "# HELP leadline_events_total Events.\n# TYPE leadline_events_total counter\n"
    assert promtool_check(f"{good}leadline_events_total 1\n") == []
    assert promtool_check("# TYPE leadlineEvents gauge\nleadlineEvents 1\n")
    assert promtool_check("leadline_events{")


def test_chromium_shows_a_page(chromium):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium.executable), args=list(chromium.arguments)
        )
        page = browser.new_page()
        page.set_content("<h1>Sounding</h1>")
        expect(page.get_by_role("heading")).to_have_text("Sounding")
        browser.close()


def shell(folder: Path, script: str) -> ManagedProcess:
    return ManagedProcess("script", [str(find_program("sh", "")), "-c", script], folder)


def test_a_child_that_ends_while_awaited_is_reported_with_its_log(tmp_path):
    with pytest.raises(ServerError, match="no space left"):
        shell(tmp_path, "echo no space left; exit 3").start(lambda: False, deadline_s=20)


def test_a_child_that_is_not_ready_in_time_is_gone(tmp_path):
    child = shell(tmp_path, "sleep 600")
    with pytest.raises(ServerError, match=r"not within 0\.2 s: script ready"):
        child.start(lambda: False, deadline_s=0.2)
    assert not child.running


def test_a_child_that_ignores_the_signal_is_killed_within_the_budget(tmp_path):
    child = shell(tmp_path, "trap '' TERM; echo up; while :; do sleep 1; done")
    child.start(lambda: "up" in child.log_tail(), deadline_s=20)
    began = time.monotonic()
    child.stop(budget_s=0.3)
    assert time.monotonic() - began < 5
    assert not child.running


def test_a_child_dies_with_its_parent(tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from leadline.testing.servers.process import ManagedProcess
child = ManagedProcess("c", ["/bin/sh", "-c", "echo up; exec sleep 600"], Path({str(tmp_path)!r}))
child.start(lambda: "up" in child.log_tail(), 20)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    status = Path(f"/proc/{int(parent.stdout)}/status")
    until(lambda: not status.exists() or "Z (zombie)" in status.read_text(), 20, "no orphan")


def test_a_missing_program_says_what_to_install():
    with pytest.raises(MissingProgramError, match="apt-get install leadsman"):
        find_program("leadsman", "Run `apt-get install leadsman`.")


def test_ports_are_different():
    assert len(set(free_ports(20))) == 20
