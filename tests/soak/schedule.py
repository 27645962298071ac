"""What happens in which round: decided by the seed alone, before anything runs.

A role is (replicas, ordinal): its owner counts the partitions p with p % replicas == ordinal. There
are more owner slots than replicas, and roles are drawn so that they overlap; every partition is
somebody's after every round. The times at which things happen vary from run to run.
"""

import random
from dataclasses import dataclass, field

SLOTS = 4
REPLICAS_MAX = 4
LAYOUTS = (
    ((2, 0), (2, 1), (2, 0), (2, 1)),  # two deployments side by side
    ((3, 0), (3, 1), (3, 2), (3, 0)),
    ((1, 0), (2, 0), (2, 1), (1, 0)),
    ((4, 0), (4, 1), (4, 2), (4, 3)),  # each partition has one owner
    ((2, 0), (2, 1), (1, 0), (3, 1)),
)
FAULTS = {  # relative frequencies
    "kill owner": 20,
    "kill all owners": 6,
    "kill broker": 8,
    "kill database": 9,
    "freeze owner": 10,
    "cut database": 7,
    "hole database": 6,
    "deaf database": 7,
    "delay database": 3,
    "cut broker": 7,
    "hole broker": 6,
    "deaf broker": 4,
    "delay broker": 3,
    "rescale": 6,
    "unstamp predictions": 2,
    "unstamp labels": 2,
}
DAMAGES = ("truncate", "flip", "delete", "restore")
DAMAGED_SHARE = 0.5  # of the kills of owners
TWICE_SHARE = 0.3  # of the rounds have a second fault
LONG_SHARE = 0.15  # of the holes outlast the services' own deadlines
LONG_SECONDS = 12.0
SETTLE_SHARE = 0.6
RULE_CHANGES_MIN = 3


@dataclass(frozen=True)
class Harm:
    """One fault.

    Attributes:
        fault: of FAULTS, or "change rules".
        slots: the owner slots concerned; empty: all, or none of them.
        roles: of those slots (rescale, change rules: of all slots) once it is over.
        damage: to the cache folder of a killed owner: of DAMAGES; empty: none.
        abrupt: owners are killed, not asked to end (rescale, change rules).
    """

    fault: str
    slots: tuple = ()
    roles: tuple = ()
    damage: str = ""
    abrupt: bool = False

    def __str__(self):
        words = [self.fault]
        if self.slots and "database" not in self.fault and "broker" not in self.fault:
            words.append(" ".join(map(str, self.slots)))
        elif self.slots:
            words.append("of " + " ".join(map(str, self.slots)))
        if self.damage:
            words.append(f"+ {self.damage} its cache")
        if self.roles:
            words.append(
                "-> " + " ".join(f"{ordinal}/{replicas}" for replicas, ordinal in self.roles)
            )
        return " ".join(words)


@dataclass(frozen=True)
class Round:
    """Attributes:
    before: seconds of calm before the first harm.
    apart: seconds between the harms, if there are two.
    hold: seconds until they are healed, in reverse order.
    settle: the next round waits until every shard commits again; else it comes upon a system
        that is still recovering.
    """

    number: int
    harms: tuple
    before: float
    apart: float
    hold: float
    settle: bool


@dataclass
class Schedule:
    """All rounds, and the roles to begin with."""

    seed: int
    roles: tuple
    rounds: list = field(default_factory=list)


def thing(fault):
    """What a fault concerns; two harms of a round concern different things."""
    return "broker" if fault.startswith("unstamp") else fault.split()[-1]


def owned(role, partitions):
    """The partitions of a role."""
    replicas, ordinal = role
    return {p for p in range(partitions) if p % replicas == ordinal}


def covered(roles, partitions):
    """Whether every partition is somebody's."""
    return set().union(*(owned(role, partitions) for role in roles)) == set(range(partitions))


def has_twin(slot, roles, partitions):
    """Whether the others count all that this slot counts."""
    others = [role for at, role in enumerate(roles) if at != slot]
    return owned(roles[slot], partitions) <= set().union(
        *(owned(role, partitions) for role in others)
    )


def rules_of(seed, revision):
    """The rules of a revision, as an owner's settings; windows are short, so that they end."""
    rng = random.Random(f"rules {seed} {revision}")
    label_window = rng.choice((20, 30, 40, 60))
    return {
        "rules_revision": revision,
        "label_window_seconds": label_window,
        "prediction_window_seconds": rng.choice((5, 10, 20)),
        "pair_window_seconds": rng.choice((5, 10, label_window)),
        "event_time_bound_seconds": rng.choice((600, 3600, 86_400)),
        "slices_per_version_max": rng.choice((6, 9, 1000)),
        "pairs_max": rng.choice((1, 2, 4)),
        "default_labels": rng.choice(({}, {"clicks": 0}, {"clicks": 1, "digits": 3})),
    }


