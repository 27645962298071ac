"""Files in, rows out: every form, every guess, every refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leadline.cli.cells import cell_class, cell_scores, cell_time, class_list
from leadline.cli.guess import find_columns, need
from leadline.cli.tables import open_table
from leadline.client.edge import RefusedError
from leadline.records.errors import UsageError

ROWS = [{"id": "a", "label": "cat", "score": 0.5}, {"id": "b", "label": "dog", "score": 0.25}]


def write(tmp_path, form):
    path = tmp_path / f"rows.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    else:
        mark = "\t" if form == "tsv" else ","
        lines = [ROWS[0].keys(), *(row.values() for row in ROWS)]
        path.write_text("\n".join(mark.join(map(str, line)) for line in lines) + "\n")
    return path


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_gives_the_same_rows(tmp_path, form):
    table = open_table(write(tmp_path, form))
    assert table.columns == ("id", "label", "score")
    shares: list[float] = []
    chunks = list(table.chunks(1, shares.append))
    assert [len(chunk) for chunk in chunks] == [1, 1]
    rows = [row for chunk in chunks for row in chunk]
    assert [(row["id"], row["label"], float(row["score"])) for row in rows] == [
        ("a", "cat", 0.5),
        ("b", "dog", 0.25),
    ]
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.xlsx", b"x", "ending"),
        ("rows.csv", b"", "no rows"),
        ("rows.csv", b"a,a\n1,2\n", "twice"),
        ("rows.csv", b"a,b\n1,2,3\n", "fields"),
        ("rows.csv", b"a,b\n\xff\xfe,2\n", "UTF-8"),
        ("rows.jsonl", b'{"a": 1}\n{oops\n', "line 2"),
        ("rows.jsonl", b"[1]\n", "no object"),
        ("rows.parquet", b"not parquet", "Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_place(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        list(open_table(path).chunks(10, lambda share: None))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        open_table(tmp_path / "none.csv")


def test_columns_are_guessed_and_the_guess_is_told():
    found = find_columns(
        ("Request ID", "y_true", "Event-Time", "noise"), ("id", "label", "time"), {}
    )
    assert (found.id, found.label, found.time) == ("Request ID", "y_true", "Event-Time")
    assert ("id", "Request ID") in found.guessed


def test_an_option_stands_over_the_guess_and_is_not_told_as_one():
    found = find_columns(("id", "order"), ("id",), {"id": "order"})
    assert (found.id, found.guessed) == ("order", ())
    with pytest.raises(UsageError, match="no such column"):
        find_columns(("id",), ("id",), {"id": "order"})


def test_one_column_a_class_is_found_with_its_class():
    columns = ("id", "prob_cat", "prob_dog", "score")
    found = find_columns(columns, ("id", "scores"), {})
    assert found.score_columns == ("prob_cat", "prob_dog")
    assert found.score_classes == ("cat", "dog")
    assert found.scores == ""
    assert find_columns(("id", "score"), ("id", "scores"), {}).scores == "score"


def test_what_is_needed_and_not_there_is_told_with_the_option():
    with pytest.raises(UsageError) as error:
        need(find_columns(("a", "b"), ("id",), {}), "id", ("a", "b"))
    assert "--id" in error.value.remedy


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("2024-01-01T00:00:00", "s", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-01T01:00:00+01:00", "s", datetime(2024, 1, 1, tzinfo=UTC)),
        ("1704067200000", "ms", 1704067200.0),
        (1704067200, "s", 1704067200.0),
        (datetime(2024, 1, 1), "s", datetime(2024, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
        ("", "s", None),
        (None, "s", None),
    ],
)
def test_times_of_cells(value, unit, expected):
    assert cell_time(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("cat", "cat"),
        (" 3 ", "3"),
        ("3.0", "3"),
        (3.0, 3),
        (3, 3),
        ("", None),
        (float("nan"), None),
    ],
)
def test_classes_of_cells(value, expected):
    assert cell_class(value) == expected


@pytest.mark.parametrize("value", ["[0.5, 0.25]", "0.5 0.25", "0.5;0.25", [0.5, 0.25], (0.5, 0.25)])
def test_scores_of_cells(value):
    assert cell_scores(value) == [0.5, 0.25]


@pytest.mark.parametrize("value", ["[0.5, oops]", "x", None, {"a": 1}])
def test_what_is_no_list_of_scores_is_refused(value):
    with pytest.raises(RefusedError):
        cell_scores(value)


def test_class_lists_come_from_one_place(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("cat\ndog\n\n")
    assert class_list("", file) == class_list("cat, dog", None) == ("cat", "dog")
    assert class_list("", None) == ()
    with pytest.raises(UsageError, match="both"):
        class_list("cat", file)
    file.write_text("\n")
    with pytest.raises(UsageError, match="empty"):
        class_list("", file)
