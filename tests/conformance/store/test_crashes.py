"""A crash within a commit leaves nothing; a server that comes back is used again."""

import subprocess
import sys
import textwrap

import pytest

from leadline.records.errors import FencedError, TransientError
from leadline.runtime.store.compaction import Compaction
from leadline.runtime.store.open import open_store
from leadline.runtime.store.truth import SqlTruthStore

on_postgres = pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

KILL = "SELECT pg_terminate_backend(pg_backend_pid())"


class Cut(SqlTruthStore):
    """A store whose connection is killed after the compare-and-set and the delta."""

    def _write_rows(self, session, commit):
        super()._write_rows(session, commit)
        session.rows(KILL)


@on_postgres
def test_a_connection_killed_within_a_commit_leaves_nothing(database, store, new_owner, tools):
    owner = new_owner(of=Cut(database))
    with pytest.raises(TransientError) as raised:
        owner.commit(5, last_seen={("m", "1"): 1})
    assert not isinstance(raised.value, FencedError)
    assert tools.counted(store) == (owner.state, 0)
    owner.store = store
    owner.commit(6)
    assert tools.counted(store) == (owner.state, 6)


class CutCompaction(Compaction):
    def delete(self, rows):
        super().delete(rows)
        self._session.rows(KILL)


@on_postgres
def test_a_connection_killed_within_a_compaction_changes_nothing(database, store, owner, tools):
    owner.commit(5)
    with pytest.raises(TransientError), database.write() as session:
        CutCompaction(session, "main/0").run(10)
    assert tools.counted(store) == (owner.state, 5)
    assert store.compact("main/0", 10) == 1
    assert tools.counted(store) == (owner.state, 5)


@on_sqlite
def test_a_process_killed_within_a_commit_leaves_nothing(store, store_url, owner, tools):
    owner.commit(3)
    program = textwrap.dedent("""
        import os, signal, sys
        from dataclasses import replace
        import numpy as np
        from leadline.records.cells import Cells
        from leadline.runtime.store.port import Commit
        from leadline.runtime.store.sql import open_database
        from leadline.runtime.store.truth import SqlTruthStore

        class Killed(SqlTruthStore):
            def _write_rows(self, session, commit):
                super()._write_rows(session, commit)
                os.kill(os.getpid(), signal.SIGKILL)

        store = Killed(open_database(sys.argv[1]))
        state = store.shard("main/0")
        types = (np.uint8, np.uint32, np.uint32, np.uint64, np.int64)
        delta = Cells(*(np.ones(1, dtype) for dtype in types))
        seen = {("m", "1"): 1}
        store.commit(Commit(state, replace(state, p=state.p + 1), delta, {}, (), seen))
    """)
    child = subprocess.run([sys.executable, "-c", program, store_url], check=False)
    assert child.returncode == -9
    assert tools.counted(store) == (owner.state, 3)
    owner.commit(4)
    assert tools.counted(store) == (owner.state, 7)


def test_an_error_within_a_transaction_leaves_nothing_and_the_connection_usable(
    database, store, owner, tools
):
    class Bug(Exception):
        pass

    with pytest.raises(Bug), database.write() as session:
        session.run("UPDATE shards SET p = 99")
        raise Bug
    for _ in range(20):
        with pytest.raises(Exception, match=r"(?i)syntax"), database.write() as session:
            session.run("UPDATE shards SET p = 99")
            session.run("THIS IS NO SQL")
    owner.commit(2)
    assert tools.counted(store) == (owner.state, 2)


@on_postgres
def test_a_server_that_crashed_is_used_again(own_postgres, new_owner, tools):
    store = open_store(own_postgres.uri)
    store.migrate()
    owner = new_owner(of=store)
    owner.commit(3)
    own_postgres.kill()
    for _ in range(3):
        with pytest.raises(TransientError, match="store_url"):
            owner.commit(4)
        with pytest.raises(TransientError, match="store_url"):
            store.ping()
    own_postgres.start()
    store.ping()
    owner.commit(4)
    assert tools.counted(store) == (owner.state, 7)
    store.close()


@on_postgres
def test_connections_that_broke_while_idle_are_replaced_unseen(database, store, owner, tools):
    """A restart of the server between two commits is not even noticed."""
    owner.commit(3)
    with database.read(), database.read(), database.read():
        pass  # three idle connections
    with database.write() as session:
        session.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    for _ in range(3):
        owner.commit(1)
    with database.read() as one, database.read() as two:
        assert one.rows("SELECT 1") == two.rows("SELECT 1")
    assert tools.counted(store) == (owner.state, 6)
