from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Awaitable, Callable

import pytest

from libs.db import Database
from libs.kernel.errors import Exhausted
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, PlanSettings
from libs.reconcile import Driver
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.eventually import eventually
from libs.testing.faults import Plan, repeats_harmlessly, survives_failure_at_every_step
from services.build.app import writer
from services.build.app.ports import Job, Lease, Output, Variables
from services.build.app.reactions import Wanted
from services.build.app.run import LEASE
from services.build.domain.log import telling
from services.build.domain.model import MOST_ATTEMPTS, TRANSITIONS, Build, BuildState
from tests.integration.build.world import World, running

# (act, state), as the obligations ask for.
Parts = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]


async def test_a_requested_build_ends_with_an_artifact_and_says_so_once(world: World) -> None:
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.SUCCEEDED
    assert done.provider == "python"
    assert (await world.desk.artifact(done.artifact_digest)).start_command == "python main.py"
    assert await world.told(build) == ["started", "succeeded"]
    assert world.builder.dirty == set()
    assert any("start command: python main.py" in text for text in await world.texts(build))


async def test_a_users_fault_fails_the_build_with_its_sentence(world: World) -> None:
    world.builder.files = {"main.zig": ""}
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "No known language" in done.reason
    assert await world.told(build) == ["started", "failed"]
    last = (await world.log.read(build.id, 0, 100))[-1]
    assert last.text.startswith("Build failed: No known language")
    assert last.step == "detect"


async def test_settings_that_cannot_be_read_are_the_users_fault(world: World) -> None:
    world.projects.told = PlanSettings(root_directory="nowhere")
    build = await world.request()
    await world.drive()
    assert "nowhere" in (await world.now(build)).reason


async def test_a_platforms_failure_is_tried_again_then_given_up(world: World) -> None:
    async def broken(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        raise RuntimeError("the disk is on fire")

    world.builder.script = broken
    build = await world.request()
    for attempt in range(1, MOST_ATTEMPTS):
        try:
            await world.drive()
        except RuntimeError:
            assert (await world.now(build)).attempt == attempt
            continue
        raise AssertionError("the failure did not reach the driver")
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "the disk is on fire" in done.reason
    assert await world.told(build) == ["started", "failed"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), Exhausted("The disk that holds the blobs is full.")],
    ids=["met by the builder", "met by the store"],
)
async def test_a_full_disk_ends_a_build_at_once_in_a_sentence(world: World, error: Exception) -> None:
    async def full(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        raise error

    world.builder.script = full
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.attempt) == (BuildState.FAILED, 1)
    assert re.match(r"The disk that holds .* is full", done.reason)
    assert "Errno" not in "".join(await world.texts(build))


