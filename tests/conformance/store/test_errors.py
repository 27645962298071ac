"""What goes wrong outside is said once, in words that name the setting and what to do."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from psycopg.conninfo import conninfo_to_dict

from leadline.records.errors import TransientError, UsageError
from leadline.runtime.store.open import open_store
from leadline.runtime.store.sqlite import SqliteDatabase
from leadline.testing.servers.process import free_port

on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    "url", ["", "mysql://x", "sqlite:", "sqlite::memory:", "truth.db", "postgresql://a b:c@@["]
)
def test_another_form_of_url_is_refused(url):
    with pytest.raises(UsageError) as raised:
        open_store(url)
    assert "store_url" in str(raised.value) + raised.value.remedy


def refused(url, kind):
    store = open_store(url)
    with pytest.raises(kind) as raised:
        store.ping()
    store.close()
    return str(raised.value) + getattr(raised.value, "remedy", "")


def test_a_wrong_password_is_a_matter_for_people_and_is_not_shown(postgres):
    right = conninfo_to_dict(postgres.uri)["password"]
    said = refused(postgres.uri.replace(right, "hunter2"), UsageError)
    assert "authentication failed" in said
    assert "store_url" in said
    assert "hunter2" not in said


def test_a_database_that_does_not_exist_is_a_matter_for_people(postgres):
    assert "store_url" in refused(postgres.uri_of("nothing"), UsageError)


def test_a_server_that_does_not_answer_may_come_back():
    url = f"postgresql://user:hunter2@127.0.0.1:{free_port()}/leadline"
    said = refused(url, TransientError)
    assert "store_url" in said
    assert "hunter2" not in said


def test_a_folder_is_no_database(tmp_path: Path):
    assert "store_url" in refused(f"sqlite:{tmp_path}", UsageError)


def test_another_file_is_no_database(tmp_path: Path):
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, " * 100)
    assert "no SQLite database" in refused(f"sqlite:{file}", UsageError)


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    assert "store_url" in refused(f"sqlite:{file}/x/truth.sqlite", UsageError)


def test_a_missing_folder_is_made(tmp_path: Path):
    store = open_store(f"sqlite:{tmp_path}/new/folder/truth.sqlite")
    store.migrate()
    store.close()
    assert (tmp_path / "new/folder/truth.sqlite").exists()


def test_a_lock_of_another_process_is_waited_for_and_then_said(tmp_path: Path):
    path = tmp_path / "truth.sqlite"
    database = SqliteDatabase(path, busy_seconds=0.05)
    database.ping()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="locked"), database.write():
        pass
    other.execute("ROLLBACK")
    with database.write():
        pass
    other.close()
    database.close()


def test_a_full_disk_is_said_and_mends_itself(tmp_path: Path):
    database = SqliteDatabase(tmp_path / "truth.sqlite")
    with database.write() as session:
        session.run("CREATE TABLE t (a TEXT)")
        session.rows("PRAGMA max_page_count = 10")
    with pytest.raises(TransientError, match="disk is full"), database.write() as session:
        session.run("INSERT INTO t (a) VALUES (?)", ["x" * 100_000])
    with database.write() as session:
        session.rows("PRAGMA max_page_count = 1000")
        session.run("INSERT INTO t (a) VALUES (?)", ["x" * 100_000])
    database.close()


def test_a_reader_cannot_write(database, store, owner, tools):
    with pytest.raises((UsageError, TransientError)), database.read() as session:
        session.run("UPDATE shards SET p = 9")
    assert tools.counted(store) == (owner.state, 0)


def test_a_number_from_numpy_is_stored_as_a_number(store, new_owner):
    """sqlite3 by itself would store its bytes."""
    owner = new_owner()
    owner.commit(1, last_seen={("m", "1"): np.uint32(7)})
    with store.snapshot() as snapshot:
        assert snapshot.versions()[0].last_minute == 7


@on_sqlite
def test_all_connections_in_use_is_said(store_url):
    database = SqliteDatabase(Path(store_url.removeprefix("sqlite:")), busy_seconds=0.05)
    with (
        database.write(),
        ThreadPoolExecutor(1) as other,
        pytest.raises(TransientError, match="in use"),
    ):
        other.submit(database.write().__enter__).result()
    with database.write():
        pass
    database.close()


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(TransientError, match="closed"):
        store.ping()
