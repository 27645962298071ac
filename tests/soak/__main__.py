"""`make soak`: python -m soak [--rounds 100] [--seed 1]; exit code 1 when anything is not right."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path
from time import monotonic, time_ns

from independent import messages
from oracle_full import Rule

from soak.finish import check, ends_of
from soak.owners import known
from soak.producer import Producer
from soak.report import failures, lines, summary, write
from soak.run import Rounds
from soak.schedule import plan
from soak.traffic import Pace, Traffic
from soak.watch import Watch
from soak.world import World

PARTITIONS = 4
FOREVER_MS = 2**53
WARM_UP_SECONDS = 180.0
WITHOUT_RULES = Rule(  # of owners that know neither rules nor windows
    label_window_ms=FOREVER_MS, prediction_window_ms=FOREVER_MS, pair_window_ms=0
)
KINDS_WITHOUT_RULES = ("PREDICTED", "CONFUSION", "DELAY", "DUPLICATE", "CLAMPED", "DEAD")


def options_of(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m soak")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="of schedule and traffic")
    parser.add_argument("--ids-per-second", type=float, default=200.0)
    parser.add_argument("--tools", type=Path, default=Path(".tools"), help="Kafka's jars are below")
    parser.add_argument("--folder", type=Path, default=None, help="of servers and logs; kept")
    parser.add_argument("--json", type=Path, default=Path("test-results/soak.json"))
    parser.add_argument("--plan", action="store_true", help="print the schedule and end")
    given = parser.parse_args(arguments)
    if given.seed is None:
        given.seed = random.SystemRandom().randrange(1_000_000)
    return given


def say(line):
    """One line of the report, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments=None):
    """Runs the soak; returns the exit code."""
    given = options_of(arguments)
    schedule = plan(given.seed, given.rounds, PARTITIONS)
    if given.plan:
        for round_ in schedule.rounds:
            say(f"round {round_.number:3d}  {'; '.join(map(str, round_.harms))}")
        return 0
    folder = given.folder or Path(tempfile.mkdtemp(prefix="leadline-soak-")) / "run"
    say(f"soak: {given.rounds} rounds, seed {given.seed}, logs in {folder}")
    world = World(folder, given.tools, PARTITIONS, {})
    try:
        found, outcome = soak(given, schedule, world)
    finally:
        world.close()
    for line in lines(found, outcome):
        say(line)
    write(given.json, found)
    if failures(found):
        say(f"again: make soak ROUNDS={given.rounds} SEED={given.seed}; logs in {folder}")
        return 1
    if given.folder is None:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return 0


def soak(given, schedule, world):
    """(summary, outcome) of a run."""
    began = monotonic()
    world.start()
    watch = Watch(
        world.postgres.uri, lambda: [owner.pid for owner in world.owners if owner.running]
    )
    watch.start()
    pace = Pace(given.ids_per_second)
    traffic = Traffic(given.seed, messages(), PARTITIONS, pace, time_ns() // 1000)
    producer = Producer(world.kafka.bootstrap, traffic)
    producer.start()
    rounds = Rounds(world, watch, schedule, say)
    rounds.start_owners()
    rounds.await_counting(WARM_UP_SECONDS)
    say(f"counting after {monotonic() - began:.0f} s; the rounds begin")
    rounds.run()
    rounds.heal()
    producer.stop()
    say(f"faults are off after {monotonic() - began:.0f} s; the owners drain")
    drained = rounds.drain(ends_of(world.kafka.bootstrap, PARTITIONS))
    rounds.stop_owners()
    watch.stop()
    say(f"comparing after {monotonic() - began:.0f} s")
    knows_rules = bool(known({"rules_revision": 1}))
    outcome = check(
        world.kafka.bootstrap,
        world.postgres.uri,
        PARTITIONS,
        WITHOUT_RULES,
        None if knows_rules else KINDS_WITHOUT_RULES,
    )
    wall = monotonic() - began
    return summary(given, rounds, watch, producer, outcome, drained, wall), outcome


if __name__ == "__main__":
    sys.exit(main())
