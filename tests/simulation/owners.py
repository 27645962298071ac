"""One owner: a process that may be paused, starved and killed at every effect it has on the world.

Its code runs in a greenlet of its own, so that several owners stand in the midst of their rounds at
once, and always in the same order. Every call through a port passes `Owner.effect`.
"""

import zlib

import greenlet
from simulation import steps as s
from simulation.log import SIDES

from leadline.records.errors import FencedError, StoppedError, TransientError

CALLS_MAX = 2_000
"""Effects of one round; more are a loop."""


class Crash(BaseException):
    """The process is gone; no handler of the services may hold it."""


class Owner:
    """A process and its disk.

    Args:
        sim: the world; `start` of its code is `sim.code(owner)`, a generator of rounds.
        slot: its number.

    Attributes:
        files: what is on its disk; survives the process.
        stopped: why the shard refuses to count on; empty while it counts.
    """

    def __init__(self, sim, slot):
        self.sim, self.slot = sim, slot
        self.files = {}
        self.copy = {}
        self.skew_ms = 0
        self.revision, self.rows_max = 0, 50
        self.outages = set()
        self.stopped = ""
        self.stopping = False
        self.run = None  # the code under test, for looking at it
        self.rounds = 0
        self._green = None
        self._gone = False
        self._step = s.Run(slot)
        self._met = self._calls = self._starved = 0
        self._left = [0, 0]

    # ------------------------------------------------------------------- seen by the schedule

    @property
    def alive(self):
        return self._green is not None and not self._green.dead

    def start(self, revision, rows_max):
        if self.alive:
            return
        self.revision, self.rows_max = revision, rows_max
        self.stopped, self.stopping = "", False
        self._gone = False
        self._green = greenlet.greenlet(self._main)

    def go(self, step):
        """Runs until the end of a round, or until something happens as the step says."""
        if not self.alive:
            return
        self._step, self._met, self._calls = step, 0, 0
        self._left = list(step.take)
        self._green.switch()
        self._step = s.Run(self.slot)

    def kill(self):
        self._gone = True
        if self._green:  # it has begun and is not dead
            self._green.throw(Crash)
        self._green = None

    # ----------------------------------------------------------------------- seen by the code

    def is_set(self):
        return self.stopping

    def wait(self, seconds):
        """The stop's wait: somebody else goes on."""
        del seconds
        self.pause()
        return self.stopping

    def now_us(self):
        return (self.sim.now_ms + self.skew_ms) * 1000

    def monotonic_seconds(self):
        return (self.sim.now_ms - self.sim.begin_ms) / 1000

    def sleep(self, seconds):
        self.wait(seconds)

    def broker_ms(self):
        return self.sim.now_ms

    def share_of(self, topic, most):
        side = SIDES.index(topic) if topic in SIDES else None
        return most if side is None else min(most, self._left[side])

    def starve(self):
        """It has asked for more than the step gives: once in a while somebody else goes on."""
        self._starved += 1
        if self._starved % 4 == 0:
            self.pause()

    def took(self, topic, count):
        if topic in SIDES:
            self._left[SIDES.index(topic)] -= count

    def pause(self):
        """Hands over to the schedule; the process may never wake up again."""
        greenlet.getcurrent().parent.switch()

    def effect(self, name, run, torn=None):
        """One call that the world sees; `torn` does a part of it."""
        self._count(name)
        fault = self._meets(name)
        if fault == s.PAUSE:
            self.pause()
        elif fault in (s.BEFORE, s.TORN):
            if fault == s.TORN and torn is not None:
                torn()
            self._crash()
        if fault == s.FAIL or name.split(".")[0] in self.outages:
            raise TransientError(f"{name} fails, as the schedule wants it")
        result = run()
        if fault == s.AFTER:
            self._crash()
        if fault == s.LOST:
            raise TransientError(f"the answer of {name} is lost, as the schedule wants it")
        return result

    def _crash(self):
        self._gone = True
        raise Crash

    def _count(self, name):
        if self._gone:
            raise Crash
        self.sim.cover[name] += 1
        self._calls += 1
        if self._calls > CALLS_MAX:
            raise AssertionError(f"owner {self.slot} does not come to an end: {name}")

    def _meets(self, name):
        step = self._step
        if step.at is None and step.nth == 1 and step.fault == s.PAUSE:
            return None
        if not name.startswith(step.at or ""):
            return None
        self._met += 1
        if self._met != step.nth:
            return None
        self.sim.cover[f"{step.fault} at {name}"] += 1
        return step.fault

    def _main(self):
        try:
            for _ in self.sim.code(self):
                self.rounds += 1
                self.pause()
        except Crash:
            pass


class OwnersStore:
    """The truth store as one owner sees it."""

    def __init__(self, owner, truth):
        self._owner, self._truth = owner, truth

    def __getattr__(self, name):
        method = getattr(self._truth, name)

        def call(*arguments):
            return self._owner.effect(f"store.{name}", lambda: method(*arguments))

        return call

    def commit(self, commit):
        """The answer that a compare-and-set has failed is one that may be lost, too."""
        owner = self._owner

        def run():
            try:
                self._truth.commit(commit)
            except FencedError:
                owner.sim.cover["fenced"] += 1
                raise
            owner.sim.committed(owner, commit)

        owner.effect("store.commit", run)


class OwnersFiles:
    """The port of the cache's files: a dictionary that survives the process."""

    def __init__(self, owner):
        self._owner = owner

    def names(self):
        return self._owner.effect("files.names", lambda: sorted(self._owner.files))

    def write(self, name, chunks):
        content = b"".join(chunks)
        files = self._owner.files

        def torn():
            files[name] = content[: len(content) // 2]

        self._owner.effect("files.write", lambda: files.__setitem__(name, content), torn)
        return zlib.crc32(content)

    def replace(self, name, content):
        files = self._owner.files
        self._owner.effect("files.replace", lambda: files.__setitem__(name, content))

    def read(self, name):
        return self._owner.effect("files.read", lambda: self._owner.files.get(name))

    def checksum(self, name):
        def run():
            content = self._owner.files.get(name)
            return None if content is None else zlib.crc32(content)

        return self._owner.effect("files.checksum", run)

    def relax(self):
        pass

    def delete(self, name):
        self._owner.effect("files.delete", lambda: self._owner.files.pop(name, None))

    def close(self):
        pass


def drive(owner, make_run):
    """The code of an owner, as `metrics/shard.py` runs it; yields after each round."""
    run = None
    try:
        while not owner.stopping:
            try:
                if run is None:
                    run = _recovered(make_run)
                if not owner.stopping:
                    run.round()
            except TransientError:
                owner.sim.cover["failed rounds"] += 1
            except StoppedError as error:
                run = None
                owner.stopped = f"{error} {error.remedy}"
            owner.run = run
            yield
    finally:
        owner.run = None
        if run is not None:
            run.close()


def _recovered(make_run):
    run = make_run()
    try:
        run.recover()
    except BaseException:
        run.close()
        raise
    return run
