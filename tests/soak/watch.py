"""Watches the vector and the owners' memory from outside, and how long each recovery takes."""

import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time_ns

import psycopg

LOOK_SECONDS = 0.1
MEMORY_SECONDS = 1.0
SECOND_US = 1_000_000


@dataclass
class Recovery:
    """From a harm to the first commit that was begun after it, in every shard concerned.

    What an owner has read before a broker is killed it commits also while there is none: such
    commits do not count, so what is healed says when that began.
    """

    what: str
    since_us: int
    shards: set
    healed_us: int = 0
    seconds: float | None = None


@dataclass
class Seen:
    """What was seen so far.

    Attributes:
        commits: how often a vector was seen to move.
        problems: what must never be: a vector that goes back, a stopped shard.
        memory: peak resident bytes of each owner process, by process id.
    """

    commits: int = 0
    problems: list = field(default_factory=list)
    memory: dict = field(default_factory=dict)


class Watch(threading.Thread):
    """Looks at the table of shards, past the proxies, until it is stopped.

    Args:
        uri: of the database; may be away at times.
        pids: gives the process ids of the owners that run.
    """

    def __init__(self, uri, pids):
        super().__init__(name="watch", daemon=True)
        self._uri, self._pids = uri, pids
        self.seen = Seen()
        self.recoveries = []
        self.vectors = {}  # shard -> (p, l)
        self._committed = defaultdict(int)
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._connection = None
        self._memory_due = 0.0

    def run(self):
        """Looks until it is stopped."""
        while not self._halt.wait(LOOK_SECONDS):
            self._look()
            if monotonic() >= self._memory_due:
                self._memory_due = monotonic() + MEMORY_SECONDS
                self._weigh()
        self._drop()

    def stop(self):
        """Ends."""
        self._halt.set()
        self.join(10)

    def expect(self, what, shards):
        """Begins to measure a recovery, from now on."""
        recovery = Recovery(what, time_ns() // 1000, set(shards))
        with self._lock:
            self.recoveries.append(recovery)
        return recovery

    def _look(self):
        try:
            if self._connection is None:
                options = "-c statement_timeout=2000"
                self._connection = psycopg.connect(
                    self._uri, autocommit=True, connect_timeout=2, options=options
                )
            rows = self._connection.execute(
                "SELECT shard, p, l, committed_us, stopped FROM shards"
            ).fetchall()
        except psycopg.Error:
            self._drop()
            return
        for row in rows:
            self.note(*row)

    def note(self, shard, p, l, committed_us, stopped):
        """One row of the table of shards."""
        before = self.vectors.get(shard, (0, 0))
        if p < before[0] or l < before[1]:
            self.seen.problems.append(f"{shard} went back from {before} to {(p, l)}")
        if stopped and stopped not in str(self.seen.problems):
            self.seen.problems.append(f"{shard} stopped: {stopped}")
        if (p, l) != before:  # new rules are a commit too, but nothing is counted by it
            self.seen.commits += 1
            self._committed[shard] = max(self._committed[shard], committed_us)
        self.vectors[shard] = p, l
        with self._lock:
            for recovery in self.recoveries:
                self._settle(recovery)

    def _settle(self, recovery):
        if recovery.seconds is not None:
            return
        times = [self._committed[shard] for shard in recovery.shards]
        if all(time > max(recovery.since_us, recovery.healed_us) for time in times):
            recovery.seconds = (max(times) - recovery.since_us) / SECOND_US

    def _weigh(self):
        for pid in self._pids():
            with suppress(OSError):
                peak = peak_bytes(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
                self.seen.memory[pid] = max(self.seen.memory.get(pid, 0), peak)

    def _drop(self):
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def peak_bytes(status):
    """Peak resident memory in the text of /proc/PID/status; 0 of a process that has ended."""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def percentile(values, share):
    """The smallest value that is not below that share of all; None of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
