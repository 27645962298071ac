"""A child process that is started, awaited and stopped for certain.

Every starter in this package owns one `ManagedProcess`. Its promises:

- The child leads a process group of its own, so a Ctrl-C in the terminal does not reach it and a
  kill reaches its children too.
- It does not outlive its parent: on Linux the kernel kills it when the thread that started it
  ends. Start it from a thread that lives as long as the child shall (normally the main thread).
- Readiness is asked, never slept for, and there is a deadline; a child that dies while it is
  awaited is reported at once, with the end of its log.
- Stopping takes at most the given budget plus the time that the kernel needs for a kill.
"""

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

# Below the range from which Linux takes the ports of outgoing connections: a client that keeps
# dialling a stopped server could otherwise take the server's own port, and the restart would fail.
PORTS = range(15_000, 30_000)
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 4_000


class ServerError(RuntimeError):
    """A real component did not start, or ended by itself. The message holds the end of its log."""


class MissingProgramError(ServerError):
    """A program is not installed. The message names what to install."""


def find_program(name: str, remedy: str) -> Path:
    """Absolute path of the program `name` on PATH.

    Raises:
        MissingProgramError: there is none; `remedy` says what to do about it.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingProgramError(f"`{name}` is not installed. {remedy}")
    return Path(found)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different ports of the loopback interface that nobody listens on at this moment."""
    candidates = random.SystemRandom().sample(PORTS, k=len(PORTS))
    taken: list[int] = []
    with ExitStack() as sockets:
        for port in candidates:
            probe = sockets.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                taken.append(port)
            if len(taken) == count:
                return taken
    raise ServerError(f"no {count} free ports in {PORTS.start} to {PORTS.stop - 1}")


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on this port of the loopback interface."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def answers_ok(port: int, path: str) -> bool:
    """Whether an HTTP GET of `path` on this port of the loopback interface is answered by 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Returns as soon as `condition()` is true; it is asked every 50 ms.

    Raises:
        ServerError: it was not true within `deadline_s`; the message names `what`.
    """
    give_up = monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        if monotonic() > give_up:
            raise ServerError(f"not within {deadline_s:g} s: {what}")
        pause.wait(POLL_SECONDS)


class ManagedProcess:
    """One child process with a log file. It can be started again after it has ended.

    Args:
        name: what messages call it; the log is `folder`/`name`.log and is appended to.
        command: the program (an absolute path) and its arguments.
        folder: existing folder for the log; also the working directory of the child.
        environment: the child's whole environment; the parent's own by default.
        stop_signal: what asks this program to end in an orderly way.
        launcher: words put before the command, of a program that replaces itself by the command
            (`setpriv ...`).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        launcher: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._folder = folder
        self._environment = dict(os.environ if environment is None else environment)
        self._stop_signal = stop_signal
        self._launcher = list(launcher)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id.

        Raises:
            ServerError: it is not running.
        """
        if self._child is None or self._child.poll() is not None:
            raise ServerError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child is alive (a paused one is)."""
        return self._child is not None and self._child.poll() is None

    def start(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Starts the child and returns once `ready()` is true.

        Raises:
            ServerError: it ended, or was not ready in time; the child is gone then.
        """
        if self.running:
            raise ServerError(f"{self.name} is already running")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*dies_with_parent(), *self._launcher, *self._command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        try:
            self._await(ready, deadline_s)
        except BaseException:
            self.kill()
            raise

    def stop(self, budget_s: float = 15.0) -> None:
        """Asks the child to end and kills what is left of its group after `budget_s`."""
        if self._child is None:
            return
        self._signal_leader(self._stop_signal)
        self._signal_leader(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(budget_s)
        self.kill()

    def kill(self) -> None:
        """Ends the child and its group at once (SIGKILL), as a crash would."""
        if self._child is None:
            return
        self._signal_group(signal.SIGKILL)
        self._child.wait()
        self._child = None

    def pause(self) -> None:
        """Freezes the child and its group (SIGSTOP): connections stay open, nothing answers."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused child go on (SIGCONT)."""
        self._signal_group(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last 4,000 bytes of the log."""
        content = self.log.read_bytes() if self.log.exists() else b""
        return content[-LOG_TAIL_BYTES:].decode(errors="replace")

    def _await(self, ready: Callable[[], bool], deadline_s: float) -> None:
        try:
            until(lambda: ready() or not self.running, deadline_s, f"{self.name} ready")
        except ServerError as error:
            raise ServerError(f"{error}:\n{self.log_tail()}") from None
        if not self.running:
            raise ServerError(f"{self.name} ended while it was starting:\n{self.log_tail()}")

    def _signal_leader(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


def dies_with_parent() -> list[str]:
    """Words before a command that make the kernel kill it when its parent's thread ends.

    Empty where the system has no such thing (`setpriv` is part of every Debian).
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
