"""One number everywhere: reflected API, Prometheus, browser and terminal agree at one vector."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from playwright.sync_api import expect, sync_playwright
from ports import free_row

from leadline.client import Log
from leadline.testing.servers.process import ManagedProcess, accepts, until

DEADLINE_SECONDS = 60
SERVICE = "leadline.v1.EvaluationService"
VERSION = "models/digits/versions/2"
ROWS, WRONG, LATER_WRONG = 2_000, 450, 50
FIRST, CORRECTED = 0.775, 0.75


@dataclass(frozen=True)
class Seen:
    """What one of the four ways shows.

    Attributes:
        accuracy: of the model's version.
        vector: next offsets of predictions and labels, by shard.
    """

    accuracy: float
    vector: tuple[tuple[str, int, int], ...]


class ReflectedClient:
    """Knows an address and the name of a service; all else it learns from the server."""

    def __init__(self, channel):
        self._channel = channel
        self._pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

    def call(self, method, **fields):
        found = self._pool.FindServiceByName(SERVICE).FindMethodByName(method)
        answer = GetMessageClass(found.output_type)
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=GetMessageClass(found.input_type).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(GetMessageClass(found.input_type)(**fields), timeout=20)


class Up:
    """`leadline up` in a folder."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.port = free_row(6)
        command = [sys.executable, "-m", "leadline", "up", "--data", str(self.data)]
        self.process = ManagedProcess("up", [*command, "--port", str(self.port)], folder)

    def start(self):
        ports = [self.port, self.port + 1, self.port + 2]
        self.process.start(lambda: all(accepts(port) for port in ports), DEADLINE_SECONDS)

    def address(self, offset):
        return f"127.0.0.1:{self.port + offset}"

    def log(self, **options):
        url = f"local:{self.data / 'log.sqlite'}"
        return Log(model="digits", version="2", to=url, strict=True, keep_rate=0.0, **options)


@pytest.fixture
def up(tmp_path):
    made = Up(tmp_path)
    made.start()
    yield made
    made.process.stop()
    made.process.kill()


@pytest.fixture
def reflected(up):
    with grpc.insecure_channel(up.address(1)) as channel:
        yield ReflectedClient(channel)


@pytest.fixture
def page(chromium):
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=str(chromium.executable), args=list(chromium.arguments)
        )
        yield browser.new_page()
        browser.close()


def over_grpc(client):
    summary = client.call("GetSummary", scope={"name": VERSION}).summary
    vector = [(at.shard, at.predictions_offset, at.labels_offset) for at in summary.basis.vector]
    return Seen(summary.accuracy.value, tuple(vector))


def in_prometheus(prometheus):
    def value(name, labels=""):
        return {
            each.labels.get("shard", ""): each.value for each in prometheus.query(name + labels)
        }

    accuracy = value("leadline_accuracy_ratio", '{model="digits",version="2",window="1h"}')
    predictions = value("leadline_shard_predictions_position")
    labels = value("leadline_shard_labels_position")
    vector = tuple((shard, int(at), int(labels[shard])) for shard, at in predictions.items())
    return Seen(accuracy[""], vector) if accuracy else None


def in_browser(page):
    """The number as people read it, and the vector of the link that people share."""
    figure = page.locator(".figure").filter(has_text="Accuracy, labelled")
    percent = float(figure.locator("dd.big b").inner_text())
    wrong, of = re.search(r"([\d,]+) errors in ([\d,]+)", figure.inner_text()).groups()
    exact = 1 - int(wrong.replace(",", "")) / int(of.replace(",", ""))
    assert abs(exact * 100 - percent) <= 0.05
    link = page.locator("#m-link a").nth(1).get_attribute("href")
    at = re.search(r"at=([^&]*)", link)[1].replace("%3A", ":").replace("%2F", "/")
    shard, predictions, labels = at.split(":")
    return Seen(exact, ((shard, int(predictions), int(labels)),))


def in_terminal(up):
    command = [sys.executable, "-m", "leadline", "show", "digits", "--json"]
    result = subprocess.run(
        [*command, "--reader", up.address(1)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    summary = json.loads(result.stdout)["summary"]
    vector = [
        (at["shard"], int(at["predictions_offset"]), int(at["labels_offset"]))
        for at in summary["basis"]["vector"]
    ]
    return Seen(summary["accuracy"]["value"], tuple(vector))


def labelled(client):
    summary = client.call("GetSummary", scope={"name": VERSION}).summary
    return summary.accuracy.trials, summary.accuracy.successes


def test_a_client_a_scraper_a_browser_and_a_terminal_show_the_same(
    up, reflected, page, prometheus_factory
):
    with up.log() as log:
        for number in range(ROWS):
            log.prediction(f"order-{number}", [0.75, 0.25] if number % 2 else [0.25, 0.75])
            said = 0 if number % 2 else 1
            log.label(f"order-{number}", 1 - said if number < WRONG else said)
        assert log.flush()
    prometheus = prometheus_factory([up.address(2)])

    def everywhere_is(accuracy):
        seen = over_grpc(reflected)
        assert seen.accuracy == accuracy
        assert sum(seen.vector[0][1:]) > 0
        until(lambda: in_prometheus(prometheus) == seen, DEADLINE_SECONDS, "the same in Prometheus")
        expect(page.locator(".figure").first).to_contain_text(f"{accuracy:.1%}".rstrip("%"))
        until(lambda: in_browser(page) == seen, DEADLINE_SECONDS, "the same in the browser")
        assert in_terminal(up) == seen
        return seen.vector

    right = ROWS - WRONG
    until(lambda: answered(reflected) == (ROWS, right), DEADLINE_SECONDS, "all labels counted")
    page.goto(f"http://{up.address(0)}/{VERSION}")
    before = everywhere_is(FIRST)

    with up.log() as log:  # a correction: all four move on, to the same number at the same vector
        for number in range(ROWS - LATER_WRONG, ROWS):
            log.label(f"order-{number}", 1 if number % 2 else 0)
        assert log.flush()
    until(
        lambda: answered(reflected) == (ROWS, right - LATER_WRONG),
        DEADLINE_SECONDS,
        "it is counted",
    )
    assert everywhere_is(CORRECTED) != before


def answered(client):
    """Labelled predictions and right ones; before the first one nothing has a name yet."""
    try:
        return labelled(client)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return (0, 0)
        raise


def test_the_reflected_api_is_the_whole_one(reflected):
    """The client needs no file: every method's messages are learnt from the server."""
    status = reflected.call("GetStatus")
    assert [shard.position.shard for shard in status.shards] in ([], ["main/0"])
    matrix = reflected.call("ListSummaries", page_size=3)
    assert list(matrix.summaries) == []
