"""Settings: order of sources, and errors that name setting, variable and remedy."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from leadline.records.errors import UsageError
from leadline.runtime.settings import describe_settings, load_settings


class Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    log_url: str = Field(default="local:x", description="The log.")
    rows_max: int = Field(default=10, gt=0, le=100, description="Rows.")
    names: tuple[str, ...] = Field(default=(), description="Names.")
    loud: bool = Field(default=False, description="Loud.")
    needed: str = Field(default="n", min_length=1, description="Needed.")


def load(environ=None, file=None):
    return load_settings(Example, "demo", file=file, environ=environ or {})


def test_each_source_stands_over_the_next(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("demo: {log_url: local:file, rows_max: 20}\nother: {anything: 1}\n")
    shared = {"LEADLINE_LOG_URL": "local:shared"}
    assert load().log_url == "local:x"
    assert load(shared).log_url == "local:shared"
    assert load(shared, file).log_url == "local:file"
    own = {**shared, "LEADLINE_DEMO_LOG_URL": "local:own", "LEADLINE_DEMO_ROWS_MAX": "30"}
    assert (load(own, file).log_url, load(own, file).rows_max) == ("local:own", 30)


def test_variables_hold_texts_numbers_lists_and_truths():
    found = load({"LEADLINE_DEMO_NAMES": "[a, b]", "LEADLINE_DEMO_LOUD": "true"})
    assert (found.names, found.loud) == (("a", "b"), True)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LEADLINE_DEMO_ROWS_MAX": "0"}, ["demo.rows_max", "'0'", "greater than 0"]),
        ({"LEADLINE_DEMO_ROWS_MAX": "many"}, ["valid integer", "LEADLINE_DEMO_ROWS_MAX"]),
        ({"LEADLINE_DEMO_ROW_MAX": "1"}, ["LEADLINE_DEMO_ROW_MAX", "'rows_max'"]),
        ({"LEADLINE_DEMO_NEEDED": ""}, ["at least 1"]),
    ],
)
def test_a_wrong_variable_is_named_with_the_remedy(environ, words):
    with pytest.raises(UsageError) as error:
        load(environ)
    shown = f"{error.value} {error.value.remedy}"
    assert all(word in shown for word in words), shown
    assert "pydantic" not in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("demo: {row_max: 1}", "rows_max"),
        ("demo: [1]", "demo:"),
        ("demo: {", "YAML"),
        ("- 1", "demo"),
    ],
)
def test_a_wrong_file_is_named_with_the_remedy(tmp_path, content, words):
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(UsageError) as error:
        load(file=file)
    assert words in f"{error.value} {error.value.remedy}"
    assert "settings.yaml" in str(error.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load(file=tmp_path / "none.yaml")


def test_an_empty_file_and_a_missing_section_are_defaults(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("")
    assert load(file=file) == Example()
    file.write_text("other: {}\ndemo:\n")
    assert load(file=file) == Example()


def test_settings_are_described_for_people():
    rows = {row.name: row for row in describe_settings(Example, "demo")}
    row = rows["demo.rows_max"]
    assert (row.variable, row.kind, row.default) == ("LEADLINE_DEMO_ROWS_MAX", "whole number", "10")
    assert row.bounds == "> 0, <= 100"
    assert rows["demo.log_url"].shared == "LEADLINE_LOG_URL"