async def test_a_build_that_takes_too_long_is_stopped_and_says_so(db: Database) -> None:
    world = World(db, SystemClock(), deadline=0.2)

    async def forever(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        await asyncio.Event().wait()

    world.builder.script = forever
    build = await world.request()
    await world.drive()
    assert "took longer than 0 seconds" in (await world.now(build)).reason
    assert (await world.log.read(build.id, 0, 100))[-1].step == "build"
    assert world.builder.stopped == 1


async def test_a_running_build_is_cancelled_within_two_seconds(world: World) -> None:
    begun = asyncio.Event()

    async def forever(_job: Job, _plan: BuildPlan, output: Output) -> None:
        await output.chunk("build", "stdout", b"working\n")
        begun.set()
        await asyncio.Event().wait()

    world.builder.script = forever
    build = await world.request()
    async with running(world.drive()):
        await begun.wait()
        await world.reactions.deployment_unwanted(build.deployment_id)
        await eventually(lambda: world.builder.stopped == 1, within=2.0)
        await eventually(lambda: world.builder.dirty == set())
    assert (await world.now(build)).state is BuildState.CANCELLED
    assert await world.told(build) == ["started", "cancelled"]
    last = (await world.log.read(build.id, 0, 100))[-1]
    assert (last.step, last.text) == ("build", "The deployment does not need this build any more.")


async def test_a_cancelled_build_is_never_resurrected_by_a_late_end(world: World) -> None:
    build = await world.request()
    now = world.clock.now()
    claimed = await world.builds.claim(build.id, "run_1", now, now)
    assert claimed
    lease = Lease(build.id, "run_1", claimed.attempt)
    await world.call_off(build, "Cancelled.")
    assert not await world.builds.finish(lease, BuildState.SUCCEEDED, now, artifact_digest="sha256:1")
    assert not await world.log.append(lease, [])
    assert await world.builds.claim(build.id, "run_2", now, now) is None
    assert (await world.now(build)).state is BuildState.CANCELLED


@pytest.mark.parametrize("state", list(BuildState))
async def test_the_table_of_transitions_is_what_the_store_allows(world: World, state: BuildState) -> None:
    now = world.clock.now()

    async def fresh() -> Build:
        build = await world.request()
        lease = Lease(build.id, "run_1", 1)
        if state is not BuildState.QUEUED:
            await world.builds.claim(build.id, "run_1", now, now)
        if state is BuildState.CANCELLED:
            await world.builds.cancel(build.id, now, "")
        elif state.final:
            await world.builds.finish(lease, state, now, artifact_digest="d" if state is BuildState.SUCCEEDED else "")
        assert (await world.now(build)).state is state
        return build

    async def finished(build: Build, end: BuildState) -> bool:
        digest = "d" if end is BuildState.SUCCEEDED else ""
        return await world.builds.finish(Lease(build.id, "run_1", 1), end, now, artifact_digest=digest)

    reached = set()
    if await world.builds.claim((await fresh()).id, "run_2", now, now):
        reached.add(BuildState.RUNNING)
    if await world.builds.cancel((await fresh()).id, now, ""):
        reached.add(BuildState.CANCELLED)
    for end in (BuildState.SUCCEEDED, BuildState.FAILED):
        if await finished(await fresh(), end):
            reached.add(end)
    assert reached == TRANSITIONS[state]


async def test_a_build_whose_process_died_is_begun_again_and_ends_once(db: Database, clock: VirtualClock) -> None:
    dead, alive = World(db, clock), World(db, clock)
    build = await dead.request()
    # Killed: no release, no clean-up, only what it had written.
    claimed = await dead.runner._claim(build.id)
    assert claimed
    assert await alive.loop.due() == []
    clock.advance(LEASE + 1)
    await alive.drive()
    done = await alive.now(build)
    assert (done.state, done.attempt) == (BuildState.SUCCEEDED, 2)
    assert await alive.told(build) == ["started", "succeeded"]
    assert "interrupted" in (await alive.texts(build))[0]
    assert not await dead.builds.finish(claimed[1], BuildState.FAILED, clock.now(), reason="late")


async def test_a_build_given_back_by_a_stopping_platform_begins_again_at_once(world: World) -> None:
    begun = asyncio.Event()

    async def forever(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        begun.set()
        await asyncio.Event().wait()

    world.builder.script = forever
    build = await world.request()
    async with running(world.drive()):
        await begun.wait()
    assert world.builder.stopped == 1
    assert await world.loop.due() == [build.id]


async def test_workspaces_take_turns_and_only_so_many_builds_run(world: World) -> None:
    first = [await world.request("wsp_a") for _ in range(3)]
    other = await world.request("wsp_b")
    assert await world.loop.due() == [first[0].id, other.id]
    gate = asyncio.Event()

    async def wait(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        await gate.wait()

    world.builder.script = wait
    driver = Driver(world.loop, world.clock, concurrency=2)
    world.loop.freed = driver.wake
    async with running(driver.run()):
        await eventually(lambda: world.builder.fetched == 2)
        assert await world.loop.due() == []
        gate.set()
        await eventually(lambda: world.builder.fetched == 4)

        async def all_done() -> bool:
            return all([(await world.now(one)).state.final for one in [*first, other]])

        await eventually(all_done)


async def test_secrets_are_masked_in_log_and_reason_also_when_split(world: World) -> None:
    async def leak(_job: Job, _plan: BuildPlan, output: Output) -> None:
        for part in (b"token=s3c", b"ret-", b"value\nnext s3cret", b"-val"):
            await output.chunk("build", "stdout", part)
        await output.chunk("build", "stdout", b"ue")
        await output.flush("build")
        raise BuildFault(f"failed: {output.recent('build')[-1]}")

    world.builder.script = leak
    world.projects.given = Variables({"TOKEN": "s3cret-value"}, frozenset({"s3cret-value"}))
    build = await world.request()
    await world.drive()
    texts = await world.texts(build)
    assert "token=•••" in texts
    assert "s3cret" not in "\n".join(texts) + (await world.now(build)).reason


async def test_why_npm_failed_is_not_lost_in_its_page_of_usage(world: World) -> None:
    async def ci(_job: Job, _plan: BuildPlan, output: Output) -> None:
        said = ["code EUSAGE", "", "`npm ci` can only install packages when in sync.", *["  --an-option"] * 110]
        await output.chunk("install", "stderr", "".join(f"npm error {line}\n" for line in said).encode())
        await output.flush("install")
        raise BuildFault(telling(output.recent("install")))

    world.builder.script = ci
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).reason == "npm error `npm ci` can only install packages when in sync."


async def test_an_endless_printer_is_kept_up_to_a_limit(world: World) -> None:
    async def printer(_job: Job, _plan: BuildPlan, output: Output) -> None:
        for number in range(120):
            await output.chunk("build", "stdout", b"".join(b"%d-%d\n" % (number, line) for line in range(500)))

    world.builder.script = printer
    build = await world.request()
    await world.drive()
    texts = await world.texts(build)
    assert 50_000 < len(texts) < 50_020
    assert texts.count("This build printed more than 50,000 lines or 32 MiB; the rest is not kept.") == 1
    assert (await world.now(build)).state is BuildState.SUCCEEDED


async def test_long_lines_are_kept_up_to_a_limit_and_last_words_are_heard_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def printer(_job: Job, _plan: BuildPlan, output: Output) -> None:
        for number in range(64):
            await output.chunk("build", "stdout", b"%03d%s\n" % (number, b"x" * 9_000))
        await output.chunk("build", "stderr", b"error: no s3cret-value left\n")
        await output.flush("build")
        raise BuildFault(output.recent("build")[-1])

    monkeypatch.setattr(writer, "MOST_BYTES", 100_000)
    world.projects.given = Variables({"TOKEN": "s3cret-value"}, frozenset({"s3cret-value"}))
    world.builder.script = printer
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).reason == "error: no ••• left"
    assert sum(len(text) for text in await world.texts(build)) < 110_000


async def test_the_build_loop_repeats_harmlessly(db: Database) -> None:
    async def build(plan: Plan) -> Parts:
        world = World(db, VirtualClock(), plan)
        wanted = await world.request()
        return world.drive, lambda: _outcome(world, wanted)

    await repeats_harmlessly(build)


async def test_the_build_loop_survives_failure_at_every_step(db: Database) -> None:
    # BuildLoop: whatever call fails, before or after its effect, the build ends right, and once.
    async def build(plan: Plan) -> Parts:
        clock = VirtualClock()
        world = World(db, clock, plan)
        wanted = await World(db, clock).request()

        async def act() -> None:
            clock.advance(LEASE + 1)
            await world.drive()

        return act, lambda: _outcome(world, wanted)

    assert await survives_failure_at_every_step(build, times=3) > 10


async def test_reactions_repeat_harmlessly_and_survive_failure_at_every_step(db: Database) -> None:
    # deployment_requested, then deployment_unwanted: one build, cancelled, told once.
    async def build(plan: Plan) -> Parts:
        clock = VirtualClock()
        world, calm = World(db, clock, plan), World(db, clock)
        first, second = await calm.request(), await calm.request()

        async def act() -> None:
            await world.reactions.deployment_unwanted(first.deployment_id)

        async def state() -> object:
            return await _outcome(calm, first), await _outcome(calm, second)

        return act, state

    await repeats_harmlessly(build)
    await survives_failure_at_every_step(build)


async def test_a_request_repeated_or_interrupted_makes_one_build(db: Database) -> None:
    async def build(plan: Plan) -> Parts:
        clock = VirtualClock()
        world = World(db, clock, plan)
        wanted = Wanted(f"dep_{id(plan)}", "wsp_1", "prj_1", "svc_1", "env_1", "snp_1")

        async def state() -> object:
            found = await World(db, clock).builds.of_deployment(wanted.deployment_id, None)
            count = await db.fetchval("select count(*) from builds where deployment_id = $1", wanted.deployment_id)
            return count, found is not None

        return lambda: world.reactions.deployment_requested(wanted), state

    await repeats_harmlessly(build)
    await survives_failure_at_every_step(build)


async def _outcome(world: World, build: Build) -> object:
    calm = World(world.db, world.clock)
    done = await calm.now(build)
    await calm.texts(build)
    return done.state, done.reason, done.artifact_digest, await calm.told(build)
