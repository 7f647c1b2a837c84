"""What was used and what it costs, asked by all kinds of callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Invalid, NotFound
from services.metering.app.sampling import sample_instances
from services.metering.app.usage import Asked, Bill, query_usage
from services.metering.domain.model import Place, Use
from services.metering.domain.pricing import Price, Resource
from tests.integration.metering.conftest import World
from tests.unit.metering.test_pricing import PRICES

pytestmark = pytest.mark.wheels
ME = platform("metering")
CORE_MINUTE = 60_000_000
WEB = Place("wsp_1", "prj_1", "env_1", "svc_web")
WEB_TEST = Place("wsp_1", "prj_1", "env_2", "svc_web")
JOB = Place("wsp_1", "prj_2", "env_3", "svc_job")
API = Place("wsp_2", "prj_3", "env_4", "svc_api")
PLACES = (WEB, WEB_TEST, JOB, API)


def member(*workspaces: str, project: str = "", environment: str = "") -> Ctx:
    roles = dict.fromkeys(workspaces, Role.VIEWER)
    return Ctx(Actor("user", "usr_1", roles, project_id=project, environment_id=environment), required=Role.VIEWER)


@pytest.fixture
async def used(world: World) -> World:
    """Two minutes in which every place used a core, twice."""
    for number, place in enumerate(PLACES):
        world.outside.places[place.service_id, place.environment_id] = place
        world.outside.use(f"run_{number}", place, CORE_MINUTE)
    await sample_instances(ME, world.parts)
    world.clock.advance(60)
    for number, place in enumerate(PLACES):
        world.outside.use(f"run_{number}", place, CORE_MINUTE)
    await sample_instances(ME, world.parts)
    world.clock.advance(1)
    return world


def places(bill: Bill) -> list[Place]:
    return [line.place for line in bill.lines]


async def test_the_seeded_prices_are_the_documented_ones(world: World) -> None:
    assert await world.parts.prices.prices() == PRICES


async def test_a_bill_has_a_line_for_each_service_and_environment(used: World) -> None:
    bill = await query_usage(member("wsp_1"), used.parts, Asked())
    assert sorted(places(bill), key=repr) == sorted([WEB, WEB_TEST, JOB], key=repr)
    assert {line.use for line in bill.lines} == {Use(cpu_microseconds=2 * CORE_MINUTE)}
    assert [line.cost for line in bill.lines] == [926, 926, 926]
    assert bill.total == 2_778


async def test_the_operator_edits_the_prices(used: World) -> None:
    await used.db.execute("update prices set pico_usd = 1, units = 1 where resource = 'cpu'")
    assert (await used.parts.prices.prices())[Resource.CPU] == Price(1, 1)
    bill = await query_usage(member("wsp_2"), used.parts, Asked())
    assert bill.total == 2 * CORE_MINUTE // 1_000_000


async def test_a_bill_is_narrowed_to_a_project_or_a_service(used: World) -> None:
    ctx = member("wsp_1")
    assert places(await query_usage(ctx, used.parts, Asked(project_id="prj_2"))) == [JOB]
    assert places(await query_usage(ctx, used.parts, Asked(service_id="svc_web"))) == [WEB, WEB_TEST]
    both = Asked(workspace_id="wsp_1", project_id="prj_1", service_id="svc_web")
    assert places(await query_usage(ctx, used.parts, both)) == [WEB, WEB_TEST]


async def test_things_of_others_do_not_exist(used: World) -> None:
    for ctx in (member("wsp_2"), member("wsp_3"), member()):
        for asked in (
            Asked(workspace_id="wsp_1"),
            Asked(project_id="prj_1"),
            Asked(service_id="svc_web"),
            Asked(service_id="svc_never"),
            Asked(project_id="prj_never"),
            Asked(workspace_id="wsp_2", service_id="svc_web"),
            Asked(workspace_id="wsp_2", project_id="prj_1"),
            Asked(project_id="prj_3", service_id="svc_web"),
        ):
            with pytest.raises(NotFound):
                await query_usage(ctx, used.parts, asked)


async def test_contradictions_between_ones_own_things_are_not_found(used: World) -> None:
    ctx = member("wsp_1", "wsp_2")
    for asked in (
        Asked(workspace_id="wsp_1", service_id="svc_api"),
        Asked(workspace_id="wsp_1", project_id="prj_3"),
        Asked(project_id="prj_2", service_id="svc_web"),
    ):
        with pytest.raises(NotFound):
            await query_usage(ctx, used.parts, asked)


async def test_with_several_workspaces_one_says_which(used: World) -> None:
    ctx = member("wsp_1", "wsp_2")
    with pytest.raises(Invalid, match=r"Say which workspace"):
        await query_usage(ctx, used.parts, Asked())
    assert places(await query_usage(ctx, used.parts, Asked(workspace_id="wsp_2"))) == [API]
    assert places(await query_usage(ctx, used.parts, Asked(service_id="svc_api"))) == [API]


async def test_a_bound_token_sees_only_what_it_is_bound_to(used: World) -> None:
    project = member("wsp_1", project="prj_2")
    assert places(await query_usage(project, used.parts, Asked())) == [JOB]
    environment = member("wsp_1", project="prj_1", environment="env_2")
    assert places(await query_usage(environment, used.parts, Asked())) == [WEB_TEST]
    assert places(await query_usage(environment, used.parts, Asked(service_id="svc_web"))) == [WEB_TEST]
    for asked in (Asked(project_id="prj_1"), Asked(service_id="svc_web")):
        with pytest.raises(NotFound):
            await query_usage(project, used.parts, asked)


async def test_the_platform_sees_every_workspace(used: World) -> None:
    assert places(await query_usage(platform("gateway"), used.parts, Asked(workspace_id="wsp_2"))) == [API]


async def test_windows_side_by_side_share_no_minute_and_miss_none(used: World) -> None:
    ctx = member("wsp_2")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    cuts = [first, first + timedelta(seconds=30), first + timedelta(seconds=60), first + timedelta(seconds=61)]
    found = [(await query_usage(ctx, used.parts, Asked(start=start, end=end))).total for start, end in pairwise(cuts)]
    assert found == [463, 0, 463]
    assert sum(found) == (await query_usage(ctx, used.parts, Asked())).total


async def test_last_months_use_is_not_this_months(used: World) -> None:
    used.clock.advance(timedelta(days=31).total_seconds())
    bill = await query_usage(member("wsp_2"), used.parts, Asked())
    assert (bill.lines, bill.total) == ((), 0)
    assert bill.window.start == datetime(2026, 2, 1, tzinfo=UTC)


async def test_an_impossible_window_is_refused(used: World) -> None:
    now = used.clock.now()
    with pytest.raises(Invalid):
        await query_usage(member("wsp_1"), used.parts, Asked(start=now, end=now - timedelta(seconds=1)))
