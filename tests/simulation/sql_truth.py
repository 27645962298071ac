"""The truth on SQLite behind the simulator's view of rows: codec, compaction, roll-up are real."""

from collections import Counter

from leadline.records.cells import CellKind
from leadline.runtime.store.port import CaseQuery
from leadline.runtime.store.resolution import DAY, HOUR, Retention
from leadline.runtime.store.sql import open_database
from leadline.runtime.store.truth import SqlTruthStore
from leadline.testing.memory_truth import Everything, ShardRows, rows_of

RETENTION = Retention(minutes=HOUR, quarters=DAY, hours=7 * DAY, scores=DAY)


class SqlTruth:
    """A store in a file of its own; what it does not say itself, the store says."""

    def __init__(self, path):
        self._store = SqlTruthStore(open_database(f"sqlite:{path}"))
        self._store.migrate()

    def __getattr__(self, name):
        return getattr(self._store, name)

    @property
    def rows(self):
        """Everything that is stored, as the truth in memory has it."""
        found = Everything()
        with self._store.snapshot() as snapshot:
            cells = snapshot.cells(None, list(CellKind))
            for state in snapshot.shards():
                series = {one: number for name, number, one in snapshot.series()}
                shard = ShardRows(state, series, blocks=Counter(rows_of(cells[state.shard])))
                shard.rules = self._store.shard_rules(state.shard)
                shard.exceptions = self._store.shard_exceptions(state.shard)
                found.shards[state.shard] = shard
            for seen in snapshot.versions():
                query = CaseQuery(seen.model, seen.version, limit=10**6)
                for number, case in enumerate(snapshot.cases(query)):
                    found.cases[seen.model, seen.version, case.id, number, ""] = case
        return found

    def compact(self, shard, most):
        """Folds, and rolls up what is old."""
        folded = self._store.compact(shard, most)
        while self._store.roll_up(shard, RETENTION):
            pass
        return folded

    def rolled(self, shard):
        """At which resolution the cells stand."""
        with self._store.snapshot() as snapshot:
            return snapshot.rolled(shard)
