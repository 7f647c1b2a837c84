"""Whose deployments and logs are whose: what is not the caller's does not exist, in lists too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from libs.db import Database
from libs.kernel.context import Ctx, Role
from libs.kernel.errors import Invalid, NotFound
from services.deploy.app.ports import Filter, LogQuery, LogRecord
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import OWNER, STRANGER, UPLOAD, World, deploy, empty_world

OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
async def world(open_db: OpenDatabase) -> World:
    return await empty_world(await open_db("deploy", MIGRATIONS))


@pytest.mark.parametrize(
    "wanted",
    [Filter(service_id="svc_a"), Filter(environment_id="env_a"), Filter(project_id="prj_a")],
    ids=["service", "environment", "project"],
)
async def test_a_list_by_what_is_not_the_callers_does_not_exist(world: World, wanted: Filter) -> None:
    assert await world.queries.find(OWNER, wanted, 10) == ([], "")
    with pytest.raises(NotFound):
        await world.queries.find(STRANGER, wanted, 10)
    made = await world.commands.create(OWNER, UPLOAD)
    assert [each.id for each, _ in (await world.queries.find(OWNER, wanted, 10))[0]] == [made.id]
    with pytest.raises(NotFound):
        await world.queries.find(STRANGER, wanted, 10)
    with pytest.raises(NotFound):
        await world.queries.find(OWNER, replace(wanted, service_id="svc_of_someone"), 10)
    with pytest.raises(NotFound):
        await world.queries.find(OWNER, replace(wanted, environment_id="env_of_someone"), 10)


async def test_what_a_deleted_service_had_is_still_listed_to_whom_it_belonged(world: World) -> None:
    made = [(await world.commands.create(OWNER, UPLOAD)).id for _ in range(2)]
    world.others.alive.clear()
    wanted = Filter(service_id="svc_a")
    first, cursor = await world.queries.find(OWNER, wanted, 1)
    second, end = await world.queries.find(OWNER, replace(wanted, before=cursor), 1)
    assert ([each.id for each, _ in first + second], end) == (made[::-1], "")
    assert await world.queries.find(OWNER, replace(wanted, before=made[0]), 1) == ([], "")
    with pytest.raises(NotFound):
        await world.queries.find(STRANGER, wanted, 1)
    with pytest.raises(NotFound):
        await world.queries.find(OWNER, Filter(service_id="svc_never_deployed"), 1)


@pytest.mark.parametrize("wanted", [Filter(before="nonsense"), Filter(before="prj_" + "0" * 26), Filter(before="\0")])
async def test_a_cursor_that_no_page_ended_with_is_invalid(world: World, wanted: Filter) -> None:
    with pytest.raises(Invalid, match="cursor") as refused:
        await world.queries.find(OWNER, wanted, 1)
    assert refused.value.field == "page.cursor"
    with pytest.raises(Invalid, match="page"):
        await world.queries.find(OWNER, Filter(), -1)


async def lines(world: World, ctx: Ctx, wanted: LogQuery) -> list[str]:
    return [line.text async for batch in world.queries.log(ctx, wanted, follow=False, tail=0) for line in batch]


async def test_a_log_is_of_the_deployment_service_and_environment_together(world: World) -> None:
    made = await deploy(world)
    right = LogQuery(made.service_id, made.environment_id, made.id)
    now = world.clock.now()
    records = [
        LogRecord(made.id, made.service_id, environment, "ins_a", 0, "output", environment, now)
        for environment in ("env_a", "env_b")
    ]
    await world.logs.append(records, "", 0)
    assert await lines(world, OWNER, right)
    for wrong in (replace(right, service_id="svc_of_someone"), replace(right, environment_id="env_of_someone")):
        with pytest.raises(NotFound):
            await lines(world, OWNER, wrong)
    bound = Ctx(replace(OWNER.actor, environment_id="env_a"), Role.VIEWER)
    assert "env_b" in await lines(world, OWNER, LogQuery(service_id=made.service_id))
    assert "env_b" not in await lines(world, bound, LogQuery(service_id=made.service_id))
