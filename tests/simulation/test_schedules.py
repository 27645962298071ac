"""20,000 schedules without one wrong count; more of them by `make simulate SEEDS=from:to`."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from simulation.batch import chunk
from simulation.controls import CONTROLS
from simulation.generate import schedule
from simulation.play import plain_world, play, shrink

SCHEDULES, CHUNK = 20_000, 500
COVERED = (
    "commits",
    "corrections",
    "exceptions",
    "rules changed",
    "fenced",
    "folded",
    "damaged",
    "files restored",
    "truth restored",
    "failed rounds",
    "files.write",
    "files.replace",
    "files.delete",
    "log.append predictions",
    "log.append labels",
    "log.append rules",
    "log.append dead-letters",
    *(
        f"{fault} at {effect}"
        for fault in ("crash before", "crash after", "fail", "lost", "pause")
        for effect in ("store.commit", "store.shard", "log.poll", "log.flush", "files.write")
    ),
    "torn at files.write",
    *(
        f"cell {kind}"
        for kind in (
            *(
                "PREDICTED",
                "CONFUSION",
                "RANK",
                "DELAY",
                "SCORES",
                "STRATUM",
                "STRATUM_LABELLED",
                "DUPLICATE",
                "SUPERSEDED",
            ),
            *("DEFAULTED", "PAIR", "PAIR_OVERFLOW", "UNMATCHED", "CLAMPED", "UNOBSERVED"),
            *("DEAD", "ADDED", "RETRACTED"),
        )
    ),
)
"""What must have happened, each at least ten times: else the schedules have no teeth."""


@pytest.fixture(scope="module")
def results():
    """Chunks of seeds, played by as many processes as there are processors.

    They are started anew: a copy of this one, with what threads of other tests hold, may not live.
    """
    starts = range(0, SCHEDULES, CHUNK)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        found = {at: pool.submit(chunk, (at, at + CHUNK, None)) for at in starts}
        yield found
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("begin", range(0, SCHEDULES, CHUNK))
def test_the_truth_is_what_the_oracle_says_after_every_step(results, begin):
    played, _, words = results[begin].result()
    assert words is None, words
    assert played == CHUNK


@pytest.mark.timeout(1200)
def test_everything_that_may_go_wrong_did(results):
    cover = Counter()
    for result in results.values():
        cover.update(result.result()[1])
    rare = {
        name: sum(count for key, count in cover.items() if key.startswith(name)) for name in COVERED
    }
    assert not {name: count for name, count in rare.items() if count < 10}


def test_an_owner_as_simple_as_can_be_passes_too():
    """What the simulator expects is no more than the counting rules."""
    for seed in range(300):
        error = play(schedule(seed), plain_world)[1]
        assert error is None, f"seed {seed}: {error}"


def test_a_seed_makes_the_same_schedule_and_the_same_end():
    for seed in range(5):
        first, second = (play(schedule(seed))[0] for _ in range(2))
        assert schedule(seed) == schedule(seed)
        assert first.cover == second.cover
        assert first.truth.rows == second.truth.rows


def test_what_fails_is_made_small_and_still_fails():
    make = CONTROLS["no compare-and-set"]
    plan = next(plan for plan in map(schedule, range(1000)) if play(plan, make)[1])
    small = shrink(plan, make)
    assert play(small, make)[1] is not None
    assert len(small.steps) < len(plan.steps) // 2
    assert all(
        play(type(plan)(plan.rules, small.steps[:at] + small.steps[at + 1 :]), make)[1] is None
        for at in range(len(small.steps))
    )
