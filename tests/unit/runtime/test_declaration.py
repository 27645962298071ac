"""Declarations in files: strict, with errors that name field and remedy."""

from __future__ import annotations

import json

import pytest
import yaml

from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec, ScoreForm
from leadline.runtime.declaration import declaration_of, read_declarations

FULL = """
name: digits
task: numbers
kind: multiclass
classes_from: labels.txt
output: {name: scores, form: softmax}
version_from: "tag:v2"
id_from: "header:x-id"
slices: [device]
input: {form: image_array, layout: HW, scale: 255}
log_rate: 0.5
keep_rate: 1
champion: "2"
"""


def read(tmp_path, text, name="models.yaml"):
    file = tmp_path / name
    file.write_text(text)
    return read_declarations(file)


def test_a_full_declaration_is_read_with_tritons_label_file(tmp_path):
    (tmp_path / "labels.txt").write_text("zero\none\n")
    (spec,) = read(tmp_path, FULL)
    assert (spec.name, spec.task, spec.classes) == ("digits", "numbers", ("zero", "one"))
    assert spec.output.form is ScoreForm.LOGITS_SOFTMAX
    assert (spec.input.scale, spec.log_rate, spec.keep_rate) == (255, 0.5, 1.0)


def test_one_a_list_or_a_list_under_models(tmp_path):
    one = {"name": "a"}
    for value in (one, [one], {"models": [one]}):
        assert read(tmp_path, json.dumps(value), "models.json") == [ModelSpec("a")]
    assert len(read(tmp_path, "[{name: a}, {name: b}]")) == 2


def test_a_declaration_written_again_is_the_same(tmp_path):
    (tmp_path / "labels.txt").write_text("zero\none\n")
    (spec,) = read(tmp_path, FULL)
    again = yaml.safe_dump(declaration_of(spec))
    assert read(tmp_path, again) == [spec]
    assert declaration_of(ModelSpec("a")) == {"name": "a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: multiclass", "'name' is missing"),
        ("name: a\nclases: [x]", "'clases'"),
        ("name: a\nclasses: [yes, no]", "in quotes"),
        ("name: a\nclasses: [a, a]", "twice"),
        ("name: a\nclasses: [a]\nclasses_from: labels.txt", "both"),
        ("name: a\nclasses_from: none.txt", "none.txt"),
        ("name: a/b", "a/b"),
        ("name: a\nkind: detection", "kind"),
        ("name: a\nlog_rate: 0", "log_rate"),
        ("name: a\nkeep_rate: lots", "keep_rate"),
        ("name: a\nversion_from: header", "version_from"),
        ("name: a\noutput: {form: logits}", "output.form"),
        ("name: a\nslices: [a, b, c, d]", "slices"),
        ("- 1", "holds no declaration"),
        ("", "holds no declaration"),
        ("{", "neither YAML nor JSON"),
    ],
)
def test_errors_name_the_field_and_what_to_do(tmp_path, text, words):
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    shown = f"{error.value} {error.value.remedy}"
    assert words in shown
    assert "models.yaml" in shown or "none.txt" in shown
    assert "pydantic" not in shown
