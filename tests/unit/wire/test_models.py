"""Declarations between messages and records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.records.batches import TaskKind
from leadline.records.errors import UsageError
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm
from leadline.v1 import models_pb2
from leadline.wire.models import model_from_proto, model_to_proto

NAMES = st.text("abcXYZ019-_.ä中😀", min_size=1, max_size=12)
TEXTS = st.text(max_size=12)
RATES = st.floats(0, 1)
ABOVE_0 = st.floats(0, 1, exclude_min=True)

SPECS = st.builds(
    ModelSpec,
    name=NAMES,
    task=st.one_of(st.just(""), NAMES),
    kind=st.sampled_from(TaskKind),
    classes=st.lists(TEXTS, max_size=4, unique=True).map(tuple),
    output=st.builds(OutputSpec, name=TEXTS, form=st.sampled_from(ScoreForm)),
    version_from=st.one_of(st.just("answer"), NAMES.map("parameter:{}".format)),
    id_from=st.one_of(st.sampled_from(["fresh", "request"]), NAMES.map("header:{}".format)),
    slices=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    input=st.builds(
        InputSpec,
        name=TEXTS,
        form=st.sampled_from(InputForm),
        layout=st.sampled_from(["", "HW", "HWC", "CHW"]),
        scale=st.floats(0.5, 255),
        offset=st.floats(-255, 255),
        uri_parameter=TEXTS,
    ),
    log_rate=ABOVE_0,
    keep_rate=RATES,
    keep_rate_low_margin=RATES,
    low_margin=RATES,
    champion=TEXTS,
    description=TEXTS,
)


@given(SPECS, st.integers(0, 2**63), st.booleans())
def test_a_declaration_comes_back_as_it_was(spec, revision, declared):
    message = model_to_proto(spec, revision=revision, declared=declared)
    assert (message.revision, message.declared) == (revision, declared)
    parsed = models_pb2.Model.FromString(message.SerializeToString())
    assert model_from_proto(parsed) == spec


def test_a_name_alone_is_a_declaration_with_the_defaults():
    spec = model_from_proto(models_pb2.Model(name="models/digits", keep_rate=0.05))
    expected = ModelSpec("digits", keep_rate=0.05, keep_rate_low_margin=0.0, low_margin=0.0)
    assert spec == expected
    assert spec.task == "digits"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "digits"}, "models/NAME"),
        ({"name": "models/"}, "no model name"),
        ({"name": "models/a/b"}, "no model name"),
        ({"name": "models/a", "task": "a\n"}, "no task name"),
        ({"name": "models/a", "kind": 77}, "77"),
        ({"name": "models/a", "output": {"form": 77}}, "77"),
        ({"name": "models/a", "input": {"form": 77}}, "77"),
        ({"name": "models/a", "log_rate": 1.5}, "log_rate"),
        ({"name": "models/a", "keep_rate": -1}, "keep_rate"),
        ({"name": "models/a", "keep_rate_low_margin": float("nan")}, "keep_rate_low_margin"),
        ({"name": "models/a", "version_from": "tag:"}, "version_from"),
        ({"name": "models/a", "id_from": "cookie:x"}, "id_from"),
        ({"name": "models/a", "slices": list("abcd")}, "slices"),
        ({"name": "models/a", "classes": ["cat", "cat"]}, "twice"),
    ],
)
def test_what_is_not_possible_is_named(changes, match):
    with pytest.raises(UsageError, match=match):
        model_from_proto(models_pb2.Model(**changes))
