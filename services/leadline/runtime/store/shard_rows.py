"""Rows of shards and series: the vector, and whom its series numbers stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from leadline.records.cells import Series
from leadline.runtime.store.port import LastRecord, ShardState
from leadline.runtime.store.session import Row, Session

SHARD_COLUMNS = (
    "shard",
    "p",
    "l",
    "epoch",
    "rules",
    "predictions_clock_ms",
    "labels_clock_ms",
    "predictions_offset",
    "predictions_append_time_ms",
    "predictions_digest",
    "labels_offset",
    "labels_append_time_ms",
    "labels_digest",
    "predictions_topic_id",
    "labels_topic_id",
    "dead_letters",
    "committed_us",
    "stopped",
    "remedy",
)
_ALL = ", ".join(SHARD_COLUMNS)
_MARKS = ", ".join("?" for _ in SHARD_COLUMNS)
_SET = ", ".join(f"{column} = ?" for column in SHARD_COLUMNS[1:])

INSERT_SHARD = f"INSERT INTO shards ({_ALL}) VALUES ({_MARKS}) ON CONFLICT (shard) DO NOTHING"
MOVE_SHARD = (
    f"UPDATE shards SET {_SET} WHERE shard = ? AND p = ? AND l = ? AND epoch = ? AND rules = ?"
)
"""The compare-and-set: touches one row, or none when another owner has moved on."""


def shard_values(state: ShardState) -> list[object]:
    """Values in the order of SHARD_COLUMNS."""
    predictions, labels = state.predictions_last, state.labels_last
    return [
        state.shard,
        int(state.p),
        int(state.l),
        int(state.epoch),
        int(state.rules),
        int(state.predictions_clock_ms),
        int(state.labels_clock_ms),
        int(predictions.offset),
        int(predictions.append_time_ms),
        int(predictions.digest),
        int(labels.offset),
        int(labels.append_time_ms),
        int(labels.digest),
        *state.topic_ids,
        int(state.dead_letters),
        int(state.committed_us),
        state.stopped,
        state.remedy,
    ]


def move_values(before: ShardState, after: ShardState) -> list[object]:
    """Values of MOVE_SHARD."""
    return shard_values(after)[1:] + shard_values(before)[:5]


def read_shards(session: Session) -> list[ShardState]:
    """All shards, by name."""
    return [_state(row) for row in session.rows(f"SELECT {_ALL} FROM shards ORDER BY shard")]


def read_shard(session: Session, name: str) -> ShardState | None:
    """One shard."""
    row = session.row(f"SELECT {_ALL} FROM shards WHERE shard = ?", [name])
    return _state(row) if row else None


def read_series(session: Session, shard: str | None = None) -> list[tuple[str, int, Series]]:
    """(shard, number, series) of one shard or all, by shard and number."""
    columns = "SELECT shard, number, model, version, task, slices FROM series"
    if shard is None:
        rows = session.rows(f"{columns} ORDER BY shard, number")
    else:
        rows = session.rows(f"{columns} WHERE shard = ? ORDER BY number", [shard])
    return [
        (name, number, Series(model, version, task, parse_slices(slices)))
        for name, number, model, version, task, slices in rows
    ]


def add_series(session: Session, shard: str, new: Mapping[Series, int]) -> None:
    """Inserts the numbers of new series."""
    if new:
        session.run_many(
            "INSERT INTO series (shard, number, model, version, task, slices) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    shard,
                    int(number),
                    series.model,
                    series.version,
                    series.task,
                    slices_text(series.slices),
                )
                for series, number in new.items()
            ],
        )


def slices_text(slices: tuple[tuple[str, str], ...]) -> str:
    """Canonical JSON of (column, value) pairs, in their order; ASCII without blanks."""
    return json.dumps(slices, separators=(",", ":"))


def parse_slices(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of `slices_text`."""
    return tuple((column, value) for column, value in json.loads(text))


def _state(row: Row) -> ShardState:
    found = dict(zip(SHARD_COLUMNS, row, strict=True))
    topic_ids = (found.pop("predictions_topic_id"), found.pop("labels_topic_id"))
    return ShardState(
        topic_ids=topic_ids,
        predictions_last=_last(found, "predictions"),
        labels_last=_last(found, "labels"),
        **found,
    )


def _last(found: dict[str, Any], side: str) -> LastRecord:
    """Takes the columns of one side out of a row."""
    return LastRecord(
        found.pop(f"{side}_offset"),
        found.pop(f"{side}_append_time_ms"),
        found.pop(f"{side}_digest"),
    )
