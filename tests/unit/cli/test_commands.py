"""Commands on the embedded log and on files."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

from leadline.__main__ import run
from leadline.records.batches import RETRACTED
from leadline.records.ids import id_from_text, unpack_id
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.wire.batches import decode_labels, decode_predictions


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("LEADLINE_LOG_URL", "LEADLINE_STORE_URL", "LEADLINE_READER", "LEADLINE_GATEWAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEADLINE_LOG_URL", f"local:{tmp_path / 'log.db'}")
    return tmp_path


def rows_of(topic: str, decode, partitions: int = 1):
    log = open_log(f"local:{Path.cwd() / 'log.db'}", SystemClock())
    found = []
    for partition in range(partitions):
        for record in log.reader(topic, partition).poll(10_000, 0):
            decoded = decode(record.value, partition, partitions)
            assert decoded.refusals == ()
            found.append(decoded.batch)
    log.close()
    return found


def write_csv(name: str, rows: list[dict[str, object]]) -> str:
    with Path(name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def told(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_topics_are_created_once_and_checked(capsys):
    assert run(["topics", "check"]) == 1
    assert "does not exist" in capsys.readouterr().out
    assert run(["topics", "create", "--partitions", "3", "--json"]) == 0
    assert len(told(capsys)["created"]) == 6
    assert run(["topics", "create", "--partitions", "3", "--json"]) == 0
    assert told(capsys)["created"] == []
    assert run(["topics", "check", "--json"]) == 0
    assert told(capsys) == {"stream": "main", "partitions": 3, "problems": []}


def test_labels_are_imported_and_refused_rows_named(capsys):
    run(["topics", "create", "--partitions", "3"])
    file = write_csv(
        "labels.csv",
        [
            {"id": f"order-{at}", "label": label, "time": f"2024-01-01T00:00:{at:02d}Z"}
            for at, label in enumerate(["cat", "dog", "1", "wolf", "", "none", "cat"])
        ],
    )
    capsys.readouterr()
    arguments = ["--task", "animals", "--classes", "cat,dog", "--source", "desk"]
    arguments += ["--source-rank", "7", "--retracts", "none", "--json"]
    assert run(["labels", "import", file, *arguments]) == 0
    answer = told(capsys)
    assert (answer["rows"], answer["written"]) == (7, 5)
    assert answer["refused"] == {"class": 1, "no_label": 1}
    refused = list(csv.DictReader(Path(answer["refused_file"]).read_text().splitlines()))
    assert [(row["row"], row["label"]) for row in refused] == [("4", "wolf"), ("5", "")]
    assert all(row["reason"] and row["remedy"] for row in refused)
    batches = rows_of("labels", decode_labels, 3)
    assert {(batch.header.source, batch.header.source_rank) for batch in batches} == {("desk", 7)}
    assert all(batch.header.imported for batch in batches)
    found = {
        unpack_id(*batch.ids[at]): int(batch.true_class[at])
        for batch in batches
        for at in range(len(batch))
    }
    expected = {0: 0, 1: 1, 2: 1, 5: RETRACTED, 6: 0}
    assert found == {id_from_text(f"order-{at}"): label for at, label in expected.items()}


def test_an_import_of_nothing_good_is_exit_code_1(capsys):
    file = write_csv("labels.csv", [{"id": "a", "label": "cat"}])
    assert run(["labels", "import", file, "--task", "animals"]) == 1
    assert "0 labels written, 1 rows refused" in capsys.readouterr().out


def test_predictions_are_imported_with_scores_slices_and_history(capsys):
    rows = [
        {
            "request_id": f"order-{at}",
            "timestamp": 1_600_000_000 + at,
            "score_cat": 0.25,
            "score_dog": 0.75 if at != 3 else 75,
            "device": "phone" if at % 2 else "web",
        }
        for at in range(10)
    ]
    file = write_csv("predictions.csv", rows)
    arguments = ["--model", "animals", "--version", "1", "--slice", "device", "--json"]
    assert run(["predictions", "import", file, *arguments]) == 0
    answer = told(capsys)
    assert (answer["written"], answer["refused"]) == (9, {"score_range": 1})
    (batch,) = rows_of("predictions", decode_predictions)
    assert batch.header.imported
    assert batch.header.class_count == 2
    assert batch.predicted.tolist() == [1] * 9
    assert batch.event_time_us[0] == 1_600_000_000_000_000
    assert set(batch.slices[0].values) == {"phone", "web"}


def test_guesses_are_told_before_anything_is_written(capsys):
    file = write_csv("labels.csv", [{"uuid": "a", "y_true": "3"}])
    run(["labels", "import", file, "--task", "digits"])
    shown = capsys.readouterr().err
    assert "column uuid" in shown
    assert "column y_true" in shown
    assert "no time column" in shown


def test_evaluate_equals_scikit_learn(capsys):
    rng = np.random.default_rng(5)
    true = rng.integers(0, 3, 500)
    said = np.where(rng.random(500) < 0.8, true, rng.integers(0, 3, 500))
    names = np.array(["cat", "dog", "fox"])
    rows = [{"label": names[t], "pred": names[s]} for t, s in zip(true, said, strict=True)]
    assert run(["evaluate", write_csv("both.csv", rows), "--json"]) == 0
    found = told(capsys)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(true, said))
    assert found["macro"]["f1"] == pytest.approx(f1_score(true, said, average="macro"))
    dense = np.zeros((3, 3), int)
    cells = found["confusion"]
    dense[cells["true_class"], cells["predicted_class"]] = cells["count"]
    assert dense.tolist() == confusion_matrix(true, said).tolist()


def test_evaluate_joins_two_files_and_counts_what_is_unlabelled(capsys):
    predictions = [{"id": at, "scores": "[0.1, 0.7, 0.2]"} for at in range(10)]
    labels = [{"id": at, "label": 1 if at else 2} for at in range(5)]
    files = [write_csv("p.csv", predictions), write_csv("l.csv", labels)]
    assert run(["evaluate", *files, "--json"]) == 0
    found = told(capsys)
    assert (found["predictions"], found["labelled"]) == (10, 5)
    assert found["accuracy"]["value"] == 0.8
    assert found["top_k"]["2"]["value"] == 1.0


def test_evaluate_shows_matrix_and_pairs_to_people(capsys):
    rows = [{"label": "cat", "pred": "dog"}, {"label": "cat", "pred": "cat"}]
    assert run(["evaluate", write_csv("both.csv", rows)]) == 0
    shown = capsys.readouterr()
    assert "50.00 %" in shown.out
    assert "Confusion matrix" in shown.out
    assert "guessed" in shown.err


@pytest.mark.parametrize(
    ("rows", "arguments", "words"),
    [
        ([{"x": 1}], [], "predicted"),
        ([{"pred": "a"}], [], "label"),
        ([{"label": "a", "pred": ""}], [], "neither"),
        ([{"label": "a", "scores": "[1, 0]"}], [], "order of the scores"),
        ([{"label": "0", "scores": "[3, -2]"}], [], "--scores-as"),
        ([{"label": "wolf", "pred": "a"}], ["--classes", "a,b"], "wolf"),
    ],
)
def test_evaluate_says_what_it_cannot_read(capsys, rows, arguments, words):
    assert run(["evaluate", write_csv("both.csv", rows), *arguments]) == 2
    assert words in capsys.readouterr().err


def scored_rows(seed: int = 4, skill: float = 2.0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    true = np.random.default_rng(1).integers(0, 3, 400)
    logits = rng.normal(0, 1, (400, 3))
    logits[np.arange(400), true] += skill
    scores = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    names = ("cat", "dog", "fox")
    return [
        {
            "id": at,
            "label": names[number] if at % 4 else "",
            **{f"score_{name}": row[place] for place, name in enumerate(names)},
        }
        for at, (number, row) in enumerate(zip(true, scores, strict=True))
    ]


def test_evaluate_tells_what_scores_tell(capsys):
    rows = scored_rows()
    file = write_csv("scored.csv", rows)
    assert run(["evaluate", file, "--need", "recall>=0.9", "--json"]) == 0
    found = told(capsys)
    known = [row for row in rows if row["label"]]
    areas = {each["class_name"]: each["auc"] for each in found["classes"]}
    for name, area in areas.items():
        scores = np.array([row[f"score_{name}"] for row in known], np.float32)
        exact = roc_auc_score([row["label"] == name for row in known], scores)
        assert area["lower"] - 1e-12 <= exact <= area["upper"] + 1e-12
    assert all(each["recall"]["value"] >= 0.9 for each in found["thresholds"])
    assert found["weighted_accuracy"]["labelled"]["trials"] == 300
    assert run(["evaluate", file, "--cost", "20:1"]) == 0
    shown = capsys.readouterr().out
    for words in ("macro AUC", "log loss", "of all rows", "Thresholds: lowest cost", "optimism"):
        assert words in shown


@pytest.mark.parametrize("by_id", [True, False])
def test_evaluate_compares_two_files_on_the_same_rows(capsys, by_id):
    one, two = scored_rows(4, 1.0), scored_rows(5, 3.0)
    if by_id:
        two = two[::-1]
    else:
        for row in (*one, *two):
            del row["id"]
    files = [write_csv("one.csv", one), "--against", write_csv("two.csv", two)]
    assert run(["evaluate", *files, "--json"]) == 0
    found = told(capsys)["comparison"]
    assert (found["pairs"], found["verdict"]) == (300, "better")
    assert found["words"].startswith("two is better than one")
    assert run(["evaluate", *files]) == 0
    assert "two is better than one" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("rows", "arguments", "words"),
    [
        (3, [], "rows"),
        (400, ["--need", "recall"], "constraint"),
        (400, ["--cost", "dear"], "costs"),
        (400, ["--cost", "0:0"], "costs"),
    ],
)
def test_evaluate_says_what_it_cannot_compare(capsys, rows, arguments, words):
    one = [{key: value for key, value in row.items() if key != "id"} for row in scored_rows()]
    files = [write_csv("one.csv", one), "--against", write_csv("two.csv", one[:rows])]
    assert run(["evaluate", *files, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_evaluate_names_an_id_that_is_not_in_the_other_file(capsys):
    files = [write_csv("one.csv", scored_rows()), "--against"]
    assert run(["evaluate", *files, write_csv("two.csv", scored_rows()[1:])]) == 2
    assert "1 of 400 ids are not in the other file" in capsys.readouterr().err


def findings(capsys) -> dict[str, str]:
    return {each["check"]: each["state"] for each in told(capsys)}


def test_doctor_is_content_with_a_fresh_place_and_makes_nothing(capsys, place):
    assert run(["doctor", "--json"]) == 0
    found = findings(capsys)
    assert (found["log"], found["store"]) == ("note", "note")
    assert list(place.iterdir()) == []


def test_doctor_finds_what_is_wrong_and_says_what_to_do(capsys, place, monkeypatch):
    run(["topics", "create"])
    capsys.readouterr()
    config = place / "leadline.yaml"
    config.write_text("gateway: {triton_adress: x}\nconsole: {viewers_max: -1}\n")
    sqlite3.connect(place / "other.db").close()
    arguments = ["--config", str(config), "--reader", "127.0.0.1:1", "--triton", "127.0.0.1:1"]
    arguments += ["--timeout", "5"]
    assert run(["doctor", "--json", *arguments]) == 1
    found = json.loads(capsys.readouterr().out)
    wrong = {each["check"]: each for each in found if each["state"] == "wrong"}
    assert set(wrong) == {"settings of gateway", "settings of console", "reader", "triton"}
    assert "triton_address" in wrong["settings of gateway"]["remedy"]
    assert "LEADLINE_CONSOLE_VIEWERS_MAX" in wrong["settings of console"]["remedy"]
    assert all(each["remedy"] for each in wrong.values())


def test_doctor_sees_topics_that_an_id_would_fall_between(capsys):
    run(["topics", "create"])
    db = sqlite3.connect("log.db")
    db.execute("UPDATE topics SET partitions = 2 WHERE name = 'labels'")
    db.commit()
    db.close()
    capsys.readouterr()
    assert run(["doctor"]) == 1
    assert "WRONG  topics" in capsys.readouterr().out
