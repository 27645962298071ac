"""The thin parts around the core: conversion, exports, static files, addresses."""

from __future__ import annotations

import pytest

from leadline.console import convert, exports
from leadline.console.app import local_url
from leadline.console.core import figures as f
from leadline.console.downloads import input_headers
from leadline.console.pages import state_from_events, state_of
from leadline.console.render import Statics
from leadline.v1 import evaluation_pb2 as ev


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/models/digits?norm=true", "/models/digits?norm=true"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_a_choice_leads_back_to_this_site_only(text, url):
    assert local_url(text) == url


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/pdf", ""])
def test_an_input_that_could_run_is_a_download(media_type):
    served, headers = input_headers(media_type)
    assert served == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment"


def test_texts_that_a_spreadsheet_would_run_are_made_harmless():
    matrix = f.Matrix(("=1+1", "b"), {(0, 1): 2})
    text = exports.to_csv(exports.matrix_table(matrix))
    assert text.splitlines()[1] == "'=1+1,0,2"


def test_classes_without_names_are_called_by_number():
    answer = ev.GetConfusionMatrixResponse(
        class_count=2, class_names=["cat"], true_class=[0, 2], predicted_class=[1, 2], count=[3, 4]
    )
    matrix = convert.matrix(answer)
    assert matrix.names == ("cat", "1", "2")
    assert matrix.cells == {(0, 1): 3, (2, 2): 4}


def test_a_rate_without_trials_has_no_value():
    assert convert.rate(ev.Rate(trials=0)) == f.Rate()


def test_pages_that_show_the_same_share_their_updates():
    one = state_from_events("page=/models/digits/versions/2&norm=count&window=24h")
    two = state_of("/models/digits/versions/2", [])
    assert one is not None
    assert one.key == two.key
    assert state_from_events("page=/elsewhere") is None


def test_scripts_and_styles_keep_their_budgets():
    statics = Statics()
    assert statics.get("console.css") is not None
    assert statics.get("../app.py") is None
    with pytest.raises(KeyError):
        statics.url("absent.js")
