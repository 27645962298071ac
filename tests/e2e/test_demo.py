"""`make demo` as a program: it ends equal, stops clean, and would tell if figures were wrong."""

import secrets
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import psutil
import pytest
from ports import free_row

from leadline.records.cells import CellKind
from leadline.runtime.store.cells_codec import CellsCodec
from leadline.testing.servers.process import accepts, dies_with_parent, until

EQUAL, DIFFERENT = "Equal, cell by cell.", "They differ"
SECONDS, DEADLINE_SECONDS = 12, 150
MARK = "LEADLINE_DEMO_TEST"

pytestmark = pytest.mark.timeout(300)


class Demo:
    """One run of the demo. Whatever it starts inherits a mark by which it is found again."""

    def __init__(self, folder, tools, *options):
        self.data, self.out = folder / "data", folder / "out.txt"
        self.port, self.mark = free_row(6), secrets.token_hex(8)
        command = [sys.executable, "-u", "-m", "leadline.demo", "--data", str(self.data)]
        command += ["--tools", str(tools), "--port", str(self.port), *options]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*dies_with_parent(), *command],
                cwd=folder,
                env={**psutil.Process().environ(), MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def said(self):
        return self.out.read_text(errors="replace")

    def wait(self):
        try:
            return self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the demo did not end:\n{self.said()}")

    def says(self, text):
        """Waits until it said this."""
        until(
            lambda: text in self.said() or self.process.poll() is not None,
            DEADLINE_SECONDS,
            f"the demo says {text!r}",
        )
        assert text in self.said(), self.said()

    def processes(self):
        """Command lines of everything that it started and that lives."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and self._started(process):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:  # it ended meanwhile, or is nobody's business
                continue
        return found

    def _started(self, process):
        """By the mark; by the folder where it runs, or that it was told, where it has no mark."""
        if process.pid == psutil.Process().pid:
            return False
        if process.environ().get(MARK) == self.mark:
            return True
        folder = str(self.data)
        return process.cwd().startswith(folder) or folder in " ".join(process.cmdline())

    def listening(self):
        return [port for port in range(self.port, self.port + 6) if accepts(port)]

    def end(self):
        """Ends it and what it started, whatever the test did."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def start(tmp_path, triton_tools):
    demos = []

    def make(*options):
        demos.append(Demo(tmp_path, triton_tools, *options))
        return demos[-1]

    yield make
    for demo in demos:
        demo.end()


@pytest.mark.parametrize("options", [(), ("--kafka", "--postgres")], ids=["embedded", "real"])
def test_live_figures_equal_a_batch_over_the_log(start, options, kafka_jars):
    demo = start("--duration", str(SECONDS), *options)
    assert demo.wait() == 0, demo.said()
    assert EQUAL in demo.said()
    assert DIFFERENT not in demo.said()
    assert "Triton cannot run here" not in demo.said()
    assert demo.processes() == []
    assert demo.listening() == []


def test_an_interrupt_leaves_no_process_and_no_port_behind(start):
    demo = start()
    demo.says("labelled")
    running = demo.processes()
    assert any("tritonserver" in command for command in running), running
    assert any("leadline up" in command for command in running), running
    assert len(demo.listening()) == 6
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0, demo.said()
    assert "Stopped." in demo.said()
    assert "Traceback" not in demo.said()
    assert demo.processes() == []
    assert demo.listening() == []
    assert (demo.data / "truth.sqlite").exists()


COUNTED = (int(CellKind.PREDICTED), int(CellKind.CONFUSION))


def remove_a_delta(truth):
    """Deletes one delta that counted something; whether there was one."""
    if not truth.exists():
        return False
    with closing(sqlite3.connect(truth, timeout=30)) as store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'deltas'").fetchone():
            return False
        for shard, p, l, body in store.execute("SELECT shard, p, l, body FROM deltas").fetchall():
            cells = CellsCodec().decode(body)
            if np.isin(cells.kind, COUNTED).any():
                where = "shard = ? AND p = ? AND l = ?"
                gone = store.execute(f"DELETE FROM deltas WHERE {where}", (shard, p, l)).rowcount
                store.commit()
                return gone == 1
    return False


def test_a_truth_that_lost_a_delta_is_told_apart(start):
    """The control of all the others: the comparison at the end is one."""
    demo = start("--duration", str(SECONDS))
    truth = demo.data / "truth.sqlite"
    demo.says("The camera of kiosk-b goes bad")
    until(lambda: remove_a_delta(truth), DEADLINE_SECONDS, "a delta to take away")
    assert demo.wait() == 1, demo.said()
    assert DIFFERENT in demo.said()
    assert EQUAL not in demo.said()
    assert demo.processes() == []


def test_a_port_in_use_is_told_before_anything_is_counted(start):
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        demo = start("--duration", "5", "--port", str(taken.getsockname()[1]))
        assert demo.wait() == 2, demo.said()
    assert "in use" in demo.said()
    assert "Traceback" not in demo.said()
    assert demo.processes() == []
