"""Watchers: the newest state wins, missed ones are counted, nothing is queued, drain ends them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.metrics.core.coalesce import Coalescer
from leadline.metrics.watch import Pulse, Shared
from leadline.records.errors import TransientError
from leadline.runtime.clock import SystemClock
from leadline.runtime.grpc_status import BusyError

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 20


def test_the_first_state_goes_at_once_and_the_next_waits():
    pace = Coalescer(2.0)
    assert pace.wait_seconds(100.0) == 0.0
    assert pace.on_sent(7, 100.0) == 0
    assert pace.wait_seconds(100.5) == 1.5
    assert pace.wait_seconds(103.0) == 0.0
    assert pace.on_sent(8, 103.0) == 0


@given(st.lists(st.integers(1, 9), min_size=1))
def test_sent_and_passed_over_states_are_all_states(steps):
    """Whatever the pace, each state is either sent or counted as passed over."""
    pace, number, told = Coalescer(0.0), 0, 0
    for at, step in enumerate(steps):
        number += step
        told += 1 + pace.on_sent(number, float(at))
    assert told == number - steps[0] + 1


class Truth:
    """A state that tests set, and a way to wait until it was looked at."""

    def __init__(self) -> None:
        self.value = 0
        self.looks = 0
        self.fails = False
        self.looked = asyncio.Condition()

    async def look(self) -> int:
        async with self.looked:
            self.looks += 1
            self.looked.notify_all()
        if self.fails:
            raise TransientError("down")
        return self.value

    async def set(self, value: int) -> None:
        """Sets the state and waits until it was seen and the one after it begins."""
        self.value = value
        async with self.looked:
            goal = self.looks + 2
            await self.looked.wait_for(lambda: self.looks >= goal)


def pulse_of(truth: Truth, watchers_max: int = 10) -> Pulse:
    return Pulse(truth.look, SystemClock(), period_seconds=0.001, watchers_max=watchers_max)


async def test_a_slow_watcher_misses_states_but_not_the_newest():
    """While nobody reads, states pass; the next read finds the newest and how many were missed."""
    truth = Truth()
    pulse = pulse_of(truth)
    async with asyncio.timeout(DEADLINE_SECONDS):
        watcher = pulse.follow(0.0)
        await anext(watcher)
        number, pace = await anext(watcher)
        assert pace.on_sent(number, 0.0) == 0
        for value in range(1, 6):
            await truth.set(value)
        number, pace = await anext(watcher)
        assert number == pulse.number
        assert pace.on_sent(number, 1.0) == 4
        await watcher.aclose()
        await pulse.close()


async def test_nothing_is_yielded_while_nothing_changes():
    truth = Truth()
    pulse = pulse_of(truth)
    async with asyncio.timeout(DEADLINE_SECONDS):
        watcher = pulse.follow(0.0)
        await anext(watcher)  # at once
        await anext(watcher)  # the first look: something may have changed in between
        waiting = asyncio.ensure_future(anext(watcher))
        await truth.set(0)
        assert not waiting.done()
        await truth.set(1)
        await waiting
        await watcher.aclose()
        await pulse.close()


async def test_draining_ends_watchers_without_an_error():
    pulse = pulse_of(Truth())
    async with asyncio.timeout(DEADLINE_SECONDS):
        watcher = pulse.follow(3600.0)
        number, pace = await anext(watcher)
        pace.on_sent(number, SystemClock().monotonic_seconds())
        waiting = asyncio.ensure_future(anext(watcher))
        await pulse.close()
        with pytest.raises(StopAsyncIteration):
            await waiting


async def test_watchers_are_bounded():
    pulse = pulse_of(Truth(), watchers_max=1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        first = pulse.follow(0.0)
        await anext(first)
        with pytest.raises(BusyError):
            await anext(pulse.follow(0.0))
        await first.aclose()
        second = pulse.follow(0.0)
        await anext(second)
        await second.aclose()


async def test_a_store_that_is_down_is_asked_again():
    truth = Truth()
    pulse = pulse_of(truth)
    async with asyncio.timeout(DEADLINE_SECONDS):
        watcher = pulse.follow(0.0)
        await anext(watcher)
        truth.fails = True
        await truth.set(1)
        truth.fails = False
        await anext(watcher)
        await watcher.aclose()


async def test_nobody_looks_while_nobody_watches():
    truth = Truth()
    pulse = pulse_of(truth)
    async with asyncio.timeout(DEADLINE_SECONDS):
        watcher = pulse.follow(0.0)
        await anext(watcher)
        await watcher.aclose()
        looks = truth.looks
        for _ in range(50):
            await asyncio.sleep(0)
        assert truth.looks == looks


async def test_watchers_of_one_question_share_an_answer_at_each_state():
    asked = []

    async def answer(key: str) -> int:
        asked.append(key)
        await asyncio.sleep(0)
        return len(asked)

    shared = Shared(answer)
    assert await asyncio.gather(*(shared.get("a", 1) for _ in range(20))) == [1] * 20
    assert await shared.get("b", 1) == 2
    assert await shared.get("a", 1) == 1
    assert await shared.get("a", 2) == 3
    assert asked == ["a", "b", "a"]


async def test_a_watcher_that_leaves_takes_no_answer_from_others():
    """Cancelling one of two that wait for the same answer leaves it to the other."""
    go = asyncio.Event()

    async def answer(_key: str) -> int:
        await go.wait()
        return 1

    shared = Shared(answer)
    first, second = (asyncio.ensure_future(shared.get("a", 1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go.set()
    assert await second == 1


async def test_a_failure_is_not_kept():
    failures = [TransientError("down")]

    async def answer(_key: str) -> int:
        if failures:
            raise failures.pop()
        return 1

    shared = Shared(answer)
    with pytest.raises(TransientError):
        await shared.get("a", 1)
    assert await shared.get("a", 1) == 1
