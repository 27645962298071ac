"""The owner role: counts the partitions that its ordinal gives it, and compacts what it counted.

Two owners may overlap at any time (a rolling deployment, a changed number of replicas): the
compare-and-set of the vector alone keeps the counts exact.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

from prometheus_client import CollectorRegistry

from leadline.metrics.cache.files import CacheFiles, MemoryFiles, open_folder
from leadline.metrics.owner_health import OwnerHealth
from leadline.metrics.owner_settings import OwnerSettings
from leadline.metrics.shard import Shard
from leadline.metrics.world import World
from leadline.records.errors import LeadlineError, NotFoundError, UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import LABELS, PREDICTIONS, Log, LogWriter, Stream
from leadline.runtime.log.topics import needed_events_ms, require_topics
from leadline.runtime.memory import keep_freed_memory
from leadline.runtime.store.blob import BlobStore
from leadline.runtime.store.port import TruthKeeper
from leadline.runtime.store.resolution import DAY, HOUR, Retention

logger = logging.getLogger(__name__)


class OwnerService:
    """Counts its shards, each in a thread of its own, and compacts them in one more.

    Args:
        settings: read once.
        log, store, blobs: the world, opened by the caller and closed by it; blobs may be None.
        registry: where its own health is registered.
        on_failure: told, from another thread, when a bug ended the counting; the process should
            restart, and loses nothing by that.
    """

    def __init__(
        self,
        settings: OwnerSettings,
        *,
        log: Log,
        store: TruthKeeper,
        blobs: BlobStore | None,
        clock: Clock,
        registry: CollectorRegistry,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        if settings.ordinal >= settings.replicas:
            raise UsageError(
                f"Setting `ordinal` is {settings.ordinal}, but there are {settings.replicas} "
                "replicas: ordinals count from 0."
            )
        self._settings = settings
        self._stream = Stream(settings.stream, settings.partitions)
        self._log, self._store, self._blobs, self._clock = log, store, blobs, clock
        self._health = OwnerHealth(registry)
        self._on_failure = on_failure
        self._stop = Event()
        self._threads: list[Thread] = []
        self._writer: LogWriter | None = None

    @property
    def partitions(self) -> list[int]:
        """The partitions that this owner counts."""
        settings = self._settings
        return [p for p in range(settings.partitions) if p % settings.replicas == settings.ordinal]

    async def start(self) -> None:
        """Checks topics and schema, then counts in the background.

        Raises:
            UsageError: a topic or the store is not as it must be.
            TransientError: the log or the store does not answer.
        """
        keep_freed_memory()
        await asyncio.to_thread(self._check)
        self._writer = self._log.writer()
        world = World(
            stream=self._stream,
            log=self._log,
            writer=self._writer,
            store=self._store,
            settings=self._settings,
            clock=self._clock,
            health=self._health,
            files=self._files,
        )
        for partition in self.partitions:
            shard = Shard(world, partition)
            self._spawn(f"shard-{shard.name}", partial(shard.run, self._stop))
        self._spawn("compactor", self._compact_for_ever)

    async def close(self, grace_seconds: float) -> None:
        """Stops counting after the commit in hand; waits at most that long."""
        self._stop.set()
        await asyncio.to_thread(self._join, grace_seconds)
        if self._writer is not None:  # else the start was refused
            await asyncio.to_thread(self._writer.close)

    def _check(self) -> None:
        self._store.migrate()
        settings = self._settings
        outage_ms = int(settings.longest_outage_seconds * 1000)
        needed_ms = needed_events_ms(settings.rules(), outage_ms)
        require_topics(self._log, self._stream, needed_ms=needed_ms)

    def _files(self, shard: str) -> CacheFiles:
        """The cache of a shard."""
        root = self._settings.cache_dir
        return open_folder(Path(root) / shard.replace("/", "-")) if root else MemoryFiles()

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = Thread(target=self._guard, args=(name, target), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guard(self, name: str, target: Callable[[], None]) -> None:
        """Runs a thread's work; whatever ends it but the stop is a bug, and told."""
        try:
            target()
        except Exception as error:
            logger.exception("%s failed", name)
            self._on_failure(f"{name}: {error!r}")

    def _join(self, grace_seconds: float) -> None:
        deadline = self._clock.monotonic_seconds() + grace_seconds
        for thread in self._threads:
            thread.join(max(deadline - self._clock.monotonic_seconds(), 0.0))

    def _compact_for_ever(self) -> None:
        while not self._stop.wait(self._settings.compact_seconds):
            try:
                self._compact()
                self._trim()
            except LeadlineError as error:
                logger.warning("compaction: %s; trying again", error)
            self._hint()

    def _hint(self) -> None:
        """Shows lag tools how far the shards are; nothing depends on it."""
        positions: dict[tuple[str, int], int] = {}
        try:
            for partition in self.partitions:
                state = self._store.shard(self._stream.shard(partition))
                positions[self._stream.topic(PREDICTIONS), partition] = state.p
                positions[self._stream.topic(LABELS), partition] = state.l
            self._log.hint(self._stream.hint_group(), positions)
        except LeadlineError as error:
            logger.info("lag tools are not told: %s", error)

    def _compact(self) -> None:
        for partition in self.partitions:
            shard = self._stream.shard(partition)
            while not self._stop.is_set():
                if not self._store.compact(shard, self._settings.compact_deltas_max):
                    break
            while not self._stop.is_set():
                if not self._store.roll_up(shard, retention_of(self._settings)):
                    break

    def _trim(self) -> None:
        """Deletes cases past the bound, and the inputs that nobody needs any more."""
        with self._store.snapshot() as snapshot:
            versions = snapshot.versions()
        for seen in versions:
            self._delete_inputs(
                self._store.trim_cases(
                    seen.model, seen.version, self._settings.cases_per_version_max
                )
            )
        self._delete_inputs(self._store.purge_deleted())

    def _delete_inputs(self, keys: list[str]) -> None:
        if keys and self._blobs is not None:
            try:
                self._blobs.delete(keys)
            except NotFoundError:
                logger.info("inputs of deleted cases were gone already")


def retention_of(settings: OwnerSettings) -> Retention:
    """How long the settings keep cells how finely."""
    return Retention(
        minutes=settings.minutes_kept_hours * HOUR,
        quarters=settings.quarters_kept_days * DAY,
        hours=settings.hours_kept_days * DAY,
        scores=settings.score_hours_kept_hours * HOUR,
        days=settings.days_kept_days * DAY,
    )
