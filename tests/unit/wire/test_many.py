"""Many records at once give what each gives alone, whatever stands among them."""

import struct
import sys
from collections import Counter

import plain
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leadline.records.batches import LabelBatch, PredictionBatch
from leadline.records.errors import StoppedError
from leadline.wire import scan
from leadline.wire.batches import decode_labels, decode_predictions, encode_tick
from leadline.wire.many import (
    ALIKE_MIN,
    HEAD_BYTES_MAX,
    Heads,
    decode_many_labels,
    decode_many_predictions,
)

SIDES = {
    "predictions": (decode_predictions, decode_many_predictions),
    "labels": (decode_labels, decode_many_labels),
}
MANY = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def row_facts(batch):
    """Every row with all that holds for it, as plain values."""
    kept = {}
    for each in getattr(batch, "kept", ()):
        fields = (each.probability, each.input_ref, each.input_uri, each.absence, each.id_text)
        kept.setdefault(each.row, []).append(fields)
    assert all(0 <= row < len(batch) for row in kept)
    return [
        (batch.header, tuple(batch.ids[row].tolist()), *columns_of(batch, row), kept.get(row, []))
        for row in range(len(batch))
    ]


def columns_of(batch, row):
    if isinstance(batch, LabelBatch):
        return (int(batch.label_time_us[row]), int(batch.true_class[row]))
    matrices = (batch.scores, batch.top_classes, batch.top_scores, batch.vectors)
    return (
        int(batch.event_time_us[row]),
        int(batch.predicted[row]),
        *(None if each is None else each[row].tobytes() for each in matrices),
        tuple((each.name, each.values[each.codes[row]]) for each in batch.slices),
    )


def one_by_one(values, decode, partition, partitions):
    """The reference: rows and losses by record, refusals, and where it stopped."""
    rows, lost, refusals = {}, {}, []
    for record, value in enumerate(values):
        try:
            decoded = decode(value, partition, partitions)
        except StoppedError as error:
            return rows, lost, refusals, record, str(error)
        refusals += [(record, each) for each in decoded.refusals]
        if decoded.batch is not None and len(decoded.batch):
            rows[record] = row_facts(decoded.batch)
        if getattr(decoded.batch, "unobserved", ()):
            lost[record] = decoded.batch.unobserved
    return rows, lost, refusals, len(values), None


HEADS = Heads()
"""Kept through all tests: whatever was decoded before, nothing may depend on it."""


def at_once(values, decode, partition, partitions):
    """The same of the function under test, with its own promises checked on the way."""
    decoded = decode(values, partition, partitions, HEADS)
    rows, lost = {}, {}
    firsts = [each.first for each in decoded.rows]
    assert firsts == sorted(firsts)
    for each in decoded.rows:
        records = each.record.tolist()
        assert len(records) == len(each.batch)
        assert records == sorted(records)
        assert records[:1] in ([each.first], [])
        if getattr(each.batch, "unobserved", ()):
            assert set(records) <= {each.first}
            lost[each.first] = each.batch.unobserved
        else:
            assert records
        for record, facts in zip(records, row_facts(each.batch), strict=True):
            rows.setdefault(record, []).append(facts)
        for column in getattr(each.batch, "slices", ()):
            assert len(column.codes) == len(records)
    stopped = None if decoded.stopped is None else str(decoded.stopped)
    return rows, lost, list(decoded.refusals), decoded.records, stopped


def assert_same(values, side, partition=0, partitions=1):
    one, together = SIDES[side]
    expected = one_by_one(values, one, partition, partitions)
    assert at_once(values, together, partition, partitions) == expected
    return expected


IDS = st.integers(0, 2**64 - 1)
SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0, -0.0])
BAD_SCORES = st.one_of(SCORES, st.sampled_from([float("nan"), 1.5, -0.5, float("inf")]))
TIMES = st.sampled_from([0, 1_000, 2**62, 2**62 + 1, 2**63, 2**64 - 1])


def of(strategy, n):
    return st.lists(strategy, min_size=n, max_size=n)


