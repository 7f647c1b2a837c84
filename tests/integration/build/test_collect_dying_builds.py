from __future__ import annotations

from libs.db import Database
from libs.testing.clock import VirtualClock
from services.build.app.ports import Lease
from services.build.app.run import LEASE
from services.build.domain.model import MOST_ATTEMPTS, BuildState
from tests.integration.build.world import World


async def test_a_build_that_kills_its_process_every_time_is_given_up(db: Database, clock: VirtualClock) -> None:
    world = World(db, clock)
    build = await world.request()
    world.builder.dirty.add(build.id)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert await world.loop.due() == [build.id]
        # The process that begins it dies: no release, only a lease that runs out.
        claimed = await world.runner._claim(build.id)
        assert claimed
        assert claimed[0].attempt == attempt
        clock.advance(LEASE + 1)
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert f"started {MOST_ATTEMPTS} times and each time the platform's build process died" in done.reason
    assert await world.told(build) == ["started", "failed"]
    assert (await world.texts(build))[-1] == f"Build failed: {done.reason}"
    assert world.builder.fetched == 0
    assert world.builder.dirty == set()
    assert await world.loop.due() == []


async def test_a_build_given_back_by_a_stopping_platform_is_not_given_up(db: Database, clock: VirtualClock) -> None:
    world = World(db, clock)
    build = await world.request()
    for attempt in range(1, MOST_ATTEMPTS + 3):
        claimed = await world.runner._claim(build.id)
        assert claimed
        await world.builds.release(Lease(build.id, world.runner.owner, attempt), clock.now())
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED


async def test_a_process_that_only_seemed_dead_cannot_end_a_build_that_was_given_up(
    db: Database, clock: VirtualClock
) -> None:
    world = World(db, clock)
    build = await world.request()
    for _ in range(MOST_ATTEMPTS):
        claimed = await world.runner._claim(build.id)
        clock.advance(LEASE + 1)
    await world.drive()
    assert claimed
    assert not await world.builds.renew(claimed[1], clock.now())
    assert not await world.builds.finish(claimed[1], BuildState.SUCCEEDED, clock.now(), artifact_digest="sha256:1")
    assert await world.told(build) == ["started", "failed"]
