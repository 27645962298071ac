"""One shard: reads both topics, counts, and commits the vector with its delta.

recover   read the vector and the rules; take the cache, or read the topics as far back as windows
          reach; count nothing up to the vector
round     read what there is; count it; write dead letters; commit; keep the cache
fenced    another owner moved on: take the last step back, and catch up to its vector
rebuilt   another epoch has begun: start anew
stopped   counting on would be wrong: say why in the truth, look again later
"""

from __future__ import annotations

import logging

from leadline.metrics.shard_run import RebuiltError, ShardRun
from leadline.metrics.world import Stop, World
from leadline.records.errors import TransientError, UsageError

logger = logging.getLogger(__name__)


class Shard:
    """Counts one partition pair until it is told to stop. For one thread."""

    def __init__(self, world: World, partition: int) -> None:
        self.name = world.stream.shard(partition)
        self._world, self._partition = world, partition
        self._health = world.health
        self._run: ShardRun | None = None

    def run(self, stop: Stop) -> None:
        """Counts until `stop` is set; comes back from everything but a bug."""
        try:
            while not stop.is_set():
                self._try(stop)
        finally:
            self._drop()

    def _try(self, stop: Stop) -> None:
        try:
            self._count(stop)
        except TransientError as error:
            self._health.failures.labels(self.name).inc()
            logger.warning("shard %s: %s; trying again", self.name, error)
            stop.wait(self._world.settings.retry_seconds)
        except RebuiltError:
            logger.info("shard %s was rebuilt: it is read anew", self.name)
            self._drop()
        except UsageError as error:  # StoppedError and all else that a person can mend
            self._drop()
            self._stopped(error)
            stop.wait(self._world.settings.stopped_retry_seconds)

    def _count(self, stop: Stop) -> None:
        if self._run is None:
            run = ShardRun(self._world, self._partition, stop)
            try:
                run.recover()
            except BaseException:
                run.close()
                raise
            self._run = run
        while not stop.is_set() and not self._run.round():
            pass
        if not stop.is_set():
            self._clear_stop()
        while not stop.is_set():
            self._run.round()

    def _drop(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    def _stopped(self, error: UsageError) -> None:
        logger.error("shard %s stopped: %s %s", self.name, error, error.remedy)
        self._health.stopped.labels(self.name).set(1)
        try:
            self._world.store.mark_stopped(self.name, str(error), error.remedy)
        except TransientError as failure:
            logger.warning("shard %s: could not note the stop: %s", self.name, failure)

    def _clear_stop(self) -> None:
        self._health.stopped.labels(self.name).set(0)
        if self._world.store.shard(self.name).stopped:
            self._world.store.mark_stopped(self.name, "", "")
