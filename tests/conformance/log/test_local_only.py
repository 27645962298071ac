"""What only the embedded log can get wrong: files, processes, clocks that step."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from leadline.records.errors import StoppedError, UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.local import LocalLog
from leadline.runtime.log.local_file import LocalSettings
from leadline.runtime.log.port import Record, TopicSpec
from leadline.testing.clock import ManualClock

DEADLINE = 20.0
WRITER = """
import sys
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.local import LocalLog
writer = LocalLog(sys.argv[1], SystemClock()).writer()
for i in range(int(sys.argv[2])):
    writer.append("t", 0, b"%d" % i)
    if i % 50 == 49:
        writer.flush(20)
        print(i + 1, flush=True)
"""


def all_records(log: LocalLog, topic: str = "t") -> list[Record]:
    with closing(log.reader(topic, 0)) as reader:
        return list(reader.poll(1_000_000, 0.0))


def test_time_does_not_fall_when_the_machines_clock_does(tmp_path: Path) -> None:
    clock = ManualClock()
    with closing(LocalLog(tmp_path / "log.db", clock)) as log:
        log.create([TopicSpec("t", 1, -1)])
        with closing(log.writer()) as writer:
            for step in (0, -10, 5, 20):
                clock.advance(step)
                writer.append("t", 0, b"")
                writer.flush(DEADLINE)
        start = 1_700_000_000_000
        times = [record.append_time_ms - start for record in all_records(log)]
        assert times == [0, 0, 0, 15_000]


def test_retention_counts_from_the_append_time(tmp_path: Path) -> None:
    clock = ManualClock()
    with closing(LocalLog(tmp_path / "log.db", clock)) as log:
        log.create([TopicSpec("t", 1, 60_000)])
        with closing(log.writer()) as writer:
            for _ in range(12_000):
                writer.append("t", 0, b"old")
            writer.flush(DEADLINE)
            clock.advance(60)
            writer.append("t", 0, b"new")
            writer.flush(DEADLINE)
        assert log.compact() == 0
        clock.advance(0.001)
        assert log.compact() == 12_000
        assert [(record.offset, record.value) for record in all_records(log)] == [(12_000, b"new")]


def test_a_writer_compacts_every_hour(tmp_path: Path) -> None:
    clock = ManualClock()
    with closing(LocalLog(tmp_path / "log.db", clock)) as log:
        log.create([TopicSpec("t", 1, 60_000)])
        with closing(log.writer()) as writer, closing(log.reader("t", 0)) as reader:
            writer.append("t", 0, b"old")
            writer.flush(DEADLINE)
            clock.advance(3601)
            writer.append("t", 0, b"new")
            end = time.monotonic() + DEADLINE
            while reader.begin() == 0 and time.monotonic() < end:
                pass
            assert (reader.begin(), reader.end()) == (1, 2)


def test_several_processes_append_to_one_partition(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(LocalLog(path, SystemClock())) as log:
        log.create([TopicSpec("t", 1, -1)])
        command = [sys.executable, "-c", WRITER, str(path), "500"]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
        assert [process.wait(60) for process in running] == [0, 0, 0]
        found = all_records(log)
    assert [record.offset for record in found] == list(range(1500))
    assert sorted(int(record.value) for record in found) == sorted(list(range(500)) * 3)
    times = [record.append_time_ms for record in found]
    assert times == sorted(times)


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(LocalLog(path, SystemClock())) as log:
        log.create([TopicSpec("t", 1, -1)])
    command = [sys.executable, "-c", WRITER, str(path), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        flushed = max(int(process.stdout.readline()) for _ in range(5))
        process.send_signal(signal.SIGKILL)
        flushed = max([flushed, *map(int, process.stdout.read().split())])
    with closing(LocalLog(path, SystemClock())) as log:
        found = all_records(log)
    assert len(found) >= flushed
    assert [record.value for record in found] == [b"%d" % i for i in range(len(found))]


def test_several_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log.db"
    logs: list[LocalLog] = []
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        logs.append(LocalLog(path, SystemClock()))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logs) == 4
    for log in logs:
        log.close()


def test_a_poll_is_bounded_in_bytes(tmp_path: Path) -> None:
    with closing(LocalLog(tmp_path / "log.db", SystemClock())) as log:
        log.create([TopicSpec("t", 1, -1)])
        with closing(log.writer()) as writer:
            for _ in range(10):
                writer.append("t", 0, bytes(8_000_000))
        with closing(log.reader("t", 0)) as reader:
            assert [len(reader.poll(100, 1.0)) for _ in range(2)] == [5, 5]


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and longer than its header " * 50)
    with pytest.raises(UsageError, match="not a log"):
        LocalLog(text, SystemClock())
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE things (name TEXT)")
    with pytest.raises(UsageError, match="another database"):
        LocalLog(other, SystemClock())


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    LocalLog(path, SystemClock()).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="format 99"):
        LocalLog(path, SystemClock())


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used") as error:
        LocalLog(tmp_path, SystemClock(), LocalSettings(answer_timeout_seconds=0.1))
    assert "log_url" in error.value.remedy


def test_a_damaged_file_stops(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(LocalLog(path, SystemClock())) as log:
        log.create([TopicSpec("t", 1, -1)])
        with closing(log.writer()) as writer:
            for _ in range(2000):
                writer.append("t", 0, bytes(500))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(50 * 8192)
        file.write(b"\xff" * 40 * 8192)
    with closing(LocalLog(path, SystemClock())) as log, pytest.raises(StoppedError, match="damage"):
        all_records(log)