@st.composite
def predictions(draw, n=None):
    """A message of predictions: of few headers, so that many are alike."""
    n = draw(st.sampled_from([1, 1, 1, 1, 2, 3])) if n is None else n
    classes = draw(st.sampled_from([3, 3, 3, 2]))
    good = draw(st.sampled_from([True, True, True, False]))
    fields = {
        "n": n,
        "model": draw(st.sampled_from(["a", "b", "animals"])),
        "version": draw(st.sampled_from(["1", "2"])),
        "class_count": classes,
        "id": draw(of(IDS, 2 * n)),
        "event_time_us": draw(of(TIMES, n)),
        "predicted_class": draw(of(st.integers(0, classes if not good else classes - 1), n)),
        "score": draw(of(SCORES if good else BAD_SCORES, n * classes)),
    }
    kind = draw(st.sampled_from(["", "", "", "plain", "top", "vector", "slices", "slices", "kept"]))
    if kind == "plain":
        fields["score"] = []
    if kind == "top":
        top = draw(of(st.integers(0, classes if not good else classes - 1), 2 * n))
        top_score = draw(of(SCORES if good else BAD_SCORES, 2 * n))
        fields |= {"score": [], "top_k": 2, "top_class": top}
        fields["top_score"] = draw(st.sampled_from([top_score, []]))
    if kind == "vector":
        fields |= {"vector_width": 1, "vector": draw(of(st.sampled_from([1.0, -7.0]), n))}
    if kind == "slices":
        names = draw(st.sampled_from([["d"], ["d", "e"], ["e"]]))
        fields["slices"] = [
            {
                "name": name,
                "value": draw(st.sampled_from([["x"], ["y"], ["x", "y"], ["y", "x"], ["z" * 201]])),
                "code": draw(of(st.sampled_from([0, 0, 0, 1]), n)),
            }
            for name in names
        ]
    if kind == "kept":
        row = draw(st.integers(0, n if not good else n - 1))
        fields["kept"] = [{"row": row, "probability": 0.5, "id_text": draw(st.text("ab"))}]
    if draw(st.integers(0, 9)) == 0:
        fields["unobserved"] = [{"reason": draw(st.sampled_from([1, 2, 99])), "count": 3}]
    return plain.two_predictions(**fields)


@st.composite
def labels(draw, n=None):
    n = draw(st.sampled_from([1, 1, 1, 1, 2, 3])) if n is None else n
    fields = {
        "n": n,
        "task": draw(st.sampled_from(["a", "b", "animals"])),
        "source_rank": draw(st.sampled_from([0, 1, 2**32 - 1])),
        "class_count": draw(st.sampled_from([3, 3, 0])),
        "id": draw(of(IDS, 2 * n)),
        "label_time_us": draw(of(TIMES, n)),
        "true_class": draw(of(st.sampled_from([0, 1, 2, 2, 2, 3, 2**32 - 1]), n)),
    }
    return plain.two_labels(**fields)


@st.composite
def written(draw, messages):
    """The bytes of a message, mostly as every library writes them."""
    message = draw(messages)
    value = message.SerializeToString()
    how = draw(st.sampled_from([*[""] * 12, "frame", "split", "unpacked", "newer", "cut", "more"]))
    name = draw(st.sampled_from(["id", "score", "event_time_us", "label_time_us"]))
    if how == "frame":
        return b"\x00\x00\x00\x00\x07" + draw(st.sampled_from([b"\x00", b"\x02\x00"])) + value
    if how in ("split", "unpacked") and name in message.DESCRIPTOR.fields_by_name:
        return plain.rewritten(message, name, in_halves if how == "split" else plain.unpacked)
    if how == "newer" and draw(st.integers(0, 3)) == 0:
        message.reader = 2
        return message.SerializeToString()
    if how == "cut":
        return value[: draw(st.integers(0, len(value)))]
    if how == "more":
        return value + draw(st.sampled_from([b"\x10\x02", b"\x1a\x01c", b"\xd8\x01\x05", b"\x07"]))
    return value


def in_halves(field, column, form):
    numbers = list(column)
    half = len(numbers) // 2
    return plain.packed(field, numbers[:half], form) + plain.packed(field, numbers[half:], form)


def mixes(messages):
    other = st.sampled_from([b"", b"\x00", encode_tick(), b"\x08\x01\x10\x00", b"\xff" * 40])
    empty = st.just(plain.two_predictions(n=0, id=[], event_time_us=[], predicted_class=[]))
    values = st.one_of(*[written(messages)] * 8, other, written(empty), st.binary(max_size=60))
    return st.lists(values, max_size=40)


PARTS = st.sampled_from([(0, 1), (0, 1), (1, 3)])


@MANY
@given(mixes(predictions()), PARTS)
def test_predictions_at_once_are_those_one_by_one(values, part):
    assert_same(values, "predictions", *part)


@MANY
@given(mixes(labels()), PARTS)
def test_labels_at_once_are_those_one_by_one(values, part):
    assert_same(values, "labels", *part)


