"""Dead letters on a real Kafka, from the refusal by an owner to the figures after a replay."""

import json
from collections import Counter

import numpy as np
import pytest
from real_stream import CLASSES, CLOCK, PARTITIONS, World, until

from leadline.__main__ import run
from leadline.records.batches import LabelBatch, LabelHeader, PredictionBatch, PredictionHeader
from leadline.records.cells import CellKind
from leadline.records.columns import split_labels
from leadline.records.ids import pack_ids, partition_of
from leadline.runtime.log.port import LABELS, PREDICTIONS
from leadline.wire.batches import encode_labels, encode_predictions

ROWS = 60


@pytest.fixture
def world(kafka, postgres_database):
    made = World(kafka.bootstrap, postgres_database)
    yield made
    made.close()


@pytest.fixture
def told(world, capsys):
    """What a command of `leadline dead-letters` says."""

    def call(*arguments, code=0):
        place = ["--log", f"kafka://{world.bootstrap}", "--stream", world.stream.name]
        assert run(["dead-letters", *arguments, *place, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return call


def send_to_partition_0(world):
    """Every prediction goes to partition 0, as by a producer with another partitioner."""
    ids = pack_ids([number.to_bytes(16, "big") for number in range(ROWS)])
    said = np.arange(ROWS, dtype=np.uint32) % CLASSES
    now = np.full(ROWS, CLOCK.now_us())
    world.append(
        PREDICTIONS,
        0,
        encode_predictions(PredictionBatch(PredictionHeader("m", "1", "m"), ids, now, said)),
    )
    for partition, part in split_labels(LabelBatch(LabelHeader("m"), ids, now, said), PARTITIONS):
        world.append(LABELS, partition, encode_labels(part))
    world.writer.flush(30.0)
    return np.flatnonzero(partition_of(ids, PARTITIONS) != 0)


async def count(world):
    async with world.counting():
        await until(world.all_counted, "everything counted")


def total(world, kind):
    return world.total(kind).total()


async def test_rows_in_the_wrong_partition_are_counted_after_a_replay(world, told):
    wrong = send_to_partition_0(world)
    await count(world)
    assert total(world, CellKind.CONFUSION) == ROWS - len(wrong)  # the control: they are missing
    assert total(world, CellKind.UNMATCHED) == len(wrong)
    listed = told("list")
    assert [each["row"] for each in listed["dead_letters"]] == wrong.tolist()[-50:]
    assert told("replay", "--reason", "wrong_partition")["rows"] == len(wrong)
    await count(world)
    assert world.matrix() == Counter({(at, at): ROWS // CLASSES for at in range(CLASSES)})
    assert total(world, CellKind.UNMATCHED) == 0
    assert total(world, CellKind.DUPLICATE) == 0
    assert all(each["replayed"] for each in told("list")["dead_letters"])


async def test_a_replay_that_is_repeated_counts_nothing_twice(world, told):
    wrong = send_to_partition_0(world)
    await count(world)
    told("replay", "--since", "1h")
    assert told("replay", "--since", "1h")["references"] == []
    told("replay", "--since", "1h", "--again")
    await count(world)
    assert world.matrix() == Counter({(at, at): ROWS // CLASSES for at in range(CLASSES)})
    assert total(world, CellKind.PREDICTED) == ROWS
    assert total(world, CellKind.DUPLICATE) == len(wrong)


async def test_garbage_is_listed_and_shown_and_stays_refused(world, told):
    world.append(LABELS, 1, b"\x07 no batch")
    world.send(1)
    await count(world)
    (letter,) = told("list", "--reason", "unparsable")["dead_letters"]
    assert letter["reference"] == f"{world.stream.name}.labels/1@0"
    shown = told("show", letter["reference"])
    assert bytes.fromhex(shown["record"]["hex"]) == b"\x07 no batch"
    assert shown["record"]["source"] == "topic"
    (found,) = told("replay", letter["reference"], code=1)["references"]
    assert "this version refuses it, too" in found["problem"]
