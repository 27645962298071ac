"""Rows of cases: columns for what is asked, JSON for all of it.

The JSON is ASCII, so that no text of a producer is refused by a database (PostgreSQL has no place
for the character NUL in a text).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from leadline.records.batches import InputAbsence
from leadline.records.cases import Case, CaseLabel, CaseRelabel
from leadline.runtime.store import tombstone_rows
from leadline.runtime.store.port import CaseQuery
from leadline.runtime.store.session import VALUES_MAX, Session
from leadline.runtime.store.shard_rows import slices_text

_COLUMNS = (
    "model",
    "version",
    "id",
    "task",
    "clock_ms",
    "event_time_us",
    "predicted",
    "true_class",
    "score",
    "slices",
    "input_ref",
    "detail",
    "label",
)
_SAVE = (
    f"INSERT INTO cases ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)}) "
    "ON CONFLICT (model, version, id, task, clock_ms) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[5:])
)
_FOUND = "SELECT model, version, id, task, clock_ms, true_class, detail, label FROM cases"
_RELABEL = (
    "UPDATE cases SET true_class = ?, label = ? "
    "WHERE model = ? AND version = ? AND id = ? AND task = ? AND clock_ms = ?"
)
_TIES = "id, task, clock_ms"
_NEWEST = f"event_time_us DESC, {_TIES}"
_SUREST = f"score DESC, {_TIES}"
NO_SCORE = -1.0
"""Stands for an unknown score: below every probability, so such cases come last."""


def save_cases(session: Session, cases: Iterable[Case]) -> None:
    """Inserts cases, or replaces those of the same name and generation."""
    session.run_many(_SAVE, [_values(case) for case in cases])


def relabel_cases(session: Session, changes: Iterable[CaseRelabel]) -> None:
    """Changes the labels of cases, in order; those that were deleted stay so."""
    session.run_many(
        _RELABEL,
        [
            (
                _true_class(one.label),
                _label_text(one.label),
                one.model,
                one.version,
                one.id,
                one.task,
                int(one.clock_ms),
            )
            for one in changes
        ],
    )


def find_cases(session: Session, query: CaseQuery) -> list[Case]:
    """The cases that fit, ordered as asked; equal ones by id."""
    where, values = _live_conditions(session, query)
    order = _SUREST if query.by_score else _NEWEST
    rows = session.rows(
        f"{_FOUND} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
        [*values, int(query.limit), int(query.offset)],
    )
    return [_case(*row) for row in rows]


def count_cases(session: Session, query: CaseQuery) -> int:
    """How many fit."""
    where, values = _live_conditions(session, query)
    found = session.row(f"SELECT count(*) FROM cases WHERE {where}", values)
    return int(found[0]) if found else 0


def cases_by_key(session: Session, keys: Sequence[tuple[str, str, bytes]]) -> list[Case]:
    """All generations of (model, version, id) keys, by model, version, id, clock and task."""
    groups: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for model, version, case_id in sorted(set(keys)):
        groups[model, version].append(case_id)
    found, live = [], _live(session)
    for (model, version), ids in groups.items():
        for begin in range(0, len(ids), VALUES_MAX):
            part = ids[begin : begin + VALUES_MAX]
            marks = ", ".join("?" for _ in part)
            rows = session.rows(
                f"{_FOUND} WHERE model = ? AND version = ? AND id IN ({marks})"
                f"{live} ORDER BY id, clock_ms, task",
                [model, version, *part],
            )
            found += [_case(*row) for row in rows]
    return found


def cases_of_input(session: Session, task: str, case_id: bytes) -> list[Case]:
    """The newest case of one input of every version of a task, by model and version."""
    rows = session.rows(
        f"{_FOUND} WHERE id = ? AND task = ?{_live(session)} ORDER BY model, version, clock_ms",
        [case_id, task],
    )
    newest = {(row[0], row[1]): row for row in rows}
    return [_case(*row) for row in newest.values()]


def trim_cases(session: Session, model: str, version: str, keep: int) -> list[str]:
    """Deletes all but the newest `keep` cases; returns blob keys that no case refers to now."""
    where, values = "model = ? AND version = ?", [model, version]
    if keep > 0:
        last = session.row(
            f"SELECT event_time_us, {_TIES} FROM cases WHERE {where} ORDER BY {_NEWEST} "
            "LIMIT 1 OFFSET ?",
            [*values, keep - 1],
        )
        if last is None:
            return []
        ties = f"event_time_us = ? AND ({_TIES}) > (?, ?, ?)"
        where += f" AND (event_time_us < ? OR ({ties}))"
        values += [last[0], *last]
    rows = session.rows(f"DELETE FROM cases WHERE {where} RETURNING input_ref", values)
    return unused(session, {ref for (ref,) in rows if ref})


def unused(session: Session, refs: set[str]) -> list[str]:
    """Which of the blob keys no case refers to, in order."""
    wanted = sorted(refs)
    for begin in range(0, len(wanted), VALUES_MAX):
        part = wanted[begin : begin + VALUES_MAX]
        marks = ", ".join("?" for _ in part)
        rows = session.rows(
            f"SELECT DISTINCT input_ref FROM cases WHERE input_ref IN ({marks})", part
        )
        refs = refs - {ref for (ref,) in rows}
    return sorted(refs)


def _live_conditions(session: Session, query: CaseQuery) -> tuple[str, list[object]]:
    where, values = _conditions(query)
    return where + _live(session), values


def _live(session: Session) -> str:
    """Leaves out what was deleted and came again; nothing while nothing was deleted."""
    return f" AND {tombstone_rows.LIVE_CASE}" if tombstone_rows.any_dead(session) else ""


def _conditions(query: CaseQuery) -> tuple[str, list[object]]:
    parts = ["model = ?", "version = ?"]
    values: list[object] = [query.model, query.version]
    # Left out where nothing is asked: a range on time would keep SQLite from the index by score.
    if query.from_us > 0:
        parts.append("event_time_us >= ?")
        values.append(int(query.from_us))
    if query.to_us < 2**62:
        parts.append("event_time_us < ?")
        values.append(int(query.to_us))
    if query.true_class is not None:
        parts.append("true_class = ?")
        values.append(int(query.true_class))
    if query.predicted is not None:
        parts.append("predicted = ?")
        values.append(int(query.predicted))
    if query.errors_only:
        parts.append("true_class <> predicted")
    for pair in query.slices:
        # Exact: in JSON a quote within a text is escaped, so these characters are one whole pair.
        parts.append("replace(slices, ?, '') <> slices")
        values.append(slices_text((pair,))[1:-1])
    return " AND ".join(parts), values


def _values(case: Case) -> list[object]:
    return [
        case.model,
        case.version,
        case.id,
        case.task,
        int(case.clock_ms),
        int(case.event_time_us),
        int(case.predicted),
        _true_class(case.label),
        _score(case),
        slices_text(case.slices),
        case.input_ref.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        _detail(case),
        _label_text(case.label),
    ]


def _true_class(label: CaseLabel | None) -> int | None:
    return None if label is None else int(label.true_class)


def _label_text(label: CaseLabel | None) -> str | None:
    if label is None:
        return None
    found = (
        int(label.true_class),
        label.source,
        int(label.label_time_us),
        int(label.delay_ms),
        int(label.offset),
    )
    return json.dumps(found, separators=(",", ":"))


def _score(case: Case) -> float:
    """Score of the predicted class."""
    scores = dict(zip(case.top_classes, case.top_scores, strict=False))
    return float(scores.get(case.predicted, NO_SCORE))


def _detail(case: Case) -> str:
    return json.dumps(
        {
            "hash": int(case.hash),
            "event_time_us": int(case.event_time_us),
            "predicted": int(case.predicted),
            "top_classes": [int(number) for number in case.top_classes],
            "top_scores": [float(score) for score in case.top_scores],
            "keep_probability": float(case.keep_probability),
            "input_ref": case.input_ref,
            "input_uri": case.input_uri,
            "absence": int(case.absence),
            "id_text": case.id_text,
            "slices": case.slices,
        },
        separators=(",", ":"),
    )


def _case(
    model: str,
    version: str,
    case_id: bytes,
    task: str,
    clock_ms: int,
    true_class: int | None,
    detail: str,
    label: str | None,
) -> Case:
    found = json.loads(detail)
    values = None
    if true_class is not None:  # rows of the first schema have their label in `detail`
        values = json.loads(label) if label else found["label"]
    return Case(
        id=bytes(case_id),
        model=model,
        version=version,
        task=task,
        clock_ms=clock_ms,
        hash=found["hash"],
        event_time_us=found["event_time_us"],
        predicted=found["predicted"],
        top_classes=tuple(found["top_classes"]),
        top_scores=tuple(found["top_scores"]),
        keep_probability=found["keep_probability"],
        input_ref=found["input_ref"],
        input_uri=found["input_uri"],
        absence=InputAbsence(found["absence"]),
        id_text=found["id_text"],
        slices=tuple((column, value) for column, value in found["slices"]),
        label=None if values is None else CaseLabel(*values),
    )
