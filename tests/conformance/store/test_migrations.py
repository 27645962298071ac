"""The schema: made from nothing, once, by whoever comes first; never taken back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadline.records.errors import UsageError
from leadline.runtime.store.migrate import Migration, migrate, migrations, schema_version
from leadline.runtime.store.open import open_store


def versions(database):
    with database.read() as session:
        return [
            version
            for (version,) in session.rows("SELECT version FROM schema_version ORDER BY version")
        ]


def test_an_empty_database_becomes_this_versions(database):
    assert migrate(database, migrations()) == len(migrations())
    assert versions(database) == [step.version for step in migrations()]


def test_a_second_time_changes_nothing(database, store, owner, tools):
    owner.commit(3)
    assert store.migrate() == store.migrate() == len(migrations())
    assert versions(database) == [step.version for step in migrations()]
    assert tools.counted(store) == (owner.state, 3)


def test_any_number_may_start_at_once(store_url):
    start = threading.Barrier(6)

    def run():
        store = open_store(store_url)
        start.wait()
        try:
            return store.migrate()
        finally:
            store.close()

    with ThreadPoolExecutor(6) as pool:
        results = [future.result() for future in [pool.submit(run) for _ in range(6)]]
    assert set(results) == {len(migrations())}


def test_a_newer_schema_is_refused(database, store):
    with database.write() as session:
        session.run("INSERT INTO schema_version (version) VALUES (99)")
    with pytest.raises(UsageError, match="schema 99") as raised:
        store.migrate()
    assert "store_url" in raised.value.remedy


def test_later_steps_are_added_to_what_is_there(database, store):
    more = [*migrations(), Migration(50, "CREATE TABLE extra (a TEXT NOT NULL);\n")]
    assert migrate(database, more) == 50
    with database.write() as session:
        session.run("INSERT INTO extra (a) VALUES ('x')")
    assert migrate(database, more) == 50


def test_a_step_that_fails_leaves_nothing_of_any(database):
    broken = [*migrations(), Migration(50, "CREATE TABLE extra (a TEXT);\nNO SQL;\n")]
    with pytest.raises(Exception, match=r"(?i)syntax"):
        migrate(database, broken)
    with database.read() as session:
        assert schema_version(session) == 0
    assert migrate(database, migrations()) == len(migrations())


def test_a_store_without_tables_says_what_to_do(store_url):
    store = open_store(store_url)
    with pytest.raises(UsageError, match="no tables") as raised:
        store.shard("main/0")
    assert "store_url" in raised.value.remedy
    store.close()


def test_numbers_of_steps_are_without_gaps():
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))
