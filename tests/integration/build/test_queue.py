"""Who waits, what they are told, and who is let go, on a real database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from libs.db import Database
from libs.kernel.units import GIB, MIB
from libs.testing.clock import VirtualClock
from libs.testing.faults import Plan, repeats_harmlessly, survives_failure_at_every_step
from services.build.domain.model import BuildState
from services.build.domain.queue import Free, Rules
from tests.integration.build.world import World

# (act, state), as the obligations ask for.
Parts = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]
RULES = Rules(most=2, memory=2 * GIB, disk_reserve=GIB)
NEWER = "dep_zzzzzzzzzzzzzzzzzzzzzzzzzz"


async def test_a_build_that_waits_says_why_in_its_state_and_once_in_its_log(db: Database, clock: VirtualClock) -> None:
    world = World(db, clock, rules=RULES)
    build = await world.request()
    world.machine.left = Free(memory=64 * GIB, disk=100 * MIB)
    for free in (100, 200):
        world.machine.left = Free(memory=64 * GIB, disk=free * MIB)
        assert await world.loop.due() == []
        clock.advance(11)
    why = "waiting for disk: 1 GiB must stay free, 200 MiB are"
    assert (await world.now(build)).waiting == why
    assert await world.texts(build) == [why.replace("200", "100")]
    world.machine.left = Free(memory=64 * GIB, disk=64 * GIB)
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.waiting) == (BuildState.SUCCEEDED, "")
    # The lines of the build itself follow without a gap.
    assert (await world.texts(build))[0].startswith("waiting for disk")


async def test_a_build_that_finds_no_room_is_given_up_with_what_it_waited_for(
    db: Database, clock: VirtualClock
) -> None:
    world = World(db, clock, rules=RULES)
    build = await world.request()
    # Time without a platform does not count.
    clock.advance(86_400)
    world.machine.left = Free(memory=64 * GIB, disk=0)
    await world.loop.due()
    assert (await world.now(build)).state is BuildState.QUEUED
    clock.advance(timedelta(minutes=46).total_seconds())
    await world.loop.due()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert done.reason == ("The build could not begin for 45 minutes: waiting for disk: 1 GiB must stay free, 0 B are.")
    assert await world.told(build) == ["failed"]
    assert (await world.texts(build))[-1] == done.reason


async def test_a_newer_deployment_ends_older_builds_of_its_pair_that_are_queued_and_no_others(world: World) -> None:
    running = await world.request("wsp_a", service="svc_a")
    await world.builds.claim(running.id, "run_1", world.clock.now(), world.clock.now() + timedelta(minutes=1))
    older = await world.request("wsp_a", service="svc_a")
    other = await world.request("wsp_a", service="svc_b")
    await world.reactions.newer_queued(NEWER, "svc_a", "env_other")
    assert (await world.now(older)).state is BuildState.QUEUED
    await world.reactions.newer_queued(NEWER, "svc_a", "env_1")
    done = await world.now(older)
    assert (done.state, done.reason) == (BuildState.CANCELLED, f"Superseded by {NEWER} before it began.")
    assert [(one.step, one.text) for one in await world.log.read(older.id, 0, 9)] == [("queue", done.reason)]
    assert await world.told(older) == ["cancelled"]
    assert {(await world.now(one)).state for one in (running, other)} == {BuildState.RUNNING, BuildState.QUEUED}
    # What is newer than the newcomer stays, whatever order the facts come in.
    await world.reactions.newer_queued("dep_0", "svc_b", "env_1")
    assert (await world.now(other)).state is BuildState.QUEUED


async def test_superseding_repeats_harmlessly_and_survives_failure_at_every_step(db: Database) -> None:
    # newer_queued: told once, whatever fails on the way.
    async def build(plan: Plan) -> Parts:
        clock = VirtualClock()
        world, calm = World(db, clock, plan), World(db, clock)
        service = f"svc_{id(plan)}"
        older = await calm.request(service=service)

        async def act() -> None:
            await world.reactions.newer_queued(NEWER, service, "env_1")

        async def state() -> object:
            done = await calm.now(older)
            return done.state, done.reason.replace(service, ""), await calm.told(older), await calm.texts(older)

        return act, state

    await repeats_harmlessly(build)
    assert await survives_failure_at_every_step(build) > 2
