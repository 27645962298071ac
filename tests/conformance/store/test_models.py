"""Model declarations: replaced only by who has read the newest one."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from leadline.records.batches import TaskKind
from leadline.records.errors import FencedError
from leadline.records.models import InputForm, InputSpec, ModelSpec, OutputSpec, ScoreForm

FULL = ModelSpec(
    name="digits",
    task="numbers",
    kind=TaskKind.BINARY,
    classes=("no", "yes\0", "Ünï"),
    output=OutputSpec("scores", ScoreForm.LOGITS_SOFTMAX),
    version_from="tag:blue",
    id_from="header:x-id",
    slices=("device", "site"),
    input=InputSpec("pixels", InputForm.IMAGE_ARRAY, "CHW", 255.0, -0.5, "uri"),
    log_rate=0.1,
    keep_rate=0.2,
    keep_rate_low_margin=0.3,
    low_margin=0.4,
    champion="3",
    description="A 'quoted' \"text\" ? %s",
)


def models(store):
    with store.snapshot() as snapshot:
        return snapshot.models()


def test_a_declaration_comes_back_as_it_was_written(store):
    assert store.save_model(FULL, None) == 1
    assert store.save_model(ModelSpec("a"), 0) == 1
    assert models(store) == [(ModelSpec("a"), 1), (FULL, 1)]
    with store.snapshot() as snapshot:
        assert snapshot.model("digits") == (FULL, 1)
        assert snapshot.model("b") is None


def test_only_the_expected_revision_is_replaced(store):
    spec = ModelSpec("digits")
    assert store.save_model(spec, 0) == 1
    assert store.save_model(FULL, 1) == 2
    for stale in (0, 1, 3):
        with pytest.raises(FencedError, match="digits"):
            store.save_model(spec, stale)
    assert models(store) == [(FULL, 2)]


def test_a_model_that_does_not_exist_has_no_revision_to_replace(store):
    with pytest.raises(FencedError):
        store.save_model(FULL, 1)
    assert models(store) == []


def test_without_an_expected_revision_the_last_one_wins(store):
    assert [store.save_model(FULL, None) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("expected", [0, 1])
def test_of_many_at_once_exactly_one_wins(store, expected):
    if expected:
        store.save_model(FULL, 0)

    def save(number):
        try:
            return store.save_model(replace(FULL, description=str(number)), expected)
        except FencedError:
            return None

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(save, range(6)))
    assert sorted(one for one in results if one) == [expected + 1]
    winner = next(number for number, one in enumerate(results) if one)
    assert models(store) == [(replace(FULL, description=str(winner)), expected + 1)]
