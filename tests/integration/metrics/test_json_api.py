"""The reader's methods as JSON over HTTP, through a running console."""

import asyncio
import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
from google.protobuf import json_format

from leadline.console.json_api import BODY_BYTES_MAX, read_methods
from leadline.console.service import ConsoleService
from leadline.console.settings import ConsoleSettings
from leadline.testing.truth import TruthWriter
from leadline.v1 import evaluation_pb2 as messages

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(store, now_minute, start_reader, clock):
    """The URL of a console before a reader of twelve predictions in two slices."""
    writer = TruthWriter(store, "main/0")
    for number in range(12):
        device = (("device", "kiosk" if number % 4 == 3 else "phone"),)
        writer.predict(number, number % 3, now_minute - number, slices=device)
        writer.label(number, number % 2, delay_ms=60_000)
    writer.commit(append_ms=now_minute * 60_000)
    reader = await start_reader()
    settings = ConsoleSettings(listen_address="127.0.0.1:0", reader_address=reader.address)
    console = ConsoleService(settings, clock=clock)
    await console.start()
    yield f"http://{console.address}/api/v1/"
    await console.close()


async def ask(url, body=None):
    """(status, answer as JSON)."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()

    def call():
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:
                assert answer.headers["Content-Type"].startswith("application/json")
                assert answer.headers["Cache-Control"] == "no-store"
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return await asyncio.to_thread(call)


async def test_an_answer_is_the_one_of_grpc(site, evaluation):
    request = messages.GetSummaryRequest(scope=messages.Scope(name="models/digits"))
    wanted = json_format.MessageToDict(
        await evaluation.GetSummary(request), preserving_proto_field_name=True
    )
    query = urlencode({"scope.name": "models/digits"})
    for found in (
        await ask(f"{site}EvaluationService/GetSummary?{query}"),
        await ask(f"{site}EvaluationService/GetSummary", {"scope": {"name": "models/digits"}}),
    ):
        assert found == (200, wanted)
    assert wanted["summary"]["basis"]["labelled"] == "12"


async def test_a_query_has_windows_and_slices(site):
    slices = json.dumps({"column": "device", "value": "kiosk"})
    query = {"scope.name": "models/digits", "scope.last": "600s", "scope.slices": slices}
    status, found = await ask(f"{site}EvaluationService/GetSummary?{urlencode(query)}")
    assert (status, found["summary"]["basis"]["labelled"]) == (200, "2")
    query = {"scope.name": "models/digits", "errorsOnly": "true", "page_size": "3"}
    assert (await ask(f"{site}EvaluationService/ListCases?{urlencode(query)}"))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("EvaluationService/GetNothing", None, 404, "GetSummary"),
        ("EvaluationService/WatchSummary", None, 404, "There is no"),
        ("ModelService/DeleteModel", {}, 404, "There is no"),
        ("EvaluationService/GetSummary?scope.nome=x", None, 400, "name"),
        ("EvaluationService/GetSummary?scope.slices.column=x", None, 400, "JSON"),
        ("EvaluationService/GetSummary?scope.slices={", None, 400, "JSON"),
        ("EvaluationService/GetSummary?scope.last=soon", None, 400, "last"),
        ("EvaluationService/GetSummary", b"{", 400, "JSON"),
        ("EvaluationService/GetSummary", b"[]", 400, "object"),
        ("EvaluationService/GetSummary", b" " * (BODY_BYTES_MAX + 1), 400, "at most"),
        ("EvaluationService/GetSummary", {"scope": {"name": "models/none"}}, 404, "ListModels"),
        ("EvaluationService/GetSummary", {"scope": {"name": "none"}}, 400, "name"),
    ],
)
async def test_what_cannot_be_answered_says_why(site, path, body, status, words):
    found, answer = await ask(site + path, body)
    assert found == status
    assert set(answer["error"]) == {"code", "message", "remedy"}
    assert words in answer["error"]["message"] + answer["error"]["remedy"]


async def test_a_reader_that_is_gone_is_told(start_reader, clock):
    settings = ConsoleSettings(listen_address="127.0.0.1:0", reader_address="127.0.0.1:1")
    console = ConsoleService(settings, clock=clock)
    await console.start()
    try:
        found, _ = await ask(f"http://{console.address}/api/v1/EvaluationService/GetStatus")
    finally:
        await console.close()
    assert found == 503


def test_every_read_method_is_served_and_nothing_that_writes():
    names = {"/".join(name) for name in read_methods()}
    assert {"EvaluationService/GetSummary", "AnalysisService/CompareVersions"} <= names
    assert {"ModelService/GetModel", "ModelService/ListModels"} <= names
    verbs = {name.partition("/")[2][:3] for name in names}
    assert verbs <= {"Get", "Lis", "Com"}
