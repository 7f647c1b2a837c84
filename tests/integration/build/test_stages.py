from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from libs.db import Database
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, PlanSettings, Step
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.eventually import eventually
from services.build.app.building import ScanReport
from services.build.app.ports import Job, Output
from services.build.app.run import LEASE
from services.build.domain.model import Build, BuildState
from tests.integration.build.world import ToldBuilt, World, running

ORDER = ["fetch", "detect", "scan", "build", "test", "publish"]


@dataclass
class ToldScanner:
    """Scans as it is told."""

    report: ScanReport = field(default_factory=lambda: ScanReport("nothing found"))
    script: Callable[[], Awaitable[None]] | None = None
    stopped: int = 0

    async def scan(self, _job: Job, _plan: BuildPlan, output: Output) -> ScanReport:
        await output.say("scan", "looking")
        try:
            if self.script is not None:
                await self.script()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return self.report


async def states(world: World, build: Build) -> dict[str, str]:
    stages = (await world.now(build)).progress
    assert [stage.name.value for stage in stages] == ORDER
    return {stage.name.value: stage.state.value for stage in stages}


async def details(world: World, build: Build) -> dict[str, str]:
    return {stage.name.value: stage.detail for stage in (await world.now(build)).progress}


async def test_each_stage_of_a_good_build_has_its_times_and_a_word(db: Database) -> None:
    world = World(db, SystemClock(), scanner=ToldScanner())
    build = await world.request()
    assert set((await states(world, build)).values()) == {"pending"}
    await world.drive()
    assert await states(world, build) == {name: "skipped" if name == "test" else "succeeded" for name in ORDER}
    done = await world.now(build)
    said = await details(world, build)
    assert (said["fetch"], said["detect"], said["scan"]) == ("1 file", "python", "nothing found")
    assert said["publish"] == done.artifact_digest
    for stage in done.progress:
        if stage.state == "succeeded":
            assert stage.started_at
            assert stage.finished_at
            assert stage.started_at <= stage.finished_at


async def test_without_a_scanner_the_source_is_not_scanned_and_nobody_says_clean(world: World) -> None:
    build = await world.request()
    await world.drive()
    assert (await states(world, build))["scan"] == "skipped"
    assert (await details(world, build))["scan"].startswith("Not scanned")


