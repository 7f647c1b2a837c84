"""Samples on real PostgreSQL: nothing lost, nothing doubled, whoever fails and however many look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from libs.db import Database
from libs.kernel.context import platform
from libs.kernel.errors import Unavailable
from libs.reconcile import Again, Done
from libs.testing.faults import Faulty, Plan, repeats_harmlessly, survives_failure_at_every_step
from services.metering.app.ports import Parts
from services.metering.app.sampling import FORGOTTEN_AT_ONCE, forget_samples, sample_instances, sample_traffic
from services.metering.domain.model import Place, Use
from services.metering.loops.retention import KEY, Retention
from services.metering.loops.sampling import Sampling
from tests.integration.metering.conftest import Outside, World

pytestmark = pytest.mark.wheels
ME = platform("metering")
WEB = Place("wsp_1", "prj_1", "env_1", "svc_web")
API = Place("wsp_2", "prj_2", "env_2", "svc_api")
START = datetime(2026, 1, 1, tzinfo=UTC)
MIB = 1024 * 1024


async def test_a_minute_of_use_is_one_row(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000, MIB)
    world.outside.use("run_2", WEB, 2_000, MIB)
    world.outside.send("edge_1", WEB, 500)
    assert await sample_instances(ME, world.parts) == 1
    assert await sample_traffic(ME, world.parts) == 1
    assert await world.samples() == {(START, "svc_web"): Use(3_000, 0, 500)}
    world.clock.advance(60)
    world.outside.use("run_1", WEB, 50, MIB)
    await sample_instances(ME, world.parts)
    assert (await world.samples())[START + timedelta(minutes=1), "svc_web"] == Use(50, 2 * MIB * 60, 0)


async def test_looking_twice_in_a_minute_stores_the_use_once(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000, MIB)
    for _ in range(3):
        await sample_instances(ME, world.parts)
    world.clock.advance(20)
    world.outside.use("run_1", WEB, 500, MIB)
    for _ in range(3):
        await sample_instances(ME, world.parts)
    assert await world.samples() == {(START, "svc_web"): Use(1_500, 20 * MIB, 0)}


async def test_a_fact_tells_of_each_look_that_found_something(world: World) -> None:
    await sample_instances(ME, world.parts)
    assert await world.facts() == 0
    world.outside.use("run_1", WEB, 1_000)
    world.outside.use("run_2", API, 1_000)
    for _ in range(3):
        await sample_instances(ME, world.parts)
    assert await world.facts() == 1


async def test_what_was_used_while_deploy_was_away_is_charged_when_it_is_back(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000, MIB)
    await sample_instances(ME, world.parts)
    world.outside.away = True
    for _ in range(10):
        world.clock.advance(60)
        world.outside.use("run_1", WEB, 100, MIB)
        with pytest.raises(Unavailable):
            await sample_instances(ME, world.parts)
        with pytest.raises(Unavailable):
            await sample_traffic(ME, world.parts)
    world.outside.away = False
    await sample_instances(ME, world.parts)
    assert await world.samples() == {
        (START, "svc_web"): Use(1_000, 0, 0),
        (START + timedelta(minutes=10), "svc_web"): Use(1_000, 600 * MIB, 0),
    }


async def test_a_new_run_and_a_new_edge_start_at_zero(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000)
    world.outside.send("edge_1", WEB, 1_000)
    await sample_instances(ME, world.parts)
    await sample_traffic(ME, world.parts)
    world.outside.runs.clear()
    world.outside.edges.clear()
    world.outside.use("run_2", WEB, 10)
    world.outside.send("edge_2", WEB, 20)
    await sample_instances(ME, world.parts)
    await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(1_010, 0, 1_020)


async def test_traffic_is_attributed_by_what_instances_showed_without_asking(world: World) -> None:
    world.outside.use("run_1", WEB, 1)
    await sample_instances(ME, world.parts)
    world.outside.send("edge_1", WEB, 7)
    await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(1, 0, 7)
    assert world.owners.asked == 0


async def test_traffic_of_an_unseen_service_is_asked_for_once(world: World) -> None:
    world.outside.places["svc_api", "env_2"] = API
    for _ in range(3):
        world.outside.send("edge_1", API, 7)
        await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(0, 0, 21)
    assert world.owners.asked == 1


async def test_traffic_of_a_service_nobody_knows_does_not_stop_the_others(world: World) -> None:
    world.outside.places["svc_api", "env_2"] = API
    world.outside.send("edge_1", WEB, 5)
    world.outside.send("edge_1", API, 7)
    await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(0, 0, 7)
    world.outside.places["svc_web", "env_1"] = WEB
    await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(0, 0, 12)


async def test_replicas_that_look_at_the_same_time_charge_once(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000, MIB)
    for number in range(5):
        world.clock.advance(60)
        world.outside.use("run_1", WEB, 100 + number, MIB)
        await asyncio.gather(*(sample_instances(ME, world.parts) for _ in range(3)))
    assert await world.sum() == Use(1_510, 4 * 60 * MIB, 0)


async def test_counters_are_kept_long_enough_not_to_charge_a_sleeper_again(world: World) -> None:
    world.outside.use("run_1", WEB, 1_000)
    world.outside.send("edge_1", WEB, 1_000)
    await sample_instances(ME, world.parts)
    await sample_traffic(ME, world.parts)
    world.outside.away = True
    world.clock.advance(timedelta(days=29).total_seconds())
    await forget_samples(ME, world.parts)
    world.outside.away = False
    world.outside.use("run_1", WEB, 1)
    await sample_instances(ME, world.parts)
    await sample_traffic(ME, world.parts)
    assert await world.sum() == Use(1_001, 0, 1_000)
    world.outside.runs.clear()
    world.outside.edges.clear()
    world.clock.advance(timedelta(days=31).total_seconds())
    await forget_samples(ME, world.parts)
    assert await world.db.fetchval("select count(*) from metered_runs") == 0
    assert await world.db.fetchval("select count(*) from metered_edges") == 0


async def test_samples_leave_after_their_time_and_no_others(world: World) -> None:
    await world.db.execute(
        "insert into usage_samples (minute, workspace_id, project_id, environment_id, service_id, egress_bytes)"
        " select $1::timestamptz + n * interval '1 minute', 'wsp_1', 'prj_1', 'env_1', 'svc_web', 1"
        " from generate_series(0, $2) n",
        START - timedelta(days=100, minutes=FORGOTTEN_AT_ONCE + 10),
        FORGOTTEN_AT_ONCE + 11,
    )
    loop = Retention(world.parts)
    assert await loop.due() == [KEY]
    assert await loop.step(KEY) == Again(after=0.05)
    assert await loop.step(KEY) == Done()
    assert sorted(await world.samples()) == [
        (START - timedelta(days=100) + timedelta(minutes=minutes), "svc_web") for minutes in (0, 1)
    ]


Act = Callable[[], Awaitable[object]]
State = Callable[[], Awaitable[object]]
SCRIPT = 5


def faulty(parts: Parts, plan: Plan) -> Parts:
    """The same parts, each of which may fail by the plan."""
    names = ("counters", "samples", "facts", "instances", "traffic", "owners")
    return replace(parts, **{name: cast("Any", Faulty(getattr(parts, name), plan)) for name in names})


def turn(outside: Outside, number: int) -> None:
    """One more minute of life outside: two services, a restart in the middle, a new edge."""
    outside.use("run_1" if number < SCRIPT // 2 else "run_2", WEB, 100 + number, MIB)
    outside.use("run_3", API, 7 * number, MIB)
    outside.send("edge_1" if number < SCRIPT // 2 else "edge_2", WEB, 1_000 + number)
    outside.send("edge_1", API, number)


async def test_sampling_may_repeat_and_fail_anywhere(world: World, db: Database) -> None:
    async def build(plan: Plan) -> tuple[Act, State]:
        await db.execute("truncate usage_samples, metered_runs, metered_edges, metered_places, outbox")
        world.outside.runs.clear()
        world.outside.edges.clear()
        world.outside.places["svc_api", "env_2"] = API
        world.outside.places["svc_web", "env_1"] = WEB
        loop = Sampling(faulty(world.parts, plan), 60.0)
        turns = 0

        async def act() -> object:
            nonlocal turns
            if turns < SCRIPT:
                turn(world.outside, turns)
                world.clock.advance(60)
                turns += 1
            return [await loop.step(key) for key in reversed(await loop.due())]

        async def state() -> object:
            rows = await db.fetch(
                "select service_id, sum(cpu_microseconds), sum(egress_bytes) from usage_samples"
                " group by service_id order by service_id"
            )
            counters = await db.fetch("select run_id, cpu_microseconds from metered_runs order by run_id")
            edges = await db.fetch("select * from metered_edges order by edge_epoch, service_id")
            return rows, counters, [dict(row, seen_at=None) for row in edges]

        return act, state

    await repeats_harmlessly(build)
    assert await survives_failure_at_every_step(build, times=SCRIPT + 1) > 20
    total = await db.fetchrow("select sum(cpu_microseconds) as cpu, sum(egress_bytes) as egress from usage_samples")
    assert total is not None
    assert total["cpu"] == sum(100 + 8 * number for number in range(SCRIPT))
    assert total["egress"] == sum(1_000 + 2 * number for number in range(SCRIPT))


async def test_retention_may_repeat_and_fail_anywhere(world: World, db: Database) -> None:
    async def build(plan: Plan) -> tuple[Act, State]:
        await db.execute("truncate usage_samples, metered_runs")
        await db.execute(
            "insert into usage_samples (minute, workspace_id, project_id, environment_id, service_id)"
            " select $1::timestamptz - n * interval '1 day', 'wsp_1', 'prj_1', 'env_1', 'svc_web'"
            " from generate_series(90, 110) n",
            world.clock.now(),
        )
        loop = Retention(faulty(world.parts, plan))

        async def act() -> object:
            return await loop.step(KEY)

        async def state() -> object:
            return await db.fetch("select minute from usage_samples order by minute")

        return act, state

    await repeats_harmlessly(build)
    assert await survives_failure_at_every_step(build, times=2) > 0
    assert await db.fetchval("select count(*) from usage_samples") == 11
