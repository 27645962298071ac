"""Rows of rules and exceptions: facts of the log beside its records."""

from __future__ import annotations

from collections.abc import Sequence

from leadline.records.rules import ExceptionRow, RulesRow
from leadline.records.rules_json import rules_from_json, rules_to_json
from leadline.runtime.store.port import Commit
from leadline.runtime.store.session import Session

_UNPUBLISHED = " AND published = 0"


def add_facts(session: Session, commit: Commit) -> None:
    """Inserts the commit's rules and exceptions, as not published yet."""
    shard, row = commit.after.shard, commit.new_rules
    if row is not None:
        session.run(
            "INSERT INTO rules (shard, number, from_p, from_l, body, published) "
            "VALUES (?, ?, ?, ?, ?, 0)",
            [shard, int(row.number), int(row.from_p), int(row.from_l), rules_to_json(row.rules)],
        )
    if commit.exceptions:
        session.run_many(
            "INSERT INTO exceptions (shard, side, from_offset, to_offset, append_ms, published) "
            "VALUES (?, ?, ?, ?, ?, 0)",
            [
                (shard, int(one.side), int(one.from_offset), int(one.to_offset), int(one.append_ms))
                for one in commit.exceptions
            ],
        )


def read_rules(session: Session, shard: str, *, unpublished: bool = False) -> list[RulesRow]:
    """The rules of a shard by number; only those that were not published, when so asked.

    Raises:
        StoppedError: they were written by a newer version.
    """
    rows = session.rows(
        "SELECT number, from_p, from_l, body FROM rules WHERE shard = ?"
        + (_UNPUBLISHED if unpublished else "")
        + " ORDER BY number",
        [shard],
    )
    return [
        RulesRow(number, from_p, from_l, rules_from_json(body))
        for number, from_p, from_l, body in rows
    ]


def read_exceptions(
    session: Session, shard: str, *, unpublished: bool = False
) -> list[ExceptionRow]:
    """The exceptions of a shard by side and offset; only those not published, when so asked."""
    rows = session.rows(
        "SELECT side, from_offset, to_offset, append_ms FROM exceptions WHERE shard = ?"
        + (_UNPUBLISHED if unpublished else "")
        + " ORDER BY side, from_offset",
        [shard],
    )
    return [ExceptionRow(*row) for row in rows]


def mark_published(session: Session, shard: str, rows: Sequence[RulesRow | ExceptionRow]) -> None:
    """Notes that these rows were published."""
    numbers = [(shard, int(row.number)) for row in rows if isinstance(row, RulesRow)]
    places = [
        (shard, int(row.side), int(row.from_offset))
        for row in rows
        if isinstance(row, ExceptionRow)
    ]
    if numbers:
        session.run_many("UPDATE rules SET published = 1 WHERE shard = ? AND number = ?", numbers)
    if places:
        session.run_many(
            "UPDATE exceptions SET published = 1 WHERE shard = ? AND side = ? AND from_offset = ?",
            places,
        )