async def test_the_scan_runs_beside_the_build(db: Database) -> None:
    scanned, built = asyncio.Event(), asyncio.Event()

    async def scan() -> None:
        scanned.set()
        await built.wait()

    async def work(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        # Neither ends before both have begun.
        await scanned.wait()
        assert (await states(world, build))["scan"] == "running"
        built.set()

    world = World(db, SystemClock(), scanner=ToldScanner(script=scan), deadline=10)
    world.builder.script = work
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED


async def test_a_scan_that_forbids_it_stops_the_build_under_way(db: Database) -> None:
    begun = asyncio.Event()

    async def forever(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def after() -> None:
        await begun.wait()

    blocked = "The scan found a private key in deploy.pem."
    world = World(db, SystemClock(), scanner=ToldScanner(ScanReport("", blocked), after), deadline=10)
    world.builder.script = forever
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.reason) == (BuildState.FAILED, blocked)
    assert world.builder.stopped == 1
    assert await states(world, build) == dict(
        zip(ORDER, ["succeeded", "succeeded", "failed", "skipped", "skipped", "skipped"], strict=True)
    )
    assert (await details(world, build))["build"] == "Ended before it was done: the stage scan failed first."


async def test_a_build_that_fails_ends_its_scan_and_its_sentence_is_the_reason(db: Database) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async def fail(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        await eventually(scanning)
        raise BuildFault("The step install failed.")

    async def scanning() -> None:
        assert (await states(world, build))["scan"] == "running"

    scanner = ToldScanner(script=wait)
    world = World(db, SystemClock(), scanner=scanner, deadline=10)
    world.builder.script = fail
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).reason == "The step install failed."
    assert scanner.stopped == 1
    assert (await states(world, build))["build"] == "failed"
    assert (await details(world, build))["build"] == "The step install failed."
    assert (await states(world, build))["scan"] == "skipped"
    assert (await details(world, build))["scan"] == "Ended before it was done: the stage build failed first."


async def test_a_stage_that_took_too_long_is_the_one_that_failed(db: Database) -> None:
    world = World(db, SystemClock(), deadline=0.2)

    async def forever(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        await asyncio.Event().wait()

    world.builder.script = forever
    build = await world.request()
    await world.drive()
    assert (await states(world, build))["build"] == "failed"
    assert "took longer" in (await details(world, build))["build"]
    assert (await states(world, build))["publish"] == "skipped"


@pytest.mark.parametrize("stage", ["fetch", "scan", "build", "test", "publish"])
async def test_a_build_is_cancelled_within_two_seconds_at_every_stage_and_nothing_of_it_is_under_way(
    db: Database, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def forever(*_anything: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    scanner = ToldScanner()
    world = World(db, SystemClock(), scanner=scanner)
    world.projects.told = PlanSettings(test_command="make test")
    if stage == "scan":
        scanner.script = forever
    elif stage == "build":
        world.builder.script = forever
    elif stage == "test":
        world.builder.tested = forever
    else:
        monkeypatch.setattr(*{"fetch": (world.builder, "fetch"), "publish": (ToldBuilt, "publish")}[stage], forever)
    build = await world.request()
    async with running(world.drive()):
        await asyncio.wait_for(begun.wait(), 10)
        assert (await states(world, build))[stage] == "running"
        await world.call_off(await world.now(build), "Cancelled.")
        assert (await states(world, build))[stage] == "failed"
        await asyncio.wait_for(stopped.wait(), 2.0)
        await eventually(lambda: world.builder.dirty == set())
    assert (await details(world, build))[stage] == "Cancelled."
    assert set((await states(world, build)).values()).isdisjoint({"running", "pending"})
    last = (await world.log.read(build.id, 0, 100))[-1]
    assert last.text == "Cancelled."
    # A scan runs beside something else, which is what the build was at.
    assert last.step == stage or (stage == "scan" and last.step in {"build", "test"})
    assert await world.told(build) == ["started", "cancelled"]


async def test_a_build_begun_again_shows_the_stages_of_its_last_attempt(db: Database, clock: VirtualClock) -> None:
    dead, alive = World(db, clock), World(db, clock)

    async def die(_job: Job, _plan: BuildPlan, _output: Output) -> None:
        raise RuntimeError("the disk is on fire")

    dead.builder.script = die
    build = await dead.request()
    try:
        await dead.drive()
    except RuntimeError:
        clock.advance(LEASE + 1)
    assert (await states(dead, build))["build"] == "running"
    claimed = await alive.runner._claim(build.id)
    assert claimed
    assert set((await states(alive, build)).values()) == {"pending"}


async def test_what_a_lost_attempt_notes_changes_nothing(world: World) -> None:
    build = await world.request()
    claimed = await world.runner._claim(build.id)
    assert claimed
    _, lease = claimed
    await world.call_off(build, "Cancelled.")
    before = (await world.now(build)).stages
    await world.builds.staged(lease, (await world.now(build)).progress)
    assert (await world.now(build)).stages == before


async def test_the_test_runs_after_the_build_and_its_failure_is_the_builds(world: World) -> None:
    asked: list[Step] = []

    async def fail(step: Step, output: Output) -> None:
        asked.append(step)
        assert (await states(world, build))["build"] == "succeeded"
        await output.chunk("test", "stdout", b"E assert 1 == 2\n")
        raise BuildFault("The step test failed: “pytest” ended with exit code 1: E assert 1 == 2")

    world.builder.tested = fail
    world.projects.told = PlanSettings(test_command="pytest")
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.artifact_digest) == (BuildState.FAILED, "")
    assert done.reason.endswith("E assert 1 == 2")
    assert [step.commands for step in asked] == [(("sh", "-c", "pytest"),)]
    assert (await states(world, build))["test"] == "failed"
    assert (await states(world, build))["publish"] == "skipped"
    assert "E assert 1 == 2" in await world.texts(build)


async def test_a_scan_that_a_failing_test_ended_does_not_bear_the_tests_reason(db: Database) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async def fail(_step: Step, _output: Output) -> None:
        raise BuildFault("The step test failed.")

    world = World(db, SystemClock(), scanner=ToldScanner(script=wait), deadline=10)
    world.builder.tested = fail
    world.projects.told = PlanSettings(test_command="pytest")
    build = await world.request()
    await world.drive()
    assert [name for name, state in (await states(world, build)).items() if state == "failed"] == ["test"]
    assert (await details(world, build))["scan"] == "Ended before it was done: the stage test failed first."


async def test_a_test_that_passes_is_a_stage_that_succeeded(world: World) -> None:
    world.projects.told = PlanSettings(test_command="pytest")
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED
    assert (await states(world, build))["test"] == "succeeded"
