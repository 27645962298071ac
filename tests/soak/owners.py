"""Owner processes as a user runs them: `leadline serve owner --config FILE`."""

import os
import sys
from dataclasses import dataclass

import yaml

from leadline.metrics.owner_settings import OwnerSettings
from leadline.testing.servers.process import ManagedProcess

BUG = ("Ended by a failure", "Exception in thread", "leadline/__main__.py")
"""What an owner's log says when a bug ended it; the client of Kafka notes traces of its own."""
WORDS = 1500
TEMPER = {  # small commits, short pauses: many places for a fault to hit
    "idle_wait_seconds": 0.02,
    "retry_seconds": 0.2,
    "stopped_retry_seconds": 1.0,
    "compact_seconds": 1.0,
    "events_per_commit_max": 2_000,
    "records_per_poll_max": 50,
    "dead_letter_flush_seconds": 5.0,
    "health_address": "",
    "pending_head_rows_max": 1_000,  # so that there are segments in the cache
    "tick_seconds": 2.0,
}


def known(settings):
    """Those settings that an owner of this version has."""
    return {name: value for name, value in settings.items() if name in OwnerSettings.model_fields}


@dataclass(frozen=True)
class Ended:
    """An owner that ended without being told to.

    Attributes:
        bug: it says so itself; else it could not start, and may be started again.
        words: of its log: around the bug, or its end.
    """

    slot: int
    bug: bool
    words: str


class Owner:
    """One slot: at most one process at a time, each with a log of its own.

    Args:
        settings: what all its processes have in common.
    """

    def __init__(self, slot, folder, settings):
        self.slot, self.folder = slot, folder
        self.cache, self.older = folder / "cache", folder / "older-cache"
        self.role = None
        self.starts = 0
        self._settings = {**TEMPER, **settings, "cache_dir": str(self.cache)}
        self._process = None
        folder.mkdir(parents=True)

    @property
    def running(self):
        """Whether its process is there; a frozen one is."""
        return self._process is not None and self._process.running

    @property
    def counting(self):
        """Whether its process has said that it counts."""
        return b"counting  " in self._process.log.read_bytes()

    @property
    def pid(self):
        """Of the process that runs."""
        return self._process.pid

    def start(self, role, rules):
        """Starts a process; returns at once."""
        self.role = role
        self.starts += 1
        replicas, ordinal = role
        settings = {**self._settings, **rules, "replicas": replicas, "ordinal": ordinal}
        config = self.folder / f"owner-{self.starts}.yaml"
        config.write_text(yaml.safe_dump({"owner": known(settings)}), encoding="utf-8")
        command = [sys.executable, "-m", "leadline", "serve", "owner", "--config", str(config)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LEADLINE_")}
        self._process = ManagedProcess(
            f"owner-{self.starts}", command, self.folder, environment=environment
        )
        self._process.start(lambda: True, 30.0)

    def kill(self):
        """SIGKILL."""
        self._process.kill()
        return self._judged(asked=True)

    def stop(self, budget_seconds=20.0):
        """SIGTERM, and SIGKILL after the budget; returns an `Ended` when a bug shows."""
        self._process.stop(budget_seconds)
        return self._judged(asked=True)

    def pause(self):
        """SIGSTOP."""
        self._process.pause()

    def resume(self):
        """SIGCONT."""
        self._process.resume()

    def ended(self):
        """An `Ended` when its process is gone and nobody asked for it."""
        return None if self.running else self._judged(asked=False)

    def _judged(self, asked):
        return judged(
            self.slot, self._process.log.read_text(encoding="utf-8", errors="replace"), asked
        )


def judged(slot, log, asked):
    """An `Ended` by the log of a process; None when it ended as it was asked to, without a bug."""
    places = [place for words in BUG if (place := log.find(words)) >= 0]
    if places:
        said = log[: min(places) + WORDS].splitlines()
        return Ended(slot, True, "\n".join(line for line in said if " INFO " not in line)[-WORDS:])
    return None if asked else Ended(slot, False, log[-WORDS:])
