"""The rounds: does one harm or two, heals them, and looks after owners that ended."""

import random
import threading
from contextlib import suppress
from time import monotonic, time_ns

from leadline.testing.servers.process import ServerError, until
from soak.damage import RESTORE, copy, damage
from soak.owners import known
from soak.proxy import Mode
from soak.schedule import owned, rules_of
from soak.world import BROKER, DATABASE

RECOVERY_SECONDS = 30.0
DRAIN_SECONDS = 300.0
ROLL_SECONDS = 4.0
START_SECONDS = 180.0  # of a server after a crash, on a machine that is busy
BUGS_MAX = 5
NEVER_US = 2**62


class Rounds:
    """Carries out a schedule.

    Args:
        world: started.
        watch: started.
        say: takes each line of the report.
    """

    def __init__(self, world, watch, schedule, say):
        self.world, self.watch, self.schedule, self.say = world, watch, schedule, say
        self.roles = list(schedule.roles)
        self.revision = 1
        self.bugs = []  # owners that ended by one
        self.restarts = 0  # owners that could not start, and were started again
        self.counts = {}
        self._rng = random.Random(f"places {schedule.seed}")
        self._pause = threading.Event()  # never set: waits are its timeouts

    def rules(self):
        """The settings of the rules in force; none for owners that know no rules."""
        rules = rules_of(self.schedule.seed, self.revision)
        return rules if known({"rules_revision": 1}) else {}

    def start_owners(self):
        """The first owners."""
        for owner, role in zip(self.world.owners, self.roles, strict=True):
            owner.start(role, self.rules())

    def await_counting(self, seconds):
        """Returns once every shard was committed."""
        first = self.watch.expect("the start", self._shards((1, 0)))

        def counted():
            self.supervise()
            return first.seconds is not None or len(self.bugs) >= BUGS_MAX

        until(counted, seconds, "every shard is counted")
        self.watch.recoveries.remove(first)

    def run(self):
        """All rounds."""
        for round_ in self.schedule.rounds:
            if len(self.bugs) >= BUGS_MAX:
                self.say(f"given up after {len(self.bugs)} bugs")
                return
            self._round(round_)

    def _round(self, round_):
        began, notes, recoveries = monotonic(), [], []
        self._wait(round_.before)
        for number, harm in enumerate(round_.harms):
            if number:
                self._wait(round_.apart)
            self._begin(harm, recoveries)
            self.counts[harm.fault] = self.counts.get(harm.fault, 0) + 1
        if len(round_.harms) > 1:
            for recovery in recoveries:
                recovery.what += " beside another harm"
        self._wait(round_.hold)
        for harm in reversed(round_.harms):
            notes += self._end(harm, recoveries)
        self.supervise()
        if round_.settle:
            self._settle(recoveries)
        self._tell(round_, monotonic() - began, notes, recoveries)

    def _tell(self, round_, seconds, notes, recoveries):
        harms = "; ".join(map(str, round_.harms))
        again = [
            f"{one.what}: {one.seconds:.1f} s" if one.seconds is not None else f"{one.what}: open"
            for one in recoveries
        ]
        vector = sum(map(sum, self.watch.vectors.values()))
        parts = [f"round {round_.number:3d} {seconds:5.1f} s  {harms}", *notes]
        parts += [f"first commit after {', '.join(again)}"] if again else []
        self.say(" | ".join([*parts, f"{vector} records counted"]))

    def supervise(self):
        """Starts owners again that ended by themselves."""
        for owner in self.world.owners:
            ended = owner.ended()
            if ended is None:
                continue
            self._note(ended)
            self.restarts += 1
            owner.start(owner.role, self.rules())

    def heal(self):
        """No fault is in force any more."""
        for proxy in self.world.proxies.values():
            proxy.set(Mode.PASS)
        self.supervise()

    def drain(self, ends):
        """Waits until all records below the ends are counted; False when they are not in time.

        Args:
            ends: {shard: (p, l)}.
        """
        deadline = monotonic() + DRAIN_SECONDS
        while monotonic() < deadline:
            self.supervise()
            vectors = self.watch.vectors
            if all(
                vectors.get(shard, (0, 0))[side] >= end[side]
                for shard, end in ends.items()
                for side in (0, 1)
            ):
                return True
            self._wait(0.5)
        return False

    def stop_owners(self):
        """Asks all owners to end."""
        for owner in self.world.owners:
            self._note(owner.stop())

    def _settle(self, recoveries):
        deadline = monotonic() + RECOVERY_SECONDS
        while any(one.seconds is None for one in recoveries) and monotonic() < deadline:
            self._wait(0.1)
            self.supervise()

    def _wait(self, seconds):
        self._pause.wait(seconds)

    def _note(self, ended):
        if ended is not None and ended.bug:
            self.bugs.append(ended)
            self.say(f"an owner of slot {ended.slot} ended by a bug: {ended.words}")

    def _shards(self, *roles):
        partitions = set().union(*(owned(role, self.world.partitions) for role in roles))
        return {f"main/{partition}" for partition in partitions}

    def _begin(self, harm, recoveries):
        """Does it; what will recover is added to `recoveries`."""
        kind, _, thing = harm.fault.partition(" ")
        if kind == "kill":
            recoveries.append(self._kill_some(harm))
        elif kind == "freeze":
            for slot in harm.slots:
                if self.world.owners[slot].running:
                    self.world.owners[slot].pause()
        elif harm.fault in ("rescale", "change rules"):
            self._roll(harm)
        elif kind == "unstamp":
            self.world.stamp(thing, "CreateTime")
        else:
            for slot in harm.slots:
                self.world.proxies[slot, thing].set(Mode(kind))

    def _kill_some(self, harm):
        """Kills servers or owners; returns what to measure, from the moment of the kill."""
        everything = self._shards((1, 0))
        if harm.fault == "kill broker":
            recovery = self.watch.expect("broker", everything)
            recovery.healed_us = NEVER_US
            self.world.kafka.kill()
        elif harm.fault == "kill database":
            recovery = self.watch.expect("database", everything)
            self.world.crash_database()
        elif harm.fault == "kill all owners":
            recovery = self.watch.expect("all owners", everything)
            for owner in self.world.owners:
                self._kill(owner)
        else:
            owner = self.world.owners[harm.slots[0]]
            recovery = self.watch.expect("one owner", self._shards(owner.role))
            self._kill(owner)
        return recovery

    def _end(self, harm, recoveries):
        """Heals it; returns notes."""
        kind, _, thing = harm.fault.partition(" ")
        if harm.fault == "kill broker":
            self._restart_broker(recoveries)
        elif harm.fault == "kill database":
            self.world.postgres.start(START_SECONDS)
        elif harm.fault == "freeze owner":
            for slot in harm.slots:
                self.world.owners[slot].resume()
        elif harm.fault in ("kill owner", "kill all owners"):
            slots = harm.slots or range(len(self.world.owners))
            pairs = zip(slots, harm.roles, strict=True)
            return [self._again(slot, role, harm) for slot, role in pairs]
        elif kind == "unstamp":
            self.world.stamp(thing, "LogAppendTime")
        elif thing in (BROKER, DATABASE):
            for slot in harm.slots:
                self.world.proxies[slot, thing].set(Mode.PASS)
        return []

    def _restart_broker(self, recoveries):
        for recovery in recoveries:
            if recovery.healed_us == NEVER_US:
                recovery.healed_us = time_ns() // 1000
        self.world.kafka.start(START_SECONDS)

    def _kill(self, owner):
        if owner.running:
            self._note(owner.kill())

    def _again(self, slot, role, harm):
        """Starts a killed owner, with a harmed cache and in another role."""
        owner, note = self.world.owners[slot], ""
        if harm.damage != RESTORE:
            copy(owner.cache, owner.older)
        if harm.damage:
            note = damage(harm.damage, owner.cache, owner.older, self._rng)
        self.roles[slot] = role
        owner.start(role, self.rules())
        return f"slot {slot}: {note}" if note else f"slot {slot} again"

    def _roll(self, harm):
        """One owner after the other, with other roles or with rules of a higher revision."""
        self.revision += harm.fault == "change rules"
        self.roles = list(harm.roles)
        for owner, role in zip(self.world.owners, self.roles, strict=True):
            if harm.abrupt:
                self._kill(owner)
            else:
                self._note(owner.stop())
            owner.start(role, self.rules())
            with suppress(ServerError):  # a slow one is not waited for
                until(lambda o=owner: o.counting or not o.running, ROLL_SECONDS, "it counts")
