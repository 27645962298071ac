"""The truth store over SQL: see `port.py` for what it promises.

A commit is one transaction. Its first statement is the compare-and-set of the shard's vector; when
that touches no row, another owner has moved the shard on, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from leadline.records.cases import Case
from leadline.records.cells import Series
from leadline.records.errors import FencedError
from leadline.records.models import ModelSpec
from leadline.records.rules import ExceptionRow, RulesRow
from leadline.runtime.store import (
    case_rows,
    deletion,
    fact_rows,
    model_rows,
    shard_rows,
    tombstone_rows,
)
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.runtime.store.commit_check import check_commit
from leadline.runtime.store.compaction import Compaction
from leadline.runtime.store.migrate import migrate, migrations
from leadline.runtime.store.port import Commit, Replacement, ShardState, Snapshot
from leadline.runtime.store.replacing import Replacing, check_replacement
from leadline.runtime.store.resetting import check_reset, reset_shard
from leadline.runtime.store.resolution import Retention
from leadline.runtime.store.rollup import RollUp
from leadline.runtime.store.session import Database, Session
from leadline.runtime.store.snapshot import SqlSnapshot

_INSERT_DELTA = "INSERT INTO deltas (shard, p, l, body) VALUES (?, ?, ?, ?)"
_MOVE_AND_INSERT = (
    f"WITH moved AS ({shard_rows.MOVE_SHARD} RETURNING shard, p, l) "
    "INSERT INTO deltas (shard, p, l, body) SELECT shard, p, l, ? FROM moved"
)
_SEEN = (
    "INSERT INTO last_seen (shard, model, version, first_minute, last_minute) "
    "VALUES (?, ?, ?, ?, ?) ON CONFLICT (shard, model, version) DO UPDATE SET last_minute = "
    "CASE WHEN excluded.last_minute > last_seen.last_minute "
    "THEN excluded.last_minute ELSE last_seen.last_minute END, first_minute = "
    "CASE WHEN excluded.first_minute < last_seen.first_minute "
    "THEN excluded.first_minute ELSE last_seen.first_minute END"
)


class SqlTruthStore:
    """The truth in SQLite or PostgreSQL. Safe to use from several threads.

    Args:
        database: closed by `close`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def migrate(self) -> int:
        """Brings the schema to this version's; returns its number. Refuses a newer schema."""
        return migrate(self._database, migrations())

    def shard(self, name: str) -> ShardState:
        """State of a shard; the zero state, inserted, when it is new."""
        with self._database.read() as session:
            found = shard_rows.read_shard(session, name)
        if found is not None:
            return found
        with self._database.write() as session:
            session.run(shard_rows.INSERT_SHARD, shard_rows.shard_values(ShardState(name)))
            return shard_rows.read_shard(session, name) or ShardState(name)

    def shard_series(self, name: str) -> dict[Series, int]:
        """Series numbers of a shard."""
        with self._database.read() as session:
            rows = shard_rows.read_series(session, name)
        return {series: number for _, number, series in rows}

    def commit(self, commit: Commit) -> None:
        """One transaction: compare-and-set of the vector, the delta, new series, cases.

        Raises:
            FencedError: `commit.before` does not hold any more; nothing was written.
            ValueError: the commit cannot be right; see `commit_check`.
        """
        check_commit(commit)
        body = CellsCodec().encode(commit.delta) if len(commit.delta) else b""
        with self._database.write() as session:
            if not self._move(session, commit, body):
                raise FencedError(
                    f"Shard {commit.before.shard} is not at ({commit.before.p}, {commit.before.l}) "
                    "any more: another owner has moved it on."
                )
            self._write_rows(session, commit)

    def mark_stopped(self, shard: str, cause: str, remedy: str) -> None:
        """Notes for people why a shard does not count on; empty texts clear it."""
        with self._database.write() as session:
            session.run(
                "UPDATE shards SET stopped = ?, remedy = ? WHERE shard = ?", [cause, remedy, shard]
            )

    def case_labels(self, keys: Sequence[tuple[str, str, bytes]]) -> list[Case]:
        """The stored cases of the given (model, version, id) keys, by key."""
        if not keys:
            return []
        with self._database.read() as session:
            return case_rows.cases_by_key(session, keys)

    def shard_rules(self, shard: str) -> list[RulesRow]:
        """The rules of a shard by number.

        Raises:
            StoppedError: they were written by a newer version.
        """
        with self._database.read() as session:
            return fact_rows.read_rules(session, shard)

    def shard_exceptions(self, shard: str) -> list[ExceptionRow]:
        """The exceptions of a shard by side and offset."""
        with self._database.read() as session:
            return fact_rows.read_exceptions(session, shard)

    def unpublished(self, shard: str) -> list[RulesRow | ExceptionRow]:
        """Rows of a shard that the topic `rules` may not have yet, in the same order."""
        with self._database.read() as session:
            rules = fact_rows.read_rules(session, shard, unpublished=True)
            return [*rules, *fact_rows.read_exceptions(session, shard, unpublished=True)]

    def mark_published(self, shard: str, rows: Sequence[RulesRow | ExceptionRow]) -> None:
        """Notes that the topic `rules` has these rows."""
        with self._database.write() as session:
            fact_rows.mark_published(session, shard, rows)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One consistent state: REPEATABLE READ, read only."""
        with self._database.read() as session:
            yield SqlSnapshot(session)

    def save_model(self, spec: ModelSpec, expected_revision: int | None) -> int:
        """Writes a declaration if its revision is still the expected one (None: whatever it is).

        A model that was never saved has revision 0. Returns the new revision.

        Raises:
            FencedError: the revision has moved on.
            UsageError: a model of that name was deleted.
        """
        with self._database.write() as session:
            return model_rows.save_model(session, spec, expected_revision)

    def compact(self, shard: str, max_deltas: int) -> int:
        """Folds the oldest deltas of a shard into blocks, in one transaction; returns how many.

        A run is bounded by its bytes too: repeat it until it returns 0.
        """
        with self._database.write() as session:
            return Compaction(session, shard).run(max_deltas)

    def roll_up(self, shard: str, retention: Retention) -> int:
        """Makes old cells coarser, in one transaction; returns how many blocks it moved.

        A run is bounded by its bytes: repeat it until it returns 0.
        """
        with self._database.read() as session:
            if not RollUp(session, shard, retention).is_due():
                return 0
        with self._database.write() as session:
            return RollUp(session, shard, retention).run()

    def delete_model(self, name: str, now_us: int) -> list[str]:
        """Deletes a model's cells, cases and declaration, for ever; returns blob keys to delete.

        Raises:
            NotFoundError: it is neither declared nor was it ever counted.
        """
        with self._database.write() as session:
            return deletion.delete_model(session, name, now_us)

    def delete_id(self, case_id: bytes, task: str, now_us: int) -> list[str]:
        """Deletes an id's cases, for ever; returns blob keys to delete."""
        with self._database.write() as session:
            return deletion.delete_id(session, case_id, task, now_us)

    def replace_cells(self, wanted: Replacement) -> None:
        """Puts recomputed cells in the place of the stored ones, in one transaction.

        Raises:
            FencedError: `wanted.before` does not hold any more; nothing was written.
            ValueError: the replacement cannot be right.
        """
        check_replacement(wanted)
        with self._database.write() as session:
            Replacing(session, wanted).run()
            shard_rows.add_series(session, wanted.before.shard, wanted.new_series)

    def reset_shard(self, before: ShardState, after: ShardState) -> None:
        """Begins a shard's next epoch on other topics, in one transaction.

        Raises:
            FencedError: `before` does not hold any more; nothing was written.
            ValueError: it cannot be right.
        """
        check_reset(before, after)
        with self._database.write() as session:
            reset_shard(session, before, after)

    def purge_deleted(self) -> list[str]:
        """Deletes cases that came after their model or id was deleted; returns blob keys."""
        with self._database.read() as session:
            if not tombstone_rows.any_dead(session):
                return []
        with self._database.write() as session:
            return deletion.purge(session)

    def trim_cases(self, model: str, version: str, keep: int) -> list[str]:
        """Deletes all but the newest `keep` cases; returns blob keys that no case needs now."""
        with self._database.write() as session:
            return case_rows.trim_cases(session, model, version, keep)

    def ping(self) -> None:
        """Returns when the database answers."""
        self._database.ping()

    def close(self) -> None:
        """Ends."""
        self._database.close()

    def _move(self, session: Session, commit: Commit, body: bytes) -> bool:
        """Moves the vector and adds the delta; False when the vector is another one by now."""
        values = shard_rows.move_values(commit.before, commit.after)
        if body and session.dialect.update_in_with:
            return session.run(_MOVE_AND_INSERT, [*values, body]) == 1
        moved = session.run(shard_rows.MOVE_SHARD, values) == 1
        if moved and body:
            after = commit.after
            session.run(_INSERT_DELTA, [after.shard, int(after.p), int(after.l), body])
        return moved

    def _write_rows(self, session: Session, commit: Commit) -> None:
        """New series, cases, and when versions were seen."""
        shard = commit.after.shard
        shard_rows.add_series(session, shard, commit.new_series)
        if commit.cases:
            case_rows.save_cases(session, commit.cases)
        if commit.case_labels:
            case_rows.relabel_cases(session, commit.case_labels)
        fact_rows.add_facts(session, commit)
        if commit.last_seen:
            session.run_many(
                _SEEN,
                [
                    (shard, model, version, int(minute), int(minute))
                    for (model, version), minute in commit.last_seen.items()
                ],
            )
