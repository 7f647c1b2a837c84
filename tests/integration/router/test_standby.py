"""An edge that starts while the router is away: the standby serves it from disk, and hands it over afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from libs.kernel.errors import Invalid, Unavailable
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.router.main import stand_in
from tests.integration.router import apps
from tests.integration.router.conftest import Stand

pytestmark = pytest.mark.wheels


class HeldClock(SystemClock):
    """A clock on which nobody who sleeps wakes up before it is let go."""

    def __init__(self) -> None:
        self.going = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.going.wait()
        await super().sleep(seconds)


@asynccontextmanager
async def published(stand: Stand, port: int) -> AsyncIterator[str]:
    """An app that was live when the router and the edge died; gives its host."""
    async with stand.router(), stand.calls() as calls:
        host = await calls.claim("svc_hello")
        async with stand.edge() as pid:
            await stand.serving()
            await calls.publish("svc_hello", [port])
            os.kill(pid, signal.SIGKILL)
    leave_a_dead_socket(stand)
    yield host


def leave_a_dead_socket(stand: Stand) -> None:
    """As a router that was killed leaves it: the path is there, and nobody listens."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(door(stand))
    dead.close()


def door(stand: Stand) -> str:
    return stand.ads.removeprefix("unix:")


def inode(path: str) -> int:
    return Path(path).stat().st_ino


def without_a_database(stand: Stand) -> dict[str, str]:
    return {name: value for name, value in stand.environ.items() if not name.endswith("_DATABASE_URL")}


async def test_it_serves_what_was_published_and_hands_over_without_losing_a_request(stand: Stand) -> None:
    async with (
        apps.running("a") as a,
        apps.running("b") as b,
        published(stand, a.port) as host,
        AsyncExitStack() as run,
    ):
        group = await run.enter_async_context(asyncio.TaskGroup())
        standby = group.create_task(stand_in(without_a_database(stand), stand.clock))
        await run.enter_async_context(stand.edge())
        await stand.serving()
        assert (await stand.get(host)).text.startswith("a")
        assert not standby.done()
        load = apps.Load(stand.edge_port, host)
        async with load.by(3), stand.router(), stand.calls() as calls:
            await calls.publish("svc_hello", [b.port], 2)
            assert (await stand.get(host)).text.startswith("b")
            await eventually(standby.done)
            b_alone = await stand.get(host)
            assert b_alone.text.startswith("b")
        assert load.failures == []
        assert load.seen == {"a", "b"}


async def test_nothing_counts_as_published_while_the_edge_hears_the_standby(stand: Stand) -> None:
    clock = HeldClock()
    async with (
        apps.running("a") as a,
        apps.running("b") as b,
        published(stand, a.port) as host,
        AsyncExitStack() as run,
    ):
        group = await run.enter_async_context(asyncio.TaskGroup())
        standby = group.create_task(stand_in(without_a_database(stand), clock))
        await run.enter_async_context(stand.edge())
        await stand.serving()
        async with stand.router(), stand.calls() as calls:
            with pytest.raises(Unavailable, match="No edge is connected"):
                await calls.publish("svc_hello", [b.port], 2, within=1.0)
            assert (await stand.get(host)).text.startswith("a"), "the edge still obeys the standby"
            clock.going.set()
            await calls.publish("svc_hello", [b.port], 2)
            assert (await stand.get(host)).text.startswith("b")
            await eventually(standby.done)


async def test_it_leaves_a_router_that_serves_alone(stand: Stand) -> None:
    async with stand.router(), stand.edge(), stand.calls() as calls, apps.running("hello") as app:
        await stand.serving()
        host = await calls.claim("svc_hello")
        await calls.publish("svc_hello", [app.port])
        before = inode(door(stand))
        await asyncio.wait_for(stand_in(without_a_database(stand), stand.clock), 5)
        assert inode(door(stand)) == before
        await calls.publish("svc_hello", [app.port], 2)
        assert (await stand.get(host)).text.startswith("hello")


async def test_without_a_world_it_says_so(stand: Stand) -> None:
    with pytest.raises(Unavailable, match="left no world"):
        await stand_in(without_a_database(stand), stand.clock)


async def test_nobody_stands_in_on_a_port(stand: Stand) -> None:
    async with apps.running("a") as a, published(stand, a.port):
        with pytest.raises(Invalid, match="unix:/path"):
            await stand_in({**without_a_database(stand), "LIGHTRAIL_ADS_ADDRESS": "127.0.0.1:1"}, stand.clock)