def test_headers_are_remembered_within_bounds():
    heads = Heads(limit=3)
    values = [one_row(number, f"m{number}") for number in range(10)]
    values.append(one_row(10, "long", producer="p" * HEAD_BYTES_MAX))
    decoded = decode_many_predictions(values, 0, 1, heads)
    assert len(decoded.rows) == 11
    assert 0 < len(heads.predictions) <= 3
    assert max(map(len, heads.predictions)) <= HEAD_BYTES_MAX
    assert not heads.labels


@pytest.mark.parametrize("side", SIDES)
def test_no_records_are_nothing(side):
    assert assert_same([], side) == ({}, {}, [], 0, None)


EXAMPLES = {
    "plain": (plain.two_predictions(n=1, id=[1, 2], event_time_us=[5], predicted_class=[1],
                                    score=[0.5, 0.25, 0.25]), "predictions"),
    "everything": (
        plain.two_predictions(
            top_k=2,
            top_class=[2, 1, 0, 1],
            top_score=[0.5, 0.25, 0.5, 0.25],
            vector_width=1,
            vector=[-3.5, 8.0],
            slices=[
                {"name": "d", "value": ["a", "b"], "code": [0, 1]},
                {"name": "e", "value": ["c"], "code": [0, 0]},
            ],
        ),
        "predictions",
    ),
    "kept": (plain.two_predictions(kept=[{"row": 1, "probability": 0.5}]), "predictions"),
    "labels": (plain.two_labels(source="s", source_rank=3, producer="p"), "labels"),
}  # fmt: skip


@pytest.mark.parametrize("what", EXAMPLES)
def test_a_changed_byte_among_records_that_are_alike_is_never_misread(what):
    """Every byte of one record among twelve, changed in four ways."""
    message, side = EXAMPLES[what]
    value = message.SerializeToString()
    for at in range(len(value)):
        for change in (1, 0x80, 0xFF, 0x40):
            changed = value[:at] + bytes([value[at] ^ change]) + value[at + 1 :]
            assert_same([value] * 6 + [changed] + [value] * 5, side)


@MANY
@given(st.sampled_from(list(EXAMPLES)), st.data())
def test_changed_bytes_among_records_that_are_alike_are_never_misread(what, data):
    message, side = EXAMPLES[what]
    value = message.SerializeToString()
    values = []
    for _ in range(data.draw(st.integers(ALIKE_MIN, 20))):
        changed = bytearray(value)
        for _ in range(data.draw(st.sampled_from([0, 0, 0, 1, 2]))):
            at = data.draw(st.integers(0, len(value) - 1))
            changed[at] = data.draw(st.integers(0, 255))
        values.append(bytes(changed))
    assert_same(values, side, 0, 1)


def one_row(number, model="a", **changes):
    fields = {"n": 1, "id": [number, number], "event_time_us": [number], "predicted_class": [1]}
    return plain.two_predictions(
        **(fields | {"model": model, "score": [0.5, 0.25, 0.25]} | changes)
    ).SerializeToString()


def test_interleaved_models_come_together_each():
    models = [f"model-{number % 30:02}" for number in range(300)]
    values = [one_row(number, model) for number, model in enumerate(models)]
    assert_same(values, "predictions")
    decoded = decode_many_predictions(values, 0, 1)
    assert [each.batch.header.model for each in decoded.rows] == models[:30]
    assert decoded.rows[7].record.tolist() == list(range(7, 300, 30))


def test_equal_headers_come_together_though_they_are_written_differently():
    other = plain.two_predictions(model="a")
    values = [one_row(number) for number in range(20)]
    values[3] = other.SerializeToString()
    values[11] = plain.rewritten(other, "id", in_halves)
    values[17] = plain.rewritten(other, "score", plain.unpacked)
    (rows,) = decode_many_predictions(values, 0, 1).rows
    assert Counter(rows.record.tolist())[3] == 2
    assert len(rows.batch) == 23
    assert_same(values, "predictions")


def test_dictionaries_are_united():
    def sliced(number):
        value = {"name": "d", "value": [f"v{number % 3}"], "code": [0]}
        return one_row(number, slices=[value])

    values = [sliced(number) for number in range(30)]
    (rows,) = decode_many_predictions(values, 0, 1).rows
    (column,) = rows.batch.slices
    assert column.values == ("v0", "v1", "v2")
    assert column.codes.tolist() == [0, 1, 2] * 10


