"""Processor time and repetition: the figures to trust on a machine that others use too."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


def cpu_seconds() -> float:
    """Processor time of this process so far: all its threads, no children."""
    return time.process_time()


def cpu_of(pid: int) -> float:
    """Processor time of another process so far: all its threads, no children; 10 ms steps."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes: the process's own, and that of mapped files."""

    anonymous: int
    mapped: int

    @property
    def total(self) -> int:
        return self.anonymous + self.mapped


def memory(pid: int | str = "self") -> Memory:
    """Resident memory now."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.startswith("Rss"):
            found[name] = int(value.split()[0]) * 1024
    return Memory(found["RssAnon"], found["RssFile"] + found["RssShmem"])


def peak_bytes() -> int:
    """The most that this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load_average() -> float:
    """Processes that wanted a processor, over the last minute: how quiet the machine is."""
    return os.getloadavg()[0]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