def plan(seed, rounds, partitions):
    """The schedule of a seed."""
    return _Planner(seed, rounds, partitions).plan()


class _Planner:
    def __init__(self, seed, rounds, partitions):
        self.rng = random.Random(f"soak {seed}")
        self.count, self.partitions = rounds, partitions
        self.roles = list(LAYOUTS[0])
        self.schedule = Schedule(seed, LAYOUTS[0])
        self.damages = []  # a shuffled pack: each kind comes as often as the others

    def plan(self):
        changes = self._rule_changes()
        first = self._each_fault_once(changes)
        for number in range(1, self.count + 1):
            fault = "change rules" if number in changes else first.get(number) or self._fault()
            self.schedule.rounds.append(self._round(number, fault))
        return self.schedule

    def _rule_changes(self):
        """Rounds spread over the run, and not the very last ones."""
        wanted = min(max(RULE_CHANGES_MIN, self.count // 25), max(self.count // 3, 1))
        return {round((at + 0.7) * self.count / (wanted + 0.5)) for at in range(wanted)} - {0}

    def _each_fault_once(self, taken):
        """Where there are rounds enough, each fault happens at least once."""
        free = [number for number in range(1, self.count + 1) if number not in taken]
        if len(free) < len(FAULTS):
            return {}
        return dict(zip(self.rng.sample(free, len(FAULTS)), FAULTS, strict=True))

    def _fault(self):
        return self.rng.choices(list(FAULTS), FAULTS.values())[0]

    def _round(self, number, fault):
        harms = [self._harm(fault)]
        alone = fault in ("change rules", "rescale", "kill all owners")
        if not alone and self.rng.random() < TWICE_SHARE:
            harms += self._second(harms[0])
        return Round(number, tuple(harms), *self._seconds(harms))

    def _second(self, first):
        """A harm of another thing than the first; none where the draw does not fit."""
        fault = self._fault()
        if fault in ("rescale", "kill all owners") or thing(fault) == thing(first.fault):
            return []
        return [self._harm(fault)]

    def _seconds(self, harms):
        before, apart = self.rng.uniform(0.3, 1.5), self.rng.uniform(0.0, 0.8)
        hold = self.rng.uniform(0.2, 2.5)
        if any(harm.fault.split()[0] in ("freeze", "hole", "deaf") for harm in harms):
            hold = self.rng.uniform(1.0, 4.0)
            if self.rng.random() < LONG_SHARE:
                hold = LONG_SECONDS
        settle = self.rng.random() < SETTLE_SHARE
        return round(before, 2), round(apart, 2), round(hold, 2), settle

    def _harm(self, fault):
        if fault == "kill owner":
            slot = self.rng.randrange(SLOTS)
            return Harm(fault, (slot,), (self._new_role(slot),), self._damage())
        if fault == "kill all owners":
            return Harm(fault, (), tuple(self.roles), self._damage())
        if fault == "freeze owner":
            return Harm(fault, (self._with_twin(),))
        if fault in ("rescale", "change rules"):
            if fault == "rescale":
                self.roles = list(self._other_layout())
            return Harm(fault, (), tuple(self.roles), abrupt=self.rng.random() < 0.3)
        if fault.startswith(("kill", "unstamp")):
            return Harm(fault)
        return Harm(fault, tuple(sorted(self.rng.sample(range(SLOTS), self.rng.randint(1, SLOTS)))))

    def _damage(self):
        if self.rng.random() >= DAMAGED_SHARE:
            return ""
        self.damages = self.damages or self.rng.sample(DAMAGES, len(DAMAGES))
        return self.damages.pop()

    def _new_role(self, slot):
        """Any role with which every partition is somebody's."""
        while True:
            replicas = self.rng.randint(1, REPLICAS_MAX)
            roles = list(self.roles)
            roles[slot] = (replicas, self.rng.randrange(replicas))
            if covered(roles, self.partitions):
                self.roles = roles
                return roles[slot]

    def _with_twin(self):
        """A slot whose partitions others count too, where there is one."""
        slots = [at for at in range(SLOTS) if has_twin(at, self.roles, self.partitions)]
        return self.rng.choice(slots or range(SLOTS))

    def _other_layout(self):
        layouts = [layout for layout in LAYOUTS if list(layout) != self.roles]
        layout = list(self.rng.choice(layouts))
        self.rng.shuffle(layout)
        return layout