def test_counts_of_what_was_lost_stay_with_their_record():
    values = [one_row(number) for number in range(10)]
    values[4] = one_row(4, unobserved=[{"reason": 1, "count": 2}])
    values[6] = one_row(6, predicted_class=[9], unobserved=[{"reason": 1, "count": 5}])
    rows = decode_many_predictions(values, 0, 1).rows
    assert [(each.first, len(each.batch), each.batch.unobserved) for each in rows] == [
        (0, 8, ()),
        (4, 1, ((1, 2),)),
        (6, 0, ((1, 5),)),
    ]
    assert_same(values, "predictions")


@pytest.mark.parametrize("at", [0, 1, 15, 29])
def test_a_newer_batch_stops_behind_the_records_before_it(at):
    values = [one_row(number) for number in range(30)]
    values[at] = one_row(at, reader=2)
    values[at + 1 :] = [b"\xff", *values[at + 2 :]] if at < 29 else []
    rows, _, refusals, records, stopped = assert_same(values, "predictions")
    assert (len(rows), refusals, records) == (at, [], at)
    assert "reader 2" in stopped


def test_a_wrong_partition_is_refused_by_row():
    values = [plain.two_labels(id=[n, n, n + 100, 1]).SerializeToString() for n in range(40)]
    rows, _, refusals, _, _ = assert_same(values, "labels", 2, 4)
    assert 10 < len(refusals) < 80
    assert rows


def test_large_batches_of_equal_length_are_scanned():
    n = 500
    message = plain.two_predictions(
        n=n, id=range(2 * n), event_time_us=range(n), predicted_class=[1] * n, score=[0.5] * 3 * n
    )
    values = [message.SerializeToString()] * 9
    (rows,) = decode_many_predictions(values, 0, 1).rows
    assert len(rows.batch) == 9 * n
    assert_same(values, "predictions")
    values[5] = values[5][:-4] + struct.pack("<f", float("nan"))
    _, _, ((record, refusal),), _, _ = assert_same(values, "predictions")
    assert (record, refusal.row) == (5, n - 1)


@example([b"\x08\x01\x10\x01\x1a\x01a"] * 9)
@MANY
@given(st.lists(st.binary(max_size=40).map(b"\x08\x01\x10\x01".__add__), max_size=20))
def test_garbage_that_begins_well_is_what_it_is_alone(values):
    for side in SIDES:
        assert_same(values, side)


class Lines:
    """Counts the lines that scanning runs: the same on every machine, unlike time."""

    def __enter__(self):
        self.count, self._former = 0, sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._former)

    def _call(self, frame, event, _):
        return self._line if frame.f_code.co_filename == scan.__file__ else None

    def _line(self, frame, event, _):
        self.count += event == "line"
        return self._line


HEAD = b"\x08\x01\x10\x01"
LARGE = {
    "fields": HEAD + b"\x18\x00" * 1_000_000,
    "kept rows": HEAD + b"\x6a\x00" * 1_000_000,
    "slices": HEAD + b"\x62\x00" * 1_000_000,
    "values of a slice": HEAD + plain.chunk(12, b"\x12\x00" * 1_000_000),
    "columns": HEAD + plain.chunk(20, b"") * 1_000_000,
    "a frame": b"\x00\x00\x00\x00\x07\x00" + b"\xff" * 1_000_000,
}


@pytest.mark.parametrize("what", LARGE)
@pytest.mark.parametrize("copies", [1, ALIKE_MIN])
def test_garbage_of_megabytes_is_not_walked_through(what, copies):
    with Lines() as lines:
        decoded = decode_many_predictions([LARGE[what]] * copies, 0, 1)
    assert len(decoded.refusals) == copies
    assert 0 < lines.count < 60_000 * copies


def test_many_kept_rows_are_read_all_the_same():
    """More fields than are walked through."""
    kept = [{"row": row % 2, "probability": 0.5} for row in range(2_000)]
    message = plain.two_predictions(kept=kept)
    (rows,) = decode_many_predictions([message.SerializeToString()] * 9, 0, 1).rows
    assert (len(rows.batch), len(rows.batch.kept)) == (18, 18_000)


def test_the_comparison_sees_a_difference():
    """The control: rows of other ids, records or headers are not equal."""
    values = [one_row(number) for number in range(9)]
    expected = one_by_one(values, decode_predictions, 0, 1)
    for other in ([*values[:8], one_row(77)], values[::-1], [*values[:8], one_row(8, "b")]):
        assert at_once(other, decode_many_predictions, 0, 1) != expected
    assert isinstance(decode_predictions(values[0], 0, 1).batch, PredictionBatch)
