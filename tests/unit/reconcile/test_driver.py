from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.kernel.errors import Unavailable
from libs.reconcile import Again, Done, Driver, Outcome
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.eventually import eventually


class Recorder:
    """A reconciler that does what it is told and remembers it."""

    name = "test"
    period = 3600.0

    def __init__(self, *keys: str) -> None:
        self.keys: Sequence[str] = keys
        self.steps: list[str] = []
        self.outcomes: list[Outcome | Exception] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def due(self) -> Sequence[str]:
        return self.keys

    async def step(self, key: str) -> Outcome:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            self.steps.append(key)
            outcome = self.outcomes.pop(0) if self.outcomes else Done()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            self.running -= 1


@asynccontextmanager
async def driven(driver: Driver) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(driver.run())
        yield
        running.cancel()


async def test_everything_due_gets_a_step() -> None:
    work = Recorder("a", "b")
    async with driven(Driver(work, SystemClock())):
        await eventually(lambda: sorted(work.steps) == ["a", "b"])


async def test_wake_brings_another_look_long_before_the_period() -> None:
    work = Recorder("a")
    driver = Driver(work, SystemClock())
    async with driven(driver):
        await eventually(lambda: work.steps == ["a"])
        driver.wake()
        await eventually(lambda: work.steps == ["a", "a"])


async def test_wake_of_a_key_that_is_worked_on_gives_it_one_more_step() -> None:
    work = Recorder("a")
    work.gate.clear()
    driver = Driver(work, SystemClock())
    async with driven(driver):
        await eventually(lambda: work.running == 1)
        driver.wake("a")
        driver.wake("a")
        work.keys = ()
        work.gate.set()
        await eventually(lambda: work.steps == ["a", "a"])


async def test_wake_ends_the_pause_of_a_key() -> None:
    work = Recorder("a")
    work.outcomes = [Again(3600)]
    driver = Driver(work, SystemClock())
    async with driven(driver):
        await eventually(lambda: work.steps == ["a"])
        driver.wake("a")
        await eventually(lambda: work.steps == ["a", "a"])


async def test_one_key_is_never_stepped_twice_at_once() -> None:
    work = Recorder("a")
    work.gate.clear()
    driver = Driver(work, SystemClock())
    async with driven(driver):
        await eventually(lambda: work.running == 1)
        for _ in range(5):
            driver.wake()
            await eventually(lambda: work.running == 1)
        work.gate.set()
        await eventually(lambda: len(work.steps) >= 1)
    assert work.most_running == 1


async def test_failing_step_backs_off_and_comes_again() -> None:
    clock = VirtualClock()
    work = Recorder("a")
    work.outcomes = [Unavailable("away"), ValueError("a bug"), Again(0.25)]
    async with driven(Driver(work, clock)):
        await eventually(lambda: len(work.steps) >= 4)
    assert [nap for nap in clock.slept if nap < 1][:3] == [0.1, 0.2, 0.25]


async def test_pause_is_never_longer_than_the_period() -> None:
    clock = VirtualClock()
    work = Recorder("a")
    work.period = 5.0
    work.outcomes = [Again(3600)]
    async with driven(Driver(work, clock)):
        await eventually(lambda: len(work.steps) >= 2)
    assert max(clock.slept) == 5.0


async def test_look_that_fails_is_taken_again() -> None:
    class Blind(Recorder):
        looks = 0

        async def due(self) -> Sequence[str]:
            self.looks += 1
            if self.looks == 1:
                raise Unavailable("no database")
            return self.keys

    work = Blind("a")
    async with driven(Driver(work, VirtualClock())):
        await eventually(lambda: work.steps != [])
