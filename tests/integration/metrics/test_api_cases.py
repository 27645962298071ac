"""Kept cases over gRPC: pages, filters, inputs."""

import io
import json

import grpc
import numpy as np
import pytest
from PIL import Image

from leadline.records.batches import InputAbsence
from leadline.records.cases import Case, CaseLabel
from leadline.records.models import InputForm, InputSpec, ModelSpec
from leadline.testing.truth import TruthWriter
from leadline.v1 import evaluation_pb2 as messages

pytestmark = pytest.mark.anyio
SCOPE = messages.Scope(name="models/digits")


def case_of(number: int, event_us: int, ref: str = "", **more: object) -> Case:
    return Case(
        **{
            "id": number.to_bytes(16, "big"),
            "model": "digits",
            "version": "1",
            "task": "digits",
            "clock_ms": 1,
            "hash": number,
            "event_time_us": event_us,
            "predicted": number % 3,
            "top_classes": (number % 3, 9),
            "top_scores": (0.5 + number / 100, 0.1),
            "keep_probability": 0.5,
            "input_ref": ref,
            "input_uri": "",
            "absence": InputAbsence.PRESENT if ref else InputAbsence.TOO_LARGE,
            "id_text": f"id-{number}",
            "slices": (("device", "phone"),),
            "label": CaseLabel(0, "annotator", event_us, 5000, 7) if number % 2 else None,
            **more,
        }
    )


@pytest.fixture
def kept(store, now_minute):
    """Ten cases of three event times, newest first 9 .. 0."""
    writer = TruthWriter(store)
    for number in range(10):
        writer.predict(number, number % 3, now_minute)
        writer.keep(case_of(number, now_minute * 60_000_000 - (9 - number) // 4 * 1000))
    writer.commit()
    return writer


async def pages_of(evaluation, request, between=lambda: None):
    """All cases by their text ids, page by page."""
    found = []
    while True:
        answer = await evaluation.ListCases(request)
        found += [each.id_text for each in answer.cases]
        if not answer.next_page_token:
            return found, answer.total
        request.page_token = answer.next_page_token
        between()


@pytest.mark.parametrize("by_score", [False, True])
@pytest.mark.parametrize("size", [1, 3, 4, 10])
async def test_cases_come_page_by_page_once_each(kept, evaluation, size, by_score):
    """Ties of event time, and pages of any size: each case once, and the total of all."""
    request = messages.ListCasesRequest(scope=SCOPE, page_size=size, by_score=by_score)
    found, total = await pages_of(evaluation, request)
    assert total == 10
    assert sorted(found) == [f"id-{number}" for number in range(10)]


async def test_cases_that_arrive_while_paging_shift_nothing(kept, evaluation, now_minute):
    arrived = iter(range(100, 200))

    def arrive():
        kept.keep(case_of(next(arrived), now_minute * 60_000_000 + 5_000_000))
        kept.commit()

    request = messages.ListCasesRequest(scope=SCOPE, page_size=3)
    found, _ = await pages_of(evaluation, request, arrive)
    assert sorted(found) == [f"id-{number}" for number in range(10)]


async def test_cases_are_filtered_by_cell(kept, evaluation):
    request = messages.ListCasesRequest(scope=SCOPE, true_class=0, predicted_class=1)
    found, total = await pages_of(evaluation, request)
    assert (sorted(found), total) == (["id-1", "id-7"], 2)
    errors = messages.ListCasesRequest(scope=SCOPE, errors_only=True)
    assert sorted((await pages_of(evaluation, errors))[0]) == ["id-1", "id-5", "id-7"]


async def test_a_case_shows_its_label_and_what_other_versions_said(kept, evaluation, now_minute):
    event_us = now_minute * 60_000_000
    kept.keep(case_of(1, event_us, version="2", predicted=9, top_classes=(9,), top_scores=(0.25,)))
    kept.commit()
    name = "models/digits/versions/1/cases/" + (1).to_bytes(16, "big").hex()
    case = (await evaluation.GetCase(messages.GetCaseRequest(name=name))).case
    assert (case.name, case.true_class, case.label_source) == (name, 0, "annotator")
    assert (case.label_delay.ToSeconds(), case.has_input) == (5, False)
    (other,) = case.others
    assert (other.version, other.predicted_class, other.score) == ("2", 9, 0.25)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await evaluation.GetCaseInput(messages.GetCaseInputRequest(name=name))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "too large" in refused.value.details()


async def test_a_kept_array_is_shown_as_declared(kept, store, blobs, evaluation, now_minute):
    buffer = io.BytesIO()
    np.save(buffer, np.full((1, 2, 3), 0.5, np.float32))
    key = blobs.put(buffer.getvalue(), "application/x-npy")
    kept.keep(case_of(1, now_minute * 60_000_000, key))
    kept.commit()
    request = messages.GetCaseInputRequest(
        name="models/digits/versions/1/cases/" + (1).to_bytes(16, "big").hex()
    )
    undeclared = await evaluation.GetCaseInput(request)
    assert json.loads(undeclared.content)["shape"] == [1, 2, 3]
    shown_as = InputSpec(form=InputForm.IMAGE_ARRAY, layout="HW", scale=200.0)
    store.save_model(ModelSpec("digits", input=shown_as), None)
    shown = await evaluation.GetCaseInput(request)
    assert shown.media_type == "image/png"
    assert np.asarray(Image.open(io.BytesIO(shown.content))).tolist() == [[100] * 3] * 2
    request.raw = True
    assert (await evaluation.GetCaseInput(request)).content == buffer.getvalue()
