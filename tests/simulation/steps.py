"""What may happen, one step each. A schedule is rules and a list of steps, and nothing else.

Times are milliseconds. A step that finds nothing to do (no such owner, no such file) does nothing,
so that any part of a schedule is a schedule.
"""

from dataclasses import dataclass, field

from simulation.records import DENSE

PAUSE, FAIL, LOST = "pause", "fail", "lost"
BEFORE, AFTER, TORN = "crash before", "crash after", "torn"
FAULTS = (PAUSE, FAIL, LOST, BEFORE, AFTER, TORN)
"""What happens at an effect: the owner waits there; it fails; it happens and fails all the same;
the process dies before it, or after it, or in the midst of writing a file."""


@dataclass(frozen=True, slots=True)
class Predict:
    """Appends a batch of predictions, `late_ms` after the broker's clock."""

    rows: tuple
    version: int = 0
    task: int = 0
    late_ms: int = 0
    form: str = DENSE
    imported: bool = False
    unobserved: int = 0
    untyped: bool = False
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Label:
    """Appends a batch of labels."""

    rows: tuple
    task: int = 0
    source: int = 0
    late_ms: int = 0
    imported: bool = False
    untyped: bool = False
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Appends a batch that holds nothing."""

    side: int
    late_ms: int = 0
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class Garbage:
    """Appends what nobody can parse."""

    side: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passes for everybody."""

    ms: int


@dataclass(frozen=True, slots=True)
class Skew:
    """An owner's wall clock is set to be that much ahead of the broker's."""

    owner: int
    ms: int


@dataclass(frozen=True, slots=True)
class Start:
    """A process of an owner starts, with these rules in its settings, on the files that it has."""

    owner: int
    revision: int = 0
    rows_max: int = 50


@dataclass(frozen=True, slots=True)
class Run:
    """An owner goes on to the end of a round, or to an effect where something happens to it.

    `at` is how the effect's name begins, and `nth` which of these it is; `take` bounds the records
    that it finds on both sides.
    """

    owner: int
    take: tuple = (99, 99)
    at: str | None = None
    nth: int = 1
    fault: str = PAUSE


@dataclass(frozen=True, slots=True)
class Kill:
    """The process dies where it is."""

    owner: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The process is asked to end."""

    owner: int


@dataclass(frozen=True, slots=True)
class Outage:
    """The "store" or the "log" does not answer one owner, or its "files"; or they answer again."""

    owner: int
    what: str
    begins: bool = True


@dataclass(frozen=True, slots=True)
class Compact:
    """A compactor folds deltas."""

    most: int = 99
    compactor: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """A reader opens a snapshot, or reads the one that it holds."""

    reader: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """While an owner is down, a file of it is cut to a share of its length, or a bit is turned."""

    owner: int
    file: int
    share: float
    flip: bool = False


@dataclass(frozen=True, slots=True)
class KeepFiles:
    """A copy of an owner's files is made; or it is ended, and they are put back or lost."""

    owner: int
    what: str  # "copy", "restore", "lose"


@dataclass(frozen=True, slots=True)
class KeepTruth:
    """A copy of the database is made; or all owners are ended and it is put back."""

    what: str  # "copy", "restore"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rules by revision, and what happens."""

    rules: tuple
    steps: tuple = field(default=())

    def script(self):
        """The schedule as Python."""
        lines = [f"    {step!r}," for step in self.steps]
        rules = [f"    {rule!r}," for rule in self.rules]
        return "\n".join(
            ["Schedule(", "  rules=(", *rules, "  ),", "  steps=(", *lines, "  ),", ")"]
        )
