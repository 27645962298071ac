"""Refused records and rows on the embedded log: listed, shown, and sent again."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leadline.__main__ import run
from leadline.cli.refused import since_ms
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.errors import UsageError
from leadline.records.ids import pack_ids, partition_of
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.v1 import events_pb2
from leadline.wire.batches import (
    decode_labels,
    decode_predictions,
    encode_labels,
    encode_predictions,
)
from leadline.wire.dead_letters import COPY_BYTES, Reference, encode_dead_letter

PARTITIONS = 3
DECODE = {"predictions": decode_predictions, "labels": decode_labels}
OLD_US = 1_600_000_000_000_000


def ids(count, start=0):
    return pack_ids([(start + at).to_bytes(16, "big") for at in range(count)])


def predictions(count, start=0, **fields):
    header = PredictionHeader("m", "1", "m", class_count=4)
    times = OLD_US + np.arange(count)
    said = (np.arange(count) % 4).astype(np.uint32)
    return PredictionBatch(header, ids(count, start), times, said, **fields)


def labels(count, start=0):
    true = (np.arange(count) % 4).astype(np.uint32)
    return LabelBatch(LabelHeader("m", class_count=4), ids(count, start), np.full(count, 5), true)


class Place:
    """A log whose records are refused as an owner refuses them."""

    def __init__(self, path):
        self.path = path
        self.log = open_log(f"local:{path}", SystemClock())
        self.writer = self.log.writer()

    def refuse(self, topic, partition, value, times=1):
        """Appends a record, and a dead letter for each refusal in it; returns the references."""
        reader = self.log.reader(topic, partition)
        offset = reader.end()
        self.writer.append(topic, partition, value)
        self.writer.flush(5)
        reader.seek(offset)
        (record,) = reader.poll(1, 5)
        reader.close()
        refusals = DECODE[topic](value, partition, PARTITIONS).refusals
        assert refusals
        for refusal in refusals * times:
            letter = encode_dead_letter(
                topic=topic,
                partition=partition,
                offset=offset,
                append_time_ms=record.append_time_ms,
                value=value,
                refusal=refusal,
            )
            self.writer.append("dead-letters", 0, letter)
        self.writer.flush(5)
        return [Reference(topic, partition, offset, each.row) for each in refusals]

    def good(self, topic):
        """(partition, batch) of everything that an owner would count."""
        found = []
        for partition in range(PARTITIONS):
            reader = self.log.reader(topic, partition)
            for record in reader.poll(10_000, 0):
                batch = DECODE[topic](record.value, partition, PARTITIONS).batch
                if batch is not None and len(batch):
                    found.append((partition, batch))
            reader.close()
        return found

    def forget(self, topic, partition):
        """Retention cuts everything of a partition."""
        with sqlite3.connect(self.path) as db:
            (number,) = db.execute(
                "SELECT number FROM partitions WHERE topic = ? AND partition = ?",
                (topic, partition),
            ).fetchone()
            db.execute("DELETE FROM records WHERE place >> 40 = ?", (number,))
            db.execute("UPDATE partitions SET first = next WHERE number = ?", (number,))


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    path = tmp_path / "log.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADLINE_LOG_URL", f"local:{path}")
    assert run(["topics", "create", "--partitions", str(PARTITIONS)]) == 0
    capsys.readouterr()
    made = Place(path)
    yield made
    made.writer.close()
    made.log.close()


@pytest.fixture
def told(capsys):
    def call(*arguments, code=0):
        assert run(["dead-letters", *arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return call


def wrong_rows(batch, partition):
    return np.flatnonzero(partition_of(batch.ids, PARTITIONS) != partition)


def answers(batches, field):
    """Class by id, and how many rows there were: a plain reading of batches."""
    rows = [
        (int(high), int(low), int(value))
        for batch in batches
        for (high, low), value in zip(batch.ids, getattr(batch, field), strict=True)
    ]
    return sorted(rows)


def test_each_reference_is_listed_once_although_a_crash_wrote_it_twice(place, told, capsys):
    references = place.refuse("labels", 1, encode_labels(labels(20)), times=2)
    found = told("list")
    assert found["total"] == len(references) == len(wrong_rows(labels(20), 1))
    assert [each["reference"] for each in found["dead_letters"]] == list(map(str, references))
    assert {each["reason"] for each in found["dead_letters"]} == {"wrong_partition"}
    assert {each["replayed"] for each in found["dead_letters"]} == {None}
    assert run(["dead-letters", "list", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert f"{references[-1]}  wrong_partition: " in out
    assert str(references[0]) not in out


def test_a_list_is_narrowed_by_reason_and_time(place, told):
    place.refuse("labels", 0, b"\x07 no batch")
    place.refuse("labels", 1, encode_labels(labels(20)))
    assert told("list", "--reason", "unparsable")["total"] == 1
    both = told("list", "--reason", "unparsable", "--reason", "wrong_partition")["total"]
    assert both == told("list")["total"] == told("list", "--since", "1h")["total"]
    assert told("list", "--since", "2999-01-01")["total"] == 0
    assert run(["dead-letters", "list", "--reason", "nonsense"]) == 2
    assert run(["dead-letters", "list", "--since", "yesterday"]) == 2


def test_times_are_read_as_utc_or_as_ages():
    now_us = 1_700_000_000_000_000
    assert since_ms("2026-11-22T10:00", now_us) == 1795341600000
    assert since_ms("2026-11-22T12:00+02:00", now_us) == 1795341600000
    assert since_ms("90s", now_us) == 1_700_000_000_000 - 90_000
    assert since_ms("7d", now_us) == 1_700_000_000_000 - 7 * 86_400_000
    for text in ("", "d", "1w", "-1h", "1.5h", "tomorrow"):
        with pytest.raises(UsageError):
            since_ms(text, now_us)


@pytest.mark.parametrize("text", ["labels/0@7", "a.b-c_D.labels/12@34567:89"])
def test_a_reference_is_its_text(text):
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize("text", ["", "labels", "labels/0", "labels/0@", "labels/0@1:", "x/0@1:-1"])
def test_what_is_no_reference_is_refused_in_words(text):
    with pytest.raises(UsageError, match="is no reference") as error:
        Reference.parse(text)
    assert "labels/0@7:3" in error.value.remedy


def test_rows_in_the_wrong_partition_are_sent_to_the_right_one(place, told):
    batch = predictions(30, kept=())
    place.refuse("predictions", 1, encode_predictions(batch))
    before = answers([each for _, each in place.good("predictions")], "predicted")
    found = told("replay", "--reason", "wrong_partition")
    wrong = wrong_rows(batch, 1)
    assert found["rows"] == len(wrong) == len(found["references"])
    assert all(each["replayed"] and not each["problem"] for each in found["references"])
    after = place.good("predictions")
    everything = answers([each for _, each in after], "predicted")
    assert everything == answers([batch], "predicted")
    assert set(before) | set(everything) == set(everything)
    sent = [each for _, each in after if each.header.imported]
    assert len(sent) == PARTITIONS - 1
    for each in sent:  # they keep their times, however old they are
        assert each.event_time_us.min() >= OLD_US
    assert all(each["replayed"] for each in told("list")["dead_letters"])


def test_only_the_rows_that_are_named_are_sent(place, told):
    references = place.refuse("labels", 2, encode_labels(labels(30)))
    two = [str(references[3]), str(references[0])]
    assert told("replay", *two, two[0])["rows"] == 2
    sent = [each for _, each in place.good("labels") if each.header.imported]
    rows = sorted((references[0].row, references[3].row))
    assert answers(sent, "true_class") == [(0, row, row % 4) for row in rows]
    done = {each["reference"] for each in told("list")["dead_letters"] if each["replayed"]}
    assert done == set(two)


def test_what_was_sent_before_is_left_unless_it_is_wanted_again(place, told):
    (first, *_) = map(str, place.refuse("labels", 2, encode_labels(labels(30))))
    told("replay", first)
    (found,) = told("replay", first, code=1)["references"]
    assert not found["replayed"]
    assert "sent again at" in found["problem"]
    assert len(place.good("labels")) == 2
    told("replay", first, "--again")
    assert len(place.good("labels")) == 3
    rest = told("replay", "--since", "1h")["references"]
    assert first not in [each["reference"] for each in rest]
    assert told("replay", "--since", "1h") == {"dry_run": False, "rows": 0, "references": []}


def test_a_dry_run_appends_nothing(place, told):
    (first, *_) = map(str, place.refuse("labels", 2, encode_labels(labels(30))))
    found = told("replay", first, "--dry-run")
    assert found["rows"] == 1
    assert found["references"][0]["partitions"]
    assert len(place.good("labels")) == 1
    assert told("list")["dead_letters"][0]["replayed"] is None


def test_what_is_refused_still_is_left_in_words(place, told):
    scores = np.full((30, 4), 0.25, np.float32)
    scores[:10] = 7.5
    references = place.refuse("predictions", 1, encode_predictions(predictions(30, scores=scores)))
    found = told("replay", "--since", "1h", code=1)
    left = {each["reference"] for each in found["references"] if not each["replayed"]}
    assert left == {str(each) for each in references if each.row < 10}
    problems = {each["problem"] for each in found["references"] if not each["replayed"]}
    assert all("this version refuses it, too" in each and "logit" in each for each in problems)
    assert found["rows"] == len([each for each in references if each.row >= 10])


def test_a_whole_record_that_this_version_takes_is_sent_whole(place, told):
    """As after an upgrade: refused for its kind then, and good now."""
    batch = replace(predictions(30), unobserved=((1, 4),))
    message = events_pb2.PredictionBatch.FromString(encode_predictions(batch))
    message.kind = 3  # multilabel: refused whole
    (whole,) = place.refuse("predictions", 0, message.SerializeToString())
    (found,) = told("replay", str(whole), code=1)["references"]
    assert "multilabel" in found["problem"]
    place.writer.append("predictions", 1, encode_predictions(batch))
    letter = events_pb2.DeadLetter(
        topic="predictions",
        partition=1,
        offset=0,
        row=-1,
        reason=11,
        copy=encode_predictions(batch)[:COPY_BYTES],
        size=len(encode_predictions(batch)),
    )
    place.writer.append("dead-letters", 0, letter.SerializeToString())
    place.writer.flush(5)
    assert told("replay", "predictions/1@0")["rows"] == 30
    sent = [each for _, each in place.good("predictions") if each.header.imported]
    assert answers(sent, "predicted") == answers([batch], "predicted")
    assert [lost for each in sent for lost in each.unobserved] == [(1, 4)]


def test_rows_do_not_bring_their_unobserved_counts_again(place, told):
    batch = replace(predictions(30), unobserved=((1, 4),))
    place.refuse("predictions", 1, encode_predictions(batch))
    told("replay", "--since", "1h")
    assert [each.unobserved for _, each in place.good("predictions") if each.header.imported] == [
        (),
        (),
    ]


def test_a_forgotten_record_comes_from_a_copy_that_is_complete(place, told):
    small, large = encode_labels(labels(30)), encode_labels(labels(3_000, start=100))
    assert len(small) <= COPY_BYTES < len(large)
    place.refuse("labels", 0, small)
    place.refuse("labels", 1, large)
    place.forget("labels", 0)
    place.forget("labels", 1)
    found = told("replay", "--since", "1h", code=1)
    for each in found["references"]:
        assert each["replayed"] == each["reference"].startswith("labels/0@")
    (problem,) = {each["problem"] for each in found["references"] if not each["replayed"]}
    assert "has forgotten it" in problem
    assert "copied only 4,096" in problem


def test_another_record_at_the_place_is_not_sent(place, told):
    value = encode_labels(labels(3_000))
    (first, *_) = place.refuse("labels", 1, value)
    with sqlite3.connect(place.path) as db:
        db.execute("UPDATE records SET value = ? WHERE value = ?", (value[:-1] + b"\x07", value))
        db.execute("UPDATE records SET value = substr(value, 2) WHERE length(value) > 5000")
    (found,) = told("replay", str(first), code=1)["references"]
    assert "another record" in found["problem"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Say what to send again"),
        (["labels/0@1", "--since", "1h"], "Say what to send again"),
        (["labels/0@99"], "No dead letter is about labels/0@99"),
        (["nonsense"], "is no reference"),
    ],
)
def test_a_replay_of_nothing_known_is_refused(place, capsys, arguments, words):
    assert run(["dead-letters", "replay", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_foreign_topic_is_left(place, told):
    letter = events_pb2.DeadLetter(topic="other", partition=0, offset=3, row=-1, reason=1)
    place.writer.append("dead-letters", 0, letter.SerializeToString())
    place.writer.flush(5)
    (found,) = told("replay", "other/0@3", code=1)["references"]
    assert "none of stream 'main'" in found["problem"]


def test_a_row_is_shown_with_its_values_and_bytes(place, told, capsys):
    scores = np.full((30, 4), 0.25, np.float32)
    batch = predictions(30, scores=scores)
    (*_, last) = place.refuse("predictions", 1, encode_predictions(batch))
    found = told("show", str(last))
    assert found["reason"] == "wrong_partition"
    assert found["record"]["source"] == "topic"
    assert bytes.fromhex(found["record"]["hex"]) == encode_predictions(batch)
    assert found["read"]["header"]["model"] == "m"
    row = found["read"]["row"]
    assert row["id"] == f"00000000-0000-0000-0000-{last.row:012x}"
    assert row["event_time_us"] == OLD_US + last.row
    assert row["predicted_class"] == last.row % 4
    assert row["score"] == [0.25] * 4
    assert run(["dead-letters", "show", str(last), "--hex-bytes", "32"]) == 0
    out = capsys.readouterr().out
    assert "partition by murmur2" in out.lower()
    assert "00000010  " in out
    assert "00000020  " not in out
    assert "more (--hex-bytes 0)" in out


def test_what_does_not_parse_is_shown_as_bytes(place, told, capsys):
    (whole,) = place.refuse("labels", 0, b"\x07 no batch")
    assert told("show", str(whole))["read"] is None
    assert run(["dead-letters", "show", str(whole)]) == 0
    out = capsys.readouterr().out
    assert "these bytes do not parse as a batch" in out
    assert ". no batch" in out


def test_a_forgotten_record_is_shown_from_its_copy(place, told, capsys):
    (first, *_) = place.refuse("labels", 1, encode_labels(labels(3_000)))
    place.forget("labels", 1)
    found = told("show", str(first))["record"]
    assert (found["source"], found["whole"]) == ("copy", False)
    assert "forgotten" in found["lost"]
    assert run(["dead-letters", "show", str(first)]) == 0
    assert "the dead letter's copy, 4,096 bytes" in capsys.readouterr().out


def test_an_empty_topic_says_so(place, capsys):
    assert run(["dead-letters", "list"]) == 0
    assert "nothing was refused" in capsys.readouterr().out
    assert run(["dead-letters", "list", "--stream", "other"]) == 2
    assert "topics create" in capsys.readouterr().err
    assert Path("log.db").exists()
