from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from libs.db import Database
from libs.kernel.context import platform
from services.deploy.app.journal import CHUNK, MOST_BACKLOG
from services.deploy.app.ports import LogQuery
from services.deploy.domain.machine import State
from services.deploy.domain.model import Instance
from services.deploy.loops.watch import Watch
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import World, deploy, empty_world

OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
async def world(open_db: OpenDatabase) -> World:
    return await empty_world(await open_db("deploy", MIGRATIONS))


async def lines(world: World, deployment_id: str) -> list[str]:
    return [record.text for record in await world.logs.read(LogQuery(deployment_id=deployment_id), 10_000)]


async def running(world: World) -> set[str]:
    return {seen.instance_id for seen in await world.runtime.observe() if seen.alive}


async def live(world: World) -> tuple[str, Instance]:
    made = await deploy(world)
    (instance,) = await world.store.instances([made.id])
    return made.id, instance


async def test_output_reaches_the_log_in_order_once_and_masked(world: World) -> None:
    world.others.variables = {"API_TOKEN": "s3cret-value"}
    world.others.secret_names = ("API_TOKEN",)
    made, instance = await live(world)
    watch = Watch(world.store, world.runtime, world.journal, world.clock, world.woken.append)
    world.memory.print(instance.id, b"one\ntoken is s3cret-value\nhal")
    await watch.look()
    await watch.look()
    world.memory.print(instance.id, b"f\n")
    await watch.look()
    assert await lines(world, made) == ["one", "token is ••••••", "half"]


async def test_restarted_platform_goes_on_where_the_log_ends(world: World) -> None:
    made, instance = await live(world)
    for text in (b"before\n", b"after\n"):
        world.memory.print(instance.id, text)
        again = Watch(world.store, world.runtime, world.new_journal(), world.clock, world.woken.append)
        await again.look()
    assert await lines(world, made) == ["before", "after"]


async def test_flood_of_output_is_dropped_and_said_instead_of_kept(world: World) -> None:
    made, instance = await live(world)
    world.memory.print(instance.id, b"y\n" * (MOST_BACKLOG // 2 + CHUNK))
    for _ in range(40):
        await world.journal.collect(instance, ended=True)
        world.clock.advance(10)
    told = await lines(world, made)
    assert any("MiB of output were dropped" in line for line in told)
    assert world.memory.trimmed[instance.id] == await world.runtime.output_size(instance.id)


async def test_too_many_lines_a_second_are_counted_and_left_out(world: World) -> None:
    made, instance = await live(world)
    world.memory.print(instance.id, b"".join(b"%d\n" % n for n in range(2000)))
    await world.journal.collect(instance, ended=False)
    told = await lines(world, made)
    assert told[:2] == ["0", "1"]
    assert "1500 lines were dropped" in told[-1]


async def test_release_that_cannot_be_read_does_not_silence_the_others(world: World) -> None:
    first, one = await live(world)
    await world.db.execute("delete from releases")
    watch = Watch(world.store, world.runtime, world.journal, world.clock, world.woken.append)
    world.memory.print(one.id, b"lost\n")
    await watch.look()
    assert await lines(world, first) == []


async def test_what_runs_without_a_row_is_removed_and_what_has_one_is_left_alone(world: World) -> None:
    _, instance = await live(world)
    watch = Watch(world.store, world.runtime, world.journal, world.clock, world.woken.append)
    await watch.look()
    assert [seen.instance_id for seen in await world.runtime.observe()] == [instance.id]
    await world.db.execute("delete from instances")
    again = Watch(world.store, world.runtime, world.journal, world.clock, world.woken.append)
    await again.look()
    assert await world.runtime.observe() == []


async def test_end_of_a_process_wakes_its_rollout(world: World) -> None:
    _, instance = await live(world)
    watch = Watch(world.store, world.runtime, world.journal, world.clock, world.woken.append)
    await watch.look()
    world.woken.clear()
    world.memory.exit(instance.id, 1)
    await watch.look()
    assert world.woken == [instance.pair]


async def test_what_a_process_said_last_comes_before_what_the_platform_says_about_its_end(world: World) -> None:
    made, _ = await live(world)
    for number in range(100):
        found = [one for one in await world.store.instances([made]) if one.id in await running(world)]
        if not found:
            break
        world.memory.print(found[0].id, b"last words %d, without an end of the line" % number)
        world.memory.exit(found[0].id, 1)
        await world.settle()
        world.clock.advance(60)
        await world.settle()
    told = await lines(world, made)
    assert (await world.store.get(platform("deploy"), made)).state is State.CRASHED
    assert [line.split()[0] for line in told] == ["last", "[lightrail]"] * (len(told) // 2)
    assert len(told) > 4
    assert "Restart 1." in told[1]
    assert "did not help" in told[-1]


async def test_lines_are_stored_once_when_two_loops_collect_at_a_time(world: World) -> None:
    made, instance = await live(world)
    world.memory.print(instance.id, b"once\n")
    await asyncio.gather(*(world.journal.collect(instance, ended=True) for _ in range(5)))
    assert await lines(world, made) == ["once"]
