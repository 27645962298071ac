"""What every shard of an owner shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from leadline.metrics.cache.files import CacheFiles
from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import Log, LogWriter, Stream
from leadline.runtime.store.port import TruthStore


class Stop(Protocol):
    """The part of `threading.Event` that a shard needs."""

    def is_set(self) -> bool:
        """Whether to end."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits that long, or until it is set; returns whether it is."""


@dataclass(frozen=True, slots=True)
class World:
    """What every shard of an owner shares.

    Attributes:
        writer: for dead letters, facts and ticks.
        files: opens the cache of a shard, by its name.
    """

    stream: Stream
    log: Log
    writer: LogWriter
    store: TruthStore
    settings: OwnerSettings
    clock: Clock
    health: OwnerHealth
    files: Callable[[str], CacheFiles]
