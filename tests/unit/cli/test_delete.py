"""`leadline delete` on a store of its own: what goes, what stays, what is refused."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from leadline.cli.root import root
from leadline.records.batches import InputAbsence
from leadline.records.cases import Case
from leadline.records.cells import Series, empty_cells
from leadline.records.errors import NotFoundError, UsageError
from leadline.records.ids import id_from_text
from leadline.records.models import ModelSpec
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import CaseQuery, Commit


@pytest.fixture
def world(tmp_path):
    store = open_store(f"sqlite:{tmp_path}/truth.sqlite")
    store.migrate()
    blobs = open_blobs(str(tmp_path / "blobs"))
    keys = [blobs.put(text.encode(), "text/plain") for text in ("a", "b")]
    cases = [
        Case(
            id=id_from_text(text),
            model=model,
            version="1",
            task="digits",
            clock_ms=1,
            hash=1,
            event_time_us=1,
            predicted=0,
            top_classes=(0,),
            top_scores=(1.0,),
            keep_probability=1.0,
            input_ref=key,
            input_uri="",
            absence=InputAbsence.PRESENT,
            id_text=text,
            slices=(),
        )
        for model, text, key in [
            ("m", "one", keys[0]),
            ("m", "two", keys[1]),
            ("n", "one", keys[0]),
        ]
    ]
    state = store.shard("main/0")
    numbers = {Series("m", "1", "digits"): 0, Series("n", "1", "digits"): 1}
    store.commit(Commit(state, replace(state, p=1), empty_cells(), numbers, cases))
    store.save_model(ModelSpec("m"), None)
    yield store, tmp_path
    store.close()


def run(world, *arguments):
    _, folder = world
    store = ["--store", f"sqlite:{folder}/truth.sqlite"]
    return CliRunner().invoke(root, ["delete", *arguments, *store], catch_exceptions=True)


def shown(world):
    store, folder = world
    with store.snapshot() as snapshot:
        cases = {
            model: [case.id_text for case in snapshot.cases(CaseQuery(model, "1"))]
            for model in ("m", "n")
        }
    return cases, sum(1 for path in (folder / "blobs").rglob("*") if path.is_file())


def test_an_id_is_deleted_with_the_input_that_nobody_needs(world):
    blobs = ["--blobs", str(world[1] / "blobs")]
    assert (
        run(world, "id", "two", "--task", "other", *blobs).output == "id two task other: deleted\n"
    )
    assert shown(world)[1] == 2
    done = run(world, "id", "two", *blobs)
    assert done.output == "id two: deleted\n1 kept inputs deleted\n"
    assert shown(world) == ({"m": ["one"], "n": ["one"]}, 1)


def test_a_model_is_deleted_with_yes_alone(world):
    refused = run(world, "model", "m")
    assert isinstance(refused.exception, UsageError)
    assert "--yes" in refused.exception.remedy
    assert shown(world)[0]["m"] == ["one", "two"] or shown(world)[0]["m"] == ["two", "one"]
    done = run(world, "model", "models/m", "--yes", "--json")
    found = json.loads(done.output)
    assert (found["model"], found["inputs_deleted"], len(found["inputs_left"])) == ("m", [], 1)
    assert shown(world) == ({"m": [], "n": ["one"]}, 2)


def test_without_a_place_of_inputs_they_are_named(world):
    done = run(world, "id", "two")
    assert "1 kept inputs are not needed any more" in done.output
    assert shown(world)[1] == 2


def test_a_model_that_does_not_exist_is_not_found(world):
    assert isinstance(run(world, "model", "x", "--yes").exception, NotFoundError)
