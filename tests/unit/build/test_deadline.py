"""The time of a build, which stands still while it waits for another."""

from __future__ import annotations

import asyncio

import pytest

from services.build.app.deadline import PATIENCE, Deadline
from tests.unit.build.loops import skipping


@skipping
async def test_a_build_that_takes_too_long_is_ended() -> None:
    deadline = Deadline(10)
    with pytest.raises(TimeoutError):
        async with deadline.kept():
            await asyncio.Event().wait()
    assert deadline.expired


@skipping
async def test_waiting_does_not_count_also_when_two_parts_of_a_build_wait() -> None:
    deadline = Deadline(10)
    loop = asyncio.get_running_loop()

    async def waits(seconds: float) -> None:
        with deadline.paused():
            await asyncio.wait_for(asyncio.shield(loop.create_future()), seconds)

    async def build() -> None:
        async with deadline.kept():
            await asyncio.gather(waits(100), waits(300), return_exceptions=True)
            assert not deadline.expired
            await asyncio.Event().wait()

    begun = loop.time()
    with pytest.raises(TimeoutError):
        await build()
    assert deadline.expired
    assert 309 <= loop.time() - begun <= 311


@skipping
async def test_nobody_waits_for_ever() -> None:
    deadline = Deadline(10)

    async def build() -> None:
        async with deadline.kept():
            with deadline.paused():
                await asyncio.Event().wait()

    begun = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await build()
    assert PATIENCE <= asyncio.get_running_loop().time() - begun <= PATIENCE + 11


async def test_a_pause_outside_of_the_time_does_nothing() -> None:
    with Deadline(10).paused():
        pass
