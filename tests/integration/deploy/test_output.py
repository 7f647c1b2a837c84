from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from libs.db import Database
from services.deploy.app.journal import CHUNK, MOST_BACKLOG
from services.deploy.app.ports import LogQuery
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
